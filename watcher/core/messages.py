"""The messages that the loop's queue gets from all other threads; `engine.ports.Message` is the union of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from watcher.core.types import FileSignature, Origin, PhotoId


@dataclass(frozen=True, slots=True)
class Seen:
    """An event: a file was created, closed by its writer or renamed into place, or only its date or rights changed."""

    inbox: bytes
    path: bytes
    complete: bool  # its writer is done: it was closed after writing, or renamed into place
    stamp: FileSignature | None = field(default=None, compare=False)  # its signature then, if it was read
    touched: bool = False  # only its date, its rights or its owner have changed, not its content
    created: bool = False  # the file itself was just created, and has no earlier content


@dataclass(frozen=True, slots=True)
class FolderSeen:
    """An event: a folder was created or moved in. There may never be events for the files in it."""

    inbox: bytes
    folder: bytes


@dataclass(frozen=True, slots=True)
class Gone:
    """Files, or folders with everything below, that are no longer in the inbox. The inbox itself is reachable."""

    inbox: bytes
    paths: tuple[bytes, ...] = ()
    folders: tuple[bytes, ...] = ()
    root: tuple[int, int] | None = None  # (st_dev, st_ino) of the folder that was read; None: by the kernel's events


@dataclass(frozen=True, slots=True)
class WatchReady:
    """The watch of an inbox is set up, or can't be set up: from now on a scan misses nothing."""

    inbox: bytes
    native: bool
    reason: str  # why it is not native; empty otherwise


@dataclass(frozen=True, slots=True)
class WatchLost:
    """Events of an inbox can no longer be trusted; the whole inbox must be scanned again."""

    inbox: bytes
    reason: str
    healed: bool  # the watch was set up again (or never broke, as when only the kernel's queue overflowed)
    silent: bool = False  # there are no events from now on: a share was mounted there, or below


class WatchBack(NamedTuple):
    """Events of an inbox can be trusted again; the whole inbox must be scanned once more."""

    inbox: bytes


class Entry(NamedTuple):
    """One photo in a folder, as the scan found it."""

    name: bytes
    signature: FileSignature
    changed_ns: int = 0  # ctime; 0: not known


@dataclass(frozen=True, slots=True)
class Listing:
    """A part of one folder of an inbox: regular files that are photos by name. Acknowledge it with `Scanner.ack()`."""

    inbox: bytes
    scan: int  # the number of the request
    folder: bytes
    entries: tuple[Entry, ...]
    last: bool  # this part completes the folder
    hidden: tuple[bytes, ...] = ()  # hidden names of originals that were being archived when watcher ended


@dataclass(frozen=True, slots=True)
class Looked:
    """A message: incomplete photos were checked again. It has those whose signatures have changed."""

    inbox: bytes
    changed: tuple[tuple[bytes, FileSignature], ...]


@dataclass(frozen=True, slots=True)
class ScanDone:
    """A scan has ended."""

    inbox: bytes
    scan: int
    origin: Origin
    folder: bytes  # the folder that was requested; empty: the whole inbox
    photos: int
    folders: int
    seconds: float
    complete: bool  # False: the inbox or a part of it could not be read, so absence proves nothing
    reason: str = ""  # what could not be read
    root: tuple[int, int] | None = None  # (st_dev, st_ino) of the inbox; None: it is not reachable
    left_alone: tuple[tuple[str, int], ...] = ()  # ending → files, see `Walk`; the commonest first


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """Something happened in the pool; `Pool.take` interprets it."""

    number: int  # of the job
    generation: int  # of the executor


class OutputsRemoved(NamedTuple):
    """Renditions that moved photos left behind were removed, as far as they were what was meant."""

    number: int  # that the request was given


class Pruned(NamedTuple):
    """The outputs of an orphan were removed, as far as they certainly are its own."""

    number: int  # that the request was given
    removed: tuple[bytes, ...] = ()  # absolute paths
    kept: tuple[tuple[bytes, str], ...] = ()  # absolute paths, and why they stay


@dataclass(frozen=True, slots=True)
class TakenAway:
    """What became of an original that was to be moved or deleted."""

    photo: PhotoId
    where: bytes | None  # absolute path; empty: it is deleted; None: it was not archived
    fault: str = ""  # why it is where it was
    other: bool = False  # it looks the same, and holds something else than what its renditions were made of
    volume: bytes = b""  # the mount point that originals are on; empty: not known


class PutBack(NamedTuple):
    """What became of an original whose hidden name an interruption has left behind."""

    photo: PhotoId  # by its hidden name
    done: bool = False  # it has its own name again
    fault: str = ""  # why not


class HookAnswered(NamedTuple):
    """What became of a document that a hook was to be told."""

    hook: int  # both as they were given to `HookRunner.deliver`
    number: int
    error: str = ""  # empty: it was delivered


@dataclass(frozen=True, slots=True)
class FoldersMeet:
    """Something was mounted or unmounted: which inboxes are to be held up, since folders lie in each other, and why."""

    reasons: Mapping[bytes, str]  # by inbox; of all others it is no longer so


class Stop(NamedTuple):
    """A request to stop the daemon; the second one stops it at once."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reload:
    """A request to read the config again."""


class RequestsPending(NamedTuple):
    """There are new requests in the state file."""
