"""What is known of an inbox against what lies in it: when to scan, and what listings show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from watcher.core.queue import Looked, Sighting
from watcher.core.records import Phase, needs_work
from watcher.core.types import Entry, FileSignature, Listing, Origin, PhotoId, ScanDone
from watcher.engine.archiver import Archiver
from watcher.engine.inbox import MISSED_GRACE_SECONDS, InboxState, Scan
from watcher.engine.jobs import UNKNOWN
from watcher.engine.line import MOST_PENDING, Line
from watcher.engine.missing import MissingPhotos
from watcher.engine.ports import Brief, Log
from watcher.engine.scheduler import Scheduler
from watcher.engine.store_health import Use
from watcher.engine.timers import Waiting
from watcher.engine.writer import WriteBuffer


class Reconciler:
    """Has inboxes looked through, and draws the conclusions."""

    def __init__(
        self,
        desks: Mapping[bytes, InboxState],
        dispatcher: Scheduler,
        waiting: Waiting,
        ledger: WriteBuffer,
        line: Line,
        keeper: Archiver,
        log: Log,
        *,
        once: bool,
    ) -> None:
        self.missing = MissingPhotos(ledger, log)
        self._desks = desks
        self._dispatcher = dispatcher
        self._waiting = waiting
        self._ledger = ledger
        self._line = line
        self._keeper = keeper
        self._log = log
        self._once = once
        self._last = 0

    # ---- asking for scans ----

    def scan(self, desk: InboxState, origin: Origin, *, counts_missed: bool) -> None:
        """Have the whole inbox looked through, now or right after the scan that is on."""
        self._last += 1
        scan = Scan(self._last, origin, counts_missed)
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

    def look_into(self, desk: InboxState, folder: bytes) -> None:
        """Have a folder looked through that was announced."""
        self._last += 1
        covered = not desk.parts.scan(self._last, Origin.FOLDER, folder)
        if covered and desk.scan is not None:
            desk.scan = replace(desk.scan, counts_missed=False)  # part of what it finds was announced

    # ---- what they found ----

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

    def _compare(self, desk: InboxState, listing: Listing, now: float, wall: float) -> None:
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
                    if brief.phase == Phase.DONE:
                        self._keeper.want(PhotoId(listing.inbox, prefix + entry.name), FileSignature(*entry[1:]))
                    continue
            photo = PhotoId(listing.inbox, prefix + entry.name)
            self._found(desk, photo, entry, origin, now, wall, live=live, brief=brief, missed=missed)
        for name in listing.hidden:
            self._keeper.put_back(PhotoId(listing.inbox, prefix + name))
        if listing.last:
            if desk.listed < known:
                desk.short.add(listing.folder)
            desk.listed = 0
            if live:
                self.missing.examine_short(desk)
            else:
                desk.seen_folders.add(listing.folder)

    def _current(self, desk: InboxState, recipes: int) -> bool:
        return desk.is_current(recipes, self._ledger.store.recipes_of)

    def _found(
        self,
        desk: InboxState,
        photo: PhotoId,
        entry: Entry,
        origin: Origin,
        now: float,
        wall: float,
        *,
        live: bool,
        brief: Brief | None,
        missed: bool,
    ) -> None:
        """Take up a photo that a scan found in need of work, unless it is on its way already."""
        flight = self._dispatcher.flights.get(photo)
        if flight is not None:
            if {item.name: item.recipe for item in flight.job.renderings} != dict(desk.plan.wanted):
                flight.again, flight.again_complete = True, True
            return
        stamp = FileSignature(entry.size, entry.mtime_ns, entry.inode)
        waited = self._waiting.get(photo)
        if waited is not None and (waited.incomplete is None or waited.incomplete.same_content(stamp)):
            return
        if photo in self._dispatcher or (
            photo.path in desk.debouncer and not self._take_over(desk, photo, now, live=live)
        ):
            return
        if photo in self._ledger and not needs_work(self._ledger.known(photo), stamp, desk.plan.wanted):
            return
        if (brief is not None or photo in self._ledger) and self._is_known_crash(photo, entry, now):
            return
        self._waiting.pop(photo)
        if missed:
            desk.suspects[photo.path] = now + MISSED_GRACE_SECONDS
        if desk.scan_batch is None or desk.scan_batch_files >= desk.debouncer.max_files:
            self.close_batch(desk, now)
            desk.scan_batch = self._line.begin(desk.inbox, now)
        desk.scan_batch_files += 1
        desk.touched = True
        tries = brief.attempts if brief is not None and brief.leased else 0  # that watcher itself ended in the midst of
        sighting = Sighting(photo, origin, wall, desk.scan_batch, expected=stamp, alone=tries > 0, tries=tries)
        if not (self._once or (desk.native and desk.trusted)):
            sighting = replace(sighting, since=wall)  # its date may be by another clock, and no event tells of a change
        self._line.join(sighting, now, live=live)

    def _take_over(self, desk: InboxState, photo: PhotoId, now: float, *, live: bool) -> bool:
        """Take a photo of a new folder out of its burst; False: it stays there.

        Such a one may never be closed where we could hear it, and whether somebody still writes to it can be asked.
        """
        if not live or desk.debouncer.is_complete(photo.path):
            return False
        desk.debouncer.forget(photo.path)
        desk.hints.pop(photo.path, None)
        if desk.debouncer.deadline() is None:
            self._line.close(desk.batches.pop(desk.debouncer.burst, None), now)
        return True

    def looked(self, looked: Looked, now: float, wall: float) -> None:
        """Take up photos again that waited to be whole and look otherwise now."""
        desk = self._desks.get(looked.inbox)
        if desk is None:
            return
        desk.looking = max(0, desk.looking - 1)
        changed = (self._waiting.changed(PhotoId(looked.inbox, path), stamp, wall) for path, stamp in looked.changed)
        self._line.look_again((sighting for sighting in changed if sighting is not None), now)

    def _is_known_crash(self, photo: PhotoId, entry: Entry, now: float) -> bool:
        """Tell whether the photo failed by killing its worker, which leaves no stamp; it gets the one it has now."""
        known = self._ledger.known(photo)
        if known is None or known.phase is not Phase.FAILED or known.stamp != UNKNOWN or known.leased:
            return False
        if entry.mtime_ns / 1e9 > known.at:
            return False
        self._ledger.put(photo, replace(known, stamp=FileSignature(entry.size, entry.mtime_ns)), now)
        return True

    def close_batch(self, desk: InboxState, now: float) -> None:
        """End the batch that a scan was filling."""
        if desk.scan_batch is not None:
            number, desk.scan_batch, desk.scan_batch_files = desk.scan_batch, None, 0
            self._line.close(number, now)

    # ---- what they say ----

    def done(self, done: ScanDone, now: float) -> None:
        """Draw the conclusions from a scan."""
        desk = self._desks.get(done.inbox)
        if desk is None:
            return
        self.close_batch(desk, now)
        if desk.scan is None or desk.scan.number != done.scan:
            return
        try:
            self._conclude(desk, done)
        finally:
            desk.watchful = max(0, desk.watchful - 1)
            desk.scan = None
            desk.next_scan = now + desk.scan_interval()
            desk.touched = True
            if desk.again is not None:
                again, desk.again = desk.again, None
                self.scan(desk, again.origin, counts_missed=again.counts_missed)

    def _conclude(self, desk: InboxState, done: ScanDone) -> None:
        self.missing.judge_root(desk, done)
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
        if not desk.afresh:  # all that it found could be compared with the books
            self._ledger.trouble.over(Use.READING)
        if done.complete:
            doubtful = self.missing.examine_short(desk)
            doubtful |= self.missing.examine_folders(desk)
            if doubtful and self._once and not desk.doubted:
                desk.doubted = True
                self.scan(desk, Origin.SCAN, counts_missed=False)  # its end comes after what the examination found
