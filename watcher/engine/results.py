"""From an outcome to what is recorded of it, and what happens next."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from watcher.core.counters import Counters
from watcher.core.lifecycle import signature_of
from watcher.core.observer import Observer, PhotoDone, PhotoFailed
from watcher.core.records import Phase, PhotoRecord, is_current
from watcher.core.retry import Commit, Decision, Delete, Fail, Pause, Recheck, RetryLater, decide
from watcher.core.stability import AT_ONCE_SECONDS, INCOMPLETE_SECONDS
from watcher.core.task import Attempt, Decided, PhotoTask, Record, Returned
from watcher.core.types import Done, Failed, FailureKind, Job, Origin, Outcome, PhotoId, Result, Unchanged, Unready
from watcher.engine import notes
from watcher.engine.archiver import Archiver
from watcher.engine.batches import Ending
from watcher.engine.breaker import BEGINS, ENDS, TRY_SECONDS
from watcher.engine.dedup import Deduplicator
from watcher.engine.inbox import InboxState
from watcher.engine.jobs import UNKNOWN, done_row, only_dated, plain, still_waiting
from watcher.engine.photos import Photos
from watcher.engine.ports import Log
from watcher.engine.writer import WriteBuffer

_NEVER_SECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Retry:
    """How faults that can pass are tried again."""

    attempts: int
    backoff_seconds: float


class ResultHandler:
    """Decides what follows from an outcome, and records it."""

    def __init__(
        self,
        photos: Photos,
        records: WriteBuffer,
        log: Log,
        *,
        retry: Retry,
        once: bool,
        inboxes: Mapping[bytes, InboxState],
        duplicates: Deduplicator,
        archiver: Archiver,
        numbers: Counters,
        observers: Observer,
    ) -> None:
        self.numbers = numbers
        self.retry = retry
        self._photos = photos
        self._records = records
        self._log = log
        self._once = once
        self._inboxes = inboxes
        self._duplicates = duplicates
        self._archiver = archiver
        self._observers = observers
        photos.recorder = self._record

    def handle(self, result: Result, now: float, wall: float) -> None:
        """Handle what became of one job."""
        photo, outcome = result.job.photo, result.outcome
        task, inbox = self._photos.tracker.get(photo), self._inboxes.get(photo.inbox)
        if task is None:
            return
        elsewhere = inbox is not None and inbox.plan.output != result.job.output_root
        if outcome is None or elsewhere:
            self._photos.apply(photo, Returned(wall, forget=elsewhere), now, wall)
            return
        attempt = task.tried
        attempt.pid, attempt.seconds, attempt.host = result.pid, result.seconds, result.host
        if (
            isinstance(outcome, Unchanged)
            and outcome.returned is not None
            and not self._is_back(photo, outcome.returned, inbox)
        ):
            self._photos.apply(photo, Returned(wall, restore=False), now, wall)
        else:
            self._decide(task, outcome, now, wall)
        if inbox is not None and not (isinstance(outcome, Failed) and outcome.kind in BEGINS):
            inbox.breaker.undecided(now)

    def _is_back(self, photo: PhotoId, key: PhotoId, inbox: InboxState | None) -> bool:
        """Restore the row of a photo whose original was archived; return whether it says that nothing is missing."""
        known = self._archiver.restore(photo, key)
        return known is not None and (inbox is None or is_current(known.recipes, inbox.plan.wanted))

    def _decide(self, task: PhotoTask, outcome: Outcome, now: float, wall: float) -> None:
        attempt, before = task.tried, task.tried.before
        stamp = signature_of(outcome)
        if before is not None and stamp is not None and before.stamp not in {UNKNOWN, plain(stamp)}:
            attempt.job = replace(attempt.job, attempt=1)  # it changed, and any change starts over
        if isinstance(outcome, Unready) and before is not None and attempt.job.evidence.incomplete == plain(stamp):
            outcome = replace(outcome, reason=before.reason or outcome.reason)  # it was not looked at closer this time
        same = before is not None and before.stamp == plain(stamp)
        waited = before is not None and same and before.phase is Phase.WAITING
        decision = decide(
            outcome,
            attempt.job,
            attempts=self.retry.attempts,
            backoff=self.retry.backoff_seconds,
            checks=task.checks,
            unchanged_seconds=wall - before.at if before is not None and waited else 0.0,
            jitter=random.random(),  # noqa: S311  # spreads retries, guards nothing
        )
        if isinstance(outcome, Failed) and outcome.kind in {FailureKind.CRASH, FailureKind.TIMEOUT}:
            self._log.warning(
                "worker.lost", path=task.photo.absolute, reason=outcome.reason, attempt=attempt.job.attempt
            )
        decided = Decided(
            decision,
            outcome,
            wall,
            due=self._due(decision, now),
            unchanged=same,
            gives_up=(before.at if before is not None and waited else wall) + INCOMPLETE_SECONDS,
            # Many a copy lets others read a file when it has closed it.
            denied=isinstance(outcome, Failed) and outcome.kind is FailureKind.PASSING,
        )
        self._photos.apply(task.photo, decided, now, wall)

    def _due(self, decision: Decision, now: float) -> float | None:
        if not isinstance(decision, Recheck | RetryLater) or not self._photos.tracker.has_room:
            return None
        # A single run does not wait: it looks once more when all else is done.
        waits = not self._once or isinstance(decision, RetryLater) or decision.seconds <= AT_ONCE_SECONDS
        return now + (decision.seconds if waits else _NEVER_SECONDS)

    # ---- recording ----

    def _record(self, photo: PhotoId, record: Record, now: float, wall: float) -> Ending:
        """Record what became of an attempt."""
        match record.decision:
            case Commit():
                return self._commit(photo, record.attempt, record.outcome, now, wall)
            case Delete():
                return self._delete(photo, record.attempt, getattr(record.outcome, "reason", ""), now, wall)
            case Recheck() | RetryLater() | Pause() | Fail() as decision:
                return self._not_done(photo, record, decision, now, wall)

    def _not_done(
        self, photo: PhotoId, record: Record, decision: Recheck | RetryLater | Pause | Fail, now: float, wall: float
    ) -> Ending:
        """Record why a photo is not done, and when it is next looked at."""
        attempt, reason = record.attempt, decision.reason
        tries, next_in = attempt.job.attempt, 0.0
        match decision:
            case Recheck(seconds=seconds):
                what, tries, next_in = notes.WAITING, 0, seconds
                self._log.debug("photo.waiting", path=photo.absolute, reason=reason)
            case RetryLater(seconds=seconds):
                what, tries, next_in = notes.RETRY, tries if decision.counts else tries - 1, seconds
                if not decision.memory_bytes:
                    self._log.info("photo.retry", path=photo.absolute, reason=reason, seconds=round(seconds, 1))
            case Pause():
                what, tries, next_in = notes.PAUSED, tries - 1, TRY_SECONDS
                self._pause(photo, decision, now)
            case Fail():
                what = notes.FAILED
        row = replace(still_waiting(attempt, signature_of(record.outcome), wall), reason=reason, attempts=tries)
        failed = isinstance(decision, Fail)
        self._records.put(photo, replace(row, phase=Phase.FAILED, at=wall) if failed else row, now)
        when = {} if failed else {"next": round(wall + next_in, 3)}
        self._records.note(photo, wall, what, notes.tried(attempt, wall, reason=reason, **when))
        return self._failed(photo, reason, tries) if failed else None

    def _pause(self, photo: PhotoId, decision: Pause, now: float) -> None:
        """Stop the work of an inbox until its output can be written."""
        inbox = self._inboxes.get(photo.inbox)
        if inbox is not None and inbox.breaker.begin(decision.kind, decision.reason, now, self._photos.last_job):
            self._log.error(BEGINS[decision.kind], inbox=inbox.path, output=inbox.plan.output, reason=decision.reason)

    def refuse(self, task: PhotoTask, known: PhotoRecord, reason: str, now: float, wall: float) -> PhotoFailed:
        """Record that a photo has failed which is not to be tried at all."""
        stamp = plain(task.evidence.expected) or known.stamp
        recipes = known.recipes if stamp == known.stamp else {}
        failed = replace(known, stamp=stamp, recipes=recipes, phase=Phase.FAILED, at=wall, leased=False)
        self._records.put(task.photo, replace(failed, reason=reason), now)
        self._records.note(task.photo, wall, notes.FAILED, {"reason": reason})
        return self._failed(task.photo, reason, known.attempts)

    def _failed(self, photo: PhotoId, reason: str, attempts: int) -> PhotoFailed:
        item = PhotoFailed(photo, reason, attempts)
        self._observers.photo_failed(item)
        return item

    def _delete(self, photo: PhotoId, attempt: Attempt, reason: str, now: float, wall: float) -> Ending:
        """Forget a photo that is not there; what is known of it stays until it is sure that its inbox is there."""
        before = attempt.before
        if attempt.removed and before is not None:
            self._records.put(photo, before, now)
            self._duplicates.gone(photo, before, now)
            before = None
        inbox = self._inboxes.get(photo.inbox)
        self._records.put(photo, before, now)
        if before is None:
            detail = notes.tried(attempt, wall, **({"reason": reason} if reason else {}))
            self._records.note(photo, wall, notes.GONE, detail)
        elif inbox is not None:
            inbox.parts.examine([photo.path], [])
        self.numbers.count(photo.inbox, "vanished")
        self._log.debug("photo.vanished", path=photo.absolute, reason=reason)
        return None

    def _commit(self, photo: PhotoId, attempt: Attempt, outcome: Outcome, now: float, wall: float) -> Ending:
        """Record a photo whose renditions are all durable."""
        before = attempt.before
        if not isinstance(outcome, Done):
            if isinstance(outcome, Unchanged) and outcome.returned is not None:
                self._archiver.want(photo, outcome.stamp)
            elif isinstance(outcome, Unchanged) and before is not None:
                self._unchanged(photo, before, outcome, now)
            self.numbers.count(photo.inbox, "unchanged")
            return None
        if outcome.old_stays:
            self._records.put(photo, None, now)  # first: this leaves on record what the new row does not have
        self._records.put(photo, done_row(attempt, outcome, wall), now)
        moved = self._duplicates.settled(attempt.job, outcome, now, late=attempt.removed)
        self._archiver.want(photo, outcome.stamp)
        if before is not None and not self._once and only_dated(before, outcome):
            self.numbers.count(photo.inbox, "unchanged")
            self._records.note(photo, wall, notes.DATED, notes.tried(attempt, wall))
            self._log.debug("photo.dated", path=photo.absolute)
            return None
        self._records.note(photo, wall, notes.MADE, notes.made(attempt, outcome, wall, moved))
        self._warn(attempt.job, outcome)
        announced = attempt.ready > 0 or attempt.origin is Origin.FOLDER  # whatever it has waited for since
        item = PhotoDone(photo, outcome, wall, attempt.seen if announced else None, moved.photo if moved else None)
        self._observers.photo_done(item)
        if (inbox := self._inboxes.get(photo.inbox)) is not None:
            if (cause := inbox.breaker.end(attempt.job.number)) is not None:
                self._log.info(ENDS[cause], inbox=inbox.path, output=inbox.plan.output)
            inbox.volume = inbox.volume or inbox.plan.volume
        return item

    def _unchanged(self, photo: PhotoId, before: PhotoRecord, outcome: Unchanged, now: float) -> None:
        if before.phase is Phase.FAILED:
            self._records.put(photo, replace(before, leased=False), now)
            return
        row = replace(before, phase=Phase.DONE, attempts=0, reason="", leased=False)
        self._records.put(photo, row, now)
        self._duplicates.stays(photo, outcome.stamp, before.digest)
        self._archiver.want(photo, outcome.stamp)

    def _warn(self, job: Job, outcome: Done) -> None:
        """Log what is not as the config has it."""
        for planned, made in notes.beside(job, outcome):
            self._log.warning("output.kept", path=job.photo.absolute, output=planned, made=made)
        for item in notes.larger(job, outcome):
            self._log.warning("output.larger", path=job.photo.absolute, output=item.output, bytes=item.size)
