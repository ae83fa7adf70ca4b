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
        self, desks: Mapping[bytes, InboxState], ledger: WriteBuffer, batches: BatchTracker, twins: Deduplicator
    ) -> None:
        self.tracker = Tracker()
        self.batches = batches
        self.last_job = 0  # its number
        self.recorder: Recorder | None = None  # of what became of attempts
        self._desks = desks
        self._ledger = ledger
        self._twins = twins

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
                    self._ledger.put(photo, record, now)
                case Forget():
                    self._forget(photo, now, wall)
                case _ as unreachable:
                    assert_never(unreachable)
        return jobs

    def _settle(self, photo: PhotoId, now: float, *, closed: bool) -> None:
        desk = self._desks.get(photo.inbox)
        if desk is None:  # it was closed while a worker had the photo
            self.tracker.apply(photo, Dropped())
            return
        desk.debouncer.see(photo.path, now, complete=closed)
        if desk.debouncer.burst not in desk.batches:
            desk.batches[desk.debouncer.burst] = self.batches.begin(desk.inbox, now)

    def _unsettle(self, photo: PhotoId, now: float) -> None:
        desk = self._desks.get(photo.inbox)
        if desk is None:
            return
        desk.debouncer.forget(photo.path)
        if desk.debouncer.deadline() is None:  # so the next event begins a batch of its own
            self.batches.close(desk.batches.pop(desk.debouncer.burst, None), now)

    def _forget(self, photo: PhotoId, now: float, wall: float) -> None:
        known = self._ledger.known(photo)
        if known is not None:  # it is otherwise if its original was taken away
            self._ledger.put(photo, None, now)
            self._ledger.note(photo, wall, notes.GONE, {})
            self._twins.gone(photo, known, now)

    def try_again(self, tasks: Iterable[PhotoTask], now: float, wall: float) -> None:
        """Let photos whose time has come wait for a worker: a batch for each inbox."""
        with self.batches.by_inbox(now) as batch_of:
            for task in tasks:
                self.apply(task.photo, TimerDue(batch_of(task.photo.inbox)), now, wall)
