"""Stopping, being killed, starting again, new settings, and runs that look once."""

from __future__ import annotations

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, World, failed
from watcher.core.messages import FolderSeen, Gone, Reload, Seen, Stop, WatchReady
from watcher.core.records import Phase
from watcher.core.types import FailureKind, PhotoId
from watcher.engine.ports import Reloaded
from watcher.errors import ConfigError, Fault

# ---- stopping ----


def test_stop_finishes_what_is_in_the_workers_and_begins_nothing(world: World) -> None:
    for number in range(12):
        world.drop(f"{number}.jpg")
    flying = world.flying()
    world.tell(Stop("SIGTERM"))
    assert not world.daemon.finished()
    world.work(flying[0])
    world.drop("late.jpg")
    world.wait(10)
    assert world.flying() == flying[1:]
    for name in flying[1:]:
        world.work(name)
    assert world.daemon.finished()
    world.daemon.finish()
    assert world.store.counts(IN).done == 4
    assert not world.leased()
    assert [event for event, _ in world.log.lines][-1] == "stopped"
    assert sum(batch["files"] for batch in world.log.of("batch.done")) == 4


def test_a_second_stop_waits_for_nobody(world: World) -> None:
    world.drop("a.jpg")
    world.drop("b.jpg")
    world.tell(Stop("SIGTERM"), Stop("SIGTERM"))
    assert not world.daemon.finished()  # `timeout` sends both at once, and means one
    world.clock.move_to(world.clock.now + 0.1)
    world.tell(Stop("SIGTERM"))
    assert world.daemon.finished()
    world.daemon.finish()
    assert world.pool.closed
    assert not world.leased()
    assert world.store.counts(IN) == type(world.store.counts(IN))()


def test_a_photo_that_was_done_while_nobody_waited_any_more_carries_no_blame(world: World) -> None:
    world.drop("a.jpg")
    world.tell(Stop("SIGTERM"))
    world.pool.finish(world.job(), world.done())  # its report is not read any more
    world.daemon.stops.append("SIGTERM")
    world.daemon.finish()
    assert not world.leased()


def test_attempts_that_were_on_record_and_had_not_begun_are_taken_back(make_world: MakeWorld) -> None:
    world = make_world()
    for number in range(30):
        world.put(f"{number}.jpg")
    world.start()
    assert len(world.leased()) > len(world.pool.jobs)
    world.restart()
    world.start()
    world.work_all()
    assert all(job.attempt == 1 and not job.alone for job in world.pool.submitted)
    assert len(world.worked) == 30
    world.check_settled()


def test_a_loop_that_runs_ends_at_stop(world: World) -> None:
    world.messages.put(Stop("SIGTERM"))
    world.daemon.run()
    assert world.log.of("stopped") == [{"reason": "SIGTERM"}]


# ---- starting again ----


def test_a_restart_over_known_photos_does_nothing(world: World) -> None:
    for number in range(10):
        world.drop(f"{number}.jpg", "good" if number % 3 else "bad")
        world.work_all()
    for kill in (False, True):
        world.wait(1)
        world.restart(kill=kill)
        world.start()
        assert world.pool.submitted == []
    assert len(world.worked) == 10


@pytest.mark.parametrize("known", [False, True])
def test_a_photo_that_kills_the_daemon_does_so_three_times_at_most(
    make_world: MakeWorld, known: bool
) -> None:  # invariant 4
    world = make_world().start()
    if known:  # it was a good photo, once
        world.drop("a.jpg")
        world.work()
        world.wait(1)
    world.put("a.jpg")
    world.restart(kill=True)
    deaths = 0
    for _ in range(8):
        world.start()
        world.wait(1000)
        world.scan()
        if not world.pool.jobs:
            break
        deaths += 1
        assert world.job().alone == (deaths > 1)
        assert world.job().attempt == deaths
        world.restart(kill=True)
    assert deaths == 3
    found = world.known("a.jpg")
    assert found is not None
    assert found.phase is Phase.FAILED
    assert "3 times" in found.reason
    world.check_settled()
    world.put("a.jpg")  # any change starts over
    world.wait(301)
    world.scan()
    assert (world.job().attempt, world.job().alone) == (1, False)
    world.work()
    world.check_settled()


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_daemon_that_is_killed_over_and_over_gives_up_no_photo_of_a_crowd(
    make_world: MakeWorld, attempts: int
) -> None:
    world = make_world()
    world.raw["retry"] = {"attempts": attempts}
    world._build()
    for number in range(20):
        world.put(f"{number}.jpg")
    for _ in range(12):  # far more often than one photo may be tried
        world.start()
        assert world.pool.jobs
        world.restart(kill=True)
    world.start()
    world.work_all()
    assert world.log.of("photo.failed") == []
    world.wait(1)
    world.check()
    assert world.store.counts(IN).done == 20


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_photo_that_kills_the_daemon_is_found_out_among_many(make_world: MakeWorld, attempts: int) -> None:
    world = make_world()
    world.raw["retry"] = {"attempts": attempts}
    world._build()
    killer = world.put("7.jpg", "killer")
    for number in range(30):
        world.put(f"{number}.jpg") if number != 7 else None
    deaths = 0
    world.start()
    for _ in range(100):
        if killer in {job.photo for job in world.pool.jobs.values()}:
            deaths += 1
            assert deaths == 1 or world.job("7.jpg").alone
            world.restart(kill=True)
            world.start()
        elif world.pool.jobs:
            world.work(world.flying()[0])
        else:
            break
    assert deaths == 3
    found = world.known("7.jpg")
    assert found is not None
    assert found.phase is Phase.FAILED
    assert [line["path"] for line in world.log.of("photo.failed")] == [killer.absolute]
    world.wait(1)
    world.check()
    assert world.store.counts(IN).done == 29


def test_a_photo_that_was_mended_between_two_deaths_starts_over(make_world: MakeWorld) -> None:
    world = make_world().start()
    world.put("a.jpg")
    for _ in range(3):
        world.restart(kill=True)
        world.start()
    assert world.job().attempt == 3
    world.put("a.jpg")
    world.restart(kill=True)
    world.start()
    assert world.job().attempt == 1
    world.work()
    world.check_settled()


def test_deaths_of_the_daemon_and_of_workers_count_together(make_world: MakeWorld) -> None:
    world = make_world()
    world.put("a.jpg", "crash")
    world.start()
    world.restart(kill=True)
    world.start()
    world.work()
    world.wait(1)
    world.restart()
    world.start()
    assert world.job().attempt == 3
    world.work()
    found = world.known("a.jpg")
    assert found is not None
    assert found.phase is Phase.FAILED


def test_photos_that_waited_for_their_time_are_looked_at_after_a_restart(world: World) -> None:
    world.drop("t.jpg", "truncated")
    world.drop("p.jpg", "passing")
    world.work_all()
    world.restart()
    world.start()
    assert sorted(world.flying()) == ["p.jpg", "t.jpg"]
    assert world.job("p.jpg").attempt == 2


# ---- new settings ----


@pytest.mark.parametrize("end", ["killed", "stopped twice", "failed half-way"])
def test_outputs_that_a_lost_attempt_may_have_replaced_are_made_again(make_world: MakeWorld, end: str) -> None:
    world = make_world().start()
    world.drop("a.jpg")
    world.work()
    for quality in (50, 85):  # to another recipe, and back while nobody knows what the attempt came to
        world.raw["rendition"]["web"]["quality"] = quality
        world.reload()
        world.scan()
        if quality == 50:
            world.outcome(world.job())  # it has shown its outputs
            if end == "killed":
                world.restart(kill=True)
            elif end == "stopped twice":
                world.tell(Stop("SIGTERM"))
                world.wait(1)
                world.tell(Stop("SIGTERM"))
                world.daemon.finish()
                world.restart(kill=True)
            else:
                world.end(failed(FailureKind.PASSING, stamp=world.files[PhotoId(IN, b"a.jpg")].stamp))
            if end != "failed half-way":
                world.daemon.start()
    world.work_all()
    world.wait(10)
    world.work_all()
    fingerprint = world.settings().config.recipes["web"].fingerprint
    assert world.outputs[b"web/a.jpg"][1] == fingerprint
    found = world.known("a.jpg")
    assert found is not None
    assert found.recipes == {"web": fingerprint}


@pytest.mark.parametrize("end", ["killed", FailureKind.CRASH, FailureKind.PASSING])
def test_a_move_to_another_name_that_was_cut_off_is_still_one_at_the_next_try(
    make_world: MakeWorld, end: FailureKind | str
) -> None:
    world = make_world().start()
    world.drop("a.jpg")
    world.work()
    world.raw["rendition"]["web"]["name"] = layout = "{folder}/{stem}-web.{ext}"
    world.reload()
    world.scan()
    before, stamp = world.job(), world.files[PhotoId(IN, b"a.jpg")].stamp
    (item,) = before.renderings
    assert (item.output, item.old and (item.old.outputs, item.old.current)) == (b"a-web.jpg", ((b"web/a.jpg",), True))
    if isinstance(end, FailureKind):
        world.end(failed(end, stamp=stamp))
    else:
        world.restart(kill=True)
        world.start()
    world.wait(10)
    again = world.job()
    assert again.renderings == before.renderings
    assert stamp.same_content(again.done), "what lies there is known to be current"
    world.work()
    found = world.known("a.jpg")
    assert found is not None
    assert (found.made["web"].layout, found.made["web"].name) == (layout, None)
    world.scan()
    assert not world.pool.jobs, "it has its place"


def test_a_wrong_config_is_rejected_and_work_goes_on_by_the_old_one(world: World) -> None:  # invariant 8
    world.tell(Reload())
    assert world.reloads == 1
    world.tell(Reloaded(ConfigError("file", [Fault("workers", "found x", "write a number")])))
    assert "found x" in world.log.of("config.rejected")[0]["reason"]
    world.drop("a.jpg")
    world.work()
    world.check_settled()


def test_a_changed_recipe_makes_all_again_those_in_the_workers_and_in_the_line_too(world: World) -> None:
    for number in range(8):
        world.drop(f"{number}.jpg")
    world.work("0.jpg")
    world.raw["rendition"]["web"]["quality"] = 50
    world.reload()
    world.scan()
    world.work_all()
    world.wait(1)
    world.work_all()
    fingerprint = world.settings().config.recipes["web"].fingerprint
    assert {made for _, made in world.outputs.values()} == {fingerprint}
    assert all(known.recipes == {"web": fingerprint} for _, known in world.store.photos(IN, Phase.DONE))
    assert world.store.counts(IN).done == 8
    assert world.inbox_state().missed == 0
    world.check_settled()


def test_a_photo_done_by_the_old_recipe_just_before_the_scan_is_made_again_at_once(world: World) -> None:
    world.drop("a.jpg")
    world.raw["rendition"]["web"]["quality"] = 50
    world.reload()
    world.work()  # by the old recipe; the result is not written yet when the scan comes by
    world.scan()
    world.wait(1)
    world.work_all()
    found = world.known("a.jpg")
    assert found is not None
    assert found.recipes == {"web": world.settings().config.recipes["web"].fingerprint}
    world.check_settled()


def test_an_inbox_that_is_removed_is_let_go_and_nothing_of_it_begins(world: World) -> None:
    world.raw["inbox"].append({"path": "/in2", "output": "/out2"})
    world.reload()
    world.scan()
    for number in range(3):
        world.drop(f"{number}.jpg")
        world.drop(f"{number}.jpg", inbox=b"/in2")
    world.drop("late.jpg", complete=False)
    removed = world.inboxes[IN]
    del world.raw["inbox"][0]
    world.reload()
    assert removed.closed
    world.tell(Seen(IN, b"x.jpg", complete=True), FolderSeen(IN, b"x"), Gone(IN, (b"0.jpg",)))
    world.work_all()
    world.wait(1)
    world.work_all()
    assert world.store.counts(b"/in2").done == 3
    assert {job.photo for job in world.pool.submitted if job.photo.inbox == IN} <= {
        PhotoId(IN, b"0.jpg"),
        PhotoId(IN, b"1.jpg"),
    }
    world.check_settled()


@pytest.mark.parametrize("kind", [FailureKind.DISK_FULL, FailureKind.PASSING, FailureKind.CRASH, FailureKind.PHOTO])
def test_a_photo_in_a_worker_ends_in_good_order_after_its_inbox_was_removed(world: World, kind: FailureKind) -> None:
    world.raw["inbox"].append({"path": "/in2", "output": "/out2"})
    world.reload()
    world.scan()
    world.drop("a.jpg")
    world.event(Seen(IN, b"a.jpg", complete=True))
    del world.raw["inbox"][0]
    world.reload()
    world.end(failed(kind))
    world.wait(60)
    assert not world.pool.jobs
    world.check_settled()


def test_an_inbox_that_comes_back_with_other_patterns_takes_over_what_is_in_the_workers(world: World) -> None:
    for number in range(6):
        world.drop(f"{number}.jpg")
    old = world.inboxes[IN]
    world.raw["inbox"][0]["exclude"] = ["raw/"]
    world.reload()
    assert old.closed
    assert world.inboxes[IN] is not old
    world.scan()
    world.work_all()
    world.wait(1)
    world.work_all()
    assert world.store.counts(IN).done == 6
    assert len(world.worked) == 6
    world.check_settled()


def test_a_reload_while_a_scan_hangs_or_the_watch_is_not_ready_starts_no_other(make_world: MakeWorld) -> None:
    world = make_world()
    world.daemon.start()
    world.raw["batch"] = {"quiet_seconds": 1.0}
    world.tell(Reloaded(world.settings()))
    world.wait(1000)
    assert world.inboxes[IN].scans == []
    world.tell(WatchReady(IN, native=True, reason=""))
    world.tell(Reloaded(world.settings()))
    world.wait(1000)
    assert len(world.inboxes[IN].scans) == 1
    world.scan()
    world.drop("a.jpg", complete=False)
    world.wait(0.9)
    assert not world.pool.jobs
    world.wait(0.2)
    world.work()
    world.check_settled()


# ---- once ----


def test_a_single_run_ends_when_all_is_made(make_world: MakeWorld) -> None:
    world = make_world(once=True)
    for number in range(20):
        world.put(f"{number}.jpg", "bad" if number == 3 else "good")
    world.daemon.start()
    assert not world.daemon.finished()
    world.tell(WatchReady(IN, native=False, reason=""))
    assert not world.daemon.finished()
    world.scan()
    while world.pool.jobs:
        assert not world.daemon.finished()
        world.work()
    assert world.daemon.finished()
    world.daemon.finish()
    assert (world.daemon.results.numbers.done, world.daemon.results.numbers.failed) == (19, 1)
    assert world.daemon.reporter.progress().total == 20


def test_a_single_run_over_an_empty_or_unreachable_inbox_ends(make_world: MakeWorld) -> None:
    for reachable in (True, False):
        world = make_world(once=True)
        world.reachable = reachable
        world.start(native=False)
        assert world.daemon.finished()
        assert (IN in world.daemon.inboxes.unreachable) is not reachable


def test_a_single_run_waits_for_no_truncated_photo_but_for_a_second_try(make_world: MakeWorld) -> None:
    world = make_world(once=True)
    world.put("t.jpg", "truncated")
    world.put("p.jpg", "passing")
    world.start(native=False)
    world.work()
    for _ in range(2):
        assert not world.daemon.finished()
        world.wait(15)
        world.work_all()
    assert not world.daemon.finished(), "it looks once more, at a stat's cost"
    world.rest()
    assert world.daemon.finished()
    world.daemon.finish()
    assert (world.store.counts(IN).failed, world.store.counts(IN).waiting) == (1, 1)
    assert [job.photo.path for job in world.pool.submitted].count(b"t.jpg") == 1
    assert world.inboxes[IN].looked == 1


def test_a_single_run_makes_what_has_become_whole_by_its_end(make_world: MakeWorld) -> None:
    world = make_world(once=True)
    world.put("t.jpg", "truncated")
    world.start(native=False)
    world.work()
    world.put("t.jpg")
    assert not world.daemon.finished()
    world.rest()
    world.work_all()
    assert world.daemon.finished()
    assert world.store.counts(IN).done == 1


def test_a_single_run_leaves_the_rest_when_the_disk_is_full(make_world: MakeWorld) -> None:
    world = make_world(once=True)
    world.full = FailureKind.DISK_FULL
    for number in range(30):
        world.put(f"{number}.jpg", "crash" if number == 0 else "good")
    world.start(native=False)
    world.work_all()
    world.wait(60)
    world.work_all()
    world.wait(60)
    assert world.daemon.finished()
    world.daemon.finish()
    counts = world.store.counts(IN)
    assert counts.done == 0
    assert counts.waiting + counts.failed + world.daemon.inboxes.abandoned == 30


def test_a_single_run_forgets_what_is_gone_before_it_ends(make_world: MakeWorld) -> None:
    world = make_world(once=True)
    world.put("a.jpg")
    world.put("x/b.jpg")
    world.put("x/y/c.jpg")
    world.start(native=False)
    world.work_all()
    world.wait(1)
    for _ in range(2):  # the first run after a change of identity may not forget
        world.restart()
        world.start(native=False)
    del world.files[PhotoId(IN, b"a.jpg")]
    del world.files[PhotoId(IN, b"x/y/c.jpg")]
    world.restart()
    world.start(native=False)
    assert world.daemon.finished()
    world.daemon.finish()
    assert [photo.path for photo, _ in world.store.photos(IN, Phase.DONE)] == [b"x/b.jpg"]


def test_a_single_run_that_is_stopped_ends_when_its_workers_are_done(make_world: MakeWorld) -> None:
    world = make_world(once=True)
    for number in range(20):
        world.put(f"{number}.jpg")
    world.start(native=False)
    world.tell(Stop("SIGINT"))
    world.work()
    assert world.daemon.finished()
    world.daemon.finish()
    assert world.store.counts(IN).done == 4
