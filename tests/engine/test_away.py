"""Workers that are elsewhere, and may be away: what the loop does about it, and tells."""

from __future__ import annotations

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, World
from watcher.core.messages import Stop, WorkerReport
from watcher.core.status import ExecutorStatus, Snapshot, StatusQuery

GONE = ExecutorStatus("dask", away_since=5.0)
AWAY = "the Dask cluster at tcp://h:1 is away: connection refused"


def go_away(world: World) -> None:
    """Take all workers away: what is in them comes back undone."""
    world.pool.slots, world.pool.unavailable_reason = 0, AWAY
    world.pool.told = GONE
    for job in list(world.pool.jobs.values()):
        world.pool.finish(job, None)
    world.tell(WorkerReport(0, 1))


def test_photos_wait_for_workers_that_are_away_and_are_made_when_they_are_back(world: World) -> None:
    world.start()
    for number in range(6):
        world.drop(f"{number}.jpg")
    world.wait(10)
    assert len(world.pool.jobs) == 4
    go_away(world)
    world.wait(3600)
    assert not world.pool.jobs
    assert world.reported().waiting == 6
    world.pool.slots, world.pool.unavailable_reason = 4, ""
    world.wait(1)
    world.work_all()
    assert sorted(photo.path for photo, _ in world.worked) == [f"{number}.jpg".encode() for number in range(6)]
    assert world.store.counts(IN).done == 6


def test_that_workers_are_away_is_reported_though_nothing_else_happens(world: World) -> None:
    world.start()
    world.wait(10)
    assert world.reported().executor is None
    go_away(world)
    world.wait(1)
    assert world.reported().executor == GONE
    answers: list[Snapshot] = []
    world.tell(StatusQuery(answers.append))
    assert answers[0].unavailable_reasons == (AWAY,)


def test_a_single_run_ends_without_what_nobody_is_to_wait_for(make_world: MakeWorld) -> None:
    world = make_world(once=True)
    for number in range(100):
        world.put(f"{number:03}.jpg", "passing" if number == 1 else "good")
    world.start()
    for number in range(3):
        world.work(world.flying()[0])
        assert not world.daemon.finished(), number
    go_away(world)
    assert not world.daemon.finished(), "it may come back"
    world.pool.gave_up = True
    world.wait(1)
    assert world.daemon.finished()
    world.daemon.finish()
    assert world.daemon.inboxes.abandoned == 97, "the others are on record"
    assert world.daemon.scheduler.gave_up_reason == AWAY
    assert (world.store.counts(IN).done, world.store.counts(IN).waiting) == (2, 1)


def test_stopping_does_not_wait_for_workers_that_are_away(world: World) -> None:
    world.start()
    world.drop("a.jpg")
    world.tell(Stop("SIGTERM"))
    assert not world.daemon.finished()
    go_away(world)
    assert world.daemon.finished()
