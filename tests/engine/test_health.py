"""What whoever started the daemon is told, and when it gets no sign of life."""

from __future__ import annotations

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, World
from watcher.core.messages import Gone, Reload, Stop, WatchReady
from watcher.engine.ports import Reloaded
from watcher.engine.watchdog import DRAIN_SECONDS, MORE_SECONDS, READY_SECONDS, SLACK_SECONDS
from watcher.errors import ConfigError, Fault, StateError

OTHER = b"/other"


@pytest.fixture
def watched(make_world: MakeWorld) -> World:
    """Give a daemon whose manager waits for a sign of life every ten seconds."""
    return make_world(alive_seconds=10.0).start()


def two_inboxes(world: World) -> None:
    world.raw["inbox"].append({"path": OTHER.decode(), "output": "/out2"})
    world._build()


# ---- ready ----


def test_ready_is_told_once_when_the_last_inbox_is_watched_and_its_scan_asked_for(make_world: MakeWorld) -> None:
    world = make_world()
    two_inboxes(world)
    world.daemon.start()
    world.tell(WatchReady(IN, native=True, reason=""))
    assert world.manager.said == []
    world.tell(WatchReady(OTHER, native=False, reason="none can be"))
    assert world.manager.said == ["ready"]
    assert world.inboxes[OTHER].scans
    world.scan()
    world.wait(1000)
    assert world.manager.said == ["ready"]


def test_an_inbox_whose_watch_takes_long_keeps_the_service_from_being_ready_for_a_while_only(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    two_inboxes(world)
    world.daemon.start()
    world.tell(WatchReady(IN, native=True, reason=""))
    world.wait(READY_SECONDS - 1)
    assert world.manager.said == []
    world.wait(1)
    assert world.manager.said == ["ready"]
    world.tell(WatchReady(OTHER, native=True, reason=""))
    assert world.manager.said == ["ready"]


# ---- status ----


def test_the_status_line_counts_in_words_and_follows_the_report_not_each_photo(world: World) -> None:
    world.wait(1)
    assert world.manager.statuses[-1] == "1 inbox, 0 waiting, 0 done, 0 failed"
    told = len(world.manager.statuses)
    for number in range(12):
        world.drop(f"{number}.jpg", "bad" if number == 3 else "good")
    world.work_all()
    assert len(world.manager.statuses) == told
    world.wait(1)
    assert world.manager.statuses[told:] == ["1 inbox, 0 waiting, 11 done, 1 failed"]
    world.wait(1000)
    assert len(world.manager.statuses) == told + 1


def test_the_status_line_says_what_waits_and_that_an_inbox_is_away(make_world: MakeWorld) -> None:
    world = make_world()
    two_inboxes(world)
    world.start()
    world.drop("a.jpg")
    world.wait(1)
    assert world.manager.statuses[-1] == "2 inboxes, 1 waiting, 0 done, 0 failed"
    world.reachable = False
    world.wait(300)
    world.scan()
    world.wait(1)
    assert world.manager.statuses[-1] == "2 inboxes (2 not reachable), 1 waiting, 0 done, 0 failed"


# ---- reload ----


@pytest.mark.parametrize("good", [True, False])
def test_a_reload_is_told_when_it_begins_and_when_it_is_over(world: World, *, good: bool) -> None:
    world.tell(Reload())
    assert world.manager.said == ["ready", "reloading"]
    world.wait(60)
    assert world.manager.said == ["ready", "reloading"]
    wrong = ConfigError("file", [Fault("workers", "found x", "write a number")])
    world.tell(Reloaded(world.settings() if good else wrong))
    assert world.manager.said == ["ready", "reloading", "ready"]


def test_a_reload_before_the_daemon_is_ready_or_after_it_was_stopped_is_no_reason_to_be_ready(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    world.daemon.start()
    world.tell(Reload(), Reloaded(world.settings()))
    assert world.manager.said == []
    world.tell(WatchReady(IN, native=True, reason=""))
    world.drop("a.jpg")
    world.tell(Stop("SIGTERM"))
    said = list(world.manager.said)
    world.tell(Reload(), Reloaded(world.settings()))
    assert world.manager.said == said


# ---- stopping ----


def test_a_drain_is_told_and_asks_for_more_time_for_as_long_as_it_goes_on(world: World) -> None:
    world.drop("a.jpg")
    world.tell(Stop("SIGTERM"))
    assert world.manager.said == ["ready", "stopping", f"extend {MORE_SECONDS:g}"]
    world.wait(3 * DRAIN_SECONDS)
    assert world.manager.said[2:] == [f"extend {MORE_SECONDS:g}"] * 4
    assert MORE_SECONDS > DRAIN_SECONDS
    world.work()
    assert world.daemon.finished()


# ---- signs of life ----


def test_where_nobody_waits_for_signs_of_life_the_loop_sleeps(world: World) -> None:
    world.wait(1)
    assert world.daemon.watchdog.deadline() is None
    assert world.manager.lives == 0


def test_signs_of_life_come_as_often_as_the_manager_wants_them(watched: World) -> None:
    before = watched.manager.lives
    assert before == 1
    watched.wait(100)
    assert watched.manager.lives == before + 10


def test_a_watch_that_is_beyond_healing_ends_the_signs_of_life_and_says_why_once(watched: World) -> None:
    watched.wait(1)
    watched.watch_fault = "the watch has died"
    lives = watched.manager.lives
    watched.wait(100)
    assert watched.manager.lives == lives
    assert watched.log.of("daemon.stuck") == [{"reason": "the watch has died"}]
    assert watched.manager.statuses[-1] == "stuck: the watch has died"
    watched.watch_fault = ""
    watched.wait(10)
    assert watched.manager.lives == lives + 1
    watched.event(Gone(IN, (b"never.jpg",)))
    watched.wait(1)
    assert watched.manager.statuses[-1] == "1 inbox, 0 waiting, 0 done, 0 failed"


def test_workers_that_answer_nothing_for_longer_than_any_photo_may_take_end_the_signs_of_life(watched: World) -> None:
    watched.wait(5000)  # a long time without an answer, and with nothing to do
    watched.drop("a.jpg")
    watched.drop("b.jpg")
    patience = watched.pool.liveness_seconds + SLACK_SECONDS
    lives = watched.manager.lives
    watched.wait(patience - 10)
    assert watched.manager.lives >= lives + patience / 10 - 2
    watched.work("a.jpg")  # an answer, and the other one may take as long again
    lives = watched.manager.lives
    watched.wait(patience - 10)
    assert watched.manager.lives >= lives + patience / 10 - 2
    lives = watched.manager.lives
    watched.wait(1000)
    assert watched.manager.lives <= lives + 2
    assert "1 photos in them" in watched.log.of("daemon.stuck")[0]["reason"]
    lives = watched.manager.lives
    watched.work()
    watched.wait(100)
    assert watched.manager.lives == lives + 10


def test_the_time_without_work_before_a_photo_is_not_held_against_the_workers(make_world: MakeWorld) -> None:
    world = make_world(alive_seconds=2000.0).start()
    world.wait(1990)
    world.drop("a.jpg")
    world.wait(10)
    assert world.manager.lives == 2


def test_a_drain_that_is_stuck_gets_no_more_time(watched: World) -> None:
    watched.drop("a.jpg")
    watched.tell(Stop("SIGTERM"))
    watched.wait(1000)
    said = len(watched.manager.said)
    watched.wait(1000)
    assert len(watched.manager.said) == said


def test_a_state_file_that_cannot_be_used_does_not_hold_up_the_signs_of_life_for_many_messages(watched: World) -> None:
    for number in range(5):
        watched.messages.put(WatchReady(b"%d" % number, native=True, reason=""))
    calls: list[object] = []

    def busy(message: object) -> None:
        calls.append(message)
        raise StateError("locked")

    handle = watched.daemon.handle
    watched.daemon.handle = busy  # type: ignore[method-assign]
    watched.daemon.turn(watched.messages.get_nowait())
    watched.daemon.handle = handle  # type: ignore[method-assign]
    assert len(calls) == 1
