"""What the kernel announced of photos and folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from watcher.core.task import Changed, Removed, Touched
from watcher.core.types import FolderSeen, Gone, PhotoId, Seen
from watcher.engine.dedup import Deduplicator
from watcher.engine.inbox import AFRESH_SECONDS, InboxState
from watcher.engine.photos import MOST_PENDING, Photos
from watcher.engine.reconcile import Reconciler
from watcher.engine.writer import WriteBuffer


class EventHandler:
    """Handles the events of all inboxes."""

    def __init__(
        self,
        desks: Mapping[bytes, InboxState],
        photos: Photos,
        ledger: WriteBuffer,
        scans: Reconciler,
        twins: Deduplicator,
    ) -> None:
        self._desks = desks
        self._photos = photos
        self._ledger = ledger
        self._scans = scans
        self._twins = twins

    def event(self, message: Seen | FolderSeen | Gone, now: float, wall: float) -> None:
        """Handle an event."""
        desk = self._desks.get(message.inbox)
        if desk is None:
            return
        desk.parts.digested(1)
        desk.touched = True
        match message:
            case Seen(_, path, touched=True):
                self._touched(desk, message, now, wall)
            case Seen(_, path, closed):
                desk.suspects.pop(path, None)
                if not desk.reachable and desk.next_scan is not None:  # a process uses what is there: it is the inbox
                    desk.next_scan = min(desk.next_scan, now + AFRESH_SECONDS)
                if self._has_room(desk, path):
                    created = message.stamp.inode if message.created and message.stamp is not None else 0
                    changed = Changed(wall, closed, message.stamp, created)
                    self._photos.apply(PhotoId(desk.inbox, path), changed, now, wall)
            case FolderSeen(_, folder):
                self._scans.look_into(desk, folder)
            case Gone(_, paths, folders, root):
                # A stand-in, as the empty folder below a volume that is not mounted, says nothing of the photos.
                if root is None or root == self._ledger.store.identity(desk.inbox):
                    self._gone(desk, paths, folders, now, wall)

    def _touched(self, desk: InboxState, message: Seen, now: float, wall: float) -> None:
        """Handle a new date, new rights or a new owner."""
        photo, signature = PhotoId(desk.inbox, message.path), message.stamp
        if signature is None or not self._has_room(desk, message.path):
            return
        known = self._ledger.known(photo) if self._photos.tracker.get(photo) is None else None
        touched = Touched(wall, signature, known.stamp if known is not None else None)
        self._photos.apply(photo, touched, now, wall)

    def _has_room(self, desk: InboxState, path: bytes) -> bool:
        """Return whether one more photo may wait; if not, a scan finds it later."""
        tracker = self._photos.tracker
        waiting = len(desk.debouncer) + tracker.live.waiting(desk.inbox) + tracker.backlog.waiting(desk.inbox)
        if waiting < MOST_PENDING or tracker.get(PhotoId(desk.inbox, path)) is not None:
            return True
        desk.collapsed = True
        return False

    def _gone(
        self, desk: InboxState, paths: Iterable[bytes], folders: Iterable[bytes], now: float, wall: float
    ) -> None:
        for path in paths:
            desk.suspects.pop(path, None)
            self._photos.apply(PhotoId(desk.inbox, path), Removed(), now, wall)
        for folder in folders:
            listed = self._twins.expects(now)
            for photo, known in self._ledger.forget_folder(desk.inbox, folder, now, listed=listed):
                self._twins.gone(photo, known, now)
            below = folder + b"/"
            for task in list(self._photos.tracker.in_flight):
                if task.photo.inbox == desk.inbox and task.photo.path.startswith(below):
                    self._photos.apply(task.photo, Removed(), now, wall)
