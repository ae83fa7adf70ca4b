"""What the daemon tells of itself to whoever asks."""

from __future__ import annotations

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, OUT, World, failed
from watcher.core.messages import Gone, Reload, Seen, Stop, WatchReady
from watcher.core.status import Counts, Snapshot, StatusQuery
from watcher.core.types import FailureKind
from watcher.engine.ports import Reloaded
from watcher.engine.watchdog import SLACK_SECONDS


def ask(world: World) -> Snapshot:
    answers: list[Snapshot] = []
    world.tell(StatusQuery(answers.append))
    (answer,) = answers
    return answer


def test_photos_are_counted_by_inbox_and_by_what_became_of_them(world: World) -> None:
    for number in range(5):
        world.drop(f"{number}.jpg", "bad" if number == 3 else "good")
    world.work_all()
    world.drop("gone.jpg")
    job = world.job()
    del world.files[job.photo]
    world.work_all()
    world.event(Gone(IN, (b"gone.jpg",)))
    world.event(Seen(IN, b"0.jpg", complete=True))
    world.work_all()
    vitals = ask(world)
    assert vitals.results == {(IN, "done"): 4, (IN, "failed"): 1, (IN, "vanished"): 1, (IN, "unchanged"): 1}
    assert vitals.progress.pixels == 4 * 1_000_000
    assert vitals.inboxes[0].counts == Counts(done=4, failed=1)
    assert (vitals.inboxes[0].path, vitals.inboxes[0].output) == (IN, OUT)
    assert sum(vitals.render.counts) == sum(vitals.visible.counts) == 4
    assert vitals.unavailable_reasons == ()


def test_what_waits_is_told_apart_from_what_is_in_the_workers(make_world: MakeWorld) -> None:
    world = make_world(workers=2)
    for number in range(30):
        world.put(f"{number}.jpg")
    world.start()
    world.wait(10)
    vitals = ask(world)
    assert (vitals.in_flight, vitals.queued, vitals.inboxes[0].waiting) == (4, 26, 30)
    assert vitals.inboxes[0].oldest_waiting == world.clock.wall - 10
    world.work_all()
    vitals = ask(world)
    assert (vitals.in_flight, vitals.queued, vitals.inboxes[0].waiting) == (0, 0, 0)
    assert vitals.inboxes[0].oldest_waiting is None
    assert sum(vitals.visible.counts) == 0  # a backlog is not timed: nobody announced it


def test_batches_losses_missed_events_and_messages_are_counted(world: World) -> None:
    for number in range(3):
        world.drop(f"{number}.jpg")
    world.work_all()
    world.wait(1)
    world.put("missed.jpg")
    world.wait(301)
    world.scan()
    world.wait(10)
    world.work_all()
    world.pool.losses = 7
    world.messages.put(WatchReady(b"/nowhere", native=True, reason=""))
    vitals = ask(world)
    assert (vitals.batches.total, sum(vitals.batches.counts)) == (4.0, 2)
    assert (vitals.inboxes[0].missed_events, vitals.losses, vitals.messages) == (1, 7, 1)


def test_what_a_scan_left_alone_is_told_until_another_one_saw_everything(world: World) -> None:
    left = ((".mov", 3),)
    for reachable, found, told in ((True, left, left), (False, (), left), (True, (), ())):
        world.reachable, world.left_alone = reachable, found
        world.wait(301)
        world.scan()
        assert ask(world).inboxes[0].left_alone == told


def test_a_photo_that_waited_to_be_whole_is_timed_from_its_last_write(world: World) -> None:
    world.drop("a.jpg", "truncated")
    world.work()
    world.wait(30)
    world.drop("a.jpg")
    world.work()
    assert sum(ask(world).visible.counts) == 1


# ---- unavailable_reasons ----


def test_a_daemon_that_starts_or_stops_says_so(make_world: MakeWorld) -> None:
    world = make_world()
    world.daemon.start()
    assert ask(world).unavailable_reasons == ("starting: not every inbox is watched yet",)
    world.tell(WatchReady(IN, native=True, reason=""))
    world.scan()
    assert ask(world).unavailable_reasons == ()
    world.drop("a.jpg")
    world.tell(Stop("SIGTERM"))
    assert ask(world).unavailable_reasons == ("stopping: only what is in the workers is finished",)


def test_an_inbox_that_is_away_and_an_output_without_room_are_ailments_while_they_last(world: World) -> None:
    world.drop("a.jpg")
    world.end(failed(FailureKind.DISK_FULL, "no room on it", world.files[world.job().photo].stamp))
    assert ask(world).unavailable_reasons == ("the output /out can't be written: no room on it",)
    world.wait(6)
    world.work()
    assert ask(world).unavailable_reasons == ()
    world.reachable = False
    world.wait(301)
    world.scan()
    (unavailable_reason,) = ask(world).unavailable_reasons
    assert unavailable_reason == "the inbox /in is not reachable: not there"


def test_a_state_file_that_cannot_be_written_is_an_ailment_and_its_counts_are_left_out(world: World) -> None:
    with world.locked():
        world.drop("a.jpg")
        vitals = ask(world)
        assert vitals.unavailable_reasons == ("the state file can't be written: results wait in memory",)
        assert vitals.inboxes[0].counts is None
    world.wait(5)
    assert ask(world).unavailable_reasons == ()


def test_what_is_stuck_is_told_even_where_nobody_waits_for_signs_of_life(world: World) -> None:
    world.watch_fault = "the watch has died"
    assert ask(world).unavailable_reasons == ("the watch has died",)
    world.watch_fault = ""
    world.drop("a.jpg")
    world.wait(world.pool.liveness_seconds + SLACK_SECONDS + 1)
    (unavailable_reason,) = ask(world).unavailable_reasons
    assert unavailable_reason.startswith("no answer from the workers for 361 s")


def test_where_metrics_are_served_is_settled_at_the_start(world: World) -> None:
    world.raw["metrics"] = {"listen": "127.0.0.1:1"}
    world.tell(Reload(), Reloaded(world.settings()))
    assert world.log.of("config.reloaded")[0]["takes_a_restart"] == ["metrics"]


@pytest.mark.parametrize("times", [1, 3])
def test_to_ask_changes_nothing(world: World, times: int) -> None:
    world.drop("a.jpg")
    first = ask(world)
    for _ in range(times):
        assert ask(world) == first
    world.work()
    world.check_settled()
