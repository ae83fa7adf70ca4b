"""The values that are passed between the packages: frozen and slotted.

Rules:
- A path inside an inbox or an output tree is `bytes`, relative, separated by `/`: file names need not be UTF-8.
- A worker returns one member of a closed union, `Outcome`; match it exhaustively (`assert_never`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

from watcher.core.layout import OldOutput
from watcher.core.recipe import Recipe
from watcher.core.volumes import Holder


class PhotoId(NamedTuple):
    """A photo's identity: its inbox, and its path in it."""

    inbox: bytes  # the inbox's resolved absolute path
    path: bytes  # relative to the inbox

    @classmethod
    def inside(cls, inbox: bytes, folder: bytes, name: bytes) -> Self:
        """Return the photo of that name in a folder relative to the inbox; empty: the inbox itself."""
        return cls(inbox, folder + b"/" + name if folder else name)

    @property
    def folder(self) -> bytes:
        """The photo's folder relative to the inbox; empty for the inbox itself."""
        return self.path.rpartition(b"/")[0]

    @property
    def name(self) -> bytes:
        """The photo's file name."""
        return self.path.rpartition(b"/")[2]

    @property
    def absolute(self) -> bytes:
        """The photo's absolute path."""
        return self.inbox + b"/" + self.path


class FileSignature(NamedTuple):
    """The size, date and inode of a file at one moment: cheap evidence that it has not changed since."""

    size: int  # bytes
    mtime_ns: int
    inode: int = 0  # 0: not known (the state file stores none)

    def same_content(self, other: FileSignature | None) -> bool:
        """Return whether size and modification time agree; a rename or a copy with `-p` keeps both."""
        return other is not None and self.size == other.size and self.mtime_ns == other.mtime_ns


class PublishedVersion(NamedTuple):
    """The content that a photo's renditions show, as far as it is known."""

    size: int  # bytes
    mtime_ns: int = -1  # -1: not known
    digest: bytes = b""  # BLAKE3; empty: not known


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a photo's file before it is opened; input to `watcher.core.stability`."""

    seen: FileSignature | None = None  # its last known signature
    listed: bool = False  # a scan found this signature: if it differs when it is read, the file is still changing
    stable_since: float = 0.0  # wall clock: since when it has this signature, where its own date can't be trusted
    closed: bool = False  # its writer closed it or renamed it into place
    reopened: bool = False  # it was closed before and was incomplete, or was closed twice: more writes may follow
    created: int = 0  # inode of the file whose creation was observed, so that it was empty before; 0: none
    incomplete: FileSignature | None = None  # the signature with which it was found incomplete
    changed_ns: int = 0  # its ctime then; 0: not known
    published: PublishedVersion | None = None  # the content that its renditions show; None: it has no renditions

    @property
    def expected(self) -> FileSignature | None:
        """The signature that it must still have when it is read; None: any."""
        return self.seen if self.listed else None

    @property
    def finished(self) -> bool:
        """Whether its writer is known to have finished."""
        return self.closed and not self.reopened


@dataclass(frozen=True, slots=True)
class StabilitySettings:
    """The configured times for which a file must be unchanged; all 0: do not wait."""

    quiet_seconds: float = 0.0
    max_wait_seconds: float = 0.0


class Origin(StrEnum):
    """How a photo was found."""

    EVENT = "event"  # by an event of the kernel
    FOLDER = "folder"  # by a scan of a folder that an event was about
    SCAN = "scan"  # by a periodic scan: there was no event for it
    START = "start"  # by the scan at the start
    RETRY = "retry"  # it was due to be tried again


class Request(NamedTuple):
    """A user's request to the daemon, sent through the state file."""

    what: str  # "retry": try failed photos again; "remake": make renditions again; "prune": remove outputs
    inbox: bytes
    path: bytes | None = None  # None: every photo of the inbox
    renditions: tuple[str, ...] = ()  # to make again, or to remove; none to remove: all, since the photo is gone


@dataclass(frozen=True, slots=True)
class Rendering:
    """One rendition to make: its name, its recipe, and its place in the output tree."""

    name: str
    recipe: Recipe
    output: bytes  # relative to the output folder: `web/2024/a.jpg`; see `watcher.core.layout.sized`
    spares: tuple[bytes, ...] = ()  # alternative paths, in case the file at `output` may not be watcher's
    old: OldOutput | None = None  # it has another place than the one that is recorded, or may have


class ReusableRendition(NamedTuple):
    """A rendition on disk that can be copied for another photo of the same content."""

    fingerprint: str  # of its recipe
    output: bytes  # relative to its output folder
    size: int  # bytes


class DuplicateCandidate(NamedTuple):
    """A photo that may have the same content; its digest decides."""

    photo: PhotoId
    digest: bytes
    mtime_ns: int  # of the photo, and so of its renditions
    output_root: bytes  # absolute
    reusable: tuple[ReusableRendition, ...]  # its renditions that may be copied
    gone: bool = False  # it is no longer in its inbox; its renditions remain
    lately: bool = False  # it was removed within the last hour


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a worker needs to make one photo's renditions."""

    number: int  # unique for the lifetime of a daemon
    photo: PhotoId
    output_root: bytes  # absolute
    renderings: tuple[Rendering, ...]  # all renditions that the photo is to have
    done: FileSignature | None = None  # the photo's signature when `current` were made (inode 0)
    current: frozenset[str] = frozenset()  # renditions that need not be made while the photo's signature is `done`
    failed_at: float = 0.0  # wall clock: when it failed as `done`; it is tried again if it was written since
    evidence: Evidence = Evidence()
    stability: StabilitySettings = StabilitySettings()
    returned: tuple[tuple[PhotoId, bytes], ...] = ()  # removed photos that it may be: recorded key, digest
    duplicates: tuple[DuplicateCandidate, ...] = ()  # their renditions are copied if the content is the same
    adopt: bool = False  # nothing is recorded for the photo: take over outputs that prove to be current
    volume: bytes = b""  # the mount point that the output belongs on; empty: any. See `watcher.core.volumes`
    holder: Holder | None = None  # the owner that the output tree must have; None: any
    max_pixels: int = 200_000_000
    memory_bytes: int = 0  # limit for the decoded picture; 0: none. Beyond it the outcome is NeedsMoreMemory
    attempt: int = 1
    alone: bool = False  # run it in quarantine, where no other photo is affected


@dataclass(frozen=True, slots=True)
class Made:
    """One rendition that is durable on disk."""

    name: str
    output: bytes  # relative to the output folder
    width: int
    height: int
    size: int  # bytes
    digest: bytes = b""  # of the file's bytes, see `RenditionRecord`
    adopted: bool = False  # it existed already and proved to be current
    copied: bool = False  # it is a copy of a rendition of the same content


@dataclass(frozen=True, slots=True)
class Done:
    """Every rendition that was missing is durable on disk."""

    stamp: FileSignature
    made: tuple[Made, ...]
    width: int  # of the photo, in pixels, before orientation
    height: int
    seconds: float  # in the worker
    pid: int
    digest: bytes = b""  # of the content; empty: the file was not read completely
    duplicate: DuplicateCandidate | None = None  # the photo whose renditions some of these are copies of
    kind: str = ""  # its format, by its name in `core.formats.INPUTS`; empty: not known
    nested: bool = False  # it is on a volume that is mounted below the inbox
    old_stays: bool = False  # an output is still there that was made anew under another path


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The photo has the signature that it had when its renditions were made, and no rendition is missing."""

    stamp: FileSignature
    returned: PhotoId | None = None  # it has the content of this photo, whose original was archived before


@dataclass(frozen=True, slots=True)
class Unready:
    """The photo is not complete yet, or changed while it was read; nothing was published."""

    stamp: FileSignature | None
    reason: str
    settling: bool = False  # it was only changed too recently: check again soon, it needs no change to become ready
    seconds: float = 0.0  # how soon, where that is known
    changed_ns: int = 0  # the file's ctime then; 0: not known


@dataclass(frozen=True, slots=True)
class NeedsMoreMemory:
    """The photo needs more memory than the job was granted; nothing was decoded."""

    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Vanished:
    """The file no longer exists, or is nothing that may be read as a photo."""

    reason: str = ""


class FailureKind(StrEnum):
    """Why a photo could not be made. The kind decides whether and how it is tried again."""

    PHOTO = "photo"  # the photo itself: not tried again until it changes
    PASSING = "passing"  # an I/O error, no memory, too many open files: tried again with backoff
    DISK_FULL = "disk-full"  # no space at the output: all work for it pauses
    INBOX = "inbox"  # the inbox as a whole can't be read at the moment: all work for it pauses
    OUTPUT = "output"  # the output tree as a whole can't be written: all work for it pauses
    CRASH = "crash"  # the worker died while it worked on the photo
    TIMEOUT = "timeout"  # the worker was killed because it took too long


@dataclass(frozen=True, slots=True)
class Failed:
    """No rendition was published; the reason is a sentence for the user."""

    reason: str
    kind: FailureKind
    stamp: FileSignature | None = None


Outcome = Done | Unchanged | Unready | NeedsMoreMemory | Vanished | Failed


@dataclass(frozen=True, slots=True)
class Result:
    """A job and its outcome. `outcome` None: the job was never run, and returns to the queue without counting."""

    job: Job
    outcome: Outcome | None
    log: tuple[tuple[str, str], ...] = ()  # the worker's log messages: event name, text
    pid: int = 0  # of the worker; 0: not known
    seconds: float = 0.0  # that it took in the worker, as far as is known
    host: str = ""  # the worker's machine, if it is not this one
