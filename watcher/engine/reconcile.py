"""Compare what is recorded of an inbox with what is in it: request scans, and handle what they find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from watcher.core.lifecycle import takes_listing
from watcher.core.messages import Entry, Listing, Looked, ScanDone
from watcher.core.records import Phase, ScanRow, needs_work, written_since
from watcher.core.task import Dropped, Listed, State
from watcher.core.types import FileSignature, Origin, PhotoId
from watcher.engine.archiver import Archiver
from watcher.engine.inbox import MISSED_GRACE_SECONDS, InboxState, Scan
from watcher.engine.jobs import UNKNOWN
from watcher.engine.missing import MissingPhotos
from watcher.engine.orphans import Orphans
from watcher.engine.photos import MOST_PENDING, Photos
from watcher.engine.ports import Log
from watcher.engine.store_health import Use
from watcher.engine.writer import WriteBuffer


class Reconciler:
    """Requests scans, and queues the photos that need work."""

    def __init__(
        self,
        inboxes: Mapping[bytes, InboxState],
        photos: Photos,
        records: WriteBuffer,
        archiver: Archiver,
        orphans: Orphans,
        log: Log,
        *,
        once: bool,
    ) -> None:
        self.missing = MissingPhotos(records, log)
        self._inboxes = inboxes
        self._photos = photos
        self._records = records
        self._archiver = archiver
        self._orphans = orphans
        self._log = log
        self._once = once
        self._last = 0

    # ---- asking for scans ----

    def scan(self, inbox: InboxState, origin: Origin, *, counts_missed: bool) -> None:
        """Scan the whole inbox, now or right after the running scan."""
        self._last += 1
        scan = Scan(self._last, origin, counts_missed)
        inbox.next_scan = None
        if inbox.scan is not None:
            inbox.queued_scan = scan
            return
        inbox.scan, inbox.listed, inbox.rescan_due = scan, 0, False
        inbox.parts.scan(scan.number, origin)

    def rescan_all(self, now: float) -> None:
        """Scan every inbox soon, since a message could not be handled."""
        for inbox in self._inboxes.values():
            inbox.rescan_due = True
            if inbox.ready and inbox.scan is None:
                inbox.next_scan = now + inbox.scan_interval()

    def look_into(self, inbox: InboxState, folder: bytes) -> None:
        """Scan a folder that was announced."""
        self._last += 1
        covered = not inbox.parts.scan(self._last, Origin.FOLDER, folder)
        if covered and inbox.scan is not None:
            inbox.scan.counts_missed = False  # part of what it finds was announced

    # ---- what they found ----

    def listing(self, listing: Listing, now: float, wall: float) -> None:
        """Compare a part of a folder with what is recorded; queue what needs work."""
        inbox = self._inboxes.get(listing.inbox)
        if inbox is None:
            return
        try:
            self._compare(inbox, listing, now, wall)
        finally:
            if self._photos.tracker.queued < MOST_PENDING:
                inbox.parts.ack()
            else:
                inbox.held += 1

    def _compare(self, inbox: InboxState, listing: Listing, now: float, wall: float) -> None:
        scan = inbox.scan if inbox.scan and inbox.scan.number == listing.scan else None  # None: an announced folder
        names = [entry.name for entry in listing.entries]
        scan_rows, known = self._records.store.scan_rows(listing.inbox, listing.folder, names)
        prefix = listing.folder + b"/" if listing.folder else b""
        for entry in listing.entries:
            row = scan_rows.get(entry.name)
            if row is not None:
                inbox.listed += 1
                same = (row.size, row.mtime_ns) == entry.signature[:2]
                if scan:
                    scan.recognised += same
                done = row.phase == Phase.DONE and inbox.is_current(row.recipes, self._records.store.recipes_of)
                gave_up = row.phase == Phase.FAILED and not written_since(row.at, entry.changed_ns, wall)
                if same and not row.leased and (done or gave_up):
                    if done:
                        self._archiver.want(PhotoId(listing.inbox, prefix + entry.name), entry.signature)
                    continue
            photo = PhotoId(listing.inbox, prefix + entry.name)
            self._found(inbox, photo, entry, now, wall, row=row, scan=scan)
        for name in listing.hidden:
            self._archiver.put_back(PhotoId(listing.inbox, prefix + name))
        if listing.last:
            if inbox.listed < known:
                inbox.short_folders.add(listing.folder)
            inbox.listed = 0
            if scan:
                scan.folders.add(listing.folder)
            else:
                self.missing.examine_short(inbox)

    def _found(
        self,
        inbox: InboxState,
        photo: PhotoId,
        entry: Entry,
        now: float,
        wall: float,
        *,
        row: ScanRow | None,
        scan: Scan | None,
    ) -> None:
        """Queue a photo that a scan found in need of work, unless it is on its way already."""
        live, origin = scan is None, scan.origin if scan else Origin.FOLDER
        signature = entry.signature
        task = self._photos.tracker.get(photo)
        if task is not None and not takes_listing(task, signature, live=live):
            making = {item.name: item.recipe for item in task.attempt.job.renderings} if task.attempt else None
            outdated = making is not None and making != dict(inbox.plan.wanted)
            self._photos.apply(photo, Listed(wall, signature, origin, live=live, outdated=outdated), now, wall)
            return
        if not self._needs_work(inbox, photo, signature, row, now):
            if task is not None and task.state is State.SETTLING:
                self._photos.apply(photo, Dropped(), now, wall)
            return
        if scan and scan.counts_missed:
            inbox.suspects[photo.path] = now + MISSED_GRACE_SECONDS
        if inbox.scan_batch is None or inbox.scan_batch_files >= inbox.debouncer.max_files:
            self.close_batch(inbox, now)
            inbox.scan_batch = self._photos.batches.begin(inbox.path, now)
        inbox.scan_batch_files += 1
        inbox.touched = True
        listed = Listed(
            wall,
            signature,
            origin,
            inbox.scan_batch,
            live=live,
            crashes=row.attempts if row is not None and row.leased else 0,
            unreliable=not (self._once or (inbox.native and inbox.trusted)),
        )
        self._photos.apply(photo, listed, now, wall)

    def _needs_work(
        self, inbox: InboxState, photo: PhotoId, signature: FileSignature, row: ScanRow | None, now: float
    ) -> bool:
        unwritten = photo in self._records
        if unwritten and not needs_work(self._records.known(photo), signature, inbox.plan.wanted):
            return False
        return not ((row is not None or unwritten) and self._is_known_crash(photo, signature, now))

    def looked(self, looked: Looked, now: float, wall: float) -> None:
        """Queue photos that waited to be complete and look different now."""
        inbox = self._inboxes.get(looked.inbox)
        if inbox is None:
            return
        inbox.looking = max(0, inbox.looking - 1)
        with self._photos.batches.by_inbox(now) as batch_of:
            for path, signature in looked.changed:
                photo = PhotoId(looked.inbox, path)
                task = self._photos.tracker.get(photo)
                if task is not None and takes_listing(task, signature, live=False, differs=True):
                    batch = batch_of(inbox.path)
                    listed = Listed(wall, signature, Origin.RETRY, batch, live=True, differs=True)
                    self._photos.apply(photo, listed, now, wall)

    def _is_known_crash(self, photo: PhotoId, signature: FileSignature, now: float) -> bool:
        """Return whether the photo failed by killing its worker, which leaves no stamp; it gets the one it has now."""
        known = self._records.known(photo)
        if known is None or known.phase is not Phase.FAILED or known.stamp != UNKNOWN or known.leased:
            return False
        if signature.mtime_ns / 1e9 > known.at:
            return False
        self._records.put(photo, replace(known, stamp=signature._replace(inode=0)), now)
        return True

    def close_batch(self, inbox: InboxState, now: float) -> None:
        """End the batch that a scan was filling."""
        if inbox.scan_batch is not None:
            number, inbox.scan_batch, inbox.scan_batch_files = inbox.scan_batch, None, 0
            self._photos.batches.close(number, now)

    # ---- their end ----

    def done(self, done: ScanDone, now: float, wall: float) -> None:
        """Handle the end of a scan."""
        inbox = self._inboxes.get(done.inbox)
        if inbox is None:
            return
        self.close_batch(inbox, now)
        scan = inbox.scan
        if scan is None or scan.number != done.scan:
            return
        try:
            self._conclude(inbox, scan, done, now, wall)
        finally:
            inbox.fast_scans_left = max(0, inbox.fast_scans_left - 1)
            inbox.scan = None
            inbox.next_scan = now + inbox.scan_interval()
            inbox.touched = True
            if queued := inbox.queued_scan:
                inbox.queued_scan = None
                self.scan(inbox, queued.origin, counts_missed=queued.counts_missed)

    def _conclude(self, inbox: InboxState, scan: Scan, done: ScanDone, now: float, wall: float) -> None:
        self.missing.judge_root(inbox, done)
        self._log.info(
            "scan.done",
            inbox=done.inbox,
            origin=str(done.origin),
            photos=done.photos,
            folders=done.folders,
            seconds=round(done.seconds, 3),
            waiting=self._photos.tracker.waiting(done.inbox),
            complete=done.complete,
            **({"reason": done.reason} if done.reason else {}),
        )
        if not inbox.rescan_due:  # all that it found could be compared
            self._records.health.over(Use.READING)
        if done.complete:
            inbox.left_alone = done.left_alone
            self.missing.judge_photos(inbox, scan)
            doubtful = self.missing.examine_short(inbox)
            doubtful |= self.missing.examine_folders(inbox, scan)
            self.missing.conclude(inbox, scan)
            if doubtful and self._once and not inbox.rechecked:
                inbox.rechecked = True
                self.scan(inbox, Origin.SCAN, counts_missed=False)  # its end comes after what the examination found
        self._orphans.scanned(inbox, now, wall, complete=done.complete)
