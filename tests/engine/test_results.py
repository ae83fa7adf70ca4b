"""From what became of a job to the books, the timers and the log."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, World, changed, done_of, failed
from watcher.core import tracker
from watcher.core.messages import FoldersMeet, Gone, Seen, WatchLost
from watcher.core.observer import BatchDone, PhotoDone, PhotoFailed
from watcher.core.records import Phase, PhotoRecord
from watcher.core.task import State
from watcher.core.types import FailureKind, FileSignature, Job, NeedsMoreMemory, PhotoId, Unready, Vanished
from watcher.engine.jobs import UNKNOWN

A = PhotoId(IN, b"a.jpg")


def books(world: World, path: str = "a.jpg") -> PhotoRecord:
    known = world.known(path)
    assert known is not None
    return known


# ---- on record before it starts, done after it is durable: invariant 4 ----


def test_an_attempt_is_on_record_before_a_worker_has_the_photo(world: World) -> None:  # invariant 4
    on_record: list[tuple[PhotoId, PhotoRecord]] = []
    submit = world.pool.submit

    def spy(*jobs: Job) -> None:
        on_record.extend(world.leased())
        submit(*jobs)

    world.pool.submit = spy  # type: ignore[method-assign]  # to look at the state file at that moment
    world.drop("a.jpg")
    ((photo, known),) = on_record
    assert photo == A
    assert (known.leased, known.attempts) == (True, 1)


def test_a_photo_is_done_only_after_its_worker_said_so(world: World) -> None:  # invariant 4
    world.drop("a.jpg")
    assert books(world).phase is Phase.WAITING
    world.work()
    assert books(world).phase is Phase.DONE
    assert books(world).stamp.same_content(world.files[A].stamp)
    assert not books(world).leased
    assert books(world).attempts == 0


def test_results_are_told_apart_by_their_job_whatever_their_order(world: World) -> None:  # invariant 5
    for name in "abcd":
        world.drop(f"{name}.jpg")
    kinds = {"d": "bad", "a": "good", "c": "bad", "b": "good"}
    for name, kind in kinds.items():
        outcome = world.done(f"{name}.jpg") if kind == "good" else failed(FailureKind.PHOTO)
        world.end(outcome, f"{name}.jpg")
    for name, kind in kinds.items():
        assert books(world, f"{name}.jpg").phase is (Phase.DONE if kind == "good" else Phase.FAILED)
    world.check_settled()


# ---- photos with faults: invariant 8 ----


def test_a_bad_photo_fails_alone_and_is_left_alone_until_it_changes(world: World) -> None:  # invariant 8
    world.drop("a.jpg", "bad")
    world.drop("b.jpg")
    world.work_all()
    assert books(world).phase is Phase.FAILED
    assert books(world).reason == "no JPEG"
    for _ in range(3):
        world.wait(300)
        world.scan()
    world.event(Seen(IN, b"a.jpg", complete=True))  # touched, not changed
    assert world.job().failed_at == books(world).at, "a worker sees whether it was written since"
    world.work_all()
    assert len([photo for photo, _ in world.worked if photo == A]) == 1
    assert books(world).phase is Phase.FAILED
    world.drop("a.jpg", "good")
    world.work_all()
    assert books(world).phase is Phase.DONE
    assert books(world).reason == ""
    assert [line["path"] for line in world.log.of("photo.failed")] == [b"/in/a.jpg"]
    world.check_settled()


@pytest.mark.parametrize(("after", "again"), [(-1.0, False), (60.0, True), (7200.0, False)])
def test_a_failed_photo_of_the_same_looks_is_tried_again_by_a_scan_if_it_was_written_since(
    world: World, after: float, *, again: bool
) -> None:
    """`after`: seconds from its failure to its last write, by the clock of the disk, which may be ahead of ours."""
    world.drop("a.jpg", "bad")
    world.work_all()
    changed = round((books(world).at + after) * 1e9)
    world.files[A] = replace(world.files[A], kind="good", changed_ns=changed)
    world.wait(300)
    for _ in range(2):
        world.scan()
        world.work_all()
    assert books(world).phase is (Phase.DONE if again else Phase.FAILED)
    assert [photo for photo, _ in world.worked] == [A] * (2 if again else 1)
    world.check_settled()


def test_a_passing_fault_is_tried_again_with_backoff_and_then_given_up(world: World) -> None:
    world.drop("a.jpg", "passing")
    begun = [world.clock.now]
    for _ in range(2):
        world.work()
        assert books(world).phase is Phase.WAITING
        while not world.pool.jobs:
            world.wait(0.25)
        begun.append(world.clock.now)
    world.work()
    assert books(world).phase is Phase.FAILED
    assert books(world).attempts == 3
    assert 5 <= begun[1] - begun[0] <= 7
    assert 10 <= begun[2] - begun[1] <= 13
    world.check_settled()


def test_a_photo_that_changes_between_two_tries_starts_over(world: World) -> None:
    world.drop("a.jpg", "passing")
    for _ in range(2):
        world.work()
        world.drop("a.jpg", "passing")
        assert world.flying() == ["a.jpg"]  # at once: an event does not wait for the backoff
    world.work()
    assert books(world).phase is Phase.WAITING
    assert books(world).attempts == 1


def test_a_photo_found_by_a_scan_to_have_changed_while_its_retry_waits_is_left_to_the_retry(world: World) -> None:
    world.drop("a.jpg", "passing")
    world.work()
    world.files[A] = changed(world.files[A])
    world.tell(WatchLost(IN, "overflow", healed=True))
    world.scan()
    assert not world.pool.jobs
    world.wait(10)
    assert len(world.pool.jobs) == 1
    world.check()


def test_a_photo_that_kills_its_worker_is_tried_alone_at_most_three_times_in_all(world: World) -> None:
    world.drop("a.jpg", "crash")
    world.drop("b.jpg")
    world.work()
    alone = []
    for _ in range(10):
        world.wait(10)
        alone += [job.alone for job in world.pool.jobs.values()]
        world.work()
    assert alone == [True, True]
    assert books(world).phase is Phase.FAILED
    for _ in range(5):  # its looks were never seen: the first scan takes note of them, and that is all
        world.wait(300)
        world.scan()
        world.work_all()
    assert len([photo for photo, _ in world.worked if photo == A]) == 3
    assert books(world).stamp.same_content(world.files[A].stamp)
    assert len(world.log.of("worker.lost")) == 3
    world.check_settled()


def test_a_good_photo_replaced_by_one_that_kills_its_worker_is_tried_three_times_as_well(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    world.drop("a.jpg", "crash")
    for _ in range(60):
        world.work_all()
        world.wait(30)
        world.scan()
    assert len(world.worked) == 1 + 3
    assert books(world).phase is Phase.FAILED
    world.check_settled()


def test_a_suspect_that_is_seen_again_is_still_tried_alone(world: World) -> None:
    world.drop("a.jpg", "crash")
    world.work()
    assert [job.alone for job in world.pool.jobs.values()] == [True]
    world.work()
    assert not world.pool.jobs
    world.event(Seen(IN, b"a.jpg", complete=False))  # while it waits for its third try
    world.wait(1)
    assert [job.alone for job in world.pool.jobs.values()] == [True]
    world.work()
    world.wait(60)
    assert books(world).phase is Phase.FAILED
    world.check_settled()


def test_only_one_suspect_is_tried_at_a_time(world: World) -> None:
    for name in "abc":
        world.drop(f"{name}.jpg")
    for job in list(world.pool.jobs.values()):
        world.pool.finish(job, failed(FailureKind.CRASH))
    world.rest()
    world.wait(1)
    for expected in "abc":
        assert world.flying() == [f"{expected}.jpg"]
        assert world.job().alone
        world.work()
    assert world.store.counts(IN).failed == 0
    world.check_settled()


def test_an_endless_decode_costs_two_workers(world: World) -> None:
    world.drop("a.jpg")
    world.end(failed(FailureKind.TIMEOUT, "too long"))
    world.wait(1)
    assert world.job().alone
    world.end(failed(FailureKind.TIMEOUT, "too long"))
    assert books(world).phase is Phase.FAILED
    assert books(world).reason == "too long"
    world.check_settled()


def test_a_job_that_never_ran_goes_back_to_the_head_of_the_line_without_blame(world: World) -> None:
    for name in "abcdefgh":
        world.drop(f"{name}.jpg")
    world.end(None, "b.jpg")
    world.check()
    assert world.flying() == ["a.jpg", "c.jpg", "d.jpg", "b.jpg"]
    assert world.job("b.jpg").attempt == 1
    world.work_all()
    world.wait(1)
    world.work_all()
    world.check_settled()


# ---- not whole yet ----


def test_a_truncated_photo_is_looked_at_again_without_decoding_it_and_made_when_it_is_whole(world: World) -> None:
    world.drop("a.jpg", "truncated")
    world.work()
    for _ in range(20):
        world.wait(3)
        world.work_all()
    assert len(world.worked) == 1
    assert books(world).phase is Phase.WAITING
    assert books(world).reason == "truncated"
    world.put("a.jpg")  # and nothing announces it
    world.wait(11)
    world.work_all()
    assert books(world).phase is Phase.DONE
    world.check_settled()


def test_a_look_at_a_truncated_photo_costs_no_attempt_and_no_write_while_nothing_changes(world: World) -> None:
    world.drop("a.jpg", "truncated")
    world.work()
    statements: list[str] = []
    world.store._db.set_trace_callback(statements.append)
    world.wait(590)
    assert len(world.pool.submitted) == 1
    assert 60 <= world.inboxes[IN].looked <= 70
    assert not [text for text in statements if "photo" in text]
    world.wait(20)
    assert len(world.pool.submitted) == 2, "before it is given up it is looked at closely once more"


def test_a_truncated_photo_that_is_replaced_by_one_of_its_looks_is_looked_at_closely(world: World) -> None:
    photo = world.drop("a.jpg", "truncated")
    world.work()
    file = world.files[photo]
    world.files[photo] = replace(file, stamp=file.stamp._replace(inode=file.stamp.inode + 1), kind="good")
    world.wait(11)
    world.work_all()
    assert books(world).phase is Phase.DONE


def test_a_truncated_photo_fails_after_ten_minutes_without_a_change(world: World) -> None:
    world.drop("a.jpg", "truncated")
    for _ in range(61):
        world.work_all()
        world.wait(10)
        if world.clock.now - 1000 < 599:
            assert books(world).phase is Phase.WAITING
    world.work_all()
    assert books(world).phase is Phase.FAILED
    assert "10 minutes" in books(world).reason
    world.check_settled()


def test_a_photo_that_keeps_growing_is_never_given_up(world: World) -> None:
    world.drop("a.jpg", "truncated")
    for _ in range(200):
        world.work_all()
        world.wait(10)
        world.files[A] = changed(world.files[A])
    assert books(world).phase is Phase.WAITING
    assert books(world).at > 1_700_000_000 + 1900


def test_how_long_a_photo_has_been_still_counts_across_restarts(world: World) -> None:
    world.drop("a.jpg", "truncated")
    world.work()
    for _ in range(7):
        world.wait(100)
        world.work_all()
        if books(world).phase is Phase.FAILED:
            break
        world.restart()
        world.start()
        world.work_all()
    assert books(world).phase is Phase.FAILED


def test_a_photo_too_young_is_looked_at_soon_and_needs_no_change(world: World) -> None:
    world.drop("a.jpg")
    world.end(Unready(world.files[A].stamp, "it was written a moment ago", settling=True))
    world.wait(1)
    assert world.job().evidence.incomplete is None
    world.work()
    assert books(world).phase is Phase.DONE
    world.check_settled()


def test_a_photo_that_waits_for_a_change_starts_at_once_when_an_event_tells_of_one(world: World) -> None:
    world.drop("a.jpg", "truncated")
    world.work()
    world.drop("a.jpg")
    assert world.job().evidence.incomplete is None
    world.work()
    assert books(world).phase is Phase.DONE
    world.wait(20)
    assert not world.pool.jobs
    world.check_settled()


def test_a_photo_that_an_event_announced_while_it_was_found_incomplete_waits_in_one_place(world: World) -> None:
    world.drop("a.jpg", "truncated")
    outcome = world.outcome(world.job())
    world.drop("a.jpg")
    world.end(outcome)
    task = world.daemon.photos.tracker.get(A)
    assert task is not None
    assert task.state is not State.COOLING
    assert world.flying() == ["a.jpg"]  # its writer was done
    world.work()
    world.wait(20)
    assert len(world.pool.submitted) == 2
    world.check_settled()


def test_a_new_photo_that_vanished_leaves_the_books(world: World) -> None:
    world.drop("a.jpg")
    world.end(Vanished("a symbolic link"))
    assert world.known("a.jpg") is None
    world.check_settled()


def test_a_done_photo_that_a_worker_does_not_find_is_forgotten_only_when_its_inbox_is_there(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    world.event(Seen(IN, b"a.jpg", complete=True))
    world.end(Vanished("there is no such file"))  # as after an unmount
    assert books(world).phase is Phase.DONE
    world.reachable = False
    del world.files[A]
    world.scan()
    assert books(world).phase is Phase.DONE
    world.event(Seen(IN, b"a.jpg", complete=True))
    world.end(Vanished("there is no such file"))
    world.reachable = True
    world.scan()
    assert world.known("a.jpg") is None
    world.check_settled()


def test_photos_that_wait_for_their_time_are_bounded(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:  # invariant 10
    monkeypatch.setattr(tracker, "MOST_COOLING", 3)
    world = make_world().start()
    for number in range(10):
        world.drop(f"t{number}.jpg", "truncated")
        world.drop(f"p{number}.jpg", "passing")
        world.work_all()
        assert len(list(world.daemon.photos.tracker.cooling)) <= 3
    assert world.daemon.photos.tracker.idle
    for photo, file in list(world.files.items()):
        world.files[photo] = changed(file)
        world.files[photo] = type(file)(world.files[photo].stamp, "good")
    for _ in range(3):
        world.wait(300)
        world.scan()
        world.work_all()
    assert world.store.counts(IN).done == 20
    world.check_settled()


# ---- the disk is full ----


@pytest.mark.parametrize(
    ("kind", "begin", "end"),
    [
        (FailureKind.DISK_FULL, "disk.full", "disk.freed"),
        (FailureKind.OUTPUT, "output.unwritable", "output.back"),
        (FailureKind.INBOX, "inbox.unreadable", "inbox.back"),
    ],
)
def test_an_output_or_an_inbox_out_of_reach_pauses_work_says_so_once_and_goes_on_by_itself(
    world: World, kind: FailureKind, begin: str, end: str
) -> None:
    world.full = kind
    photos = [world.drop(f"{number}.jpg") for number in range(8)]
    world.work()
    assert len(world.log.of(begin)) == 1
    tried = len(world.worked)
    for _ in range(12):
        world.wait(5)
        world.work()
    assert len(world.worked) - tried <= 13  # one at a time finds out
    assert len(world.log.of(begin)) == 1
    assert world.store.counts(IN).failed == 0
    assert world.reported().held_up == "no room"
    world.full = None
    world.wait(5)
    world.work()
    assert len(world.log.of(end)) == 1
    world.work_all()
    world.wait(1)
    assert world.store.counts(IN).done == len(photos)
    assert world.log.of("photo.failed") == []
    world.check_settled()
    assert world.reported().held_up == ""


def test_on_a_full_disk_a_photo_that_tells_nothing_about_room_does_not_prolong_the_pause(world: World) -> None:
    world.full = FailureKind.DISK_FULL
    for number in range(6):
        world.drop(f"{number}.jpg")
    world.work()
    world.full = None
    (first, *_) = world.daemon.photos.tracker.live._inboxes[IN]
    del world.files[first]
    world.wait(5)
    world.work()
    world.wait(5)
    world.work_all()
    assert world.store.counts(IN).done + len(world.daemon.records._rows) >= 5
    world.check_settled()


def test_on_a_full_disk_a_suspect_waits_too(world: World) -> None:
    world.drop("a.jpg")
    world.end(failed(FailureKind.CRASH))
    world.full = FailureKind.DISK_FULL
    world.wait(1)
    world.work()
    for _ in range(10):
        world.wait(1)
        world.work()
    assert len(world.pool.submitted) <= 6
    world.full = None
    world.wait(6)
    world.work_all()
    assert books(world).phase is Phase.DONE
    world.check_settled()


def test_a_full_output_holds_up_no_other_inbox(make_world: MakeWorld) -> None:
    world = make_world()
    world.raw["inbox"].append({"path": "/in2", "output": "/out2"})
    world._build()
    world.start()
    world.drop("a.jpg")
    world.end(failed(FailureKind.DISK_FULL))
    world.drop("b.jpg", inbox=b"/in2")
    assert world.flying() == ["b.jpg"]


def test_while_no_worker_is_free_a_full_output_does_not_keep_the_loop_awake(make_world: MakeWorld) -> None:
    world = make_world(workers=1)
    world.raw["inbox"].append({"path": "/in2", "output": "/out2"})
    world._build()
    world.start()
    world.drop("a.jpg")
    world.end(failed(FailureKind.DISK_FULL))
    for name in ("b.jpg", "c.jpg"):
        world.drop(name, inbox=b"/in2")
    world.wait(1)
    assert world.pool.free == 0
    world.wait(60)  # fails where the loop spins
    world.work_all()
    world.wait(1)
    world.work_all()
    world.check_settled()


# ---- memory ----

GB = 10**9


def test_a_heavy_photo_waits_until_there_is_room_and_then_runs_with_what_it_needs(make_world: MakeWorld) -> None:
    world = make_world(memory=4 * GB, workers=4).start()
    for name in "abc":
        world.drop(f"{name}.jpg")
    assert {job.memory_bytes for job in world.pool.jobs.values()} == {GB}
    world.end(NeedsMoreMemory(3 * GB), "a.jpg")
    assert world.flying() == ["b.jpg", "c.jpg"]
    world.work("b.jpg")
    assert world.flying() == ["c.jpg", "a.jpg"]
    assert world.job("a.jpg").memory_bytes == 3 * GB
    assert world.job("a.jpg").attempt == 1
    world.drop("d.jpg")
    assert world.flying() == ["c.jpg", "a.jpg"]  # no room beside it
    world.work("a.jpg")
    assert world.flying() == ["c.jpg", "d.jpg"]
    world.work_all()
    world.check_settled()


def test_a_photo_that_needs_more_than_there_is_runs_with_nobody_beside_it(make_world: MakeWorld) -> None:
    world = make_world(memory=2 * GB, workers=2).start()
    for name in "abcdef":
        world.drop(f"{name}.jpg")
    world.end(NeedsMoreMemory(50 * GB), "a.jpg")
    for _ in range(10):
        if "a.jpg" in world.flying():
            break
        world.work(world.flying()[0])
    assert world.flying() == ["a.jpg"]
    world.work()
    world.work_all()
    world.wait(1)
    world.work_all()
    assert world.store.counts(IN).done == 6
    world.check_settled()


def test_many_heavy_photos_run_one_after_the_other(make_world: MakeWorld) -> None:
    world = make_world(memory=2 * GB, workers=2).start()
    for name in "abcd":
        world.drop(f"{name}.jpg")
    for name in "abcd":
        world.end(NeedsMoreMemory(2 * GB), f"{name}.jpg")
    for name in "abcd":
        assert world.flying() == [f"{name}.jpg"]
        world.check()
        world.work()
    world.check_settled()


def test_a_heavy_photo_that_goes_away_or_changes_is_not_in_the_way(make_world: MakeWorld) -> None:
    world = make_world(memory=2 * GB, workers=2).start()
    for name in "ab":
        world.drop(f"{name}.jpg")
    world.end(NeedsMoreMemory(2 * GB), "a.jpg")
    world.event(Seen(IN, b"a.jpg", complete=True))
    world.wait(1)
    del world.files[A]
    world.event(Gone(IN, (b"a.jpg",)))
    world.work_all()
    world.wait(1)
    world.work_all()
    assert world.known("a.jpg") is None
    world.check_settled()


# ---- what is written down ----


def test_names_of_outputs_that_would_meet_are_told_apart_even_before_they_are_written(make_world: MakeWorld) -> None:
    world = make_world()
    world.raw["rendition"] = {"web": {"width": 100, "format": "webp"}}
    world._build()
    for name in ("a.jpg", "a.jpeg", "a.jpeg.jpg", "A.jpg"):
        world.put(name)
    world.start()
    assert len({rendering.output for job in world.pool.jobs.values() for rendering in job.renderings}) == 4
    before = {job.photo: job.renderings for job in world.pool.jobs.values()}
    world.work_all()
    world.restart()
    world.raw["rendition"]["web"]["quality"] = 50
    world._build()
    world.start()
    for job in world.pool.jobs.values():
        assert [item.output for item in job.renderings] == [item.output for item in before[job.photo]]


def test_a_known_photo_that_only_got_a_new_rendition_keeps_what_it_has(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    world.raw["rendition"]["thumb"] = {"width": 10}
    world.reload()
    world.scan()
    assert world.job().current == {"web"}
    world.end(failed(FailureKind.DISK_FULL, "no room", world.files[A].stamp))
    world.wait(6)
    assert world.job().current == {"web"}  # a pause forgets nothing
    world.work()
    assert books(world).recipes.keys() == {"web", "thumb"}
    world.check_settled()


def test_a_photo_of_which_nothing_is_known_is_adopted(world: World) -> None:
    world.drop("a.jpg")
    assert world.job().adopt
    world.work()
    world.drop("a.jpg")
    assert not world.job().adopt


def test_the_log_tells_a_batch_in_one_line_with_its_sums(world: World) -> None:
    world.drop("a.jpg")
    world.drop("b.jpg", "bad")
    world.drop("c.jpg")
    world.wait(1)
    world.work_all()
    (batch,) = world.log.of("batch.done")
    assert {key: batch[key] for key in ("inbox", "files", "renditions", "failed")} == {
        "inbox": IN,
        "files": 3,
        "renditions": 2,
        "failed": 1,
    }
    world.check_settled()


def test_a_rendition_larger_than_max_kb_is_told_in_the_log_and_in_the_photo_s_history(world: World) -> None:
    world.raw["rendition"] = {name: {"width": 9, "max_kb": limit} for name, limit in (("web", 5), ("big", 9))}
    world.reload()
    world.drop("a.jpg")
    done = done_of(world.job(), world.files[A].stamp)
    world.end(replace(done, made=tuple(replace(item, size=5001) for item in done.made)))
    world.wait(5)  # until it is written
    (line,) = world.log.of("output.larger")
    assert line == {"path": A.absolute, "output": b"web/a.jpg", "bytes": 5001}
    assert [entry.detail["larger"] for entry in world.store.notes(A)] == [["web"]]


def test_an_observer_is_told_of_each_photo_and_of_the_batch_with_its_photos(world: World) -> None:
    world.drop("a.jpg")
    world.drop("b.jpg", "bad")
    world.wait(1)
    world.work_all()
    *photos, batch = world.observer.told
    (done,) = [item for item in photos if isinstance(item, PhotoDone)]
    (failure,) = [item for item in photos if isinstance(item, PhotoFailed)]
    assert (done.photo, [made.name for made in done.outcome.made]) == (A, ["web"])
    assert (failure.photo.path, failure.attempts) == (b"b.jpg", 1)
    assert isinstance(batch, BatchDone)
    assert (batch.inbox, batch.photos, batch.failed) == (IN, (done,), (failure,))


def test_photos_that_turn_out_to_need_nothing_are_no_batch(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    world.wait(1)
    world.event(Seen(IN, b"a.jpg", complete=True))
    world.work()
    world.wait(1)
    assert len(world.log.of("batch.done")) == 1
    world.check_settled()


def test_an_attempt_of_which_only_an_event_told_leaves_the_looks_open(world: World) -> None:
    world.drop("a.jpg")
    assert books(world).stamp == UNKNOWN
    world.put("b.jpg")
    world.wait(300)
    world.scan()
    assert books(world, "b.jpg").stamp == FileSignature(*world.files[PhotoId(IN, b"b.jpg")].stamp[:2])


# ---- small photos go to a worker together ----


def bundles(world: World) -> list[list[str]]:
    return [[job.photo.path.decode() for job in bundle] for bundle in world.pool.bundles]


def backlog(make_world: MakeWorld, sizes: dict[str, int], *, once: bool = False, **kinds: str) -> World:
    world = make_world(memory=4 * GB, workers=2, once=once)
    world.pool.most = 3
    for number, (name, size) in enumerate(sizes.items()):  # of one size they could be the same, and wait for each other
        world.put(f"{name}.jpg", kinds.get(name, "good"), size=size + number)
    return world.start()


def test_small_photos_of_a_backlog_go_together_and_each_comes_to_its_own_end(make_world: MakeWorld) -> None:
    world = backlog(make_world, dict.fromkeys("abcdef", 1_200_000), b="bad")
    assert bundles(world) == [["a.jpg", "b.jpg", "c.jpg"], ["d.jpg", "e.jpg", "f.jpg"]]
    world.work_all()
    assert [books(world, f"{name}.jpg").phase for name in "abc"] == [Phase.DONE, Phase.FAILED, Phase.DONE]
    world.check_settled()


def test_photos_from_a_camera_go_one_by_one(make_world: MakeWorld) -> None:
    world = backlog(make_world, {"a": 8_000_000, "b": 8_000_000, "c": 3_500_000, "d": 600_000})
    assert bundles(world) == [["a.jpg"], ["b.jpg"], ["c.jpg"], ["d.jpg"]]


def test_where_nobody_comes_next_photos_from_a_camera_go_together(make_world: MakeWorld) -> None:
    world = backlog(make_world, {**dict.fromkeys("abcd", 11_000_000), "e": 35_000_000, "f": 1000}, once=True)
    assert bundles(world) == [["a.jpg", "b.jpg"], ["c.jpg", "d.jpg"], ["e.jpg"], ["f.jpg"]]
    world.work_all()
    assert world.daemon.finished()


def test_photos_that_were_just_announced_go_one_by_one_since_nobody_knows_their_size(make_world: MakeWorld) -> None:
    world = backlog(make_world, {})
    photos = [world.put(f"{name}.jpg") for name in "abc"]
    world.inboxes[IN].events += 3
    world.tell(*(Seen(IN, photo.path, complete=True) for photo in photos))
    assert bundles(world) == [["a.jpg"], ["b.jpg"], ["c.jpg"]]


def test_a_crowd_of_small_photos_that_just_came_goes_together_before_the_backlog(make_world: MakeWorld) -> None:
    world = backlog(make_world, dict.fromkeys("abcdefghijklmno", 1_200_000))
    taken = len(bundles(world))
    for number, name in enumerate("wxyz"):
        world.drop(f"{name}.jpg", size=100 + number)
    world.work_all()
    assert bundles(world)[taken] == ["w.jpg", "x.jpg", "y.jpg"]
    assert bundles(world)[taken + 1][0] == "z.jpg"
    world.check_settled()


def test_beside_a_heavy_photo_small_ones_go_one_by_one(make_world: MakeWorld) -> None:
    world = backlog(make_world, {"a": 8_000_000, **dict.fromkeys("bcdefgh", 100)})
    assert bundles(world) == [["a.jpg"], ["b.jpg", "c.jpg", "d.jpg"], ["e.jpg", "f.jpg", "g.jpg"], ["h.jpg"]]
    world.end(NeedsMoreMemory(2 * GB), "a.jpg")
    for name in "ijk":
        world.put(f"{name}.jpg")
    world.wait(300)
    world.scan()
    for name in "bcdefgh":
        world.work(f"{name}.jpg")
    assert bundles(world)[4:] == [["a.jpg"], ["i.jpg"]]
    world.work_all()
    world.check_settled()


@pytest.mark.parametrize("full", [False, True])
def test_while_folders_lie_in_each_other_nothing_of_their_inbox_is_tried_and_then_it_goes_on(
    make_world: MakeWorld, *, full: bool
) -> None:
    world = make_world()
    world.raw["inbox"].append({"path": "/in2", "output": "/out2"})
    world._build()
    world.start()
    if full:
        world.drop("full.jpg")
        world.end(failed(FailureKind.DISK_FULL))
    world.tell(FoldersMeet({IN: "the one is the other"}))
    world.drop("a.jpg")
    world.drop("b.jpg", inbox=b"/in2")
    world.wait(60)
    assert world.flying() == ["b.jpg"]
    assert world.log.of("folders.meet") == [{"inbox": IN, "output": b"/out", "reason": "the one is the other"}]
    assert world.reported().held_up == "the one is the other"
    assert world.reported(b"/in2").held_up == ""
    world.tell(FoldersMeet({}))
    world.scan()
    world.work_all()
    world.wait(5)
    world.work_all()
    assert len(world.log.of("folders.apart")) == 1
    assert books(world).phase is Phase.DONE
    world.check_settled()
    assert world.reported().held_up == ""


# ---- what workers have to say ----


def test_a_decoder_that_a_worker_found_wrong_is_told_and_no_longer_reported_as_in_use(world: World) -> None:
    said = ("decoder.fallback", "Pillow decodes: its self-test failed")
    world.start()
    world.drop("a.jpg", size=1000)
    world.drop("b.jpg", size=2000)
    world.wait(10)
    world.pool.finish(world.job("a.jpg"), world.done("a.jpg"), said, host="elsewhere")
    world.wait(1)
    assert world.reported().decoder == ""  # as it was said at the start
    world.pool.finish(world.job("b.jpg"), world.done("b.jpg"), said)
    world.wait(1)
    assert world.reported().decoder == "pillow"
    assert world.log.of("decoder.fallback") == [{"text": said[1]}] * 2
