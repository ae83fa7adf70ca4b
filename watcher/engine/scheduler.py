"""From the queues to the workers: who is next, and who goes together."""

from __future__ import annotations

from collections.abc import Mapping

from watcher.core.task import Lane, PhotoTask, Returned, State, Submitted
from watcher.core.types import Job
from watcher.engine.inbox import InboxState
from watcher.engine.jobs import Limits
from watcher.engine.leasing import Leasing
from watcher.engine.photos import Photos
from watcher.engine.ports import Pool
from watcher.engine.writer import WriteBuffer

# Of photos that a worker gets together: not much more work than one from a camera, since the next one waits for it.
BUNDLE_BYTES = 4_000_000
ONCE_BYTES = 32_000_000  # where none comes next: some from a camera share their way to the disk and the loop's turns
LEASE = 32  # attempts that are written at once: a durable commit costs about as much as a small photo

_ORDINARY = (Lane.LIVE, Lane.BACKLOG)


class Scheduler:
    """Keeps the pool fed."""

    def __init__(
        self,
        pool: Pool,
        records: WriteBuffer,
        inboxes: Mapping[bytes, InboxState],
        photos: Photos,
        leasing: Leasing,
        limits: Limits,
    ) -> None:
        self.limits = limits
        self._pool = pool
        self._records = records
        self._inboxes = inboxes
        self._photos = photos
        self._tracker = photos.tracker
        self._leasing = leasing

    @property
    def gave_up_reason(self) -> str:
        """Why a single run ends without what is left; empty: workers will come, or are there."""
        return self._pool.unavailable_reason if self._pool.gave_up else ""

    @property
    def spare(self) -> int:
        """How many photos could go to a worker now."""
        return self._pool.free

    def take_back(self, now: float, wall: float) -> None:
        """Return photos to the queue that are leased, and not handed out."""
        for task in list(self._tracker.of(State.LEASED)):
            self._photos.apply(task.photo, Returned(wall), now, wall)

    def dispatch(self, now: float, wall: float) -> None:
        """Hand the pool all that it takes."""
        self._dispatch_quarantine(now, wall)
        self._dispatch_large(now, wall)
        while not self._records.blocked and self._free_slots() > 0:
            leased = self._tracker.count(State.LEASED, *_ORDINARY)
            if live := self._tracker.take(lambda inbox: self._allowed(inbox, now), self._most_live(), live=True):
                self._leasing.lease(live, Lane.LIVE, self.limits, now, wall)
            elif not leased:
                backlog = self._tracker.take(lambda inbox: self._allowed(inbox, now), LEASE, live=False)
                if not backlog:
                    return
                if not self._leasing.lease(backlog, Lane.BACKLOG, self.limits, now, wall) and any(
                    task.state is State.DEFERRED for task in backlog
                ):
                    return  # what they wait for will be told; meanwhile not all of the backlog is deferred
            while self._tracker.count(State.LEASED, *_ORDINARY) and self._free_slots() > 0:
                self._pool.submit(*self._bundle(now, wall))

    def _most_live(self) -> int:
        """Return how many live photos to lease: as many as the pool takes at once."""
        most = min(LEASE, self._free_slots() * self._pool.bundle_size(self._tracker.queued))
        return most - self._tracker.count(State.LEASED, Lane.LIVE)

    def _bundle(self, now: float, wall: float) -> list[Job]:
        """Take what one worker gets at once: several photos if they are small and many wait, the live ones first."""
        most = self._pool.bundle_size(self._tracker.count(State.LEASED, *_ORDINARY) + self._tracker.queued)
        if self._waiting_large() or self._running_large():
            most = 1
        leased = self._tracker.of(State.LEASED, *_ORDINARY)
        together = [next(leased)]
        size, bound = _size(together[0]), ONCE_BYTES if self.limits.once else BUNDLE_BYTES
        for task in leased:
            if not task.tried.follows:
                size += _size(task)
                if len(together) >= most or size > bound:
                    break
            together.append(task)
        return [job for task in together for job in self._photos.apply(task.photo, Submitted(), now, wall)]

    def _free_slots(self) -> int:
        """Return how many more bundles of ordinary jobs may go to the pool now."""
        running, waiting = self._running_large(), self._waiting_large()
        # While a large photo waits or works, only so many others run beside it as the memory has room for.
        need = running.tried.job.memory_bytes if running else waiting.memory_bytes if waiting else 0
        if not need:
            return self._pool.free
        beside = max(0, self.limits.memory_bytes - need) // max(1, self.limits.share_bytes)
        return min(self._pool.free, beside - self._ordinary())

    def _ordinary(self) -> int:
        return self._tracker.count(State.RENDERING, *_ORDINARY)

    def _waiting_large(self) -> PhotoTask | None:
        return self._tracker.first(State.QUEUED, Lane.LARGE)

    def _running_large(self) -> PhotoTask | None:
        return self._tracker.first(State.RENDERING, Lane.LARGE)

    def _dispatch_quarantine(self, now: float, wall: float) -> None:
        while not self._tracker.count(State.RENDERING, Lane.QUARANTINE) and not self._records.blocked:
            in_turn = sorted(self._tracker.of(State.QUEUED, Lane.QUARANTINE), key=lambda task: task.crashes)
            task = next((task for task in in_turn if self._allowed(task.photo.inbox, now)), None)
            if task is None:
                return
            self._submit_alone(task, Lane.QUARANTINE, now, wall)

    def _dispatch_large(self, now: float, wall: float) -> None:
        task = self._waiting_large()
        if task is None or self._running_large() or self._records.blocked or self._pool.free < 1:
            return
        ordinary = self._ordinary()
        if ordinary and ordinary * self.limits.share_bytes + task.memory_bytes > self.limits.memory_bytes:
            return
        if self._allowed(task.photo.inbox, now):
            self._submit_alone(task, Lane.LARGE, now, wall)
        else:  # others may have room: it waits with the rest of its inbox, and is found to be large once more
            self._photos.apply(task.photo, Returned(wall), now, wall)

    def _submit_alone(self, task: PhotoTask, lane: Lane, now: float, wall: float) -> None:
        for leased in self._leasing.lease([task], lane, self.limits, now, wall):
            self._pool.submit(*self._photos.apply(leased.photo, Submitted(), now, wall))

    def _allowed(self, path: bytes, now: float) -> bool:
        """Return whether an inbox may work."""
        inbox = self._inboxes.get(path)
        return inbox is None or inbox.breaker.lets(now)


def _size(task: PhotoTask) -> int:
    """Return how large a photo is, as far as it is known."""
    seen = task.tried.job.evidence.seen
    return seen.size if seen else ONCE_BYTES
