"""What the watch of an inbox says: events of photos and folders, and whether it can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from watcher.core.messages import FolderSeen, Gone, Seen, WatchBack, WatchLost, WatchReady
from watcher.core.task import Changed, Removed, Touched
from watcher.core.types import Origin, PhotoId
from watcher.engine.dedup import Deduplicator
from watcher.engine.inbox import RESCAN_SOON_SECONDS, InboxState
from watcher.engine.photos import MOST_PENDING, Photos
from watcher.engine.ports import Log
from watcher.engine.reconcile import Reconciler
from watcher.engine.writer import WriteBuffer


class EventHandler:
    """Handles what the watches of all inboxes say."""

    def __init__(
        self,
        inboxes: Mapping[bytes, InboxState],
        photos: Photos,
        records: WriteBuffer,
        reconciler: Reconciler,
        duplicates: Deduplicator,
        log: Log,
        *,
        once: bool,
    ) -> None:
        self._inboxes = inboxes
        self._photos = photos
        self._records = records
        self._reconciler = reconciler
        self._duplicates = duplicates
        self._log = log
        self._once = once

    def event(self, message: Seen | FolderSeen | Gone, now: float, wall: float) -> None:
        """Handle an event."""
        inbox = self._inboxes.get(message.inbox)
        if inbox is None:
            return
        inbox.parts.digested(1)
        inbox.touched = True
        match message:
            case Seen(touched=True):
                self._touched(inbox, message, now, wall)
            case Seen(_, path, closed):
                inbox.suspects.pop(path, None)
                if not inbox.reachable and inbox.next_scan is not None:  # a process uses what is there: it is the inbox
                    inbox.next_scan = min(inbox.next_scan, now + RESCAN_SOON_SECONDS)
                if self._has_room(inbox, path):
                    created = message.stamp.inode if message.created and message.stamp is not None else 0
                    changed = Changed(wall, closed, message.stamp, created)
                    self._photos.apply(PhotoId(inbox.path, path), changed, now, wall)
            case FolderSeen(_, folder):
                self._reconciler.look_into(inbox, folder)
            case Gone(_, paths, folders, root):
                # A stand-in, as the empty folder below a volume that is not mounted, says nothing of the photos.
                if root is None or root == self._records.store.identity(inbox.path):
                    self._gone(inbox, paths, folders, now, wall)

    def _touched(self, inbox: InboxState, message: Seen, now: float, wall: float) -> None:
        """Handle a new date, new rights or a new owner."""
        photo, signature = PhotoId(inbox.path, message.path), message.stamp
        if signature is None or not self._has_room(inbox, message.path):
            return
        known = self._records.known(photo) if self._photos.tracker.get(photo) is None else None
        touched = Touched(wall, signature, known.stamp if known is not None else None)
        self._photos.apply(photo, touched, now, wall)

    def _has_room(self, inbox: InboxState, path: bytes) -> bool:
        """Return whether one more photo may wait; if not, a scan finds it later."""
        tracker = self._photos.tracker
        waiting = len(inbox.debouncer) + tracker.live.waiting(inbox.path) + tracker.backlog.waiting(inbox.path)
        if waiting < MOST_PENDING or tracker.get(PhotoId(inbox.path, path)) is not None:
            return True
        inbox.overflowed = True
        return False

    def _gone(
        self, inbox: InboxState, paths: Iterable[bytes], folders: Iterable[bytes], now: float, wall: float
    ) -> None:
        for path in paths:
            inbox.suspects.pop(path, None)
            self._photos.apply(PhotoId(inbox.path, path), Removed(), now, wall)
        for folder in folders:
            listed = self._duplicates.expects(now)
            for photo, known in self._records.forget_folder(inbox.path, folder, now, listed=listed):
                self._duplicates.gone(photo, known, now)
            below = folder + b"/"
            for task in list(self._photos.tracker.in_flight):
                if task.photo.inbox == inbox.path and task.photo.path.startswith(below):
                    self._photos.apply(task.photo, Removed(), now, wall)

    # ---- the watch itself ----

    def ready(self, ready: WatchReady) -> None:
        """Begin the first scan of an inbox: its watch is set."""
        inbox = self._inboxes.get(ready.inbox)
        if inbox is None or inbox.ready:
            return
        inbox.ready, inbox.native = True, ready.native
        inbox.watch_reason = ready.reason or inbox.watch_reason  # some of it may have been found wanting already
        inbox.trusted = ready.native and not inbox.watch_reason
        if not self._once:
            self._log.info("watch.started", inbox=inbox.path, watch="native" if ready.native else "poll")
            if not ready.native and inbox.plan.config.watch != "poll":
                self._log.warning("watch.degraded", inbox=inbox.path, reason=ready.reason)
        self._reconciler.scan(inbox, Origin.START, counts_missed=False)

    def lost(self, lost: WatchLost) -> None:
        """Look through an inbox whose events can't be trusted, and go on by scans until they can."""
        inbox = self._inboxes.get(lost.inbox)
        if inbox is None:
            return
        self._log.warning("watch.degraded" if lost.silent else "watch.lost", inbox=lost.inbox, reason=lost.reason)
        inbox.touched = True
        inbox.heals = lost.healed
        inbox.native = inbox.native and not lost.silent
        if not lost.healed:
            inbox.trusted, inbox.watch_reason = False, lost.reason
        self._reconciler.scan(inbox, Origin.SCAN, counts_missed=False)

    def back(self, back: WatchBack) -> None:
        """Trust the events of an inbox again; a scan finds what they missed, and whether it is the inbox at all."""
        inbox = self._inboxes.get(back.inbox)
        if inbox is None:
            return
        inbox.native = inbox.trusted = inbox.heals = True
        inbox.watch_reason = ""
        inbox.touched = True
        self._reconciler.scan(inbox, Origin.SCAN, counts_missed=False)
