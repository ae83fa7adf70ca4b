"""From a queued photo to a job, with its attempt recorded before a worker gets it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping

from watcher.core import naming
from watcher.core.observer import PhotoFailed
from watcher.core.output_paths import renderings as renderings_of
from watcher.core.records import ContentRecord, Phase, PhotoRecord
from watcher.core.task import Attempt, Deferred, Dropped, Lane, Leased, PhotoTask, Returned
from watcher.core.tracker import Tracker
from watcher.core.types import Job, PhotoId
from watcher.engine.archiver import Archiver
from watcher.engine.dedup import Deduplicator, Place
from watcher.engine.inbox import InboxState
from watcher.engine.jobs import Limits, changed_since_tried, job_for, unanswered
from watcher.engine.photos import Photos
from watcher.engine.store_health import Use
from watcher.engine.writer import WriteBuffer
from watcher.errors import StateError

_MOST_EXCHANGED = 8  # photos that have each other's names and are made together
CONVICTED_BY = 3  # ends of watcher itself that a photo was in: in two of them at the least it was tried alone
DEFER_SECONDS = 0.2  # until one that waits for another is looked at again

Refuse = Callable[[PhotoTask, PhotoRecord, str, float, float], PhotoFailed]


class _InFlight:
    """What is in flight while an attempt at another photo is prepared."""

    def __init__(self, attempts: Iterable[Attempt]) -> None:
        self.reusable: dict[int, frozenset[Place]] = {}  # number of a job → what it may copy from
        self.sizes: set[int] = set()  # in bytes, of photos that will soon be made and not copied
        for attempt in attempts:
            self.add(attempt)

    def used_by_others(self, attempts: Iterable[Attempt]) -> list[frozenset[Place]]:
        """List what may be copied from by others than `attempts`."""
        numbers = {attempt.job.number for attempt in attempts}
        return [places for number, places in self.reusable.items() if number not in numbers]

    def add(self, attempt: Attempt) -> None:
        if attempt.reusable:
            self.reusable[attempt.job.number] = attempt.reusable
        seen = attempt.job.evidence.seen
        if seen is not None and not attempt.job.duplicates:
            self.sizes.add(seen.size)


class Leasing:
    """Records attempts at queued photos. What is not to be tried now is deferred, or fails."""

    def __init__(
        self,
        photos: Photos,
        records: WriteBuffer,
        inboxes: Mapping[bytes, InboxState],
        duplicates: Deduplicator,
        archiver: Archiver,
        refuse: Refuse,
    ) -> None:
        self._photos = photos
        self._records = records
        self._inboxes = inboxes
        self._duplicates = duplicates
        self._archiver = archiver
        self._refuse = refuse

    def lease(
        self, tasks: Collection[PhotoTask], lane: Lane, limits: Limits, now: float, wall: float
    ) -> list[PhotoTask]:
        """Record attempts, durable when this returns; where that can't be done, all photos go back to the queue.

        In the live lane and the backlog, a queued photo whose content another one seems to have got goes with that one
        (see `_Exchange`).
        """
        tracker = self._photos.tracker
        leased: list[tuple[PhotoTask, Attempt]] = []
        left, in_flight = deque(tasks), _InFlight(task.tried for task in tracker.in_flight)
        exchange = _Exchange(left, tracker if lane in {Lane.LIVE, Lane.BACKLOG} else None)
        try:
            while left:
                attempt = self._prepare(left[0], in_flight, exchange, limits, now, wall)
                task = left.popleft()
                if attempt is not None:
                    leased.append((task, attempt))
                    in_flight.add(attempt)
                exchange.go_on(attempt)
        except StateError as error:
            self._records.block(error, Use.ATTEMPTS, now)
        if left or (leased and not self._records.commit(now)):
            for task, attempt in leased:
                self._records.put(task.photo, attempt.before, now)
            for task in reversed([*(task for task, _ in leased), *left]):
                self._photos.apply(task.photo, Returned(wall), now, wall)
            return []
        for task, attempt in leased:
            self._photos.apply(task.photo, Leased(attempt, lane), now, wall)
        return [task for task, _ in leased]

    def _prepare(
        self, task: PhotoTask, in_flight: _InFlight, exchange: _Exchange, limits: Limits, now: float, wall: float
    ) -> Attempt | None:
        photo = task.photo
        inbox = self._inboxes.get(photo.inbox)
        if inbox is None:
            self._photos.apply(photo, Dropped(), now, wall)
            return None
        before = self._records.known(photo)
        tries = before.attempts + 1 if before and (before.phase is Phase.WAITING or before.leased) else 1
        if before and changed_since_tried(before, task.evidence.expected):
            tries = 1  # any change starts over
        # The first time it was one of several; later those go first that were in fewer ends of watcher itself.
        if before and before.leased and tries > max(limits.attempts, CONVICTED_BY):
            reason = f"watcher itself ended {before.attempts} times while it worked on this photo"
            failed = self._refuse(task, before, reason, now, wall)
            self._photos.apply(photo, Dropped(), now, wall, failed)
            return None
        job = self._job(task, inbox, before, exchange, limits, tries)
        if (
            self._duplicates.in_the_way(job, in_flight.used_by_others(exchange.attempts))
            or (not task.deferred and self._duplicates.may_come(job, in_flight.sizes))
            or (not task.deferred and exchange.is_incomplete(job, before))
            or (not task.deferred and before is None and _asks_for_old_name(inbox, job))
        ):
            self._photos.apply(photo, Deferred(now + DEFER_SECONDS), now, wall)
            inbox.breaker.undecided(now)
            return None
        self._photos.last_job += 1
        reusable, follows = self._duplicates.used_by(job), bool(exchange.attempts)
        attempt = Attempt(job, before, task.origin, task.seen, task.ready, reusable, follows=follows)
        self._records.stage(photo, unanswered(attempt, wall))
        return attempt

    def _job(
        self,
        task: PhotoTask,
        inbox: InboxState,
        before: PhotoRecord | None,
        exchange: _Exchange,
        limits: Limits,
        attempt: int,
    ) -> Job:
        photo, seen, folds = task.photo, task.evidence.seen, inbox.plan.folds_case
        conflicts = self._records.name_conflicts(photo, folds_case=folds)
        left = self._records.left_renditions(photo, inbox.plan.wanted) if before is None else set[str]()
        renderings = renderings_of(
            photo.path, inbox.plan.wanted, before, conflicts, folds_case=folds, unseen=inbox.plan.wanted.keys() - left
        )
        has_outputs = before is not None and any(fact.size for fact in before.made.values())
        return job_for(
            task,
            inbox,
            before,
            renderings,
            limits,
            number=self._photos.last_job + 1,
            attempt=attempt,
            returned=() if has_outputs else self._archiver.returned(photo, seen),
            duplicates=self._duplicates.of(photo, seen, renderings, exchange.replaced()),
            has_tombstone=bool(left),
        )


class _Exchange:
    """Photos that have each other's names: one worker gets them, and copies all before it replaces any output.

    After one whose renditions are on record, and that looks like another one of which the same holds, that other one
    is next, if it waits for a worker at all.
    """

    def __init__(self, left: deque[PhotoTask], tracker: Tracker | None) -> None:
        self.attempts: list[Attempt] = []  # of the exchange that is being put together
        self._left = left
        self._tracker = tracker

    def replaced(self) -> list[ContentRecord]:
        """Return what may still be copied, although it is being replaced."""
        return [item.before.content(item.job.photo) for item in self.attempts if item.before is not None]

    def go_on(self, attempt: Attempt | None) -> None:
        """Put the photo next that seems to have had the content of the one that was just put on record."""
        other = self._take(attempt) if attempt is not None and len(self.attempts) < _MOST_EXCHANGED else None
        if attempt is None or other is None:
            self.attempts = []
        else:
            self.attempts.append(attempt)
            self._left.appendleft(other)

    def _take(self, attempt: Attempt) -> PhotoTask | None:
        for photo in _moved_here(attempt.job, attempt.before):
            for other in self._left:
                if other.photo == photo:
                    self._left.remove(other)
                    return other
            if self._tracker is not None and (waiting := self._tracker.take_photo(photo)) is not None:
                return waiting
        return None

    def is_incomplete(self, job: Job, before: PhotoRecord | None) -> bool:
        """Return whether there was no event yet for a photo that may have exchanged names with this one."""
        tracker = self._tracker
        if tracker is None or self.attempts:
            return False
        moved = _moved_here(job, before)
        waiting = {other.photo for other in self._left}
        return bool(moved) and not any(
            photo in waiting or photo in tracker.live or photo in tracker.backlog for photo in moved
        )


def _moved_here(job: Job, before: PhotoRecord | None) -> list[PhotoId]:
    """List photos that are there, by the records, and look exactly like this one, which has replaced another."""
    seen = job.evidence.seen
    if seen is None or before is None or before.phase is not Phase.DONE:
        return []
    duplicates = (duplicate for duplicate in job.duplicates if not duplicate.gone and duplicate.photo != job.photo)
    return [duplicate.photo for duplicate in duplicates if duplicate.mtime_ns == seen.mtime_ns]


def _asks_for_old_name(inbox: InboxState, job: Job) -> bool:
    """Examine a photo whose name in another spelling this one may be: its output has this one's place."""
    if not inbox.plan.folds_case:
        return False
    name, candidates = naming.folded(job.photo.path), [item.photo for item in job.duplicates if not item.gone]
    alike = [photo.path for photo in candidates if photo.inbox == inbox.path and naming.folded(photo.path) == name]
    if alike:
        inbox.parts.examine(alike, [])
    return bool(alike)
