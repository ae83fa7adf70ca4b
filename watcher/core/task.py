"""A photo on its way, what happens to it, and what follows from that: the values of `core.lifecycle`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto  # whose hash costs less than Enum's
from typing import NamedTuple

from watcher.core.records import PhotoRecord
from watcher.core.retry import Decision
from watcher.core.types import Evidence, FileSignature, Job, Origin, Outcome, PhotoId


class State(IntEnum):
    """Where a photo is on its way; see the table."""

    SETTLING = auto()
    QUEUED = auto()
    DEFERRED = auto()
    LEASED = auto()
    RENDERING = auto()
    COOLING = auto()
    ARCHIVING = auto()


class Lane(IntEnum):
    """Which of its state's lines a photo is in."""

    LIVE = auto()  # it came just now
    BACKLOG = auto()  # a scan found it
    QUARANTINE = auto()  # rendered alone, where a crash harms no other photo
    LARGE = auto()  # it needs more than one worker's share of memory
    RETRY = auto()  # COOLING: tried again after a fault
    RECHECK = auto()  # COOLING: looked at again, since it is incomplete or still changing


@dataclass(slots=True)
class Attempt:
    """One attempt at a photo."""

    job: Job
    before: PhotoRecord | None  # what was recorded before it
    origin: Origin = Origin.EVENT  # how and when the photo came to it, as its task says
    seen: float = 0.0
    ready: float = 0.0
    lent: frozenset[tuple[bytes, bytes]] = frozenset()  # outputs that it may copy from: output folder, path
    touched: bool = False  # the photo's rights or date were changed meanwhile
    removed: bool = False  # it was found to be gone from its inbox meanwhile
    pid: int = 0  # of the worker, as far as is known
    seconds: float = 0.0  # in the worker
    host: str = ""  # the worker's machine, if it is another one
    follows: bool = False  # it goes to the worker that has the one before it: each may copy from the other


NOTHING_KNOWN = Evidence()
IN_FLIGHT = (State.LEASED, State.RENDERING)
IN_BATCH = (State.QUEUED, *IN_FLIGHT)


class Pending(NamedTuple):
    """What happened to a photo that is in flight or on its way to the archive."""

    closed: bool
    signature: FileSignature | None = None


@dataclass(slots=True, eq=False)
class PhotoTask:
    """A photo on its way. Only `apply` changes it."""

    photo: PhotoId
    state: State | None = None  # None: it is new, or over
    lane: Lane = Lane.LIVE
    first: bool = False  # it goes before the others of its lane
    origin: Origin = Origin.EVENT
    seen: float = 0.0  # wall clock: when it was noticed
    ready: float = 0.0  # wall clock: since when it waits for a worker only; 0: since it was seen
    batch: int = 0  # that it counts in while it is queued or in flight
    evidence: Evidence = NOTHING_KNOWN
    crashes: int = 0  # of workers or of watcher itself, with this photo in them
    memory_bytes: int = 0  # that it needs; 0: a worker's share, as far as is known
    deferred: bool = False  # it has waited for a duplicate once
    checks: int = 0  # how often it was found incomplete since it last changed
    gives_up: float = 0.0  # wall clock: when it has failed if it is still incomplete and unchanged
    due: float = 0.0  # monotonic clock: when DEFERRED and COOLING end
    attempt: Attempt | None = None  # while it is in flight
    pending: Pending | None = None

    @property
    def tried(self) -> Attempt:
        """The attempt of a photo that is in flight."""
        if self.attempt is None:
            raise AssertionError(self)
        return self.attempt


# ---- events ----


class Changed(NamedTuple):
    """The file was created, written or renamed into place."""

    wall: float
    closed: bool
    signature: FileSignature | None = None
    created: int = 0  # inode of the file that has just come into being; 0: it may have existed


class Touched(NamedTuple):
    """The file was given another date, other rights or another owner."""

    wall: float
    signature: FileSignature
    recorded: FileSignature | None = None  # as it is recorded, if it has no task


class Listed(NamedTuple):
    """A scan found that the photo needs work, or a look at it that it has changed."""

    wall: float
    signature: FileSignature
    origin: Origin = Origin.SCAN
    batch: int = 0
    live: bool = False  # its folder was announced
    differs: bool = False  # though its size and date may be the same
    outdated: bool = False  # what a worker makes of it is no longer what is wanted
    crashes: int = 0  # of watcher itself, with this photo in a worker
    unreliable: bool = False  # its date may be by another clock, and no event tells of a change


class Removed(NamedTuple):
    """The file is gone, and its inbox is there."""


class Released(NamedTuple):
    """Its burst has ended, or a worker is free and it was closed."""

    wall: float
    batch: int


class Leased(NamedTuple):
    """Its attempt is recorded, durable."""

    attempt: Attempt
    lane: Lane  # that it goes on in


class Deferred(NamedTuple):
    """It is to wait for a photo that may be a duplicate, or for its place in the outputs."""

    due: float


class Submitted(NamedTuple):
    """Its job goes to the workers."""


class Returned(NamedTuple):
    """Its attempt was not made, or is of no use, through no fault of the photo."""

    wall: float
    restore: bool = True  # what was recorded before it holds
    forget: bool = False  # it does not: it is about another output folder


class Decided(NamedTuple):
    """Its attempt is over, and this follows from the outcome."""

    decision: Decision
    outcome: Outcome
    wall: float
    due: float | None = None  # when it is looked at or tried again; None: there is no room for it to wait
    unchanged: bool = False  # it looks as it did the time before
    gives_up: float = 0.0  # when it has failed if it is still incomplete and unchanged
    denied: bool = False  # it could not be read, which other rights may have cured


class TimerDue(NamedTuple):
    """Its time has come."""

    batch: int


class Rechecked(NamedTuple):
    """Its time has come, and whether it has changed is found out without a worker."""

    due: float  # the next time


class RetryAsked(NamedTuple):
    """A person asked for it to be tried or made again."""

    wall: float
    batch: int


class Dropped(NamedTuple):
    """It is left alone."""


class ArchivingBegun(NamedTuple):
    """Its original is being moved or deleted."""

    signature: FileSignature


class ArchivingEnded(NamedTuple):
    """Its original is moved, deleted or kept."""

    wall: float


Event = (
    Changed
    | Touched
    | Listed
    | Removed
    | Released
    | Leased
    | Deferred
    | Submitted
    | Returned
    | Decided
    | TimerDue
    | Rechecked
    | RetryAsked
    | Dropped
    | ArchivingBegun
    | ArchivingEnded
)


# ---- effects ----


class Settle(NamedTuple):
    """Start the debouncer's clocks for it, or start them again."""

    closed: bool


class Unsettle(NamedTuple):
    """Take it out of the debouncer."""


class Join(NamedTuple):
    """Count it into a batch."""

    batch: int


class Leave(NamedTuple):
    """Count it out of its batch: with what was recorded before this, or as if it had not come."""

    batch: int


class Render(NamedTuple):
    """Hand its job to the workers."""

    job: Job


class Record(NamedTuple):
    """Record what became of an attempt."""

    attempt: Attempt
    decision: Decision
    outcome: Outcome


class Restore(NamedTuple):
    """Record it as it was before its attempt."""

    record: PhotoRecord | None


class Forget(NamedTuple):
    """Delete what is recorded of it."""


Effect = Settle | Unsettle | Join | Leave | Render | Record | Restore | Forget
