"""Decide whether a file is finished. All constants and decisions are here; `render` measures, this module decides.

Rules:
- A close or a rename shows that the writer is done. Without it the file must be unchanged for a while, and its content
  complete.
- If the kernel reports that no process has the file open for writing, its writer has closed it, whatever events came.
- If the kernel reports that a process has it open, the wait can only become longer, never endless: some programs keep
  files open long after they have finished them.
- Content proves nothing for a photo that is overwritten in place: a new head and an old tail decode together. So it
  must be unchanged for longer, unless it was closed. That applies to every file that may have had content when its
  writer opened it, and so also to a file of which nothing is known, as at a first start.
- A client may set an old date before its last bytes. So for a file of which the kernel sent an event, and of which
  a part is missing, the time counts since its inode was changed (ctime). For one that a scan found, the date alone
  counts, since to be moved changes an inode.
- On a share, neither the clock nor the writers are known. There the time counts for which the file was observed to be
  unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from watcher.core.types import Evidence, FileSignature, StabilitySettings

# How long a file must be unchanged before it is read, or after it was found unfinished
OVERWRITE_SECONDS = 60.0  # a process has it open, or its content may be of two versions
UNFINISHED_SECONDS = 10.0  # its end marker or a part of it is missing, and no process has it open
# When it is checked again
RECHECK_SECONDS = 0.5  # after it was first found incomplete; doubles each time
RECHECK_LONGEST_SECONDS = 10.0
RECHECK_DATED_SECONDS = 0.01  # only its date was set while it was read: the last step of a copy
AT_ONCE_SECONDS = 0.05  # a recheck within this time needs no further evidence
INCOMPLETE_SECONDS = 600.0  # contract: an incomplete photo has failed after 10 minutes without a change
FAILING_SECONDS = 1.0  # what was written this long before a failure was recorded may have been written after the read
# The last steps of a copy
OLD_DATE_SECONDS = 2.0  # a file with an older date was given that date, not written then
PRIVATE_SECONDS = 10.0  # since it was last written: it may still be made readable
COPY_ENDS_SECONDS = 10.0  # since it was last written: a share's client may still close it, and so change its date


@dataclass(frozen=True, slots=True)
class Observation:
    """What a worker finds out about a file before it reads it."""

    signature: FileSignature
    unchanged: float  # seconds; negative: its date is in the future, which proves nothing
    writer: bool | None  # whether a process has it open for writing; None: the kernel can't report that
    untouched: float  # as `unchanged`, and since its inode was changed where an event told of it

    def changed_within(self, seconds: float) -> bool:
        """Return whether it changed less than `seconds` ago, by its date."""
        return 0 <= self.unchanged < seconds

    def touched_within(self, seconds: float) -> bool:
        """Return whether it changed less than `seconds` ago, whatever its date says: of content with a part missing."""
        return 0 <= self.untouched < seconds


class Look(NamedTuple):
    """The signature of a photo when it was found incomplete."""

    path: bytes
    stamp: FileSignature
    changed_ns: int = 0  # ctime; 0: not known

    def is_same(self, stamp: FileSignature, changed_ns: int) -> bool:
        """Return whether `stamp` and `changed_ns` are the same. An unknown inode or ctime here is equal to any."""
        same_file = not self.stamp.inode or self.stamp.inode == stamp.inode
        return same_file and self.stamp.same_content(stamp) and self.changed_ns in {0, changed_ns}


class Content(Enum):
    """What a worker finds when it has read and decoded a file."""

    COMPLETE = auto()
    NO_END_MARKER = auto()  # complete except for that
    HOLE = auto()  # it decodes, but has a long run of zeros inside
    DAMAGED = auto()  # it does not decode, and is not merely cut short
    TRAILER = auto()  # complete, but more data may follow after its end


class Wait(NamedTuple):
    """How long a file must be unchanged, and why."""

    seconds: float
    reason: str = ""


def quiet_seconds(evidence: Evidence, settings: StabilitySettings) -> float:
    """Return how long a file must be unchanged if nothing else is known about it."""
    return 0.0 if evidence.finished else settings.quiet_seconds


def required(evidence: Evidence, settings: StabilitySettings, found: Observation) -> Wait:
    """Return how long a file must be unchanged before it is read."""
    quiet, waits = quiet_seconds(evidence, settings), settings.max_wait_seconds
    if found.writer and evidence.published:
        return Wait(max(OVERWRITE_SECONDS, quiet), "it is being written anew")
    if found.writer and evidence.created != found.signature.inode:
        reason = "another process has it open for writing, and may be overwriting it"
        return Wait(max(OVERWRITE_SECONDS, quiet), reason)
    if found.writer and (evidence.closed or evidence.reopened):
        return Wait(max(waits, quiet), "it was closed, and another process still has it open for writing")
    if found.writer is False and not evidence.reopened:
        return Wait(0.0)
    if found.writer is None and evidence.published and quiet:
        return Wait(max(waits, quiet), "it was overwritten a moment ago")
    return Wait(quiet, "it was written a moment ago")


def required_of(
    content: Content, evidence: Evidence, settings: StabilitySettings, found: Observation, *, sparse: bool = False
) -> Wait:
    """Return how long a file must be unchanged for its content to count. `sparse`: parts of it were never written."""
    unfinished = OVERWRITE_SECONDS if found.writer or sparse else UNFINISHED_SECONDS
    match content:
        case Content.NO_END_MARKER:
            return Wait(unfinished, "its end marker is missing: still being copied?")
        case Content.HOLE:
            return Wait(unfinished, "it has a long run of zeros inside: a part may still be missing")
        case Content.DAMAGED if may_be_two_versions(evidence, found.signature.size):
            reason = "or the head of one photo before the tail of another: an overwrite that is not over?"
            return Wait(OVERWRITE_SECONDS, reason)
        case Content.DAMAGED:
            return Wait(unfinished, "or still being copied")
        case Content.TRAILER if found.writer and not evidence.finished:
            return Wait(settings.max_wait_seconds, "another process has it open, and more may follow behind its end")
        case Content.COMPLETE if found.writer is None and quiet_seconds(evidence, settings) and evidence.published:
            if may_be_two_versions(evidence, found.signature.size):  # parts of both may decode together by chance
                reason = "it has the size of what was there before, and may be of both: an overwrite that is not over?"
                return Wait(OVERWRITE_SECONDS, reason)
    return Wait(0.0)


def may_be_two_versions(evidence: Evidence, size: int) -> bool:
    """Return whether a file may hold parts of two versions: an interrupted overwrite does not change the size."""
    return evidence.reopened or (evidence.published is not None and evidence.published.size == size)


def recheck_after(checks: int, unchanged: float) -> float:
    """Return after how many seconds to check an incomplete photo again: later each time, and in time to give it up."""
    wait = min(RECHECK_SECONDS * 2.0 ** min(checks, 10), RECHECK_LONGEST_SECONDS)
    return max(RECHECK_SECONDS, min(wait, INCOMPLETE_SECONDS - unchanged))


def recheck_unstable_after(evidence: Evidence, settings: StabilitySettings, seconds: float) -> float:
    """Return after how many seconds to check a photo again that only has to be unchanged for longer.

    `seconds`: the remaining time, if it is known.
    """
    soon = seconds or max(RECHECK_SECONDS, quiet_seconds(evidence, settings))
    return min(soon, RECHECK_LONGEST_SECONDS)
