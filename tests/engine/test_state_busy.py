"""The state file can't be used for a while: nothing is lost, nothing spins, nothing is begun without a record."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, World
from watcher.core.messages import Gone, WatchReady
from watcher.core.records import Phase
from watcher.core.types import PhotoId
from watcher.errors import StateError
from watcher.store import StateBusyError, StateCorruptError


@contextmanager
def unreadable(world: World, error: Exception | None = None) -> Iterator[None]:
    """Let every read fail, as on a disk with I/O errors."""
    failing = error or StateBusyError("disk I/O error")

    def fail(*_: object) -> NoReturn:
        raise failing

    names = ("known", "name_conflicts", "scan_rows", "names", "folders", "identity", "recipes_of")
    for name in names:
        setattr(world.store, name, fail)
    try:
        yield
    finally:
        for name in names:
            delattr(world.store, name)


@contextmanager
def nearly_full(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the writes that put attempts on record fail, which are the larger ones."""
    write = world.store.write

    def writing(*args: Any, durable: bool = False) -> None:  # noqa: ANN401  # as they came
        if durable:
            raise StateBusyError("database or disk is full")
        write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "write", writing)
        yield


def test_while_the_state_file_is_locked_no_photo_begins(world: World) -> None:  # invariant 4
    with world.locked():
        for number in range(6):
            world.drop(f"{number}.jpg")
        world.wait(30)
        assert world.pool.submitted == []
        assert len(world.log.of("state.busy")) == 1  # said once
        world.check()
    world.wait(3)
    assert len(world.log.of("state.back")) == 1
    assert len(world.pool.jobs) == 4
    assert all(job.attempt == 1 for job in world.pool.jobs.values())
    world.work_all()
    world.check_settled()
    assert world.store.counts(IN).done == 6


def test_results_that_come_while_the_state_file_is_locked_are_written_later(world: World) -> None:
    for number in range(4):
        world.drop(f"{number}.jpg", "bad" if number == 0 else "good")
    with world.locked():
        world.work()
        world.wait(60)
        assert world.store.counts(IN).done == 0
        found = world.known("1.jpg")
        assert found is not None
        assert found.phase is Phase.DONE
    world.wait(3)
    assert (world.store.counts(IN).done, world.store.counts(IN).failed) == (3, 1)
    assert len(world.worked) == 4
    world.check_settled()


def test_deletions_that_come_while_the_state_file_is_locked_are_found_later(world: World) -> None:
    world.drop("a.jpg")
    world.drop("x/b.jpg")
    world.drop("c.jpg")
    world.work_all()
    world.wait(1)
    with world.locked():
        for name in (b"a.jpg", b"x/b.jpg"):
            del world.files[PhotoId(IN, name)]
        world.event(Gone(IN, (b"a.jpg",), (b"x",)))
        world.wait(10)
        assert world.inbox_state().scan is None
    for _ in range(2):
        world.wait(300)
        world.scan()
    assert [photo.path for photo, _ in world.store.photos(IN, Phase.DONE)] == [b"c.jpg"]
    world.check_settled()


def test_a_scan_during_which_the_state_file_cannot_be_used_is_made_up_for(make_world: MakeWorld) -> None:
    world = make_world()
    for number in range(5):
        world.put(f"{number}.jpg")
        world.put(f"x{number}/a.jpg")
    world.daemon.start()
    world.tell(WatchReady(IN, native=True, reason=""))
    with unreadable(world):
        world.scan()
        for _ in range(10):
            world.wait(1)
            world.scan()
        assert world.inboxes[IN].acks == world.inboxes[IN].posted
        assert 3 <= len(world.inboxes[IN].scans) <= 7  # every two seconds
        assert world.pool.submitted == []
        assert len(world.log.of("state.busy")) == 1
        assert world.log.of("state.back") == []
    world.wait(3)
    world.scan()
    assert len(world.log.of("state.back")) == 1
    world.work_all()
    assert world.store.counts(IN).done + len(world.daemon.records._rows) == 10
    world.check_settled()
    assert world.store.counts(IN).done == 10


def test_a_photo_whose_books_cannot_be_read_stays_in_the_line(world: World) -> None:
    with unreadable(world):
        for number in range(6):
            world.drop(f"{number}.jpg")
        world.wait(10)
        assert world.pool.submitted == []
        world.check()
    world.wait(3)
    world.work_all()
    world.check_settled()
    assert world.store.counts(IN).done == 6


def test_a_single_run_waits_for_the_state_file(make_world: MakeWorld) -> None:
    world = make_world(once=True)
    for number in range(5):
        world.put(f"{number}.jpg")
    world.daemon.start()
    world.tell(WatchReady(IN, native=False, reason=""))
    with unreadable(world):
        world.scan()
        world.wait(1)
        assert not world.daemon.finished()
    with world.locked():
        world.wait(3)
        world.scan()
        world.wait(1)
        assert not world.daemon.finished()
    world.wait(5)
    world.scan()
    world.work_all()
    world.wait(1)
    assert world.daemon.finished()
    assert world.store.counts(IN).done == 5


@pytest.mark.parametrize("fault", ["locked", "unreadable", "full"])
def test_a_single_run_does_not_wait_for_ever_for_the_state_file(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    world = make_world(once=True)
    world.put("a.jpg")
    world.daemon.start()
    world.tell(WatchReady(IN, native=False, reason=""))
    with ExitStack() as stack:
        match fault:
            case "locked":
                stack.enter_context(world.locked())
            case "unreadable":
                stack.enter_context(unreadable(world))
            case _:
                stack.enter_context(nearly_full(world, monkeypatch))
        for _ in range(58):
            world.scan()
            world.wait(1)
            assert not world.daemon.finished()
        world.scan()
        world.wait(3)
        with pytest.raises(StateError, match="after 60 s of waiting this run has ended"):
            world.daemon.finished()
    assert world.pool.submitted == []
    assert len(world.log.of("state.busy")) == 1


def test_a_disk_that_has_room_for_small_writes_alone_is_told_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("a.jpg")
    with nearly_full(world, monkeypatch):
        world.work()
        for number in range(5):
            world.drop(f"{number}.jpg")
        world.wait(60)
        assert len(world.pool.submitted) == 1
        assert len(world.log.of("state.busy")) == 1
        assert world.log.of("state.back") == []
    world.wait(3)
    assert len(world.log.of("state.back")) == 1
    world.work_all()
    world.check_settled()
    assert world.store.counts(IN).done == 6


def test_a_status_that_cannot_be_written_is_told_once_until_it_can_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise StateBusyError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "set_reports", fail)
        world.drop("a.jpg")
        world.work_all()
        world.wait(10)
        assert len(world.log.of("state.busy")) == 1
        assert world.log.of("state.back") == []
    world.wait(3)
    assert len(world.log.of("state.back")) == 1


def test_what_status_shows_is_written_as_soon_as_it_can_be(world: World) -> None:
    world.drop("a.jpg")
    world.wait(1)
    with world.locked():
        world.work()
        world.wait(5)
    world.wait(5)
    assert world.reported().waiting == 0


def test_stopping_while_the_state_file_is_locked_ends(world: World) -> None:
    world.drop("a.jpg")
    with world.locked():
        world.stop()
    world.restart(kill=True)
    world.start()
    world.work_all()
    assert world.store.counts(IN).done + len(world.daemon.records._rows) == 1
    world.check_settled()


def _look(world: World) -> None:
    world.tell(WatchReady(IN, native=True, reason=""))
    world.scan()


def _drop(world: World) -> None:
    world.drop("b.jpg")


@pytest.mark.parametrize("step", [_look, _drop])
def test_a_damaged_state_file_is_not_borne_with(make_world: MakeWorld, step: Callable[[World], None]) -> None:
    world = make_world()
    world.daemon.start()
    world.put("a.jpg")
    with unreadable(world, StateCorruptError("damaged")), pytest.raises(StateCorruptError):
        step(world)


def test_damage_that_is_found_in_writing_is_not_borne_with(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Damaged:
        def __getattr__(self, name: str) -> NoReturn:
            raise sqlite3.DatabaseError("database disk image is malformed")

    world.drop("a.jpg")
    done = world.done()
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "_db", Damaged())
        with pytest.raises(StateCorruptError):
            world.end(done)
