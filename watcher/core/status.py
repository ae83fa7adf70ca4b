"""The daemon's status: one set of values for `status`, the page, the metrics, systemd's status line and progress bars.

The loop makes a `Snapshot` of itself. Each `InboxStatus` in it is also written to the state file, as JSON by field
name. `status` and the page read it there, together with the counts of the state file itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from watcher.core.counters import HistogramSnapshot, Minutes
from watcher.core.formats import why_left_alone
from watcher.core.hooks import HookStatus
from watcher.text import iso, utf8_bytes, utf8_text

BY_CHOICE = "the config says so"  # as `watch_reason`
_MOST_ENDINGS = 8  # of files that are left alone, named to a person


@dataclass(frozen=True, slots=True)
class Counts:
    """How many photos of an inbox the state file has in each phase."""

    waiting: int = 0
    done: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """The last batch that has ended."""

    at: int  # wall clock
    files: int
    failed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ExecutorStatus:
    """The cluster that makes photos, and whether it is available."""

    kind: str
    address: str = ""
    workers: int | None = None
    threads: int | None = None
    away_since: float | None = None  # wall clock; None: it is available, or no connection was made yet
    reason: str = ""
    fallback: bool = False  # this machine makes the photos meanwhile
    unfit: Mapping[str, str] = field(default_factory=dict)  # worker → why it is left out


@dataclass(frozen=True, slots=True)
class InboxStatus:
    """The status of one inbox."""

    path: bytes
    output: bytes
    volume: bytes = b""  # the mount point that the output belongs on
    originals: tuple[bytes, bytes] | None = None  # where originals are moved to, and its mount point
    terms: str = ""  # the settings under which photos count as failed; empty: not known
    watch: Literal["native", "poll"] | None = None
    watch_reason: str = ""  # why it is scanned on an interval, or why it can't be reached
    reachable: bool = True
    missed_events: int = 0  # photos for which there was no event
    left_alone: tuple[tuple[str, int], ...] = ()  # ending → files that are no photos by their names
    held_up: str = ""  # why its photos have to wait; empty: they need not
    orphans_held: int = 0  # photos that are gone, too many to remove their outputs without being asked
    waiting: int | None = None  # photos, those in the workers included; None: not known
    oldest_waiting: float | None = None  # wall clock: when the photo that has waited longest was found
    minutes: Minutes = ()  # of the last hour
    last_batch: BatchStatus | None = None
    # For the daemon as a whole. Repeated in every inbox, since each is written separately.
    executor: ExecutorStatus | None = None
    decoder: str = ""  # that a worker reported, where it differs from the one at the start
    config_fault: str = ""  # why the config on disk is not in use
    # Not written: they are in the state file already.
    counts: Counts | None = None  # None: the state file can't be read at the moment

    def encode(self) -> dict[str, object]:
        """Return the values to write to the state file."""
        values = asdict(self)
        del values["path"], values["counts"]
        values |= {"output": utf8_text(self.output), "volume": utf8_text(self.volume)}
        values["originals"] = self.originals and [utf8_text(path) for path in self.originals]
        return values

    @classmethod
    def decode(cls, path: bytes, written: Mapping[str, Any]) -> Self | None:
        """Return the status from the values in the state file; None: none was written yet."""
        if "output" not in written:
            return None
        values = _fields_of(cls, written)
        values |= {"output": utf8_bytes(written["output"]), "volume": utf8_bytes(written.get("volume", ""))}
        if originals := written.get("originals"):
            values["originals"] = (utf8_bytes(originals[0]), utf8_bytes(originals[1]))
        if batch := written.get("last_batch"):
            values["last_batch"] = BatchStatus(**_fields_of(BatchStatus, batch))
        executor = written.get("executor")
        values["executor"] = ExecutorStatus(**_fields_of(ExecutorStatus, executor)) if executor else None
        values["left_alone"] = tuple((ending, count) for ending, count in written.get("left_alone", ()))
        values["minutes"] = tuple((minute, photos) for minute, photos in written.get("minutes", ()))
        return cls(path=path, **values)


def _fields_of(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that this version knows; another version of the program may have written more or fewer."""
    return {item.name: values[item.name] for item in fields(cls) if item.name in values}


# ---- of the running daemon ----


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run; `total` grows while a scan runs."""

    done: int
    failed: int
    total: int
    pixels: int  # decoded


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The complete status of the daemon at one moment."""

    unavailable_reasons: tuple[str, ...]  # why photos are not made as they should be, one sentence each
    inboxes: tuple[InboxStatus, ...]
    progress: Progress
    results: Mapping[tuple[bytes, str], int]  # inbox, result of a photo → photos
    batches: HistogramSnapshot
    render: HistogramSnapshot
    visible: HistogramSnapshot
    in_flight: int  # photos in the workers
    queued: int  # photos that wait for a worker
    messages: int  # in the queue of the loop
    losses: int  # workers that died or had to be ended
    hooks: tuple[HookStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """A status query from another thread. The loop calls `answer`, which must do no more than enqueue."""

    answer: Callable[[Snapshot], object]


def summary(inboxes: Collection[InboxStatus]) -> str:
    """Return the line that systemd shows for the daemon; empty: the state file can't be read at the moment."""
    counts = [inbox.counts for inbox in inboxes if inbox.counts is not None]
    if len(counts) < len(inboxes):
        return ""
    away = sum(not inbox.reachable for inbox in inboxes)
    waiting = sum(inbox.waiting or 0 for inbox in inboxes)
    done, failed = sum(count.done for count in counts), sum(count.failed for count in counts)
    text = f"{len(inboxes):,} inbox{'' if len(inboxes) == 1 else 'es'}{f' ({away} not reachable)' if away else ''}"
    text += f", {waiting:,} waiting, {done:,} done, {failed:,} failed"
    if any(inbox.config_fault for inbox in inboxes):
        text += "; works by an older config, since the new one is wrong"
    return text


# ---- `status` ----


@dataclass(frozen=True, slots=True)
class PhotoStatus:
    """A photo that has failed or waits."""

    path: bytes  # absolute
    reason: str
    attempts: int
    since: float  # wall clock


@dataclass(frozen=True, slots=True)
class Status:
    """What `status` shows, whether a daemon runs or not."""

    version: str
    decoder: str
    inboxes: tuple[InboxStatus, ...]
    failed: tuple[PhotoStatus, ...]
    waiting: tuple[PhotoStatus, ...]
    pid: int | None = None  # None: no daemon runs
    since: float | None = None  # wall clock
    workers: int | None = None
    executor: ExecutorStatus | None = None
    hooks: tuple[HookStatus, ...] = ()

    def encode(self, now: float) -> dict[str, Any]:
        """Return the output of `status --json`."""
        found: dict[str, Any] = {
            "version": self.version,
            "running": self.pid is not None,
            "pid": self.pid,
            "since": None if self.since is None else iso(self.since),
            "workers": self.workers,
            "decoder": self.decoder,
            "inboxes": [_inbox(inbox, now) for inbox in self.inboxes],
            "failed": [_photo(photo) for photo in self.failed],
            "waiting": [_photo(photo) for photo in self.waiting],
            "hooks": [asdict(hook) | {"last_error": hook.last_error or None} for hook in self.hooks],
        }
        if self.executor is not None:
            away = self.executor.away_since
            found["executor"] = asdict(self.executor) | {"away_since": None if away is None else iso(away)}
        return found


def _inbox(inbox: InboxStatus, now: float) -> dict[str, Any]:
    counts = inbox.counts or Counts()
    oldest = inbox.oldest_waiting
    return {
        "path": utf8_text(inbox.path),
        "output": utf8_text(inbox.output),
        "watch": inbox.watch,
        "watch_reason": inbox.watch_reason,
        "reachable": inbox.reachable,
        "done": counts.done,
        "failed": counts.failed,
        "waiting": counts.waiting if inbox.waiting is None else inbox.waiting,
        "missed_events": inbox.missed_events,
        "oldest_waiting_seconds": None if oldest is None else round(max(0.0, now - oldest), 1),
        "left_alone": [
            {"ending": ending, "count": count, "reason": why_left_alone(ending)} for ending, count in inbox.left_alone
        ],
    }


def left_alone(files: Sequence[tuple[str, int]]) -> str:
    """Return how many files of which endings are no photos by their names, for a person; empty: there are none."""
    parts: list[str] = []
    before = ""
    for ending, count in files[:_MOST_ENDINGS]:
        remedy = why_left_alone(ending).partition(": ")[2]
        parts.append(f"{count:,} {ending or 'without an ending'}")
        if remedy:
            parts[-1] += f" ({'the same' if remedy == before else remedy})"
            before = remedy
    if rest := sum(count for _, count in files[_MOST_ENDINGS:]):
        parts.append(f"{rest:,} others")
    return ", ".join(parts)


def _photo(photo: PhotoStatus) -> dict[str, Any]:
    return {
        "path": utf8_text(photo.path),
        "reason": photo.reason,
        "attempts": photo.attempts,
        "since": iso(photo.since),
    }
