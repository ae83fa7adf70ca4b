"""What the kernel announced of photos and folders: events in, bursts out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from watcher.core.types import FileSignature, FolderSeen, Gone, PhotoId, Seen
from watcher.engine import notes
from watcher.engine.dedup import Deduplicator
from watcher.engine.inbox import AFRESH_SECONDS, InboxState
from watcher.engine.line import MOST_PENDING, Line
from watcher.engine.reconcile import Reconciler
from watcher.engine.scheduler import Scheduler
from watcher.engine.timers import Waiting
from watcher.engine.writer import WriteBuffer


class EventHandler:
    """Digests the events of all inboxes."""

    def __init__(
        self,
        desks: Mapping[bytes, InboxState],
        dispatcher: Scheduler,
        waiting: Waiting,
        ledger: WriteBuffer,
        scans: Reconciler,
        line: Line,
        twins: Deduplicator,
    ) -> None:
        self._desks = desks
        self._dispatcher = dispatcher
        self._waiting = waiting
        self._ledger = ledger
        self._scans = scans
        self._line = line
        self._twins = twins

    def event(self, message: Seen | FolderSeen | Gone, now: float, wall: float) -> None:
        """Digest what the kernel announced."""
        desk = self._desks.get(message.inbox)
        if desk is None:
            return
        desk.parts.digested(1)
        desk.touched = True
        match message:
            case Seen(_, path, touched=True):
                self._touched(desk, path, message.stamp, now)
            case Seen(_, path, complete):
                if message.created and message.stamp is not None:
                    desk.doubts.note_fresh(path, message.stamp.inode)
                self._seen(desk, path, message.stamp, now, complete=complete)
            case FolderSeen(_, folder):
                self._scans.look_into(desk, folder)
            case Gone(_, paths, folders, root):
                # A stand-in, as the empty folder below a volume that is not mounted, says nothing of the photos.
                if root is None or root == self._ledger.store.identity(desk.inbox):
                    self._gone(desk, paths, folders, now, wall)

    def _seen(self, desk: InboxState, path: bytes, stamp: FileSignature | None, now: float, *, complete: bool) -> None:
        photo = PhotoId(desk.inbox, path)
        desk.suspects.pop(path, None)
        was = desk.hints.pop(path, None)
        if not desk.reachable and desk.next_scan is not None:
            # Somebody uses what is there, so it is the inbox.
            desk.next_scan = min(desk.next_scan, now + AFRESH_SECONDS)
        flight = self._dispatcher.flights.get(photo)
        if flight is not None:
            if complete and flight.sighting.complete and _holds_something(was or flight.sighting.hint):
                desk.doubts.note_closed(path)  # two writers, or one who comes back
            flight.again, flight.again_complete = True, complete
            if stamp is not None:
                desk.hints[path] = stamp
            return
        if len(desk.debouncer) + self._dispatcher.queue.waiting(desk.inbox) >= MOST_PENDING:
            desk.collapsed = True
            return
        waited = self._waiting.get(photo)
        if waited is not None and not waited.alone:
            self._waiting.pop(photo)  # a change starts over
        if complete and desk.debouncer.is_complete(path) and _holds_something(was):
            desk.doubts.note_closed(path)
        desk.debouncer.see(path, now, complete=complete)
        if stamp is not None:
            desk.hints[path] = stamp
        if desk.debouncer.burst not in desk.batches:
            desk.batches[desk.debouncer.burst] = self._line.begin(desk.inbox, now)

    def _touched(self, desk: InboxState, path: bytes, stamp: FileSignature | None, now: float) -> None:
        """Hear that a photo's date or rights were changed: news only if it looks otherwise than it is known to."""
        photo = PhotoId(desk.inbox, path)
        flight = self._dispatcher.flights.get(photo)
        if stamp is None or path in desk.debouncer or (flight is None and photo in self._dispatcher):
            return
        if flight is not None:
            flight.touched = True
            looked = flight.sighting.expected or flight.sighting.hint
            if not flight.again and not stamp.same_content(looked):
                flight.again, flight.again_complete = True, flight.sighting.complete
                desk.hints[path] = stamp
            return
        waited = self._waiting.get(photo)
        if waited is not None:
            news = not (waited.alone or waited.held or stamp.same_content(waited.incomplete))
        else:
            known = self._ledger.known(photo)
            news = known is not None and not stamp.same_content(known.stamp)
        if news:
            self._seen(desk, path, stamp, now, complete=waited is not None and waited.complete)

    def _gone(
        self, desk: InboxState, paths: Iterable[bytes], folders: Iterable[bytes], now: float, wall: float
    ) -> None:
        for path in paths:
            photo = PhotoId(desk.inbox, path)
            desk.suspects.pop(path, None)
            desk.debouncer.forget(path)
            desk.hints.pop(path, None)
            desk.doubts.forget(path)
            self._waiting.pop(photo)
            sighting = self._dispatcher.remove(photo)
            if sighting is not None:
                self._line.leave(sighting, now)
            flight = self._dispatcher.flights.get(photo)
            if flight is None:
                known = self._ledger.known(photo)
                if known is not None:  # it is otherwise if its original was taken away
                    self._ledger.put(photo, None, now)
                    self._ledger.note(photo, wall, notes.GONE, {})
                    self._twins.gone(photo, known, now)
            else:
                # Its worker may have read it before it went: whatever comes back, it is looked at once more.
                flight.gone = flight.again = flight.again_complete = True
        if desk.debouncer.deadline() is None:  # so the next event begins a batch of its own
            self._line.close(desk.batches.pop(desk.debouncer.burst, None), now)
        for folder in folders:
            listed = self._twins.expects(now)
            for photo, known in self._ledger.forget_folder(desk.inbox, folder, now, listed=listed):
                self._twins.gone(photo, known, now)
            for photo, flight in self._dispatcher.flights.items():
                if photo.inbox == desk.inbox and photo.path.startswith(folder + b"/"):
                    flight.gone = flight.again = flight.again_complete = True


def _holds_something(stamp: FileSignature | None) -> bool:
    """Tell whether a file was seen to hold anything: many a program makes it empty before it writes it."""
    return stamp is not None and stamp.size > 0
