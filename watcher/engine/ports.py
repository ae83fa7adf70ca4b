"""What the daemon needs of the world: the command line fills these protocols with real parts, tests with fakes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from watcher.config import Config, Hook, Inbox
from watcher.core.history import HistoryEntry
from watcher.core.hooks import Adopted, Answered, HookId, HookStatus, Outgoing
from watcher.core.messages import (
    FolderSeen,
    FoldersMeet,
    Gone,
    HookAnswered,
    Listing,
    Looked,
    OutputsRemoved,
    Pruned,
    PutBack,
    Reload,
    RequestsPending,
    ScanDone,
    Seen,
    Stop,
    TakenAway,
    WatchBack,
    WatchLost,
    WatchReady,
    WorkerReport,
)
from watcher.core.naming import folded
from watcher.core.orphans import LeftPhoto, Orphan
from watcher.core.recipe import Recipe
from watcher.core.records import ContentRecord, PhotoRecord, RenditionRecord, ScanRow
from watcher.core.stability import Look
from watcher.core.status import Counts, ExecutorStatus, InboxStatus, StatusQuery
from watcher.core.types import FileSignature, Job, Origin, PhotoId, Request, Result, ReusableRendition
from watcher.core.volumes import Holder
from watcher.errors import WatcherError


@dataclass(frozen=True, slots=True)
class InboxPlan:
    """One inbox, its config turned into what exists on this machine."""

    inbox: bytes  # resolved absolute path
    output: bytes  # resolved absolute path
    config: Inbox
    wanted: Mapping[str, Recipe]
    originals: bytes | None = None  # resolved absolute path: where originals go, if they are to be moved
    originals_volume: bytes = b""  # the mount point that this is on; empty: not known
    volume: bytes = b""  # the mount point that the output is on; empty: not known
    bare: bool = False  # none of the folders of its renditions is there
    folds_case: bool = False  # the output's file system takes `A.jpg` and `a.jpg` for one name
    away: str = ""  # why the output can't be written to, or made, just now; empty: it can
    holder: Holder | None = None  # to whom the output belongs; None: to anybody
    weaker: str = ""  # what its file system can't do that others can; empty: nothing

    def same_name(self, output: bytes) -> bytes:
        """Return an output's path as the output's file system compares it."""
        return folded(output) if self.folds_case else output


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole config, turned into what exists on this machine."""

    config: Config
    inboxes: tuple[InboxPlan, ...]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The config was read again: the new settings, or what is wrong with them."""

    settings: Settings | WatcherError


Message = (
    Seen
    | FolderSeen
    | Gone
    | WatchReady
    | WatchLost
    | WatchBack
    | Listing
    | Looked
    | ScanDone
    | WorkerReport
    | OutputsRemoved
    | Pruned
    | TakenAway
    | PutBack
    | Stop
    | Reload
    | Reloaded
    | FoldersMeet
    | HookAnswered
    | RequestsPending
    | StatusQuery
)
Post = Callable[[Message], None]


class Pool(Protocol):
    """Workers that turn jobs into outcomes; see `watcher.pool`."""

    @property
    def free(self) -> int: ...
    @property
    def losses(self) -> int: ...
    @property
    def liveness_seconds(self) -> float: ...
    @property
    def unavailable_reason(self) -> str:
        """Why no photo can be made, in a sentence; empty: they can."""

    @property
    def gave_up(self) -> bool:
        """Whether a single run is to end without what is left."""

    def info(self) -> ExecutorStatus | None:
        """Return what `status` shows of a cluster; None: the workers are processes of this machine."""

    def bundle_size(self, waiting: int) -> int: ...
    def submit(self, *jobs: Job) -> None: ...
    def take(self, report: WorkerReport) -> list[Result]: ...
    def deadline(self) -> float | None: ...
    def check(self, now: float) -> list[Result]: ...
    def close(self, *, wait: bool) -> list[Job]: ...


class Workers(Pool, Protocol):
    """A pool that has yet to be started."""

    def start(self) -> None: ...


class InboxParts(Protocol):
    """The watch and the scanner of one inbox, and what they promise: never to block the caller."""

    def open(self) -> None:
        """Set up the watch, then post WatchReady."""

    def scan(self, number: int, origin: Origin, folder: bytes = b"") -> bool:
        """Scan the inbox, or a folder of it; False: a scan that waits will do that."""
        ...

    def examine(self, paths: Sequence[bytes], folders: Sequence[bytes]) -> None: ...

    def look(self, looks: Sequence[Look]) -> None:
        """Check whether incomplete photos have changed; answered by one Looked."""

    def ack(self) -> None: ...
    def digested(self, events: int) -> None: ...
    def close(self) -> None: ...


class Notifier(Protocol):
    """What started the daemon, such as systemd; see `watcher.service.notify`. Telling it never raises."""

    @property
    def alive_seconds(self) -> float | None: ...
    @property
    def reads_status(self) -> bool: ...
    def ready(self) -> None: ...
    def status(self, text: str) -> None: ...
    def reloading(self) -> None: ...
    def stopping(self) -> None: ...
    def extend(self, seconds: float) -> None: ...
    def alive(self) -> None: ...


class Outbox(Protocol):
    """What hooks are to be told of; see `watcher.store`."""

    def first(self, hook: int, after: int) -> tuple[int, float] | None: ...
    def statuses(self) -> Mapping[HookId, HookStatus]: ...


class Store(Protocol):
    """The state file; see `watcher.store`. Writing raises StateError where it can't be done just now."""

    @property
    def outbox(self) -> Outbox: ...

    def known(self, photo: PhotoId) -> PhotoRecord | None: ...
    def any_away(self, inbox: bytes) -> bool: ...
    def taken_away(self, photo: PhotoId, *, looks: FileSignature) -> Sequence[tuple[PhotoId, PhotoRecord]]: ...
    def last_aside(self, photo: PhotoId) -> int: ...
    def name_conflicts(self, photo: PhotoId) -> Mapping[bytes, Mapping[str, RenditionRecord]]: ...
    def alike(self, size: int, mtime_ns: int = 0) -> list[ContentRecord]: ...
    def any_gone(self) -> bool: ...
    def lately_gone(self, most: int) -> list[tuple[ContentRecord, float]]: ...
    def left_by(self, photo: PhotoId) -> list[ContentRecord]: ...
    def known_below(self, inbox: bytes, folder: bytes) -> list[tuple[PhotoId, PhotoRecord]]: ...
    def left_renditions(self, photo: PhotoId) -> set[str]: ...
    def scan_rows(self, inbox: bytes, folder: bytes, names: Sequence[bytes]) -> tuple[Mapping[bytes, ScanRow], int]: ...
    def names(self, inbox: bytes, folder: bytes) -> Iterator[bytes]: ...
    def folders(self, inbox: bytes, *, away: bool = True) -> list[bytes]: ...
    def recipes_of(self, number: int) -> Mapping[str, str]: ...
    def counts(self, inbox: bytes) -> Counts: ...
    def identity(self, inbox: bytes) -> tuple[int, int] | None: ...
    def report(self, inbox: bytes) -> InboxStatus | None: ...
    def requests(self, limit: int) -> list[tuple[int, Request]]: ...
    def write(
        self,
        rows: Iterable[tuple[PhotoId, PhotoRecord | None]],
        notes: Iterable[HistoryEntry] = (),
        answered: Sequence[int] = (),
        hooks: Iterable[Outgoing | Answered] = (),
        *,
        durable: bool = False,
    ) -> None: ...
    def forget_folder(self, inbox: bytes, folder: bytes) -> None: ...
    def forget_tombstones(self, photos: Sequence[PhotoId]) -> None: ...
    def forget_moved(self, moved: Iterable[tuple[ContentRecord, Collection[str]]]) -> None: ...
    def reopen_failed(self, inbox: bytes) -> int: ...
    def adopt_hooks(self, hooks: Sequence[HookId], inboxes: Sequence[bytes], *, fresh: bool) -> Adopted: ...
    def set_reports(self, reports: Iterable[InboxStatus]) -> None: ...
    def set_identity(self, inbox: bytes, root: tuple[int, int]) -> None: ...
    def set_unsure(self, inbox: bytes, unsure: bool) -> None: ...
    def unsure(self, inbox: bytes) -> bool: ...
    def gone_photos(self, inbox: bytes, limit: int) -> list[PhotoId]: ...
    def count_gone(self, inbox: bytes) -> int: ...
    def has_photos(self, inbox: bytes) -> bool: ...
    def present(self, inbox: bytes) -> int: ...
    def meta(self, key: str) -> object: ...
    def set_meta(self, values: Mapping[str, object]) -> None: ...
    def left_versions(self, photo: PhotoId) -> list[LeftPhoto]: ...
    def archived_beside(self, photo: PhotoId) -> Mapping[bytes, Mapping[str, RenditionRecord]]: ...


@dataclass(frozen=True, slots=True)
class Original:
    """An original that is to be taken away."""

    photo: PhotoId
    stamp: FileSignature  # what it looked like when its renditions were made
    digest: bytes  # of what they were made of
    outputs: Sequence[tuple[bytes, int]]  # them: absolute paths, and sizes
    originals: bytes | None  # below which folder it is moved; None: it is deleted
    volume: bytes = b""  # the mount point that this folder belongs on; empty: any


class FileTasks(Protocol):
    """What is done to files beside the work, on a thread of its own; each request is answered by a message."""

    def remove(self, number: int, output_root: bytes, outputs: Sequence[ReusableRendition], mtime_ns: int) -> None:
        """Remove outputs, as long as they have that size and modification time; answered by OutputsRemoved."""

    def prune(self, number: int, orphan: Orphan) -> None:
        """Remove the outputs of an orphan, as long as they are what is recorded; answered by Pruned."""

    def take_away(self, original: Original) -> None:
        """Move an original, or delete it, if it is what its renditions were made of; answered by TakenAway."""

    def put_back(self, photo: PhotoId) -> None:
        """Rename an original back from its hidden name; answered by PutBack."""


class HookRunner(Protocol):
    """Runs commands and calls URLs, for each hook on a thread of its own; each document is answered by HookAnswered."""

    def deliver(self, hook: int, settings: Hook, number: int) -> None:
        """Deliver entry `number` of the outbox."""


class Log(Protocol):
    """Where constant event names with fields go."""

    def debug(self, event: str, **fields: object) -> object: ...
    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...
    def error(self, event: str, **fields: object) -> object: ...


class Clock(Protocol):
    """Two clocks: one that only goes forward, for waiting, and one that people and files know."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...
