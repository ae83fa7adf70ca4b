"""From an outcome to what is remembered of it, and what happens next."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from watcher.core.counters import Counters, LastBatch
from watcher.core.naming import called
from watcher.core.queue import Sighting
from watcher.core.records import Phase, PhotoRecord, is_current
from watcher.core.retry import (
    Commit,
    Delete,
    Fail,
    Pause,
    Recheck,
    RetryLater,
    judge,
)
from watcher.core.types import (
    Done,
    Failed,
    FailureKind,
    Job,
    Origin,
    Outcome,
    PhotoId,
    Result,
    Unchanged,
    Unready,
)
from watcher.engine import notes
from watcher.engine.archiver import Archiver
from watcher.engine.batches import Batch, BatchTracker
from watcher.engine.breaker import BEGINS, ENDS
from watcher.engine.dedup import HOLD_SECONDS, Deduplicator
from watcher.engine.flight import Flight
from watcher.engine.inbox import InboxState
from watcher.engine.jobs import UNKNOWN, done_row, only_dated, plain, still_waiting
from watcher.engine.ports import Log
from watcher.engine.retries import Retries
from watcher.engine.scheduler import Scheduler
from watcher.engine.writer import WriteBuffer


@dataclass(frozen=True, slots=True)
class Retry:
    """How faults that can pass are tried again."""

    attempts: int
    backoff_seconds: float


class ResultHandler:
    """Acts on verdicts: books, timers, batches, log."""

    def __init__(
        self,
        dispatcher: Scheduler,
        ledger: WriteBuffer,
        tally: BatchTracker,
        log: Log,
        *,
        retry: Retry,
        desk_of: Callable[[bytes], InboxState | None],
        twins: Deduplicator,
        keeper: Archiver,
    ) -> None:
        self._retries = Retries(dispatcher, ledger, log, desk_of=desk_of)
        self.waiting = self._retries.waiting
        self.numbers = Counters()
        self.retry = retry
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._tally = tally
        self._log = log
        self._desk_of = desk_of
        self._twins = twins
        self._keeper = keeper

    def settle(self, result: Result, now: float, wall: float) -> None:
        """Act on what became of one job."""
        photo = result.job.photo
        flight = self._dispatcher.land(photo)
        desk = self._desk_of(photo.inbox)
        elsewhere = desk is not None and desk.plan.output != result.job.output_root
        if result.outcome is None or elsewhere:
            self._ledger.put(photo, None if elsewhere else flight.before, now)
            self._dispatcher.put(flight.sighting, live=True, front=True)
            return
        flight.pid, flight.seconds, flight.host = result.pid, result.seconds, result.host
        self._act(flight, result.outcome, now, wall)
        if desk is None:
            return
        if not (isinstance(result.outcome, Failed) and result.outcome.blame in BEGINS):
            desk.hold.untold(now)
        denied = isinstance(result.outcome, Failed) and result.outcome.blame is FailureKind.PASSING and flight.touched
        if denied and not flight.again:  # many a copy lets others read it when it has closed it
            flight.again, flight.again_complete = True, flight.sighting.complete
        if flight.again:
            waited = self.waiting.get(photo)
            if waited is not None and not waited.alone:
                self.waiting.pop(photo)  # a change starts over
            desk.debouncer.see(photo.path, now, complete=flight.again_complete)

    def hold(self, sighting: Sighting, now: float) -> None:
        """Let a photo wait a moment for others."""
        self.waiting.put(replace(sighting, held=True), now + HOLD_SECONDS, retry=True)
        self._leave(sighting, now)
        desk = self._desk_of(sighting.photo.inbox)
        if desk is not None:
            desk.hold.untold(now)

    def refuse(self, sighting: Sighting, before: PhotoRecord | None, reason: str, now: float, wall: float) -> None:
        """Give a photo up that is not to be tried at all; without a reason: forget that it was seen."""
        if reason:
            known = before or PhotoRecord(UNKNOWN, Phase.FAILED, {}, {}, wall)
            stamp = plain(sighting.expected) or known.stamp
            recipes = known.recipes if stamp == known.stamp else {}
            failed = replace(known, stamp=stamp, recipes=recipes, phase=Phase.FAILED, at=wall, leased=False)
            self._ledger.put(sighting.photo, replace(failed, reason=reason), now)
            self._ledger.note(sighting.photo, wall, notes.FAILED, {"reason": reason})
            self._failed(sighting.photo, reason, known.attempts)
        self._leave(sighting, now, failed=bool(reason))

    def _act(self, flight: Flight, outcome: Outcome, now: float, wall: float) -> None:
        job, sighting, before = flight.job, flight.sighting, flight.before
        photo = job.photo
        stamp = outcome.stamp if isinstance(outcome, Unready | Failed | Done | Unchanged) else None
        if before is not None and stamp is not None and before.stamp not in {UNKNOWN, plain(stamp)}:
            flight.job = job = replace(job, attempt=1)  # it changed, and any change starts over
        if isinstance(outcome, Unready) and before is not None and sighting.incomplete == plain(stamp):
            outcome = replace(outcome, reason=before.reason or outcome.reason)  # nobody looked closer this time
        still = wall - before.at if before and before.phase is Phase.WAITING and before.stamp == plain(stamp) else 0.0
        verdict = judge(
            outcome,
            job,
            attempts=self.retry.attempts,
            backoff=self.retry.backoff_seconds,
            looks=sighting.looks,
            still_seconds=still,
            jitter=random.random(),  # noqa: S311  # spreads retries, guards nothing
        )
        if isinstance(outcome, Failed) and outcome.blame in {FailureKind.CRASH, FailureKind.TIMEOUT}:
            self._log.warning("worker.lost", path=photo.absolute, reason=outcome.reason, attempt=job.attempt)
        match verdict:
            case Commit():
                self._record(flight, outcome, now, wall)
            case Delete():
                self._vanished(flight, getattr(outcome, "reason", ""), now, wall)
            case Fail(reason):
                row = still_waiting(flight.before, flight.job, flight.sighting, stamp, wall)
                row = replace(row, phase=Phase.FAILED, at=wall, reason=reason)
                self._ledger.put(photo, replace(row, attempts=job.attempt), now)
                self._ledger.note(photo, wall, notes.FAILED, notes.tried(flight, wall, reason=reason))
                self._failed(photo, reason, job.attempt)
                self._leave(sighting, now, failed=True)
            case Recheck() | RetryLater() | Pause():
                if self._retries.postpone(flight, outcome, stamp, verdict, now, wall):
                    self._leave(sighting, now)
            case _ as unreachable:
                assert_never(unreachable)

    def _vanished(self, flight: Flight, reason: str, now: float, wall: float) -> None:
        """Forget a photo that is not there; what is known of it stays until it is sure that its inbox is there."""
        photo, before = flight.job.photo, flight.before
        if flight.gone and before is not None:
            self._ledger.put(photo, before, now)
            self._twins.gone(photo, before, now)
            before = None
        desk = self._desk_of(photo.inbox)
        self._ledger.put(photo, before, now)
        if before is None:
            detail = notes.tried(flight, wall, **({"reason": reason} if reason else {}))
            self._ledger.note(photo, wall, notes.GONE, detail)
        if before is not None and desk is not None:
            desk.parts.examine([photo.path], [])
        self.numbers.count(photo.inbox, "vanished")
        self._log.debug("photo.vanished", path=photo.absolute, reason=reason)
        self._leave(flight.sighting, now)

    def _record(self, flight: Flight, outcome: Outcome, now: float, wall: float) -> None:
        job, before = flight.job, flight.before
        desk = self._desk_of(job.photo.inbox)
        if desk is not None and not flight.again:
            desk.doubts.forget(job.photo.path)
        if isinstance(outcome, Unchanged) and outcome.returned is not None:
            known = self._keeper.restore(job.photo, outcome.returned)
            if known is None or (desk is not None and not is_current(known.recipes, desk.plan.wanted)):
                self._dispatcher.put(flight.sighting, live=True, front=True)
                return
            self._keeper.want(job.photo, outcome.stamp)
        elif isinstance(outcome, Unchanged) and before is not None:
            phase = before.phase if before.phase is Phase.FAILED else Phase.DONE
            attempts, reason = (before.attempts, before.reason) if phase is Phase.FAILED else (0, "")
            row = replace(before, phase=phase, attempts=attempts, reason=reason, leased=False)
            self._ledger.put(job.photo, row, now)
            if phase is Phase.DONE:
                self._twins.stays(job.photo, outcome.stamp, before.digest)
                self._keeper.want(job.photo, outcome.stamp)
        if not isinstance(outcome, Done):
            self.numbers.count(job.photo.inbox, "unchanged")
            self._leave(flight.sighting, now)
            return
        known = done_row(before, job, outcome, flight.sighting, wall)
        self._ledger.put(job.photo, known, now)
        moved = self._twins.settled(job, outcome, now, late=flight.gone)
        self._keeper.want(job.photo, outcome.stamp)
        if before is not None and self._dispatcher.limits.patient and only_dated(before, outcome):
            self.numbers.count(job.photo.inbox, "unchanged")
            self._ledger.note(job.photo, wall, notes.DATED, notes.tried(flight, wall))
            self._log.debug("photo.dated", path=job.photo.absolute)
            self._leave(flight.sighting, now)
            return
        self._ledger.note(job.photo, wall, notes.MADE, notes.made(flight, outcome, wall, moved))
        self._tell_beside(job, outcome)
        self._log.debug(
            "photo.done",
            path=job.photo.absolute,
            renditions=[item.name for item in outcome.made],
            adopted=sum(item.adopted for item in outcome.made),
            copied=sum(item.copied for item in outcome.made),
            **({"moved_from": called(moved.photo.absolute)} if moved else {}),
            **({"same_as": called(outcome.twin.photo.absolute)} if outcome.twin and not moved else {}),
            seconds=round(outcome.seconds, 3),
            pid=outcome.pid,
        )
        if desk is not None and (cause := desk.hold.end(job.number)) is not None:
            self._log.info(ENDS[cause], inbox=desk.inbox, output=desk.plan.output)
        if desk is not None:
            desk.volume = desk.volume or desk.plan.volume
            desk.pace.count(wall)
        sighting = flight.sighting
        announced = sighting.ready > 0 or sighting.origin is Origin.FOLDER  # whatever it has waited for since
        self.numbers.count_done(job.photo.inbox, outcome, sighting.seen if announced else None, wall)
        self._leave(sighting, now, outcome, moved=moved is not None)

    def _tell_beside(self, job: Job, outcome: Done) -> None:
        for planned, made in notes.beside(job, outcome):
            self._log.warning("output.kept", path=job.photo.absolute, output=planned, made=made)

    # ---- batches ----

    def _failed(self, photo: PhotoId, reason: str, attempts: int) -> None:
        self._log.warning("photo.failed", path=photo.absolute, reason=reason, attempts=attempts)
        self.numbers.count_failed(photo.inbox)

    def _leave(
        self, sighting: Sighting, now: float, done: Done | None = None, *, failed: bool = False, moved: bool = False
    ) -> None:
        self.finish(self._tally.leave(sighting.batch, done, failed=failed, moved=moved), now)

    def finish(self, batch: Batch | None, now: float) -> None:
        """Tell in one line what a batch came to."""
        if batch is None or not batch.files:
            return
        self.numbers.batches.observe(batch.files)
        seconds = max(now - batch.began, 1e-6)
        if (desk := self._desk_of(batch.inbox)) is not None:
            desk.pace.last_batch = LastBatch(now, batch.files, batch.failed, round(seconds, 3))
            desk.touched = True
        self._log.info(
            "batch.done",
            inbox=batch.inbox,
            files=batch.files,
            renditions=batch.renditions,
            failed=batch.failed,
            copied=batch.copied,
            moved=batch.moved,
            seconds=round(seconds, 3),
            megapixels_per_second=round(batch.pixels / 1e6 / seconds, 1),
        )
