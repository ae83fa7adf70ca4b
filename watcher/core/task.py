"""Tasks, their events and the effects of these: the values of `core.lifecycle`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto  # whose hash costs less than Enum's
from typing import NamedTuple

from watcher.core.records import PhotoRecord
from watcher.core.retry import Decision
from watcher.core.types import Evidence, FileSignature, Job, Origin, Outcome, PhotoId


class State(IntEnum):
    """The state of a task; see the table in `core.lifecycle`."""

    SETTLING = auto()
    QUEUED = auto()
    DEFERRED = auto()
    LEASED = auto()
    RENDERING = auto()
    COOLING = auto()
    ARCHIVING = auto()


class Lane(IntEnum):
    """The queue of a task within its state."""

    LIVE = auto()  # it has just arrived
    BACKLOG = auto()  # a scan found it
    QUARANTINE = auto()  # rendered alone, where a crash harms no other photo
    LARGE = auto()  # it needs more than one worker's share of memory
    RETRY = auto()  # COOLING: tried again after a fault
    RECHECK = auto()  # COOLING: checked again, because it is incomplete or still changing


@dataclass(slots=True)
class Attempt:
    """One attempt at a photo."""

    job: Job
    before: PhotoRecord | None  # the photo's record before it
    origin: Origin = Origin.EVENT  # these three: how and when the photo was found and became ready, from its task
    seen: float = 0.0
    ready: float = 0.0
    reusable: frozenset[tuple[bytes, bytes]] = frozenset()  # outputs that it may copy from: output folder, path
    touched: bool = False  # the photo's rights or date were changed meanwhile
    removed: bool = False  # the photo was removed from its inbox meanwhile
    pid: int = 0  # of the worker, as far as is known
    seconds: float = 0.0  # in the worker
    host: str = ""  # the worker's machine, if it is not this one
    follows: bool = False  # it goes to the same worker as the previous attempt: each may copy from the other


NOTHING_KNOWN = Evidence()
IN_FLIGHT = (State.LEASED, State.RENDERING)
IN_BATCH = (State.QUEUED, *IN_FLIGHT)


class Pending(NamedTuple):
    """A change to a photo while it is in flight or is being archived."""

    closed: bool
    signature: FileSignature | None = None


@dataclass(slots=True, eq=False)
class PhotoTask:
    """The task of a photo. Only `apply` changes it."""

    photo: PhotoId
    state: State | None = None  # None: the task is new, or has ended
    lane: Lane = Lane.LIVE
    first: bool = False  # it goes before the others in its lane
    origin: Origin = Origin.EVENT
    seen: float = 0.0  # wall clock: when the photo was found
    ready: float = 0.0  # wall clock: since when it waits only for a worker; 0: since `seen`
    batch: int = 0  # the batch that counts it while it is queued or in flight
    evidence: Evidence = NOTHING_KNOWN
    crashes: int = 0  # of workers or of watcher itself, while they had this photo
    memory_bytes: int = 0  # the memory that it needs; 0: a worker's share, as far as is known
    deferred: bool = False  # it has waited for a duplicate once
    checks: int = 0  # how often it was found incomplete since it last changed
    gives_up: float = 0.0  # wall clock: when it fails if it is still incomplete and unchanged
    due: float = 0.0  # monotonic clock: when DEFERRED and COOLING end
    attempt: Attempt | None = None  # the attempt in flight
    pending: Pending | None = None

    @property
    def tried(self) -> Attempt:
        """The attempt of a task in flight."""
        if self.attempt is None:
            raise AssertionError(self)
        return self.attempt


# ---- events ----


class Changed(NamedTuple):
    """The file was created, written or renamed into place."""

    wall: float
    closed: bool
    signature: FileSignature | None = None
    created: int = 0  # inode of the file that was just created; 0: it may have existed before


class Touched(NamedTuple):
    """The date, the rights or the owner of the file changed."""

    wall: float
    signature: FileSignature
    recorded: FileSignature | None = None  # its recorded signature, if it has no task


class Listed(NamedTuple):
    """A scan found that the photo needs work, or a check found that it has changed."""

    wall: float
    signature: FileSignature
    origin: Origin = Origin.SCAN
    batch: int = 0
    live: bool = False  # there was an event for its folder
    differs: bool = False  # it has changed, though its size and date may be the same
    outdated: bool = False  # the renditions that a worker is making of it are no longer the wanted ones
    crashes: int = 0  # of watcher itself, while a worker had this photo
    unreliable: bool = False  # its date may be from another clock, and changes cause no events


class Removed(NamedTuple):
    """The file is gone, and its inbox is reachable."""


class Released(NamedTuple):
    """Its burst has ended, or its writer closed it and a worker is free."""

    wall: float
    batch: int


class Leased(NamedTuple):
    """Its attempt is durably recorded."""

    attempt: Attempt
    lane: Lane  # its lane from now on


class Deferred(NamedTuple):
    """It has to wait for a photo that may be a duplicate, or for its place in the outputs."""

    due: float


class Submitted(NamedTuple):
    """Its job is sent to the workers."""


class Returned(NamedTuple):
    """Its attempt was not made, or is of no use, through no fault of the photo."""

    wall: float
    restore: bool = True  # the record from before the attempt applies again
    forget: bool = False  # that record does not apply: it is about another output folder


class Decided(NamedTuple):
    """Its attempt has ended, with the decision that follows from the outcome."""

    decision: Decision
    outcome: Outcome
    wall: float
    due: float | None = None  # when it is checked or tried again; None: too many photos wait already
    unchanged: bool = False  # its signature is the same as at the previous attempt
    gives_up: float = 0.0  # when it fails if it is still incomplete and unchanged
    denied: bool = False  # it could not be read; a change of its rights may have fixed that


class TimerDue(NamedTuple):
    """Its timer is due."""

    batch: int


class Rechecked(NamedTuple):
    """Its timer is due, and it is checked for changes without a worker."""

    due: float  # when it is due next


class RetryAsked(NamedTuple):
    """The user asked to try it or make it again."""

    wall: float
    batch: int


class Dropped(NamedTuple):
    """It is no longer worked on: its task ends."""


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
    """Start, or restart, the debouncer's clocks for it."""

    closed: bool


class Unsettle(NamedTuple):
    """Remove it from the debouncer."""


class Join(NamedTuple):
    """Add it to a batch."""

    batch: int


class Leave(NamedTuple):
    """Remove it from its batch: with the result that was recorded before this, or as if it had never been in it."""

    batch: int


class Render(NamedTuple):
    """Send its job to the workers."""

    job: Job


class Record(NamedTuple):
    """Record the result of an attempt."""

    attempt: Attempt
    decision: Decision
    outcome: Outcome


class Restore(NamedTuple):
    """Restore its record from before the attempt."""

    record: PhotoRecord | None


class Forget(NamedTuple):
    """Delete its record."""


Effect = Settle | Unsettle | Join | Leave | Render | Record | Restore | Forget
