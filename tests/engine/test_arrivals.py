"""From events and listings to jobs."""

from __future__ import annotations

import sys

import pytest

from tests.engine.conftest import MakeWorld
from tests.engine.fakes import IN, World
from watcher.core.messages import Entry, FolderSeen, Gone, Listing, ScanDone, Seen, WatchBack, WatchLost, WatchReady
from watcher.core.records import Phase
from watcher.core.types import Origin, PhotoId, Vanished
from watcher.engine.scheduler import LEASE

# ---- the watch first, then the scan: invariant 2 ----


def test_the_first_scan_waits_for_the_watch(make_world: MakeWorld) -> None:  # invariant 2
    world = make_world()
    world.daemon.start()
    parts = world.inboxes[IN]
    assert parts.opened
    world.wait(60)
    assert parts.scans == []
    world.tell(WatchReady(IN, native=True, reason=""))
    assert [origin for _, origin, _ in parts.scans] == [Origin.START]
    world.tell(WatchReady(IN, native=True, reason=""))
    assert len(parts.scans) == 1


def test_an_event_that_comes_before_the_first_scan_counts(make_world: MakeWorld) -> None:
    world = make_world()
    world.daemon.start()
    world.drop("a.jpg")
    assert world.flying() == ["a.jpg"]


def test_what_no_event_announced_is_found_by_the_next_scan_and_counted(world: World) -> None:  # invariant 2
    world.put("a.jpg")
    world.wait(299)
    assert world.flying() == []
    world.wait(2)
    world.scan()
    assert world.flying() == ["a.jpg"]
    world.work()
    world.wait(3)
    assert world.inbox_state().missed == 1
    assert len(world.log.of("events.missed")) == 1
    world.check_settled()


def test_an_event_that_comes_just_after_the_scan_that_saw_the_photo_was_not_missed(world: World) -> None:
    photo = world.put("a.jpg")
    world.wait(300)
    world.scan()
    world.wait(1.9)
    world.event(Seen(IN, photo.path, complete=True))
    world.work_all()
    world.wait(5)
    assert world.inbox_state().missed == 0


def test_after_missed_events_scans_come_sooner_for_a_while(world: World) -> None:
    world.put("a.jpg")
    world.wait(300)
    world.scan()
    world.work()
    before = world.clock.now
    counted = len(world.inboxes[IN].scans)
    for _ in range(30):
        world.wait(15)
        world.scan()
    assert world.clock.now - before == 450
    assert 10 <= len(world.inboxes[IN].scans) - counted <= 13


def test_missed_events_never_start_a_second_scan_beside_one_that_hangs(world: World) -> None:
    photo = world.put("a.jpg")
    world.wait(300)
    parts = world.inboxes[IN]
    (number, _, _), *_ = parts.requests
    world.tell(Listing(IN, number, b"", (Entry(photo.path, world.files[photo].stamp),), last=True))
    parts.posted += 1
    world.wait(3600)  # the scan does not end; `wait` fails where the loop spins
    assert len(parts.requests) == 1
    world.scan()
    world.work_all()
    world.check_settled()


def test_an_inbox_without_a_watch_is_scanned_every_few_seconds_and_counts_nothing_as_missed(
    make_world: MakeWorld,
) -> None:
    world = make_world().start(native=False)
    assert world.log.of("watch.degraded")
    world.put("a.jpg")
    world.wait(10)
    world.scan()
    world.work()
    world.wait(5)
    assert world.known("a.jpg") is not None
    assert world.inbox_state().missed == 0
    assert world.log.of("events.missed") == []


def test_an_inbox_of_which_a_part_has_no_watch_from_the_start_is_scanned_every_few_seconds(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    world.daemon.start()
    world.tell(WatchLost(IN, "no more watches", healed=False), WatchReady(IN, native=True, reason=""))
    world.scan()
    world.put("a.jpg")
    world.wait(10)
    world.scan()
    world.work()
    assert world.known("a.jpg") is not None
    assert world.log.of("watch.back") == []
    world.tell(WatchBack(IN))
    world.scan()
    assert len(world.log.of("watch.back")) == 1
    assert world.inbox_state().trusted


def test_after_lost_events_the_watch_is_back_when_a_scan_has_made_up_for_them(world: World) -> None:
    world.put("a.jpg")
    world.tell(WatchLost(IN, "overflow", healed=True))
    assert world.log.of("watch.back") == []
    world.scan()
    assert len(world.log.of("watch.back")) == 1
    world.wait(300)
    world.scan()
    assert len(world.log.of("watch.back")) == 1


# ---- bursts ----


def test_the_first_photo_of_a_burst_starts_at_once_and_the_rest_is_batched_behind_it(world: World) -> None:
    for number in range(6):
        world.drop(f"{number}.jpg")
    assert world.flying() == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]  # as many as the pool takes
    world.work_all()
    world.wait(1)
    world.work_all()
    assert [batch["files"] for batch in world.log.of("batch.done")] == [6]
    assert world.worked == [(photo, file.stamp) for photo, file in world.files.items()]
    world.check_settled()


def test_a_photo_whose_writer_is_not_known_to_be_done_waits_for_silence(world: World) -> None:
    world.drop("a.jpg", complete=False)
    world.wait(0.4)
    world.event(Seen(IN, b"a.jpg", complete=False))
    world.wait(0.4)
    assert world.flying() == []
    world.wait(0.2)
    assert not world.job().evidence.finished
    world.work()
    world.check_settled()


def test_a_photo_seen_many_times_is_made_once(world: World) -> None:
    world.put("a.jpg")
    for complete in (False, True, False, True, True):
        world.event(Seen(IN, b"a.jpg", complete=complete))
    world.wait(5)
    world.work_all()
    world.wait(5)
    world.work_all()
    assert len(world.worked) == 1
    world.check_settled()


def test_a_batch_holds_no_more_than_the_config_says(make_world: MakeWorld) -> None:
    world = make_world()
    world.raw["batch"] = {"max_files": 5}
    world._build()
    world.start()
    for number in range(12):
        world.put(f"{number}.jpg")
    world.tell(*(Seen(IN, b"%d.jpg" % number, complete=number % 2 == 0) for number in range(12)))
    world.inboxes[IN].events += 12
    world.wait(1)
    world.work_all()
    sizes = [batch["files"] for batch in world.log.of("batch.done")]
    assert sum(sizes) == 12
    assert max(sizes) <= 5
    world.check_settled()


def test_a_burst_that_came_to_nothing_does_not_age_the_next_one(world: World) -> None:
    world.drop("a.jpg", complete=False)
    del world.files[PhotoId(IN, b"a.jpg")]
    world.event(Gone(IN, (b"a.jpg",)))
    world.wait(1000)
    world.scan()
    world.drop("b.jpg")
    world.work()
    world.wait(1)
    (batch,) = world.log.of("batch.done")
    assert batch["seconds"] < 1
    world.check_settled()


def test_no_message_is_lost_when_very_many_come_at_once(world: World) -> None:
    photos = [world.put(f"{number}.jpg") for number in range(1200)]
    world.inboxes[IN].events += len(photos)
    world.tell(*(Seen(IN, photo.path, complete=True) for photo in photos))
    world.wait(1)
    world.work_all()
    assert world.store.counts(IN).done == 0 or world.store.counts(IN).done <= 1200
    world.wait(1)
    assert world.store.counts(IN).done == 1200
    assert len(world.worked) == 1200
    world.check_settled()


# ---- order ----


def test_a_photo_that_just_arrived_overtakes_a_backlog(make_world: MakeWorld) -> None:
    world = make_world()
    for number in range(100):
        world.put(f"{number}.jpg")
    world.start()
    world.drop("new.jpg")
    world.wait(1)
    for _ in range(3):
        world.pool.finish(world.job(world.flying()[0]), world.outcome(next(iter(world.pool.jobs.values()))))
        world.rest()
        if "new.jpg" in world.flying():
            break
    assert "new.jpg" in world.flying()
    world.work_all()
    world.check_settled()


def test_the_backlog_is_told_in_batches_of_the_usual_size(make_world: MakeWorld) -> None:
    world = make_world()
    for number in range(300):
        world.put(f"{number}.jpg")
    world.start()
    world.work_all()
    world.wait(1)
    assert sorted(batch["files"] for batch in world.log.of("batch.done")) == [44, 128, 128]
    world.check_settled()


def test_no_inbox_starves_another(make_world: MakeWorld) -> None:
    world = make_world()
    world.raw["inbox"].append({"path": "/in2", "output": "/out2"})
    world._build()
    for number in range(100):
        world.put(f"{number}.jpg")
        world.put(f"{number}.jpg", inbox=b"/in2")
    world.start()
    for _ in range(20):
        world.work()
    inboxes = [photo.inbox for photo, _ in world.worked]
    assert abs(inboxes.count(IN) - inboxes.count(b"/in2")) <= LEASE  # as many as go on record at once


# ---- folders ----


def test_a_folder_that_was_moved_in_is_looked_through_and_its_photos_go_ahead(world: World) -> None:
    world.put("trip/day/a.jpg")
    world.event(FolderSeen(IN, b"trip"))
    assert [folder for _, _, folder in world.inboxes[IN].scans] == [b"", b"trip"]
    world.scan()
    assert world.flying() == ["trip/day/a.jpg"]
    world.work()
    world.wait(10)
    assert world.inbox_state().missed == 0
    known = world.known("trip/day/a.jpg")
    assert known is not None
    assert known.origin == "folder"
    world.check_settled()


def test_a_folder_that_a_waiting_scan_covers_counts_as_announced(world: World) -> None:
    world.wait(300)  # a scan is asked for, and its answer is pending
    world.put("trip/a.jpg")
    world.event(FolderSeen(IN, b"trip"))
    world.scan()
    world.work()
    world.wait(10)
    assert world.inbox_state().missed == 0
    world.check_settled()


# ---- what goes away ----


def test_a_photo_that_went_away_is_forgotten_wherever_it_was(world: World) -> None:
    for name in "abcdef":
        world.drop(f"{name}.jpg")
    world.drop("t.jpg", "truncated")
    world.work("a.jpg")
    world.drop("new.jpg", complete=False)
    gone = ["a.jpg", "b.jpg", "f.jpg", "new.jpg", "t.jpg"]  # done, in a worker, in the line, in a burst, in the line
    for name in gone:
        del world.files[PhotoId(IN, name.encode())]
        world.event(Gone(IN, (name.encode(),)))
    world.work_all()
    world.wait(20)
    world.work_all()
    world.wait(1)
    assert {photo.path for photo, _ in world.store.photos(IN, Phase.DONE)} == {b"c.jpg", b"d.jpg", b"e.jpg"}
    assert world.store.counts(IN).waiting == 0
    world.check_settled()


def test_a_photo_that_went_away_just_after_its_worker_had_read_it_is_forgotten(world: World) -> None:
    world.drop("a.jpg")
    done = world.done()
    del world.files[PhotoId(IN, b"a.jpg")]
    world.event(Gone(IN, (b"a.jpg",)))
    world.end(done)
    world.wait(1)
    world.work_all()
    world.scan()
    assert world.known("a.jpg") is None
    world.check_settled()


def test_a_done_photo_that_goes_away_while_it_is_tried_once_more_is_forgotten(world: World) -> None:
    world.drop("x/a.jpg")
    world.work()
    world.event(Seen(IN, b"x/a.jpg", complete=True))
    del world.files[PhotoId(IN, b"x/a.jpg")]
    world.event(Gone(IN, folders=(b"x",)))
    for _ in range(5):
        world.work()
        world.scan()
        world.wait(1)
    assert world.known("x/a.jpg") is None
    assert len(world.pool.submitted) <= 3
    world.check_settled()


def test_a_folder_that_went_away_takes_its_photos_off_the_books_those_in_a_worker_too(world: World) -> None:
    world.drop("x/a.jpg")
    world.work()
    world.drop("x/b.jpg")
    done = world.done()
    world.drop("xy/c.jpg")
    for name in (b"x/a.jpg", b"x/b.jpg"):
        del world.files[PhotoId(IN, name)]
    world.event(Gone(IN, folders=(b"x",)))
    world.end(done, "x/b.jpg")
    world.wait(1)
    world.work_all()
    world.scan()
    world.wait(1)
    assert [photo.path for photo, _ in world.store.photos(IN, Phase.DONE)] == [b"xy/c.jpg"]
    world.check_settled()


def test_a_photo_that_is_replaced_while_it_is_decoded_is_made_again(world: World) -> None:
    world.drop("a.jpg")
    old = world.done()
    new = world.drop("a.jpg")
    assert len(world.pool.jobs) == 1
    world.end(old)
    world.wait(1)
    world.work_all()
    known = world.known("a.jpg")
    assert known is not None
    assert known.stamp.same_content(world.files[new].stamp)
    assert world.outputs[b"web/a.jpg"][0] == world.files[new].stamp
    world.check_settled()


def test_a_deletion_that_no_event_told_is_found_by_two_scans(world: World) -> None:
    world.drop("a.jpg")
    world.drop("x/b.jpg")
    world.drop("x/c.jpg")
    world.work_all()
    world.wait(300)
    world.scan()
    for name in (b"a.jpg", b"x/b.jpg", b"x/c.jpg"):
        del world.files[PhotoId(IN, name)]
    world.put("d.jpg")
    for _ in range(2):
        world.wait(300)
        world.scan()
        world.work_all()
    assert world.store.counts(IN).done == 1
    assert world.known("d.jpg") is not None
    world.check_settled()


# ---- an inbox that vanishes ----


def test_an_inbox_that_vanishes_loses_nothing_and_is_scanned_when_it_is_back(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    world.reachable = False
    world.tell(WatchLost(IN, "unmounted", healed=False))
    world.scan()
    for _ in range(10):
        world.wait(10)
        world.scan()
    assert world.known("a.jpg") is not None
    assert not world.inbox_state().reachable
    assert IN in world.daemon.inboxes.unreachable
    world.reachable = True
    world.put("b.jpg")
    world.tell(WatchBack(IN))
    world.scan()
    world.work_all()
    assert world.known("b.jpg") is not None
    assert world.inbox_state().reachable
    assert world.inbox_state().missed == 0
    assert len(world.worked) == 2
    assert watch_lines(world) == ["watch.lost", "watch.back"]


def test_an_inbox_on_which_a_share_is_mounted_is_polled_until_it_is_gone(world: World) -> None:
    world.tell(WatchLost(IN, "nfs4 does not announce", healed=False, silent=True))
    world.scan()
    assert [fields["reason"] for event, fields in world.log.lines if event == "watch.degraded"] == [
        "nfs4 does not announce"
    ]
    assert (world.inbox_state().native, world.inbox_state().watch_reason) == (False, "nfs4 does not announce")
    assert world.inbox_state().scan_interval() == world.inbox_state().plan.config.poll_seconds
    assert watch_lines(world) == []
    world.tell(WatchBack(IN))
    world.scan()
    assert (world.inbox_state().native, world.inbox_state().watch_reason) == (True, "")
    assert watch_lines(world) == ["watch.back"]


def watch_lines(world: World) -> list[str]:
    return [event for event, _ in world.log.lines if event in {"watch.lost", "watch.back"}]


def test_an_empty_folder_that_stands_in_for_the_inbox_is_not_it_and_deletes_nothing(world: World) -> None:
    for name in ("a.jpg", "x/b.jpg"):
        world.drop(name)
    world.work_all()
    world.wait(300)
    world.scan()
    files, world.files = world.files, {}
    world.root = (2, 2)  # the mount point under the volume
    world.tell(WatchLost(IN, "another folder", healed=False), WatchBack(IN))
    for _ in range(3):
        world.scan()
        world.wait(300)
    assert watch_lines(world) == ["watch.lost", "watch.lost"]
    assert not world.inbox_state().reachable
    world.event(Seen(IN, b"a.jpg", complete=True))  # of the moment of the unmount
    world.end(Vanished("there is no such file"))
    world.scan()
    assert world.store.counts(IN).done == 2
    world.files, world.root = files, (1, 1)
    world.tell(WatchLost(IN, "another folder", healed=False), WatchBack(IN))
    world.scan()
    assert world.inbox_state().reachable
    assert watch_lines(world)[2:] == ["watch.lost", "watch.back"]
    world.work_all()
    assert len(world.worked) == 2


def test_a_new_folder_in_place_of_the_inbox_is_the_inbox_once_somebody_uses_it(world: World) -> None:
    world.drop("a.jpg")
    world.work()
    world.wait(300)
    world.scan()
    world.files.clear()
    world.root = (2, 2)
    world.tell(WatchLost(IN, "another folder", healed=False), WatchBack(IN))
    world.scan()
    assert not world.inbox_state().reachable
    scans = len(world.inboxes[IN].scans)
    for name in ("b.jpg", "c.jpg", "d.jpg"):
        world.drop(name)
    world.wait(2)
    assert len(world.inboxes[IN].scans) == scans + 1, "one for all that came"
    world.scan()
    assert world.inbox_state().reachable
    assert watch_lines(world)[-1] == "watch.back"
    world.work_all()
    assert world.known("a.jpg") is not None, "one look is not enough to forget"
    world.wait(300)
    world.scan()
    assert world.known("a.jpg") is None
    assert world.known("b.jpg") is not None


# ---- bounds: invariant 10 ----


def let_wait_at_most(photos: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("watcher.engine.") and hasattr(module, "MOST_PENDING"):
            monkeypatch.setattr(module, "MOST_PENDING", photos)


def test_past_the_most_photos_that_may_wait_events_become_a_scan(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:  # invariant 10
    let_wait_at_most(20, monkeypatch)
    world = make_world().start()
    photos = [world.put(f"{number}.jpg") for number in range(100)]
    world.inboxes[IN].events += 100
    for photo in photos:
        world.tell(Seen(IN, photo.path, complete=True))
        desk = world.inbox_state()
        assert len(desk.debouncer) + world.daemon.photos.tracker.queued <= 20
    for _ in range(40):
        world.wait(1)
        world.work_all()
        world.scan()
    assert {photo for photo, _ in world.store.photos(IN, Phase.DONE)} == set(photos)
    assert len(world.worked) == 100
    assert world.inbox_state().missed == 0
    world.check_settled()


def test_past_the_most_photos_that_may_wait_the_scanner_waits_for_its_ack(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:  # invariant 10
    let_wait_at_most(20, monkeypatch)
    world = make_world()
    world.daemon.start()
    world.tell(WatchReady(IN, native=True, reason=""))
    parts = world.inboxes[IN]
    photos = [world.put(f"{number:03}/a.jpg") for number in range(60)]
    (number, origin, _), *_ = parts.requests
    parts.requests.clear()
    for photo in photos:
        while parts.posted - parts.acks == 4:  # the scanner waits
            world.work()
        assert world.daemon.photos.tracker.queued <= 20 + 4
        parts.posted += 1
        entry = Entry(photo.name, world.files[photo].stamp)
        world.tell(Listing(IN, number, photo.folder, (entry,), last=True))
    assert world.worked
    world.tell(ScanDone(IN, number, origin, b"", 60, 60, 0.1, complete=True, root=(1, 1)))
    world.work_all()
    world.check_settled()


def test_a_message_for_an_inbox_that_is_not_there_is_ignored(world: World) -> None:
    nowhere = b"/nowhere"
    world.tell(
        Seen(nowhere, b"a", complete=True),
        FolderSeen(nowhere, b"a"),
        Gone(nowhere, (b"a",), (b"b",)),
        Listing(nowhere, 1, b"", (), last=True),
        ScanDone(nowhere, 1, Origin.SCAN, b"", 0, 0, 0.0, complete=True),
        WatchReady(nowhere, native=True, reason=""),
        WatchLost(nowhere, "", healed=False),
        WatchBack(nowhere),
    )
    world.check_settled()


def test_a_photo_of_a_new_folder_that_is_announced_and_not_closed_is_looked_at_when_its_folder_is(world: World) -> None:
    photo = world.put("x/a.jpg")
    world.event(FolderSeen(IN, b"x"))
    world.event(Seen(IN, photo.path, complete=False, stamp=world.files[photo].stamp, created=True))
    assert world.flying() == []
    world.scan()
    assert world.flying() == ["x/a.jpg"]
    assert (world.job().evidence.closed, world.job().evidence.created) == (False, world.files[photo].stamp.inode)
    world.work_all()
    assert len(world.log.of("photo.done")) == 1
    world.check_settled()
