"""The values that travel between the packages: frozen and slotted.

Rules:
- A path inside an inbox or an output tree is `bytes`, relative, separated by `/`: file names need not be UTF-8.
- A photo is named by its inbox and its path in it. An inbox is named by its resolved absolute path (`bytes`).
- What reaches the daemon's loop from outside is one of the messages below.
- What comes back from a worker is one of a closed union, `Outcome`; match it exhaustively (`assert_never`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

from watcher.core.formats import Format
from watcher.core.volumes import Holder

Fit = Literal["inside", "cover"]
Metadata = Literal["none", "safe", "all"]


class PhotoId(NamedTuple):
    """A photo's name: which inbox, and where in it."""

    inbox: bytes  # the inbox's resolved absolute path
    path: bytes  # relative to the inbox

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
    """What a file looked like at one moment, as cheap evidence that it has not changed since."""

    size: int  # bytes
    mtime_ns: int
    inode: int = 0  # 0: not known (the state file keeps none)

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
    """What is known of a photo's file before it is opened; `watcher.core.stability` decides by it."""

    seen: FileSignature | None = None  # as it looked last
    listed: bool = False  # a scan saw it so: if it looks different when it is read, it is still changing
    stable_since: float = 0.0  # wall clock: since when it has looked so, where its own date cannot be trusted
    closed: bool = False  # its writer closed it or renamed it into place
    reopened: bool = False  # it was closed before and was incomplete, or was closed twice: more writes may follow
    created: int = 0  # inode of the file that was seen to be created, so that it held nothing before; 0: none
    incomplete: FileSignature | None = None  # it was found incomplete when it looked like this
    changed_ns: int = 0  # its ctime then; 0: not known
    published: PublishedVersion | None = None  # what its renditions show; None: it has none

    @property
    def expected(self) -> FileSignature | None:
        """How it must still look when it is read; None: any way."""
        return self.seen if self.listed else None

    @property
    def finished(self) -> bool:
        """Whether its writer is known to have finished."""
        return self.closed and not self.reopened


@dataclass(frozen=True, slots=True)
class StabilitySettings:
    """What the config says of how long a file must be unchanged; all 0: it is not waited for."""

    quiet_seconds: float = 0.0
    max_wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a rendition's bytes, given the photo."""

    width: int | None  # pixels; None: unbounded. At least one of both is given
    height: int | None
    fit: Fit
    format: Format
    quality: int  # on JPEG's scale, 1 to 100
    metadata: Metadata
    fingerprint: str  # 16 hex digits over all of the above and the version of the encoder settings


class Origin(StrEnum):
    """How a photo came to notice."""

    EVENT = "event"  # the kernel announced it
    FOLDER = "folder"  # found by looking into a folder that was announced
    SCAN = "scan"  # found by a periodic scan: no event announced it
    START = "start"  # found by the scan at the start
    RETRY = "retry"  # its time has come again


class Request(NamedTuple):
    """Something that people ask of the daemon by way of the state file."""

    what: str  # "retry": try again what has failed; "remake": make renditions again
    inbox: bytes
    path: bytes | None = None  # None: every photo of the inbox
    renditions: tuple[str, ...] = ()  # to be made again


@dataclass(frozen=True, slots=True)
class Rendering:
    """One rendition to be made: what, how, and where in the output tree."""

    name: str
    recipe: Recipe
    output: bytes  # relative to the output folder: `web/2024/a.jpg`
    spares: tuple[bytes, ...] = ()  # where it goes instead if what lies there may be of other origin


class ReusableRendition(NamedTuple):
    """A rendition that lies on disk, and that another photo of the same content may have a copy of."""

    fingerprint: str  # of its recipe
    output: bytes  # relative to its output folder
    size: int  # bytes


class DuplicateCandidate(NamedTuple):
    """A photo that may have the same content: its digest tells."""

    photo: PhotoId
    digest: bytes
    mtime_ns: int  # of the photo, and so of its renditions
    output_root: bytes  # absolute
    lent: tuple[ReusableRendition, ...]
    gone: bool = False  # it is no longer in its inbox; its renditions have stayed
    lately: bool = False  # it went within the last hour


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to know to turn one photo into its renditions."""

    number: int  # unique in the life of a daemon
    photo: PhotoId
    output_root: bytes  # absolute
    renderings: tuple[Rendering, ...]  # all that the photo shall have
    done: FileSignature | None = None  # the photo as it was when `current` were made (inode 0)
    current: frozenset[str] = frozenset()  # renditions that need not be made while the photo looks like `done`
    evidence: Evidence = Evidence()
    stability: StabilitySettings = StabilitySettings()
    returned: tuple[tuple[PhotoId, bytes], ...] = ()  # it may be one of these, which went: key on record, digest
    twins: tuple[DuplicateCandidate, ...] = ()  # whose renditions will do if the content is the same
    adopt: bool = False  # nothing is known of the photo: take over outputs that prove to be current
    volume: bytes = b""  # the mount point that the output belongs on; empty: any. See `watcher.core.volumes`
    holder: Holder | None = None  # to whom the output tree must belong; None: to anybody
    max_pixels: int = 200_000_000
    memory_bytes: int = 0  # how much the decoded picture may take; 0: no limit. More is answered by Heavy
    attempt: int = 1
    alone: bool = False  # to run in quarantine, where no other photo is affected


@dataclass(frozen=True, slots=True)
class Made:
    """One rendition that lies on disk, durable."""

    name: str
    output: bytes  # relative to the output folder
    width: int
    height: int
    size: int  # bytes
    adopted: bool = False  # it lay there already and proved to be current
    copied: bool = False  # it is a copy of what was made of the same content


@dataclass(frozen=True, slots=True)
class Done:
    """Every rendition that was missing is durable on disk."""

    stamp: FileSignature
    made: tuple[Made, ...]
    width: int  # of the photo, in pixels, before orientation
    height: int
    seconds: float  # in the worker
    pid: int
    digest: bytes = b""  # of the content; empty: it was not read whole
    twin: DuplicateCandidate | None = None  # whose renditions some of these are copies of


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The photo looks as it did when its renditions were made, and none is missing."""

    stamp: FileSignature
    returned: PhotoId | None = None  # it has the content of this one, whose original was taken away before


@dataclass(frozen=True, slots=True)
class Unready:
    """The photo is not whole yet, or moved while it was read; nothing was published."""

    stamp: FileSignature | None
    reason: str
    settling: bool = False  # only too young: look again soon, it needs no change to become ready
    seconds: float = 0.0  # how soon, where that is known
    changed_ns: int = 0  # the file's ctime then; 0: not known


@dataclass(frozen=True, slots=True)
class NeedsMoreMemory:
    """The photo needs more memory than the job was granted; nothing was decoded."""

    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Vanished:
    """There is no such file any more, or nothing that may be read as a photo."""

    reason: str = ""


class FailureKind(StrEnum):
    """Why a photo could not be made: this decides whether and how it is tried again."""

    PHOTO = "photo"  # the photo itself: never tried again until it changes
    PASSING = "passing"  # an I/O error, no memory, too many open files: tried again with backoff
    DISK_FULL = "disk-full"  # no room at the output: all work for it pauses
    INBOX = "inbox"  # the inbox as a whole can't be read just now: all work for it pauses
    OUTPUT = "output"  # the output tree as a whole can't be written: all work for it pauses
    CRASH = "crash"  # the worker died under it
    TIMEOUT = "timeout"  # the worker was killed for taking too long


@dataclass(frozen=True, slots=True)
class Failed:
    """No rendition was published; the reason is a sentence for a person."""

    reason: str
    blame: FailureKind
    stamp: FileSignature | None = None


Outcome = Done | Unchanged | Unready | NeedsMoreMemory | Vanished | Failed


@dataclass(frozen=True, slots=True)
class Seen:
    """An event: a file was created, closed by its writer, renamed into place, or only given another date or rights."""

    inbox: bytes
    path: bytes
    complete: bool  # its writer is done: it was closed after writing, or renamed into place
    stamp: FileSignature | None = field(default=None, compare=False)  # as it looked then, if anybody looked
    touched: bool = False  # its date, its rights or its owner have changed, nothing that is in it
    created: bool = False  # the file itself has just come into being, and holds nothing of before


@dataclass(frozen=True, slots=True)
class FolderSeen:
    """An event: a folder was created or moved in; what lies in it may never be announced."""

    inbox: bytes
    folder: bytes


@dataclass(frozen=True, slots=True)
class Gone:
    """Files or folders (with all below) that are no longer in the inbox; the inbox itself is reachable."""

    inbox: bytes
    paths: tuple[bytes, ...] = ()
    folders: tuple[bytes, ...] = ()
    root: tuple[int, int] | None = None  # (st_dev, st_ino) of the folder that was looked at; None: the kernel says so


@dataclass(frozen=True, slots=True)
class WatchLost:
    """Events of an inbox can no longer be trusted; everything must be looked at again."""

    inbox: bytes
    reason: str
    healed: bool  # the watch was set up anew (or never broke, as when only the kernel's queue overflowed)
    silent: bool = False  # what lies there now announces nothing: a share that was mounted there, or below


class WatchBack(NamedTuple):
    """Events of an inbox can be trusted again; everything must be looked at once more."""

    inbox: bytes


@dataclass(frozen=True, slots=True)
class WatchReady:
    """The watch of an inbox is set up, or it was found that none can be: from now on a scan misses nothing."""

    inbox: bytes
    native: bool
    reason: str  # why it is not native; empty otherwise


class Entry(NamedTuple):
    """One photo in a folder, as the scan saw it."""

    name: bytes
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A part of one folder of an inbox: regular files that are photos by name. Answer each with `Scanner.ack()`."""

    inbox: bytes
    scan: int  # the number that the request was given
    folder: bytes
    entries: tuple[Entry, ...]
    last: bool  # the folder is complete with this part
    hidden: tuple[bytes, ...] = ()  # names of originals that were being taken away when watcher ended


@dataclass(frozen=True, slots=True)
class ScanDone:
    """A scan came to its end."""

    inbox: bytes
    scan: int
    origin: Origin
    folder: bytes  # what was asked for; empty: the whole inbox
    photos: int
    folders: int
    seconds: float
    complete: bool  # False: the inbox or a part of it could not be read: nothing may be concluded from absence
    reason: str = ""  # what could not be read
    root: tuple[int, int] | None = None  # (st_dev, st_ino) of the inbox; None: it is not reachable


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """Something happened in the pool; `Pool.take` knows what it means."""

    number: int  # of the job
    generation: int  # of the executor


class Stop(NamedTuple):
    """Somebody asks the daemon to stop; the second time, at once."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reload:
    """Somebody asks the daemon to read its config again."""


class RequestsPending(NamedTuple):
    """Somebody has put requests into the state file."""


@dataclass(frozen=True, slots=True)
class Result:
    """A job and what became of it; `outcome` None: the job was never run and goes back to the queue without blame."""

    job: Job
    outcome: Outcome | None
    log: tuple[tuple[str, str], ...] = ()  # what the worker has to say: event name, text
    pid: int = 0  # of the worker; 0: not known
    seconds: float = 0.0  # that it took there, as far as is known
    host: str = ""  # the worker's machine, if it is another one
