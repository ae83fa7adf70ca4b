"""All inboxes at work: events and listings in, sightings out; when to scan; what became of a watch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from watcher.backlog import Sighting
from watcher.config import Batch
from watcher.daemon.desk import MISSED_GRACE_SECONDS, WATCHFUL_SCANS, Desk, Scan
from watcher.daemon.dispatch import UNKNOWN, Dispatcher
from watcher.daemon.ledger import Ledger
from watcher.daemon.parts import InboxParts, InboxPlan, Log, Settings
from watcher.daemon.settle import Settler
from watcher.daemon.tally import Tally
from watcher.debounce import Debouncer, Ready
from watcher.model import (
    Entry,
    FolderSeen,
    Gone,
    Listing,
    Origin,
    PhotoId,
    ScanDone,
    Seen,
    Stamp,
    WatchBack,
    WatchLost,
    WatchReady,
)
from watcher.plan import Phase, needs_work

MOST_PENDING = 50_000  # photos that wait: events beyond are dropped for a scan, listings are not asked for
_EXAMINE = 1000  # known photos that are looked after at a time


class Desks:
    """The inboxes that are watched, and all that comes from them."""

    def __init__(
        self,
        by_path: dict[bytes, Desk],
        dispatcher: Dispatcher,
        settler: Settler,
        ledger: Ledger,
        tally: Tally,
        log: Log,
        *,
        once: bool,
    ) -> None:
        self.touched = False  # something happened that `status` may show
        self.abandoned = 0  # photos that a single run leaves because their output has no room
        self.unreachable: dict[bytes, str] = {}  # inboxes that could not be read whole, and why
        self._desks = by_path
        self._dispatcher = dispatcher
        self._settler = settler
        self._ledger = ledger
        self._tally = tally
        self._log = log
        self._once = once
        self._last_scan = 0
        self._ticked = 0.0

    # ---- opening and closing ----

    def open(self, plan: InboxPlan, parts: InboxParts, batch: Batch) -> None:
        """Take an inbox on. The watch is set first, and the first scan begins when that has been answered."""
        debouncer = Debouncer(batch.quiet_seconds, batch.max_wait_seconds, batch.max_files)
        self._desks[plan.inbox] = Desk(plan, parts, debouncer)
        parts.open()

    def close(self, inbox: bytes | None = None, now: float = 0.0) -> None:
        """Let go of an inbox, or of all of them."""
        for path in list(self._desks) if inbox is None else [inbox]:
            desk = self._desks[path]
            desk.parts.close()
            if inbox is not None:
                for sighting in self._dispatcher.drop(path):
                    self._leave(sighting, now)
                for sighting in self._settler.waiting.photos():
                    if sighting.photo.inbox == path:
                        self._settler.waiting.pop(sighting.photo)
                for number in (*desk.batches.values(), *([desk.scan_batch] if desk.scan_batch else [])):
                    self._settler.finish(self._tally.close(number), now)
                del self._desks[path]

    def reload(self, settings: Settings, parts_of: Callable[[InboxPlan], InboxParts], now: float) -> None:
        """Take on new settings: inboxes come and go, and those that stay lose no event."""
        plans = {plan.inbox: plan for plan in settings.inboxes}
        for path, desk in list(self._desks.items()):
            plan = plans.get(path)
            if plan is None or not desk.same_watch(plan):
                self.close(path, now)
        batch = settings.config.batch
        for path, plan in plans.items():
            kept = self._desks.get(path)
            if kept is None:
                self.open(plan, parts_of(plan), batch)
                continue
            kept.debouncer.quiet_seconds = batch.quiet_seconds
            kept.debouncer.max_wait_seconds = batch.max_wait_seconds
            kept.debouncer.max_files = batch.max_files
            if kept.ready and kept.scan is None:
                kept.next_scan = now + kept.scan_interval()
            if kept.use(plan):
                self.scan(kept, Origin.SCAN, counts_missed=False)

    @property
    def scanned(self) -> bool:
        """Whether every inbox was scanned, and all that was found was digested."""
        return all(
            desk.ready and not (desk.scan or desk.again or desk.afresh or len(desk.debouncer))
            for desk in self._desks.values()
        )

    # ---- events ----

    def event(self, message: Seen | FolderSeen | Gone, now: float) -> None:
        """Digest what the kernel announced."""
        desk = self._desks.get(message.inbox)
        if desk is None:
            return
        desk.parts.digested(1)
        self.touched = True
        match message:
            case Seen(_, path, complete):
                self._seen(desk, path, now, complete=complete)
            case FolderSeen(_, folder):
                self._last_scan += 1
                covered = not desk.parts.scan(self._last_scan, Origin.FOLDER, folder)
                if covered and desk.scan is not None:
                    desk.scan = replace(desk.scan, counts_missed=False)  # part of what it finds was announced
            case Gone(_, paths, folders):
                self._gone(desk, paths, folders, now)

    def _seen(self, desk: Desk, path: bytes, now: float, *, complete: bool) -> None:
        photo = PhotoId(desk.inbox, path)
        desk.suspects.pop(path, None)
        flight = self._dispatcher.flights.get(photo)
        if flight is not None:
            flight.again, flight.again_complete = True, complete
            return
        if len(desk.debouncer) + self._dispatcher.queue.waiting(desk.inbox) >= MOST_PENDING:
            desk.collapsed = True
            return
        waited = self._settler.waiting.get(photo)
        if waited is not None and not waited.alone:
            self._settler.waiting.pop(photo)  # a change starts over
        desk.debouncer.see(path, now, complete=complete)
        if desk.debouncer.burst not in desk.batches:
            desk.batches[desk.debouncer.burst] = self._tally.begin(desk.inbox, now)

    def _gone(self, desk: Desk, paths: Iterable[bytes], folders: Iterable[bytes], now: float) -> None:
        for path in paths:
            photo = PhotoId(desk.inbox, path)
            desk.suspects.pop(path, None)
            desk.debouncer.forget(path)
            self._settler.waiting.pop(photo)
            sighting = self._dispatcher.remove(photo)
            if sighting is not None:
                self._leave(sighting, now)
            flight = self._dispatcher.flights.get(photo)
            if flight is None:
                self._ledger.put(photo, None, now)
            else:
                # Its worker may have read it before it went: whatever comes back, it is looked at once more.
                flight.again, flight.again_complete = True, True
        if desk.debouncer.deadline() is None:  # so the next event begins a batch of its own
            self._close_batch(desk.batches.pop(desk.debouncer.burst, None), now)
        for folder in folders:
            self._ledger.forget_folder(desk.inbox, folder, now)
            for photo, flight in self._dispatcher.flights.items():
                if photo.inbox == desk.inbox and photo.path.startswith(folder + b"/"):
                    flight.again, flight.again_complete = True, True

    # ---- listings ----

    def listing(self, listing: Listing, now: float, wall: float) -> None:
        """Compare a part of a folder with the books; what needs work joins the line."""
        desk = self._desks.get(listing.inbox)
        if desk is None:
            return
        try:
            self._compare(desk, listing, now, wall)
        finally:
            if len(self._dispatcher.queue) < MOST_PENDING:
                desk.parts.ack()
            else:
                desk.held += 1

    def _compare(self, desk: Desk, listing: Listing, now: float, wall: float) -> None:
        live = desk.scan is None or desk.scan.number != listing.scan  # a folder that was announced
        origin = Origin.FOLDER if live or desk.scan is None else desk.scan.origin
        missed = not live and desk.scan is not None and desk.scan.counts_missed
        names = [entry.name for entry in listing.entries]
        briefs, known = self._ledger.store.briefs(listing.inbox, listing.folder, names)
        prefix = listing.folder + b"/" if listing.folder else b""
        for entry in listing.entries:
            brief = briefs.get(entry.name)
            if brief is not None:
                desk.listed += 1
                if (
                    brief.size == entry.size
                    and brief.mtime_ns == entry.mtime_ns
                    and not brief.leased
                    and (
                        brief.phase == Phase.FAILED
                        or (brief.phase == Phase.DONE and self._current(desk, brief.recipes))
                    )
                ):
                    continue
            photo = PhotoId(listing.inbox, prefix + entry.name)
            crashed = brief is not None and bool(brief.leased)
            self._found(desk, photo, entry, origin, now, wall, live=live, crashed=crashed, missed=missed)
        if listing.last:
            if desk.listed < known:
                desk.short.add(listing.folder)
            desk.listed = 0
            if live:
                self._examine_short(desk)
            else:
                desk.seen_folders.add(listing.folder)

    def _current(self, desk: Desk, recipes: int) -> bool:
        return desk.is_current(recipes, self._ledger.store.recipes_of)

    def _found(
        self,
        desk: Desk,
        photo: PhotoId,
        entry: Entry,
        origin: Origin,
        now: float,
        wall: float,
        *,
        live: bool,
        crashed: bool,
        missed: bool,
    ) -> None:
        """Take up a photo that a scan found in need of work, unless it is on its way already."""
        flight = self._dispatcher.flights.get(photo)
        if flight is not None:
            wanted = desk.plan.wanted
            if any(wanted.get(item.name) != item.recipe for item in flight.job.renderings):
                flight.again, flight.again_complete = True, True
            return
        stamp = Stamp(entry.size, entry.mtime_ns, entry.inode)
        waited = self._settler.waiting.get(photo)
        if waited is not None and (waited.incomplete is None or waited.incomplete.same_content(stamp)):
            return
        if photo in self._dispatcher or photo.path in desk.debouncer:
            return
        if photo in self._ledger and not needs_work(self._ledger.known(photo), stamp, desk.plan.wanted):
            return
        if self._is_known_crash(photo, entry, now):
            return
        self._settler.waiting.pop(photo)
        if missed:
            desk.suspects[photo.path] = now + MISSED_GRACE_SECONDS
        if desk.scan_batch is None or desk.scan_batch_files >= desk.debouncer.max_files:
            self._close_scan_batch(desk, now)
            desk.scan_batch = self._tally.begin(desk.inbox, now)
        desk.scan_batch_files += 1
        self.touched = True
        self.enqueue(Sighting(photo, origin, wall, desk.scan_batch, expected=stamp, alone=crashed), now, live=live)

    def _is_known_crash(self, photo: PhotoId, entry: Entry, now: float) -> bool:
        """Tell whether the photo failed by killing its worker, which leaves no stamp; it gets the one it has now."""
        known = self._ledger.known(photo)
        if known is None or known.phase is not Phase.FAILED or known.stamp != UNKNOWN or known.leased:
            return False
        if entry.mtime_ns / 1e9 > known.at:
            return False
        self._ledger.put(photo, replace(known, stamp=Stamp(entry.size, entry.mtime_ns)), now)
        return True

    def _examine_short(self, desk: Desk) -> bool:
        """Have folders looked after that hold less than is known of them, if it is sure that they are the same."""
        if not desk.may_forget or not desk.short:
            return False
        for folder in desk.short:
            self._examine(desk, folder)
        desk.short.clear()
        return True

    def _examine(self, desk: Desk, folder: bytes) -> None:
        """Have known photos looked after that a listing of their folder did not show."""
        prefix = folder + b"/" if folder else b""
        paths: list[bytes] = []
        for name in self._ledger.store.names(desk.inbox, folder):
            paths.append(prefix + name)
            if len(paths) == _EXAMINE:
                desk.parts.examine(paths, [])
                paths = []
        if paths:
            desk.parts.examine(paths, [])

    def enqueue(self, sighting: Sighting, now: float, *, live: bool) -> None:
        """Let a photo wait for a worker; it counts in its batch."""
        self._tally.join(sighting.batch)
        replaced = self._dispatcher.put(sighting, live=live)
        if replaced is not None:
            self._leave(replaced, now)

    def look_again(self, sightings: Iterable[Sighting], now: float) -> None:
        """Let photos whose time has come again wait for a worker: a batch for each inbox."""
        batches: dict[bytes, int] = {}
        for sighting in sightings:
            inbox = sighting.photo.inbox
            if inbox not in batches:
                batches[inbox] = self._tally.begin(inbox, now)
            self.enqueue(replace(sighting, batch=batches[inbox]), now, live=True)
        for number in batches.values():
            self._settler.finish(self._tally.close(number), now)

    def _leave(self, sighting: Sighting, now: float) -> None:
        self._settler.finish(self._tally.leave(sighting.batch), now)

    def _close_scan_batch(self, desk: Desk, now: float) -> None:
        if desk.scan_batch is not None:
            self._close_batch(desk.scan_batch, now)
            desk.scan_batch, desk.scan_batch_files = None, 0

    def _close_batch(self, number: int | None, now: float) -> None:
        if number is not None:
            self._settler.finish(self._tally.close(number), now)

    # ---- scans ----

    def scan(self, desk: Desk, origin: Origin, *, counts_missed: bool) -> None:
        """Have the whole inbox looked through, now or right after the scan that is on."""
        self._last_scan += 1
        scan = Scan(self._last_scan, origin, counts_missed)
        desk.next_scan = None
        if desk.scan is not None:
            desk.again = scan
            return
        desk.scan, desk.listed, desk.afresh = scan, 0, False
        desk.seen_folders.clear()
        desk.parts.scan(scan.number, origin)

    def scan_afresh(self, now: float) -> None:
        """Have every inbox looked through soon: a message could not be digested."""
        for desk in self._desks.values():
            desk.afresh = True
            if desk.ready and desk.scan is None:
                desk.next_scan = now + desk.scan_interval()

    def scan_done(self, done: ScanDone, now: float) -> None:
        """Draw the conclusions from a scan."""
        desk = self._desks.get(done.inbox)
        if desk is None:
            return
        self._close_scan_batch(desk, now)
        if desk.scan is None or desk.scan.number != done.scan:
            return
        try:
            self._conclude(desk, done)
        finally:
            desk.watchful = max(0, desk.watchful - 1)
            desk.scan = None
            desk.next_scan = now + desk.scan_interval()
            self.touched = True
            if desk.again is not None:
                again, desk.again = desk.again, None
                self.scan(desk, again.origin, counts_missed=again.counts_missed)

    def _conclude(self, desk: Desk, done: ScanDone) -> None:
        self._judge_root(desk, done)
        self._log.info(
            "scan.done",
            inbox=done.inbox,
            origin=str(done.origin),
            photos=done.photos,
            folders=done.folders,
            seconds=round(done.seconds, 3),
            waiting=self._dispatcher.waiting(done.inbox),
            complete=done.complete,
            **({"reason": done.reason} if done.reason else {}),
        )
        if done.complete:
            doubtful = self._examine_short(desk)
            doubtful |= self._examine_folders(desk)
            if doubtful and self._once and not desk.doubted:
                desk.doubted = True
                self.scan(desk, Origin.SCAN, counts_missed=False)  # its end comes after what the examination found

    def _judge_root(self, desk: Desk, done: ScanDone) -> None:
        """Find out whether the inbox is there, and whether it is the folder that the books are about."""
        was = desk.reachable
        if not done.complete:
            self.unreachable[desk.inbox] = done.reason
        else:
            self.unreachable.pop(desk.inbox, None)
        desk.reachable, desk.unreachable_reason = done.root is not None, done.reason
        if done.root is None:
            if was and not desk.native:
                self._log.warning("watch.lost", inbox=desk.inbox, reason=done.reason)
            return
        known = self._ledger.store.identity(desk.inbox)
        if known is not None and known != done.root and done.photos == 0 and self._knows_photos(desk):
            # An unmounted volume leaves an empty folder behind: its photos are elsewhere, not deleted.
            desk.reachable, desk.may_forget = False, False
            desk.unreachable_reason = "it is empty and not the folder that it was: is its volume not mounted?"
            if was:
                self._log.warning("watch.lost", inbox=desk.inbox, reason=desk.unreachable_reason)
            return
        desk.may_forget = known == done.root and done.complete
        if known != done.root and done.complete:
            self._ledger.store.set_identity(desk.inbox, done.root)
        if not was and not desk.native:
            self._log.info("watch.back", inbox=desk.inbox)

    def _knows_photos(self, desk: Desk) -> bool:
        return bool(self._ledger.store.folders(desk.inbox))

    def _examine_folders(self, desk: Desk) -> bool:
        """Have folders looked after that are on the books and that the scan did not come by."""
        if not desk.may_forget:
            return False
        known = self._ledger.store.folders(desk.inbox)
        folders = [folder for folder in known if folder and folder not in desk.seen_folders]
        for start in range(0, len(folders), _EXAMINE):
            desk.parts.examine([], folders[start : start + _EXAMINE])
        return bool(folders)

    # ---- the watch ----

    def watch_ready(self, ready: WatchReady) -> None:
        """Begin the first scan of an inbox: its watch is set."""
        desk = self._desks.get(ready.inbox)
        if desk is None or desk.ready:
            return
        desk.ready, desk.native, desk.watch_reason = True, ready.native, ready.reason
        desk.trusted = ready.native
        if not self._once:
            self._log.info("watch.started", inbox=desk.inbox, watch="native" if ready.native else "poll")
            if not ready.native and desk.plan.config.watch != "poll":
                self._log.warning("watch.degraded", inbox=desk.inbox, reason=ready.reason)
        self.scan(desk, Origin.START, counts_missed=False)

    def watch_lost(self, lost: WatchLost) -> None:
        """Look through an inbox whose events can't be trusted, and go on by scans until they can."""
        desk = self._desks.get(lost.inbox)
        if desk is None:
            return
        self._log.warning("watch.lost", inbox=lost.inbox, reason=lost.reason)
        self.touched = True
        if lost.healed:
            self._log.info("watch.back", inbox=lost.inbox)
        else:
            desk.trusted, desk.watch_reason = False, lost.reason
        self.scan(desk, Origin.SCAN, counts_missed=False)

    def watch_back(self, back: WatchBack) -> None:
        """Trust the events of an inbox again; a scan finds what they missed meanwhile."""
        desk = self._desks.get(back.inbox)
        if desk is None:
            return
        self._log.info("watch.back", inbox=back.inbox)
        desk.native = desk.trusted = True
        desk.watch_reason = ""
        self.touched = True
        self.scan(desk, Origin.SCAN, counts_missed=False)

    # ---- what is due ----

    def deadline(self) -> float | None:
        """When something is due next."""
        deadlines: list[float] = []
        for desk in self._desks.values():
            burst = desk.debouncer.deadline()
            if burst is not None:
                deadlines.append(burst)
            if desk.next_scan is not None and (desk.afresh or not self._once):
                deadlines.append(desk.next_scan)
            if desk.suspects:
                deadlines.append(min(desk.suspects.values()))
            # One that has come already waits for a worker, which tells by a message that it is free.
            if desk.full_until is not None and desk.full_until > self._ticked and self._dispatcher.waiting(desk.inbox):
                deadlines.append(desk.full_until)
        return min(deadlines, default=None)

    def tick(self, now: float, wall: float) -> None:
        """Release bursts, count missed events, begin scans, and let listings flow that were held back."""
        self._ticked = now
        for desk in self._desks.values():
            self._release(desk, now, wall)
            self._count_missed(desk, now)
            if desk.next_scan is not None and now >= desk.next_scan and (desk.afresh or not self._once):
                self.scan(desk, Origin.SCAN, counts_missed=desk.trusted and not desk.afresh)
            if len(self._dispatcher.queue) < MOST_PENDING // 2:
                for _ in range(desk.held):
                    desk.parts.ack()
                desk.held = 0
                if desk.collapsed:
                    desk.collapsed = False
                    self.scan(desk, Origin.SCAN, counts_missed=False)
            if self._once and desk.full_said:
                for sighting in self._dispatcher.drop(desk.inbox):
                    self.abandoned += self._ledger.known(sighting.photo) is None  # the others are named one by one
                    self._leave(sighting, now)

    def _release(self, desk: Desk, now: float, wall: float) -> None:
        """Hand over the photos of bursts that have ended, and closed ones as far as workers are free for them."""
        early: list[Ready] | None = None
        while early is None or early:
            while (released := desk.debouncer.due(now)) is not None:
                ready, burst = released
                self._hand_over(desk, ready, now, wall)
                self._close_batch(desk.batches.pop(burst, None), now)
                if len(desk.debouncer) and desk.debouncer.burst not in desk.batches:
                    desk.batches[desk.debouncer.burst] = self._tally.begin(desk.inbox, now)
            room = self._dispatcher.spare - self._dispatcher.queue.live
            early = desk.debouncer.take(room) if room > 0 else []
            self._hand_over(desk, early, now, wall)

    def _hand_over(self, desk: Desk, ready: Iterable[Ready], now: float, wall: float) -> None:
        for item in ready:
            number = desk.batches.get(item.burst)
            if number is None:
                number = desk.batches[item.burst] = self._tally.begin(desk.inbox, now)
            photo = PhotoId(desk.inbox, item.path)
            waited = self._settler.waiting.pop(photo)
            alone = waited is not None and waited.alone  # it changed; it is still to be tried where it hurts nobody
            sighting = Sighting(photo, Origin.EVENT, wall, number, complete=item.complete, alone=alone)
            self.enqueue(sighting, now, live=True)

    def _count_missed(self, desk: Desk, now: float) -> None:
        late = [path for path, due in desk.suspects.items() if due <= now]
        for path in late:
            del desk.suspects[path]
        if late:
            desk.missed += len(late)
            desk.watchful = WATCHFUL_SCANS
            desk.next_scan = now + desk.scan_interval()
            self.touched = True
            self._log.warning("events.missed", inbox=desk.inbox, photos=len(late), total=desk.missed)

    # ---- what `status` shows ----

    def report(self, desk: Desk) -> Mapping[str, object]:
        """Say of an inbox what only the running daemon knows."""
        inbox = desk.inbox
        looked_at = [item.seen for item in self._settler.waiting.photos() if item.photo.inbox == inbox]
        queued = self._dispatcher.oldest(inbox)
        oldest = min([*looked_at, *([queued] if queued is not None else [])], default=None)
        return {
            "output": os.fsdecode(desk.plan.output),
            "watch": "native" if desk.native and desk.trusted else "poll",
            "watch_reason": desk.watch_reason,
            "reachable": desk.reachable,
            "unreachable_reason": desk.unreachable_reason,
            "missed_events": desk.missed,
            "waiting": self._dispatcher.waiting(inbox) + len(looked_at) + len(desk.debouncer),
            "oldest_waiting": oldest,
        }
