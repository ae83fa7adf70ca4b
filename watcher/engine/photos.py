"""What happens to photos goes through here: an event is applied, and what follows from it is done, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

from watcher.core.task import (
    Dropped,
    Event,
    Forget,
    Join,
    Leave,
    PhotoTask,
    Record,
    Render,
    Restore,
    Settle,
    TimerDue,
    Unsettle,
)
from watcher.core.tracker import Tracker
from watcher.core.types import Job, PhotoId
from watcher.engine import notes
from watcher.engine.batches import BatchTracker, Ending
from watcher.engine.dedup import Deduplicator
from watcher.engine.inbox import InboxState
from watcher.engine.writer import WriteBuffer

MOST_PENDING = 50_000  # photos that wait: events beyond are dropped for a scan, listings are not asked for

Recorder = Callable[[PhotoId, Record, float, float], Ending]


class Photos:
    """The photos on their way."""

    def __init__(
        self, inboxes: Mapping[bytes, InboxState], records: WriteBuffer, batches: BatchTracker, duplicates: Deduplicator
    ) -> None:
        self.tracker = Tracker()
        self.batches = batches
        self.last_job = 0  # its number
        self.recorder: Recorder | None = None  # of what became of attempts
        self._inboxes = inboxes
        self._records = records
        self._duplicates = duplicates

    def apply(self, photo: PhotoId, event: Event, now: float, wall: float, ending: Ending = None) -> list[Job]:
        """Apply an event; return the jobs that are to be handed to the workers for it.

        `ending`: what was recorded of the photo already, for its batch.
        """
        jobs = list[Job]()
        for effect in self.tracker.apply(photo, event):
            match effect:
                case Join(batch):
                    self.batches.join(batch)
                case Leave(batch):
                    self.batches.leave(batch, ending, now)
                case Settle(closed):
                    self._settle(photo, now, closed=closed)
                case Unsettle():
                    self._unsettle(photo, now)
                case Render(job):
                    jobs.append(job)
                case Record():
                    ending = self.recorder(photo, effect, now, wall) if self.recorder else ending
                case Restore(record):
                    self._records.put(photo, record, now)
                case Forget():
                    self._forget(photo, now, wall)
                case _ as unreachable:
                    assert_never(unreachable)
        return jobs

    def _settle(self, photo: PhotoId, now: float, *, closed: bool) -> None:
        inbox = self._inboxes.get(photo.inbox)
        if inbox is None:  # it was closed while a worker had the photo
            self.tracker.apply(photo, Dropped())
            return
        inbox.debouncer.see(photo.path, now, complete=closed)
        if inbox.debouncer.burst not in inbox.batches:
            inbox.batches[inbox.debouncer.burst] = self.batches.begin(inbox.path, now)

    def _unsettle(self, photo: PhotoId, now: float) -> None:
        inbox = self._inboxes.get(photo.inbox)
        if inbox is None:
            return
        inbox.debouncer.forget(photo.path)
        if inbox.debouncer.deadline() is None:  # so the next event begins a batch of its own
            self.batches.close(inbox.batches.pop(inbox.debouncer.burst, None), now)

    def _forget(self, photo: PhotoId, now: float, wall: float) -> None:
        known = self._records.known(photo)
        if known is not None:  # it is otherwise if its original was taken away
            self._records.put(photo, None, now)
            self._records.note(photo, wall, notes.GONE, {})
            self._duplicates.gone(photo, known, now)

    def try_again(self, tasks: Iterable[PhotoTask], now: float, wall: float) -> None:
        """Let photos whose time has come wait for a worker: a batch for each inbox."""
        with self.batches.by_inbox(now) as batch_of:
            for task in tasks:
                self.apply(task.photo, TimerDue(batch_of(task.photo.inbox)), now, wall)
