"""What was made of which content: found by size, through renames, removals and restarts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from watcher.model import PhotoId, Stamp
from watcher.plan import Claim, Known, MadeFact, Phase
from watcher.state import State
from watcher.state import writing as writing_module

IN, OTHER = b"/in", b"/other"
DIGEST = bytes(range(16))
STAMP = Stamp(100, 5)
MADE = {"web": MadeFact(10, 20, 300)}


def known(digest: bytes = DIGEST, stamp: Stamp = STAMP, phase: Phase = Phase.DONE) -> Known:
    return Known(stamp, phase, {"web": "f1"}, MADE, at=10.0, first_seen=1.0, origin="event", digest=digest)


def photo(path: str, inbox: bytes = IN) -> PhotoId:
    return PhotoId(inbox, path.encode())


def claim(path: str, inbox: bytes = IN, *, gone: bool = False) -> Claim:
    return Claim(photo(path, inbox), STAMP, DIGEST, {"web": "f1"}, MADE, gone=gone, lately=gone)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with State.open(str(tmp_path / "s.db")) as opened:
        yield opened


def test_photos_of_one_size_are_found_in_every_inbox_with_what_was_made_of_them(state: State) -> None:
    state.write([(photo("a.jpg"), known()), (photo("x/b.jpg", OTHER), known()), (photo("c.jpg"), known(b""))])
    state.write([(photo("d.jpg"), known(stamp=Stamp(101, 5))), (photo("e.jpg"), known(phase=Phase.WAITING))])
    state.write([(photo("f.jpg"), replace(known(), leased=True))])
    assert state.alike(100) == [claim("a.jpg"), claim("x/b.jpg", OTHER)]
    assert state.alike(99) == []


def test_a_photo_that_changes_or_is_tried_again_is_found_by_what_it_was_no_longer(state: State) -> None:
    state.write([(photo("a.jpg"), known()), (photo("a.jpeg"), known())])
    state.write([(photo("a.jpg"), known(stamp=Stamp(7, 5)))])
    assert state.alike(100) == [claim("a.jpeg")]
    assert [found.photo for found in state.alike(7)] == [photo("a.jpg")]
    state.write([(photo("a.jpeg"), replace(known(b""), phase=Phase.WAITING))])
    assert state.alike(100) == []
    assert state._db.execute("SELECT size FROM alike").fetchall() == [(7,)]


def test_a_photo_that_left_is_found_until_its_outputs_may_belong_to_another(state: State) -> None:
    state.write(
        [(photo("x/a.jpg"), known()), (photo("x/b.jpg"), known()), (photo("w.jpg"), known(phase=Phase.WAITING))]
    )
    state.write([(photo("x/a.jpg"), None), (photo("w.jpg"), None)])
    assert state.alike(100) == [claim("x/b.jpg"), claim("x/a.jpg", gone=True)]
    assert state.haunted(photo("x/a.jpeg"))
    assert not state.haunted(photo("a.jpeg"))
    state.write([(photo("x/a.jpeg"), known(phase=Phase.WAITING))])
    assert state.haunted(photo("x/a.jpeg"))
    state.write([(photo("x/a.jpeg"), known(b""))])  # as WebP both would be a.webp
    assert state.alike(100) == [claim("x/b.jpg"), replace(claim("x/a.jpg", gone=True), recipes={})]
    state.write([(photo("x/a.jpg"), known(b""))])
    assert state.alike(100) == [claim("x/b.jpg")]
    state.forget_folder(IN, b"x")
    assert claim("x/b.jpg", gone=True) in state.alike(100)
    assert state._db.execute("SELECT count(*) FROM alike").fetchone() == (0,)


def test_what_was_made_in_another_output_folder_is_not_found(state: State) -> None:
    state.write([(photo("a.jpg"), known()), (photo("b.jpg"), known()), (photo("c.jpg", OTHER), known())])
    state.write([(photo("a.jpg"), None)])
    state.forget_folder(IN, b"")
    assert state.alike(100) == [claim("c.jpg", OTHER)]
    assert not state.haunted(photo("a.jpg"))


def test_what_has_left_is_remembered_for_a_day_and_then_as_far_as_there_is_room(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing_module, "_FORGET", writing_module._FORGET.replace("100000", "2"))
    names = [f"{number}.jpg" for number in range(5)]
    state.write([(photo(name), known()) for name in names])
    state.write([(photo(name), None) for name in names[:4]])
    assert len(state.alike(100)) == 5
    state._db.execute("UPDATE ghost SET gone = gone - 100000")
    state.write([(photo(names[4]), None)])
    assert [found.photo.path for found in state.alike(100)] == [b"4.jpg", b"3.jpg"]
    assert not [found for found in state.alike(100) if found.photo.path == b"3.jpg" and found.lately]


def test_a_name_that_is_not_utf8_is_found_too(state: State) -> None:
    name = PhotoId(IN, os.fsencode("x\udcff/\udcfe.jpg"))
    state.write([(name, known())])
    state.write([(name, None)])
    assert [found.photo for found in state.alike(100)] == [name]
