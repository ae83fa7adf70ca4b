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
        inboxes: Mapping[bytes, InboxState],
        photos: Photos,
        records: WriteBuffer,
        reconciler: Reconciler,
        duplicates: Deduplicator,
    ) -> None:
        self._inboxes = inboxes
        self._photos = photos
        self._records = records
        self._reconciler = reconciler
        self._duplicates = duplicates

    def event(self, message: Seen | FolderSeen | Gone, now: float, wall: float) -> None:
        """Handle an event."""
        inbox = self._inboxes.get(message.inbox)
        if inbox is None:
            return
        inbox.parts.digested(1)
        inbox.touched = True
        match message:
            case Seen(_, path, touched=True):
                self._touched(inbox, message, now, wall)
            case Seen(_, path, closed):
                inbox.suspects.pop(path, None)
                if not inbox.reachable and inbox.next_scan is not None:  # a process uses what is there: it is the inbox
                    inbox.next_scan = min(inbox.next_scan, now + AFRESH_SECONDS)
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
        inbox.collapsed = True
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
