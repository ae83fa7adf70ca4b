"""Say what follows from an outcome: the decision is a value, the act is the daemon's.

Rules:
- A fault of the photo itself is final until the photo changes. A fault that can pass is tried again with backoff.
- An incomplete photo is no fault: it is looked at again, and given up after ten minutes without a change.
- Whoever was in a worker when it died is tried alone, where it can hurt nobody and where guilt is certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from watcher.core.types import Done, Failed, FailureKind, Job, NeedsMoreMemory, Outcome, Unchanged, Unready, Vanished

GIVE_UP_INCOMPLETE_SECONDS = 600.0  # contract: failed after 10 minutes without a change
AT_ONCE = 0.05  # seconds to the next look of a photo that has only just got its date
LOOK_AGAIN_SECONDS = 0.5  # after the first Unready; doubles up to the next one
LOOK_AGAIN_LONGEST = 10.0
BACKOFF_LONGEST = 3600.0
TIMEOUT_ATTEMPTS = 2  # in company, then alone: an endless decode is endless again, and costs a worker each time


@dataclass(frozen=True, slots=True)
class Commit:
    """The photo is done: put its renditions on the books."""


@dataclass(frozen=True, slots=True)
class Delete:
    """The photo is no longer there: take it off the books."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """The photo is not whole: wait, and look at it again after `seconds` or at its next event."""

    seconds: float
    reason: str
    until_changed: bool  # decoding it again makes no sense while it looks as it does


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
    """The photo has failed, and is left alone until it changes or somebody asks for a retry."""

    reason: str


Decision = Commit | Delete | Recheck | RetryLater | Pause | Fail


def judge(
    outcome: Outcome, job: Job, *, attempts: int, backoff: float, looks: int, still_seconds: float, jitter: float
) -> Decision:
    """Say what follows from `outcome`.

    `attempts` is how many tries a photo gets, `backoff` the seconds before the second one, `looks` how often it was
    found incomplete since it last changed, `still_seconds` how long it has been as it is, `jitter` a number in [0, 1).
    """
    match outcome:
        case Done() | Unchanged():
            return Commit()
        case Vanished():
            return Delete()
        case NeedsMoreMemory(memory_bytes):
            return RetryLater(0.0, "needs more memory than one worker's share", counts=False, memory_bytes=memory_bytes)
        case Unready(settling=True, reason=reason, seconds=seconds):
            soon = seconds or max(LOOK_AGAIN_SECONDS, job.patience.quiet)
            return Recheck(min(soon, LOOK_AGAIN_LONGEST), reason, False)
        case Unready(reason=reason):
            if still_seconds >= GIVE_UP_INCOMPLETE_SECONDS:
                return Fail(f"{reason}; unchanged for {GIVE_UP_INCOMPLETE_SECONDS / 60:.0f} minutes")
            return Recheck(next_look(looks, still_seconds), reason, True)
        case Failed():
            return _judge_failed(outcome, job, attempts=attempts, backoff=backoff, jitter=jitter)
        case _ as unreachable:
            assert_never(unreachable)


def next_look(looks: int, still_seconds: float) -> float:
    """Say after how many seconds an incomplete photo is looked at again: later each time, and in time to give it up."""
    wait = min(LOOK_AGAIN_SECONDS * 2.0 ** min(looks, 10), LOOK_AGAIN_LONGEST)
    return max(LOOK_AGAIN_SECONDS, min(wait, GIVE_UP_INCOMPLETE_SECONDS - still_seconds))


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
            # In company nobody knows for sure whose fault it was, so being tried alone is not put off.
            again = RetryLater(wait if job.alone else 0.0, outcome.reason, alone=True)
            limit = attempts
        case FailureKind.TIMEOUT:
            again = RetryLater(0.0, outcome.reason, alone=True)
            limit = min(attempts, TIMEOUT_ATTEMPTS)
        case _ as unreachable:
            assert_never(unreachable)
    return Fail(outcome.reason) if job.attempt >= limit else again
