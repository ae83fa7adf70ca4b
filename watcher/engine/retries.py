"""Photos that are not done: checked again, tried again later, or paused until their output has room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from watcher.core.records import Phase
from watcher.core.retry import Pause, Recheck, RetryLater
from watcher.core.stability import AT_ONCE_SECONDS, INCOMPLETE_SECONDS
from watcher.core.types import FileSignature, Origin, Outcome, Unready
from watcher.engine import notes
from watcher.engine.breaker import BEGINS, TRY_SECONDS
from watcher.engine.flight import Flight
from watcher.engine.inbox import InboxState
from watcher.engine.jobs import plain, published_version, still_waiting
from watcher.engine.ports import Log
from watcher.engine.scheduler import Scheduler
from watcher.engine.timers import Waiting
from watcher.engine.writer import WriteBuffer

_NEVER_SECONDS = 1e9


class Retries:
    """Record why a photo is not done, and when it is next looked at."""

    def __init__(
        self, dispatcher: Scheduler, ledger: WriteBuffer, log: Log, *, desk_of: Callable[[bytes], InboxState | None]
    ) -> None:
        self.waiting = Waiting()
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._log = log
        self._desk_of = desk_of

    def postpone(
        self,
        flight: Flight,
        outcome: Outcome,
        stamp: FileSignature | None,
        decision: Recheck | RetryLater | Pause,
        now: float,
        wall: float,
    ) -> bool:
        """Have a photo looked at or tried again; return whether its batch goes on without it."""
        match decision:
            case Recheck():
                self._recheck(flight, outcome, decision, now, wall)
                return True
            case RetryLater():
                self._retry(flight, stamp, decision, now, wall)
                return not decision.memory_bytes
            case Pause():
                self._pause(flight, stamp, decision, now, wall)
                return False
            case _ as unreachable:
                assert_never(unreachable)

    def _recheck(self, flight: Flight, outcome: Outcome, decision: Recheck, now: float, wall: float) -> None:
        """Look again at a photo that is not whole yet."""
        photo, before, sighting = flight.job.photo, flight.before, flight.sighting
        stamp = outcome.stamp if isinstance(outcome, Unready) else None
        row = still_waiting(before, flight.job, sighting, stamp, wall)
        self._ledger.put(photo, replace(row, reason=decision.reason, attempts=0), now)
        again_at = round(wall + decision.seconds, 3)
        self._ledger.note(photo, wall, notes.WAITING, notes.tried(flight, wall, reason=decision.reason, next=again_at))
        self._note_writer(flight, stamp, at_once=decision.seconds <= AT_ONCE_SECONDS)
        same = before is not None and before.stamp == plain(stamp)
        changed_ns = outcome.changed_ns if isinstance(outcome, Unready) else 0
        if not self.waiting.full:
            stays = stamp is not None and stamp.same_content(sighting.expected)
            again = replace(
                sighting,
                origin=Origin.RETRY,
                expected=stamp if sighting.since else None,
                since=(sighting.since if stays else wall) if sighting.since else 0.0,
                hint=stamp or sighting.hint,
                complete=False,
                incomplete=plain(stamp) if decision.until_changed else None,
                looks=sighting.looks + 1 if same else 0,
                changed_ns=changed_ns,
                patience_ends=row.at + INCOMPLETE_SECONDS,
            )
            # A single run does not wait: it looks once more when all else is done.
            later = self._dispatcher.limits.patient or decision.seconds <= AT_ONCE_SECONDS
            self.waiting.put(again, now + (decision.seconds if later else _NEVER_SECONDS), retry=False)
        self._log.debug("photo.waiting", path=photo.absolute, reason=decision.reason)

    def _note_writer(self, flight: Flight, stamp: FileSignature | None, *, at_once: bool) -> None:
        """Remember of a photo that is not whole what its next look should know of its writer."""
        photo, before, desk = flight.job.photo, flight.before, self._desk_of(flight.job.photo.inbox)
        if desk is None:
            return
        if before is not None and before.phase is Phase.DONE and (shown := published_version(before)) is not None:
            desk.doubts.note_shown(photo.path, shown)
        if flight.sighting.complete and stamp is not None and stamp.size and not at_once:
            desk.doubts.note_closed(photo.path)  # one that is made empty, or dated once it is closed, has one writer

    def _retry(
        self, flight: Flight, stamp: FileSignature | None, decision: RetryLater, now: float, wall: float
    ) -> None:
        """Try a photo again later; with more memory, as soon as there is that much."""
        photo, sighting = flight.job.photo, flight.sighting
        attempts = flight.job.attempt if decision.counts else flight.job.attempt - 1
        row = still_waiting(flight.before, flight.job, sighting, stamp, wall)
        self._ledger.put(photo, replace(row, reason=decision.reason, attempts=attempts), now)
        again_at = round(wall + decision.seconds, 3)
        self._ledger.note(photo, wall, notes.RETRY, notes.tried(flight, wall, reason=decision.reason, next=again_at))
        if decision.memory_bytes:
            self._dispatcher.put_heavy(sighting, decision.memory_bytes)
            return
        alone = decision.alone or sighting.alone
        hint = stamp or sighting.expected or sighting.hint
        again = replace(sighting, origin=Origin.RETRY, expected=None, hint=hint, incomplete=None, alone=alone)
        self._log.info("photo.retry", path=photo.absolute, reason=decision.reason, seconds=round(decision.seconds, 1))
        if not self.waiting.full:
            self.waiting.put(again, now + decision.seconds, retry=True)

    def _pause(self, flight: Flight, stamp: FileSignature | None, decision: Pause, now: float, wall: float) -> None:
        """Put a photo first in line again, and stop the work of its inbox until the output can be written."""
        photo = flight.job.photo
        row = still_waiting(flight.before, flight.job, flight.sighting, stamp, wall)
        self._ledger.put(photo, replace(row, reason=decision.reason, attempts=flight.job.attempt - 1), now)
        again_at = round(wall + TRY_SECONDS, 3)
        self._ledger.note(photo, wall, notes.PAUSED, notes.tried(flight, wall, reason=decision.reason, next=again_at))
        self._dispatcher.put(flight.sighting, live=True, front=True)
        desk = self._desk_of(photo.inbox)
        if desk is None:
            return
        if desk.hold.begin(decision.blame, decision.reason, now, self._dispatcher.booking.last_number):
            self._log.error(BEGINS[decision.blame], inbox=desk.inbox, output=desk.plan.output, reason=decision.reason)
