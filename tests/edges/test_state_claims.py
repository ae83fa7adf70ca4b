"""What was made of which content: found by size, through renames, removals and restarts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from watcher.core.naming import aside
from watcher.core.records import ContentRecord, Phase, PhotoRecord, RenditionRecord
from watcher.core.types import FileSignature, PhotoId
from watcher.store import Store
from watcher.store import store as store_module

IN, OTHER = b"/in", b"/other"
DIGEST = bytes(range(16))
STAMP = FileSignature(100, 5)
MADE = {"web": RenditionRecord(10, 20, 300)}


def known(digest: bytes = DIGEST, stamp: FileSignature = STAMP, phase: Phase = Phase.DONE) -> PhotoRecord:
    return PhotoRecord(stamp, phase, {"web": "f1"}, MADE, at=10.0, first_seen=1.0, origin="event", digest=digest)


def photo(path: str, inbox: bytes = IN) -> PhotoId:
    return PhotoId(inbox, path.encode())


def claim(path: str, inbox: bytes = IN, *, gone: bool = False) -> ContentRecord:
    return ContentRecord(photo(path, inbox), STAMP, DIGEST, {"web": "f1"}, MADE, 10.0, gone=gone, lately=gone)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "s.db")) as opened:
        yield opened


def test_photos_of_one_size_are_found_in_every_inbox_with_what_was_made_of_them(state: Store) -> None:
    state.write([(photo("a.jpg"), known()), (photo("x/b.jpg", OTHER), known()), (photo("c.jpg"), known(b""))])
    state.write([(photo("d.jpg"), known(stamp=FileSignature(101, 5))), (photo("e.jpg"), known(phase=Phase.WAITING))])
    state.write([(photo("f.jpg"), replace(known(), leased=True))])
    assert state.alike(100) == [claim("a.jpg"), claim("x/b.jpg", OTHER)]
    assert state.alike(99) == []


def test_a_photo_that_changes_is_found_by_what_it_was_no_longer_unless_it_can_not_be_made_yet(state: Store) -> None:
    state.write([(photo("a.jpg"), known()), (photo("a.jpeg"), known())])
    state.write([(photo("a.jpg"), known(stamp=FileSignature(7, 5)))])
    assert state.alike(100) == [claim("a.jpeg")]
    assert [found.photo for found in state.alike(7)] == [photo("a.jpg")]
    state.write([(photo("a.jpeg"), replace(known(b""), phase=Phase.WAITING))])
    assert state.alike(100) == [claim("a.jpeg", gone=True)]
    assert state._db.execute("SELECT size FROM alike").fetchall() == [(7,)]
    state._db.execute("UPDATE tombstone SET gone = 0")
    state.write([(photo("a.jpeg"), None)])
    assert state.left_by(photo("a.jpeg")) == [claim("a.jpeg", gone=True)], "its time begins when the name is free"
    assert state.left_by(photo("a.jpg")) == []


def test_a_photo_that_left_is_found_until_its_outputs_may_belong_to_another(state: Store) -> None:
    state.write(
        [(photo("x/a.jpg"), known()), (photo("x/b.jpg"), known()), (photo("w.jpg"), known(phase=Phase.WAITING))]
    )
    state.write([(photo("x/a.jpg"), None), (photo("w.jpg"), None)])
    assert state.alike(100) == [claim("x/b.jpg"), claim("x/a.jpg", gone=True)]
    assert state.left_renditions(photo("x/a.jpeg")) == {"web"}
    assert not state.left_renditions(photo("a.jpeg"))
    state.write([(photo("x/a.jpeg"), known(phase=Phase.WAITING))])
    assert state.left_renditions(photo("x/a.jpeg")) == {"web"}
    state.write([(photo("x/a.jpeg"), known(b""))])  # as WebP both would be a.webp
    assert state.alike(100) == [claim("x/b.jpg"), replace(claim("x/a.jpg", gone=True), recipes={})]
    state.write([(photo("x/a.jpg"), known(b""))])
    assert state.alike(100) == [claim("x/b.jpg")]
    state.forget_folder(IN, b"x")
    assert claim("x/b.jpg", gone=True) in state.alike(100)
    assert state._db.execute("SELECT count(*) FROM alike").fetchone() == (0,)


def test_what_was_made_in_another_output_folder_is_not_found(state: Store) -> None:
    state.write([(photo("a.jpg"), known()), (photo("b.jpg"), known()), (photo("c.jpg", OTHER), known())])
    state.write([(photo("a.jpg"), None)])
    state.forget_folder(IN, b"")
    assert state.alike(100) == [claim("c.jpg", OTHER)]
    assert not state.left_renditions(photo("a.jpg"))


def test_what_has_left_is_remembered_for_a_day_and_then_as_far_as_there_is_room(
    state: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_FORGET", store_module._FORGET.replace("100000", "2"))
    names = [f"{number}.jpg" for number in range(5)]
    state.write([(photo(name), known()) for name in names])
    state.write([(photo(name), None) for name in names[:4]])
    assert len(state.alike(100)) == 5
    state._db.execute("UPDATE tombstone SET gone = gone - 100000")
    state.write([(photo(names[4]), None)])
    assert [found.photo.path for found in state.alike(100)] == [b"4.jpg", b"3.jpg"]
    assert not [found for found in state.alike(100) if found.photo.path == b"3.jpg" and found.lately]


def test_a_name_that_is_not_utf8_is_found_too(state: Store) -> None:
    name = PhotoId(IN, os.fsencode("x\udcff/\udcfe.jpg"))
    state.write([(name, known())])
    state.write([(name, None)])
    assert [found.photo for found in state.alike(100)] == [name]


# ---- originals that were taken away, thousands of one name ----


def away(number: int, *, size: int = 100, digest: bytes = DIGEST) -> tuple[PhotoId, PhotoRecord]:
    name = (b"a.jpg", b"a.jpg.jpg", b"a.jpg.%d.jpg" % (number - 1))[min(number - 1, 2)]
    there = {"web": RenditionRecord(10, 20, 300, name)}
    known_as = replace(known(digest, FileSignature(size, 5)), made=there, at=float(number), away=b"/originals/a.jpg")
    return aside(photo("x/a.jpg"), number), known_as


def test_those_of_one_name_and_looks_are_found_the_newest_first(state: Store) -> None:
    rows = [away(number, size=100 + number % 2, digest=bytes([number] * 16)) for number in range(1, 41)]
    state.write([*rows, (photo("x/a.jpg"), known()), (photo("x/a.jpeg"), known())])
    assert [key for key, _ in state.taken_away(photo("x/a.jpg"), looks=STAMP)] == [
        aside(photo("x/a.jpg"), number) for number in range(40, 24, -2)
    ]
    assert state.taken_away(photo("x/a.jpg"), looks=FileSignature(100, 6)) == []
    assert state.taken_away(photo("x/a.jpg"), at=7.0) == [rows[6]]
    assert state.taken_away(photo("x/a.jpeg")) == []
    assert state.last_aside(photo("x/a.jpg")) == 40
    assert state.last_aside(photo("a.jpg")) == 0
    assert [claim.photo for claim in state.alike(101)] == [
        aside(photo("x/a.jpg"), number) for number in range(39, 23, -2)
    ]
    assert set(state.name_conflicts(photo("x/a.jpeg"))) == {b"a.jpg", aside(photo("a.jpg"), 40).name}
    assert set(state.name_conflicts(photo("x/a.b.jpg"))) == {b"a.jpg", b"a.jpeg", aside(photo("a.jpg"), 40).name}
    assert sorted(state.names(IN, b"x")) == [b"a.jpeg", b"a.jpg"]
    assert set(state.scan_rows(IN, b"x", [b"a.jpg"])[0]) == {b"a.jpg", b"a.jpeg"}


def test_one_that_is_back_leaves_nothing_behind_under_its_key(state: Store) -> None:
    key, known_as = away(1)
    state.write([(key, known_as)])
    state.write([(key, None), (photo("x/a.jpg"), replace(known_as, away=None))])
    assert not state.left_renditions(photo("x/a.jpg"))
    assert [claim.photo for claim in state.alike(100)] == [photo("x/a.jpg")]


def test_what_is_asked_about_one_name_does_not_take_longer_the_more_of_them_there_are(state: Store) -> None:
    def steps() -> int:
        """Count how many tens of SQLite's steps it takes to ask all that a photo is asked about."""
        counted = [0]

        def count() -> int:
            counted[0] += 1
            return 0

        state._db.set_progress_handler(count, 10)
        state.name_conflicts(photo("x/a.jpg"))
        state.last_aside(photo("x/a.jpg"))
        state.taken_away(photo("x/a.jpg"), looks=STAMP)
        state.alike(100, 5)
        state.alike(100, 6)
        state.scan_rows(IN, b"x", [b"a.jpg"])
        list(state.names(IN, b"x"))
        state.left_renditions(photo("x/a.jpg"))
        state._db.set_progress_handler(None, 0)
        return counted[0]

    state.write([away(number) for number in range(1, 41)])
    few = steps()
    state.write([away(number) for number in range(41, 2001)])
    assert few > 0
    assert steps() <= few + 30
    assert state.known(aside(photo("x/a.jpg"), 1999)) is not None
