"""Dates and rights that change when a photo has been closed: it is not made for that again, and nothing is missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, World, failed
from watcher.core.messages import Seen
from watcher.core.records import Phase
from watcher.core.types import Evidence, FailureKind, FileSignature, PhotoId, StabilitySettings, Unready

A = PhotoId(IN, b"a.jpg")


def date(world: World, photo: PhotoId = A, *, by: int = -(10**15)) -> Seen:
    """Give a photo another date, and what the kernel says of that."""
    file = world.files[photo]
    world.files[photo] = replace(file, stamp=file.stamp._replace(mtime_ns=file.stamp.mtime_ns + by))
    return Seen(photo.inbox, photo.path, complete=False, stamp=world.files[photo].stamp, touched=True)


def stamp(world: World) -> FileSignature:
    known = world.known("a.jpg")
    assert known is not None
    assert known.phase is Phase.DONE
    return known.stamp


def test_a_date_that_is_set_when_the_photo_is_made_is_taken_on_and_not_counted_as_missed(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    world.event(date(world))
    world.wait(1)
    world.work_all()
    assert stamp(world).same_content(world.files[A].stamp)
    assert world.outputs[b"web/a.jpg"][0].same_content(world.files[A].stamp)
    assert len(world.worked) == 1, "nothing was decoded again"
    assert len(world.log.of("photo.done")) == 1
    assert len(world.log.of("photo.dated")) == 1
    world.wait(301)
    world.scan()
    world.wait(5)
    assert (world.inbox_state().missed, world.pool.jobs) == (0, {})
    world.check_settled()


def test_a_share_that_dates_the_photo_when_it_closes_it_seconds_after_its_last_byte_has_it_made_once(
    world: World,
) -> None:
    """As Linux's cifs client does, which closes late: the photo has been still, and is made by then."""
    world.put("a.jpg")
    date(world, by=20 * 10**9)  # written now
    world.event(Seen(IN, b"a.jpg", complete=False, stamp=world.files[A].stamp))
    world.wait(0.5)
    world.work()
    world.wait(0.5)
    date(world, by=10**9)
    world.event(Seen(IN, b"a.jpg", complete=True, stamp=world.files[A].stamp))
    world.work_all()
    assert stamp(world).same_content(world.files[A].stamp)
    assert (len(world.log.of("photo.done")), len(world.log.of("photo.dated"))) == (1, 1)
    world.check_settled()


def test_rights_that_are_set_are_no_news_of_a_photo_that_is_done(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    jobs = len(world.pool.submitted)
    world.event(date(world, by=0))
    world.wait(10)
    assert len(world.pool.submitted) == jobs
    world.check_settled()


def test_what_is_touched_and_was_never_seen_is_left_to_the_events_that_follow(world: World) -> None:
    world.put("a.jpg")
    world.event(date(world))
    world.wait(10)
    assert world.pool.submitted == []
    world.check_settled()


def test_a_date_that_is_set_before_the_photo_is_begun_changes_nothing_in_its_turn(world: World) -> None:
    world.drop("a.jpg", complete=False)
    world.event(date(world))
    world.wait(0.49)
    assert world.flying() == []
    world.wait(0.02)
    assert world.job().evidence.finished is False
    world.work_all()
    assert len(world.log.of("photo.done")) == 1
    world.check_settled()


def test_a_date_that_is_set_while_the_photo_is_made_is_looked_for_afterwards(world: World) -> None:
    world.drop("a.jpg")
    old = world.outcome(world.job())
    world.event(date(world))
    world.end(old)
    world.work_all()
    assert stamp(world).same_content(world.files[A].stamp)
    assert len(world.log.of("photo.done")) == 1
    world.check_settled()


def test_a_photo_that_was_closed_and_dated_under_a_worker_goes_on_as_one_whose_writer_is_done(world: World) -> None:
    world.drop("a.jpg")
    world.event(date(world))
    world.end(Unready(world.files[A].stamp, "it was dated while it was read", settling=True, seconds=0.01))
    assert world.job().evidence.finished
    world.work_all()
    assert len(world.log.of("photo.done")) == 1
    world.check_settled()


@pytest.mark.parametrize("late", [False, True])
def test_a_photo_that_others_may_read_only_when_it_is_closed_does_not_wait_for_its_next_try(
    world: World, late: bool
) -> None:
    world.drop("a.jpg")
    refused = failed(FailureKind.PASSING, "a.jpg may not be read")
    if late:
        world.end(refused)
        world.wait(0.1)
        assert world.flying() == []
        world.event(date(world, by=0))
    else:
        world.event(date(world, by=0))
        world.end(refused)
    assert world.flying() == ["a.jpg"]
    world.work_all()
    world.check_settled()


def test_a_photo_found_incomplete_is_not_looked_at_for_its_rights_but_for_a_new_date(world: World) -> None:
    world.drop("a.jpg", "truncated")
    world.work_all()
    tried = len(world.worked)
    world.event(date(world, by=0))
    world.wait(0.4)
    assert len(world.worked) == tried
    world.event(date(world))
    world.wait(1)
    world.work_all()
    assert len(world.worked) == tried + 1


# ---- what a job is told of the file ----


def published_size(world: World) -> int | None:
    published = world.job().evidence.published
    return published and published.size


def test_a_job_says_whether_other_content_is_shown_and_whether_the_writer_has_closed_it(world: World) -> None:
    world.drop("a.jpg")
    assert world.job().evidence == Evidence(seen=world.files[A].stamp, closed=True)
    assert world.job().stability == StabilitySettings(0.5, 5.0)
    world.work()
    world.put("a.jpg")
    world.wait(301)
    world.scan()
    evidence = world.job().evidence
    assert (evidence.finished, evidence.expected) == (False, world.files[A].stamp)
    assert evidence.published is not None
    assert evidence.published.size == 100_001
    world.end(Unready(world.files[A].stamp, "it was written anew", settling=True, seconds=3.0))
    world.wait(2.9)
    assert world.flying() == []
    world.wait(0.3)
    assert world.job().evidence.published, "until it is made"
    world.work_all()
    world.check_settled()


def test_where_no_events_come_a_photo_must_have_been_seen_as_it_is_for_a_while(make_world: MakeWorld) -> None:
    world = make_world().start(native=False)
    world.put("a.jpg")
    world.wait(10)
    world.scan()
    job, seen = world.job(), world.clock.wall
    assert (job.evidence.stable_since, job.evidence.expected) == (seen, world.files[A].stamp)
    world.end(Unready(world.files[A].stamp, "a moment ago", settling=True, seconds=0.5))
    world.wait(0.7)
    assert world.job().evidence.stable_since == seen, "it has not changed"
    world.put("a.jpg")
    changed = world.clock.wall
    world.work()
    world.wait(0.7)
    assert world.job().evidence.stable_since == changed
    assert world.job().evidence.expected == world.files[A].stamp
    world.work_all()
    world.check_settled()


def test_a_date_from_after_the_photo_was_made_is_a_change_and_counts_as_one(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    world.wait(30)
    world.event(date(world, by=45 * 10**9))
    world.wait(1)
    world.work_all()
    assert len(world.worked) == 1, "though nothing is decoded for it"
    assert [line["adopted"] for line in world.log.of("photo.done")] == [0, 1]
    assert world.log.of("photo.dated") == []
    world.check_settled()


def test_a_photo_that_was_closed_and_not_whole_is_waited_for_when_it_is_closed_again(world: World) -> None:
    world.drop("a.jpg", "truncated")
    assert world.job().evidence.finished
    world.work()
    world.drop("a.jpg", "truncated")
    assert (world.job().evidence.finished, world.job().evidence.reopened) == (False, True)
    assert world.job().evidence.finished is False
    world.work()
    world.drop("a.jpg")
    world.work_all()
    world.drop("a.jpg")
    assert world.job().evidence.finished, "once it was whole, it is forgotten"
    world.work_all()
    world.check_settled()


def test_a_photo_that_is_first_made_empty_or_found_on_its_way_is_not_one_that_is_closed_twice(world: World) -> None:
    world.drop("a.jpg", complete=False)
    world.wait(0.5)
    world.end(Unready(world.files[A].stamp, "it was written a moment ago", settling=True))
    world.event(Seen(IN, b"a.jpg", complete=True))
    assert (world.job().evidence.finished, world.job().evidence.published) == (True, None)
    world.work_all()
    photo = world.drop("b.jpg")
    world.end(Unready(FileSignature(0, 1), "empty"))
    world.event(Seen(IN, photo.path, complete=True))
    assert world.job().evidence.finished
    world.work_all()
    world.check_settled()


@pytest.mark.parametrize("begun", [False, True])
def test_a_photo_that_is_closed_twice_before_it_is_made_has_writers_who_may_not_be_done(
    make_world: MakeWorld, begun: bool
) -> None:
    world = make_world(workers=1).start()
    if not begun:
        for name in ("x.jpg", "y.jpg"):
            world.drop(name)  # no worker is free
    world.drop("a.jpg")
    assert ("a.jpg" in world.flying()) == begun
    world.drop("a.jpg")
    world.work_all()
    world.wait(1)
    world.work_all()
    jobs = [job for job in world.pool.submitted if job.photo == A]
    assert jobs[-1].evidence.reopened
    assert not jobs[-1].evidence.finished
    world.check_settled()


def test_a_job_says_what_the_photo_looked_like_when_it_was_made_though_it_was_waited_for_since(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    shown = world.files[A].stamp
    known = world.known("a.jpg")
    assert known is not None
    digest = known.digest
    assert digest
    world.put("a.jpg")
    world.wait(301)
    world.scan()
    for _ in range(2):
        assert world.job().evidence.published == (*shown[:2], digest)
        world.end(Unready(world.files[A].stamp, "it was written a moment ago", settling=True, seconds=3.0))
        world.wait(3.2)
    world.work_all()
    world.check_settled()


def test_a_photo_that_was_empty_when_it_was_closed_first_has_one_writer(world: World) -> None:
    photo = world.put("a.jpg")
    world.tell(
        Seen(IN, photo.path, complete=True, stamp=FileSignature(0, 1, 1)),
        Seen(IN, photo.path, complete=True, stamp=world.files[photo].stamp),
    )
    world.inboxes[IN].events += 2
    assert world.job().evidence.finished
    world.work_all()
    world.check_settled()


def test_a_job_says_how_large_the_photo_was_with_the_content_that_is_shown_however_often_it_changes(
    world: World,
) -> None:
    world.drop("a.jpg", size=1000)
    world.work()
    for size in (1000, 700, 800):
        world.drop("a.jpg", "truncated", size=size)
        assert published_size(world) == 1000
        world.work()
    world.drop("a.jpg", size=900)
    world.work_all()
    world.drop("a.jpg", size=950)
    assert published_size(world) == 900
    world.work_all()
    world.check_settled()


def test_a_photo_that_is_renamed_into_place_before_its_writer_closes_it_has_one_writer(make_world: MakeWorld) -> None:
    world = make_world(workers=1).start()
    for name in ("x.jpg", "y.jpg"):
        world.drop(name)  # no worker is free
    world.drop("a.jpg")
    world.event(Seen(IN, A.path, complete=True, stamp=world.files[A].stamp))  # as nginx does after a PUT
    world.work_all()
    (job,) = (job for job in world.pool.submitted if job.photo == A)
    assert job.evidence.finished
    world.check_settled()
