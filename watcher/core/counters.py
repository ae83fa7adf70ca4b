"""What the loop counts while it runs: results, times, and the photos of the last hour.

Counting is cheap, about a microsecond a photo, and needs no lock: one thread counts. Other threads get frozen values.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from watcher.core.observer import BatchDone, PhotoDone, PhotoFailed

# Upper bounds. Seconds: from a small photo in a warm worker to one that waited for a backlog. Photos of a batch.
_RENDER_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_VISIBLE_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
_BATCH_PHOTOS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_OLD_SECONDS = 60.0  # a photo that arrived with an older date than this was not written here, but moved or copied


@dataclass(frozen=True, slots=True)
class HistogramSnapshot:
    """A histogram at one moment."""

    bounds: tuple[float, ...]  # upper, inclusive
    counts: tuple[int, ...]  # in each; one more than `bounds`, for what is above the last
    total: float  # the sum of all that was observed


class Histogram:
    """The number of values in each range."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def freeze(self) -> HistogramSnapshot:
        """Return the counts so far."""
        return HistogramSnapshot(self._bounds, tuple(self._counts), self._total)


@dataclass(slots=True)
class Counters:
    """What the loop counts."""

    done: int = 0  # photos
    failed: int = 0
    renditions: int = 0
    reused: int = 0  # photos among `done` for which nothing was decoded: their renditions existed already
    reused_renditions: int = 0  # among `renditions`: those that existed already
    pixels: int = 0  # decoded
    results: dict[tuple[bytes, str], int] = field(default_factory=dict)  # inbox, result of a photo → photos
    batches: Histogram = field(default_factory=lambda: Histogram(_BATCH_PHOTOS))
    render: Histogram = field(default_factory=lambda: Histogram(_RENDER_SECONDS))
    visible: Histogram = field(default_factory=lambda: Histogram(_VISIBLE_SECONDS))

    def count(self, inbox: bytes, result: str) -> None:
        """Count the result of a photo."""
        key = inbox, result
        self.results[key] = self.results.get(key, 0) + 1

    def photo_failed(self, item: PhotoFailed) -> None:
        """Count a photo that has failed."""
        self.failed += 1
        self.count(item.photo.inbox, "failed")

    def photo_done(self, item: PhotoDone) -> None:
        """Count a photo that is done.

        The time until it was visible counts from its last write, which is its date. A date from long before its event,
        or from the future, proves nothing: then the time counts from the event.
        """
        done, announced = item.outcome, item.announced
        self.done += 1
        self.renditions += len(done.made)
        self.reused_renditions += sum(item.adopted or item.copied for item in done.made)
        self.pixels += item.pixels
        self.count(item.photo.inbox, "done")
        if item.pixels:
            self.render.observe(done.seconds)
        else:
            self.reused += 1
        if announced is not None and not all(made.adopted for made in done.made):
            written = done.stamp.mtime_ns / 1e9
            since = written if announced - _OLD_SECONDS <= written <= item.at else announced
            self.visible.observe(max(0.0, item.at - since))

    def batch_done(self, batch: BatchDone) -> None:
        """Count the photos of a batch."""
        self.batches.observe(batch.files)


# ---- the last hour ----

MINUTE = 60  # seconds
KEPT_MINUTES = 60

Minutes = Sequence[tuple[int, int]]  # minute since the epoch, photos; minutes without photos left out


@dataclass(slots=True)
class RateCounter:
    """Count the photos done in each minute of the last hour, and keep the last batch."""

    last_batch: LastBatch | None = None
    _minutes: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=KEPT_MINUTES))

    def count(self, wall: float, photos: int = 1) -> None:
        """Count photos that are done at `wall`, in seconds since the epoch."""
        minute = int(wall) // MINUTE
        if self._minutes and self._minutes[-1][0] >= minute:  # when the clock was set back: into the newest minute
            minute, before = self._minutes.pop()
            photos += before
        self._minutes.append((minute, photos))

    def minutes(self) -> tuple[tuple[int, int], ...]:
        """Return the recorded minutes, the oldest first."""
        return tuple(self._minutes)


@dataclass(frozen=True, slots=True)
class LastBatch:
    """The last batch that has ended."""

    ended: float  # monotonic
    files: int
    failed: int
    seconds: float


def recent(minutes: Minutes, wall: float, span: int) -> int:
    """Count the photos of the last `span` minutes, the current one included."""
    newest = int(wall) // MINUTE
    return sum(photos for minute, photos in minutes if newest - span < minute <= newest)


def per_second(minutes: Minutes, wall: float, since: float) -> float:
    """Return the photos done per second in the last two minutes, for a daemon that has run since `since`."""
    begin = max(since, (int(wall) // MINUTE - 1) * MINUTE)
    return recent(minutes, wall, 2) / max(wall - begin, 1.0)
