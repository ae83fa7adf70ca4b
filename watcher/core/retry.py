"""Decide what follows from an outcome: the decision is a value, performing it is the engine's.

Rules:
- A fault of the photo itself is final until the photo changes. A fault that can pass is tried again with backoff.
- An incomplete photo is no fault: it is looked at again, and given up after ten minutes without a change.
- A photo that was in a worker when it died is tried alone, where the cause is certain and no other is affected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from watcher.core.stability import INCOMPLETE_SECONDS, recheck_after, recheck_unstable_after
from watcher.core.types import Done, Failed, FailureKind, Job, NeedsMoreMemory, Outcome, Unchanged, Unready, Vanished

BACKOFF_LONGEST = 3600.0
TIMEOUT_ATTEMPTS = 2  # in company, then alone: an endless decode is endless again, and costs a worker each time


@dataclass(frozen=True, slots=True)
class Commit:
    """The photo is done: record its renditions."""


@dataclass(frozen=True, slots=True)
class Delete:
    """The photo is no longer there: delete its row."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """The photo is not whole: wait, and look at it again after `seconds` or at its next event."""

    seconds: float
    reason: str
    until_changed: bool  # decoding it again makes no sense while it checks as it does


@dataclass(frozen=True, slots=True)
class RetryLater:
    """A fault that can pass: try again after `seconds`; `counts`: this try counts towards the limit."""

    seconds: float
    reason: str
    alone: bool = False
    counts: bool = True
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """The output can't be written, or the inbox not be read: its photos wait, this one at the head of the line."""

    reason: str
    blame: FailureKind  # DISK_FULL, OUTPUT or INBOX


@dataclass(frozen=True, slots=True)
class Fail:
    """The photo has failed, and is left alone until it changes or a person asks for a retry."""

    reason: str


Decision = Commit | Delete | Recheck | RetryLater | Pause | Fail


def decide(
    outcome: Outcome, job: Job, *, attempts: int, backoff: float, checks: int, unchanged_seconds: float, jitter: float
) -> Decision:
    """Decide what follows from `outcome`.

    `attempts` is how many tries a photo gets, `backoff` the seconds before the second one, `checks` how often it was
    found incomplete since it last changed, `unchanged_seconds` for how long it has not, `jitter` a number in [0, 1).
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


def _judge_failed(outcome: Failed, job: Job, *, attempts: int, backoff: float, jitter: float) -> Decision:
    wait = min(backoff * 2.0 ** min(job.attempt - 1, 30), BACKOFF_LONGEST) * (1 + jitter / 4)
    match outcome.blame:
        case FailureKind.PHOTO:
            return Fail(outcome.reason)
        case FailureKind.DISK_FULL | FailureKind.OUTPUT | FailureKind.INBOX:
            return Pause(outcome.reason, outcome.blame)
        case FailureKind.PASSING:
            again = RetryLater(wait, outcome.reason)
            limit = attempts
        case FailureKind.CRASH:
            # Among several photos the cause is not certain, so trying it alone is not put off.
            again = RetryLater(wait if job.alone else 0.0, outcome.reason, alone=True)
            limit = attempts
        case FailureKind.TIMEOUT:
            again = RetryLater(0.0, outcome.reason, alone=True)
            limit = min(attempts, TIMEOUT_ATTEMPTS)
        case _ as unreachable:
            assert_never(unreachable)
    return Fail(outcome.reason) if job.attempt >= limit else again
