"""When temporary files of workers that were killed are removed from the outputs."""

from __future__ import annotations

from tests.engine.fakes import World, failed
from watcher.core.messages import Stop
from watcher.core.types import FailureKind


def test_what_a_killed_worker_left_in_the_outputs_is_swept_while_the_daemon_runs(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    world.wait(60)
    assert not world.cleanups
    world.drop("b.jpg")
    world.drop("c.jpg")
    world.end(failed(FailureKind.CRASH), "b.jpg")
    world.end(failed(FailureKind.CRASH), "c.jpg")
    assert not world.cleanups  # those that went with the worker may not be dead yet
    world.wait(60)
    assert world.cleanups == [[b"/out"]]


def test_what_a_worker_left_that_went_with_another_one_is_swept_too(world: World) -> None:
    """An idle worker is killed, and its executor ends: no photo is at fault, and one was half-written."""
    world.drop("a.jpg")
    world.end(None)
    world.wait(60)
    assert world.cleanups == [[b"/out"]]


def test_what_is_cut_off_by_a_second_request_to_stop_is_swept(world: World) -> None:
    world.drop("a.jpg")
    world.tell(Stop("SIGTERM"))
    assert not world.daemon.finished()
    world.wait(1)
    world.tell(Stop("SIGTERM"))
    assert world.daemon.finished()
    world.daemon.finish()
    assert world.cleanups == [[b"/out"]]


def test_what_a_killed_worker_left_is_swept_at_the_end_where_that_comes_first(world: World) -> None:
    world.drop("b.jpg")
    world.end(failed(FailureKind.TIMEOUT))
    world.stop()
    assert world.cleanups == [[b"/out"]]
