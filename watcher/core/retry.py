"""Decide what follows from an outcome. The decision is a value; the engine performs it.

Rules:
- A fault of the photo itself is final until the photo changes. After a temporary fault it is tried again with backoff.
- An incomplete photo is no fault: it is checked again, and given up after ten minutes without a change.
- A photo that was in a worker when the worker died is tried alone, where the cause is certain and no other photo is
  affected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from watcher.core.stability import INCOMPLETE_SECONDS, recheck_after, recheck_unstable_after
from watcher.core.types import Done, Failed, FailureKind, Job, NeedsMoreMemory, Outcome, Unchanged, Unready, Vanished

BACKOFF_LONGEST = 3600.0
TIMEOUT_ATTEMPTS = 2  # with others, then alone: an endless decode is endless again, and costs a worker each time


@dataclass(frozen=True, slots=True)
class Commit:
    """The photo is done: record its renditions."""


@dataclass(frozen=True, slots=True)
class Delete:
    """The photo is no longer there: delete its row."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """The photo is not complete: check it again after `seconds` or at its next event."""

    seconds: float
    reason: str
    until_changed: bool  # decoding it again is useless while its signature is the same


@dataclass(frozen=True, slots=True)
class RetryLater:
    """A temporary fault: try again after `seconds`. `counts`: this attempt counts towards the limit."""

    seconds: float
    reason: str
    alone: bool = False
    counts: bool = True
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """The output can't be written, or the inbox can't be read: its photos wait, this one before the others."""

    reason: str
    kind: FailureKind  # DISK_FULL, OUTPUT or INBOX


@dataclass(frozen=True, slots=True)
class Fail:
    """The photo has failed, and is not tried again until it changes or the user asks for a retry."""

    reason: str


Decision = Commit | Delete | Recheck | RetryLater | Pause | Fail


def decide(
    outcome: Outcome, job: Job, *, attempts: int, backoff: float, checks: int, unchanged_seconds: float, jitter: float
) -> Decision:
    """Decide what follows from `outcome`.

    `attempts`: the limit of attempts for a photo. `backoff`: the seconds before the second one. `checks`: how often the
    photo was found incomplete since it last changed. `unchanged_seconds`: the time since then. `jitter`: a number in
    [0, 1).
    """
    match outcome:
        case Done() | Unchanged():
            return Commit()
        case Vanished():
            return Delete()
        case NeedsMoreMemory(memory_bytes):
            return RetryLater(0.0, "needs more memory than one worker's share", counts=False, memory_bytes=memory_bytes)
        case Unready(settling=True, reason=reason, seconds=seconds):
            return Recheck(recheck_unstable_after(job.evidence, job.stability, seconds), reason, False)
        case Unready(reason=reason):
            if unchanged_seconds >= INCOMPLETE_SECONDS:
                return Fail(f"{reason}; unchanged for {INCOMPLETE_SECONDS / 60:.0f} minutes")
            return Recheck(recheck_after(checks, unchanged_seconds), reason, True)
        case Failed():
            return _judge_failed(outcome, job, attempts=attempts, backoff=backoff, jitter=jitter)
        case _ as unreachable:
            assert_never(unreachable)


def backoff_after(attempt: int, backoff: float, jitter: float) -> float:
    """Return the seconds to wait after attempt number `attempt`; `jitter`: a number in [0, 1)."""
    return min(backoff * 2.0 ** min(attempt - 1, 30), BACKOFF_LONGEST) * (1 + jitter / 4)


def _judge_failed(outcome: Failed, job: Job, *, attempts: int, backoff: float, jitter: float) -> Decision:
    wait = backoff_after(job.attempt, backoff, jitter)
    match outcome.kind:
        case FailureKind.PHOTO:
            return Fail(outcome.reason)
        case FailureKind.DISK_FULL | FailureKind.OUTPUT | FailureKind.INBOX:
            return Pause(outcome.reason, outcome.kind)
        case FailureKind.PASSING:
            again = RetryLater(wait, outcome.reason)
            limit = attempts
        case FailureKind.CRASH:
            # Among several photos the cause is not certain, so the attempt alone is not delayed.
            again = RetryLater(wait if job.alone else 0.0, outcome.reason, alone=True)
            limit = attempts
        case FailureKind.TIMEOUT:
            again = RetryLater(0.0, outcome.reason, alone=True)
            limit = min(attempts, TIMEOUT_ATTEMPTS)
        case _ as unreachable:
            assert_never(unreachable)
    return Fail(outcome.reason) if job.attempt >= limit else again
