"""What becomes of originals: taken away when all is made and on record, and never at the cost of another photo."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, File, World
from watcher.core.messages import FolderSeen, Gone, Seen
from watcher.core.records import Phase, PhotoRecord
from watcher.core.selection import hidden_name
from watcher.core.status import Counts
from watcher.core.types import FileSignature, PhotoId
from watcher.engine import archiver as keeper
from watcher.engine import notes


@pytest.fixture
def moving(make_world: MakeWorld) -> World:
    world = make_world()
    world.raw["inbox"][0].update(after="move", originals="/originals")
    world._build()
    return world.start()


def make(world: World, path: str, content: str = "") -> PhotoId:
    photo = world.drop(path, content=content)
    settle(world)
    return photo


def settle(world: World) -> None:
    for _ in range(5):
        world.scan()
        world.work_all()
        world.take_all_away()
        world.do_file_tasks()
        world.wait(1.0)


def originals(world: World) -> dict[str, str]:
    return {where.decode(): file.content for where, file in world.originals.items()}


def test_an_original_moves_once_all_is_made_and_its_photo_stays_known_as_done(moving: World) -> None:
    photo = make(moving, "x/a.jpg", "one")
    assert originals(moving) == {"/originals/x/a.jpg": "one"}
    assert moving.store.counts(IN) == Counts(done=1)
    ((_, known),) = moving.store.taken_away(photo)
    assert (known.phase, known.away) == (Phase.DONE, b"/originals/x/a.jpg")
    moving.wait(1000)
    settle(moving)
    assert moving.store.counts(IN) == Counts(done=1)
    moving.check_settled()


def test_that_an_original_was_moved_is_in_its_history_at_once(moving: World) -> None:
    photo = moving.drop("a.jpg")
    moving.work_all()
    moving.take_all_away()
    assert [note.what for note in moving.store.notes(photo)][-1] == notes.TAKEN


def test_nothing_is_taken_away_before_the_books_say_so_durably(moving: World, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[bool, list[bytes]]] = []
    write = moving.store.write

    def spy(rows: list[tuple[PhotoId, PhotoRecord | None]], *more: Any, **options: bool) -> None:  # noqa: ANN401
        assert not moving.leaving, "it was asked for before"
        written.append((options.get("durable", False), [photo.path for photo, known in rows if known is not None]))
        write(rows, *more, **options)  # type: ignore[arg-type]  # what it was called with

    monkeypatch.setattr(moving.store, "write", spy)
    moving.drop("a.jpg")
    moving.work_all()
    assert [original.photo.path for original in moving.leaving] == [b"a.jpg"]
    assert written[-1] == (True, [b"a.jpg\x00000000001"])


def test_a_photo_that_fails_or_waits_stays_where_it_is(moving: World) -> None:
    make(moving, "bad.jpg")
    moving.drop("b.jpg", "bad")
    moving.drop("t.jpg", "truncated")
    settle(moving)
    assert list(originals(moving)) == ["/originals/bad.jpg"]


def test_a_later_photo_with_the_same_name_is_another_one_and_loses_nobody_s_renditions(moving: World) -> None:
    for content in ("one", "two", "three"):
        make(moving, "DSC1.jpg", content)
    assert moving.made_of == {b"web/DSC1.jpg": "one", b"web/DSC1.jpg.jpg": "two", b"web/DSC1.jpg.2.jpg": "three"}
    assert sorted(originals(moving).values()) == ["one", "three", "two"]
    assert moving.store.counts(IN) == Counts(done=3)
    moving.stop()
    moving.restart(kill=True)
    moving.start()
    make(moving, "DSC1.jpg", "four")
    assert moving.made_of[b"web/DSC1.jpg.3.jpg"] == "four"
    assert moving.made_of[b"web/DSC1.jpg"] == "one"


def test_the_same_photo_that_comes_again_is_done_already_and_taken_away_again(moving: World) -> None:
    photo = make(moving, "a.jpg", "one")
    (file,) = moving.originals.values()
    moving.files[photo] = file
    moving.event(FolderSeen(IN, b""))
    settle(moving)
    assert len(moving.worked) == 1
    assert list(moving.outputs) == [b"web/a.jpg"]
    assert len(moving.originals) == 2
    assert moving.store.counts(IN) == Counts(done=1)
    moving.check_settled()


@pytest.mark.parametrize("taken", [True, False])
def test_a_kill_before_the_original_is_seen_to_have_gone_loses_neither_it_nor_its_books(
    moving: World, taken: bool
) -> None:
    photo = moving.drop("a.jpg", content="one")
    moving.work_all()
    assert moving.leaving
    moving.leaving.clear()
    if taken:
        moving.originals[b"/originals/a.jpg"] = moving.files.pop(photo)
    moving.log.lines.clear()
    moving.restart(kill=True)
    moving.start()
    settle(moving)
    assert originals(moving) == {"/originals/a.jpg": "one"}
    assert len(moving.worked) == 1
    assert moving.store.counts(IN) == Counts(done=1)
    assert list(moving.outputs) == [b"web/a.jpg"]
    moving.check_settled()


@pytest.mark.parametrize("restart", [False, True])
def test_another_photo_with_the_name_size_and_date_of_one_that_was_taken_away_is_made_and_taken_away_itself(
    moving: World, restart: bool
) -> None:
    for content in ("one", "two", "six", "two"):  # of one size each
        photo = moving.put("DSC1.jpg", content=content, size=1234)
        moving.files[photo] = replace(moving.files[photo], stamp=FileSignature(1234, 315532800 * 10**9, moving._inode))
        moving.event(Seen(IN, photo.path, True, moving.files[photo].stamp))
        settle(moving)
        if restart:
            moving.restart(kill=True)
            moving.start()
    assert moving.made_of == {b"web/DSC1.jpg": "one", b"web/DSC1.jpg.jpg": "two", b"web/DSC1.jpg.2.jpg": "six"}
    assert sorted(originals(moving).values()) == ["one", "six", "two", "two"]
    assert moving.store.counts(IN) == Counts(done=3)
    moving.check_settled()


def test_one_that_looks_the_same_and_is_none_stays(moving: World) -> None:
    make(moving, "a.jpg", "one")
    (file,) = moving.originals.values()
    photo = moving.put("a.jpg", "bad", content="two")
    moving.files[photo] = replace(moving.files[photo], stamp=file.stamp)
    moving.event(Seen(IN, photo.path, True, file.stamp))
    settle(moving)
    assert originals(moving) == {"/originals/a.jpg": "one"}
    assert moving.store.counts(IN) == Counts(done=1, failed=1)
    moving.check_settled()


def test_content_that_changed_unseen_is_made_before_the_original_goes(world: World) -> None:
    photo = world.drop("a.jpg", content="one")
    settle(world)
    world.files[photo] = replace(world.files[photo], content="two")  # of the same size, date and inode
    world.raw["inbox"][0].update(after="delete")
    world.reload()
    world.wait(301)
    settle(world)
    assert world.made_of == {b"web/a.jpg": "two"}
    assert not world.files
    assert world.store.counts(IN) == Counts(done=1)
    world.check_settled()


def test_one_that_reads_otherwise_each_time_stays_and_is_told(moving: World, monkeypatch: pytest.MonkeyPatch) -> None:
    count = itertools.count()
    monkeypatch.setattr(File, "digest", property(lambda _: b"%d" % next(count)))
    photo = make(moving, "a.jpg")
    assert photo in moving.files
    assert len(moving.worked) == 2
    assert "reads otherwise" in moving.log.of("original.kept")[0]["reason"]


def test_one_of_whose_content_nothing_is_known_is_made_again_before_it_goes(world: World) -> None:
    photo = world.drop("a.jpg", content="one")
    settle(world)
    known = world.store.known(photo)
    assert known is not None
    world.store.write([(photo, replace(known, digest=b""))])
    world.raw["inbox"][0].update(after="delete")
    world.reload()
    world.wait(301)
    settle(world)
    assert len(world.worked) == 2
    assert not world.files


def test_a_hidden_name_that_a_scan_finds_is_given_back_and_the_photo_goes_on(moving: World) -> None:
    moving.drop("x/a.jpg", content="one")
    moving.work_all()
    moving.leaving.clear()
    (photo,) = moving.files
    hidden = PhotoId(IN, b"x/" + hidden_name(b"a.jpg", "0123456789abcdef"))
    moving.files[hidden] = moving.files.pop(photo)
    moving.log.lines.clear()
    moving.restart(kill=True)
    moving.start()
    settle(moving)
    assert originals(moving) == {"/originals/x/a.jpg": "one"}
    assert not moving.files
    assert len(moving.worked) == 1
    assert moving.store.counts(IN) == Counts(done=1)
    moving.check_settled()


def test_more_than_can_wait_are_taken_away_all_the_same(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_MOST_WANTED", 3)
    world = make_world(once=True)
    for number in range(10):
        world.put(f"{number}.jpg")
    world.start()
    world.work_all()
    world.restart(kill=True)
    world.raw["inbox"][0].update(after="delete")
    world._build()
    world.start(native=False)
    settle(world)
    assert not world.files
    assert world.daemon.finished()


def test_more_than_can_wait_that_can_not_be_taken_away_do_not_keep_a_run_from_ending(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_MOST_WANTED", 3)
    world = make_world(once=True)
    world.raw["inbox"][0].update(after="delete")
    world._build()
    world.stuck = "permission denied"
    for number in range(10):
        world.put(f"{number}.jpg")
    world.start(native=False)
    world.work_all()
    settle(world)
    assert world.daemon.finished()
    assert world.daemon.archiver.kept


def test_the_volume_that_originals_went_to_is_remembered(moving: World) -> None:
    make(moving, "a.jpg")
    moving.restart()
    moving.start()
    moving.drop("b.jpg")
    moving.work_all()
    assert [original.volume for original in moving.leaving] == [b"/disk"]
    moving.raw["inbox"][0]["originals"] = "/elsewhere"
    settle(moving)
    moving.restart()
    moving.start()
    moving.drop("c.jpg")
    moving.work_all()
    assert [original.volume for original in moving.leaving] == [b""]


def test_an_original_that_can_not_be_moved_is_said_once_and_tried_again_and_its_photo_is_done(moving: World) -> None:
    moving.stuck = "permission denied"
    make(moving, "a.jpg")
    make(moving, "b.jpg")
    assert [line["reason"] for line in moving.log.of("original.kept")] == ["permission denied"]
    assert moving.store.counts(IN) == Counts(done=2)
    moving.stuck = ""
    moving.wait(301)
    settle(moving)
    assert sorted(originals(moving)) == ["/originals/a.jpg", "/originals/b.jpg"]
    assert len(moving.worked) == 2
    assert moving.store.counts(IN) == Counts(done=2)
    moving.check_settled()


def test_an_original_that_changes_meanwhile_is_made_again_under_its_own_name(moving: World) -> None:
    moving.drop("a.jpg", content="one")
    moving.work_all()
    moving.drop("a.jpg", content="two")
    settle(moving)
    assert originals(moving) == {"/originals/a.jpg": "two"}
    assert moving.made_of == {b"web/a.jpg": "two"}
    assert moving.store.counts(IN) == Counts(done=1)
    moving.check_settled()


def test_an_original_that_goes_by_itself_meanwhile_is_forgotten(moving: World) -> None:
    photo = moving.drop("a.jpg", content="one")
    moving.work_all()
    moving.files.pop(photo)
    settle(moving)
    assert moving.store.counts(IN) == Counts()
    moving.check_settled()


def test_all_that_is_done_leaves_when_it_is_asked_for_later_and_nothing_more_when_it_is_no_longer(world: World) -> None:
    world.drop("a.jpg")
    world.drop("x/b.jpg")
    settle(world)
    assert world.originals == {}
    world.raw["inbox"][0].update(after="delete")
    world.reload()
    world.wait(301)
    settle(world)
    assert not world.files
    assert world.store.counts(IN) == Counts(done=2)
    world.raw["inbox"][0].update(after="keep")
    world.reload()
    photo = make(world, "a.jpg")
    assert photo in world.files
    assert b"web/a.jpg.jpg" in world.outputs


def test_a_copy_of_one_that_was_taken_away_is_not_decoded(moving: World) -> None:
    make(moving, "a.jpg", "one")
    make(moving, "b.jpg", "one")
    assert len(moving.worked) == 1
    assert moving.made_of == {b"web/a.jpg": "one", b"web/b.jpg": "one"}


def test_a_folder_that_goes_takes_what_is_away_not_off_the_books(moving: World) -> None:
    make(moving, "x/a.jpg")
    moving.event(Gone(IN, folders=(b"x",)))
    settle(moving)
    assert moving.store.folders(IN) == [b"x"]
    assert moving.store.folders(IN, away=False) == []
    assert moving.store.counts(IN) == Counts(done=1)


def test_an_empty_inbox_of_another_disk_is_no_stand_in_if_all_that_was_known_was_taken_away(moving: World) -> None:
    make(moving, "a.jpg")
    moving.root = (2, 2)
    moving.wait(301)
    settle(moving)
    assert moving.inbox_state().reachable


def test_another_output_folder_starts_the_books_over(moving: World) -> None:
    make(moving, "a.jpg")
    moving.raw["inbox"][0]["output"] = "/elsewhere"
    moving.reload()
    settle(moving)
    assert moving.store.counts(IN) == Counts()
