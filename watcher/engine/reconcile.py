"""What is known of an inbox against what lies in it: when to scan, and what listings show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from watcher.core.lifecycle import takes_listing
from watcher.core.records import Phase, needs_work
from watcher.core.stability import Looked
from watcher.core.task import Dropped, Listed, State
from watcher.core.types import Entry, FileSignature, Listing, Origin, PhotoId, ScanDone
from watcher.engine.archiver import Archiver
from watcher.engine.inbox import MISSED_GRACE_SECONDS, InboxState, Scan
from watcher.engine.jobs import UNKNOWN
from watcher.engine.missing import MissingPhotos
from watcher.engine.photos import MOST_PENDING, Photos
from watcher.engine.ports import Brief, Log
from watcher.engine.store_health import Use
from watcher.engine.writer import WriteBuffer


class Reconciler:
    """Has inboxes looked through, and draws the conclusions."""

    def __init__(
        self,
        desks: Mapping[bytes, InboxState],
        photos: Photos,
        ledger: WriteBuffer,
        keeper: Archiver,
        log: Log,
        *,
        once: bool,
    ) -> None:
        self.missing = MissingPhotos(ledger, log)
        self._desks = desks
        self._photos = photos
        self._ledger = ledger
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
            if self._photos.tracker.queued < MOST_PENDING:
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
        """Queue a photo that a scan found in need of work, unless it is on its way already."""
        signature = FileSignature(entry.size, entry.mtime_ns, entry.inode)
        task = self._photos.tracker.get(photo)
        if task is not None and not takes_listing(task, signature, live=live):
            making = {item.name: item.recipe for item in task.attempt.job.renderings} if task.attempt else None
            outdated = making is not None and making != dict(desk.plan.wanted)
            self._photos.apply(photo, Listed(wall, signature, origin, live=live, outdated=outdated), now, wall)
            return
        if not self._needs_work(desk, photo, signature, brief, now):
            if task is not None and task.state is State.SETTLING:
                self._photos.apply(photo, Dropped(), now, wall)
            return
        if missed:
            desk.suspects[photo.path] = now + MISSED_GRACE_SECONDS
        if desk.scan_batch is None or desk.scan_batch_files >= desk.debouncer.max_files:
            self.close_batch(desk, now)
            desk.scan_batch = self._photos.batches.begin(desk.inbox, now)
        desk.scan_batch_files += 1
        desk.touched = True
        listed = Listed(
            wall,
            signature,
            origin,
            desk.scan_batch,
            live=live,
            crashes=brief.attempts if brief is not None and brief.leased else 0,
            unreliable=not (self._once or (desk.native and desk.trusted)),
        )
        self._photos.apply(photo, listed, now, wall)

    def _needs_work(
        self, desk: InboxState, photo: PhotoId, signature: FileSignature, brief: Brief | None, now: float
    ) -> bool:
        unwritten = photo in self._ledger
        if unwritten and not needs_work(self._ledger.known(photo), signature, desk.plan.wanted):
            return False
        return not ((brief is not None or unwritten) and self._is_known_crash(photo, signature, now))

    def looked(self, looked: Looked, now: float, wall: float) -> None:
        """Queue photos that waited to be complete and look different now."""
        desk = self._desks.get(looked.inbox)
        if desk is None:
            return
        desk.looking = max(0, desk.looking - 1)
        with self._photos.batches.by_inbox(now) as batch_of:
            for path, signature in looked.changed:
                photo = PhotoId(looked.inbox, path)
                task = self._photos.tracker.get(photo)
                if task is not None and takes_listing(task, signature, live=False, differs=True):
                    batch = batch_of(desk.inbox)
                    listed = Listed(wall, signature, Origin.RETRY, batch, live=True, differs=True)
                    self._photos.apply(photo, listed, now, wall)

    def _is_known_crash(self, photo: PhotoId, signature: FileSignature, now: float) -> bool:
        """Tell whether the photo failed by killing its worker, which leaves no stamp; it gets the one it has now."""
        known = self._ledger.known(photo)
        if known is None or known.phase is not Phase.FAILED or known.stamp != UNKNOWN or known.leased:
            return False
        if signature.mtime_ns / 1e9 > known.at:
            return False
        self._ledger.put(photo, replace(known, stamp=signature._replace(inode=0)), now)
        return True

    def close_batch(self, desk: InboxState, now: float) -> None:
        """End the batch that a scan was filling."""
        if desk.scan_batch is not None:
            number, desk.scan_batch, desk.scan_batch_files = desk.scan_batch, None, 0
            self._photos.batches.close(number, now)

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
            waiting=self._photos.tracker.waiting(done.inbox),
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
