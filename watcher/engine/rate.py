"""How much an inbox got done of late: what `status` and the page tell people who ask whether it does anything."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MINUTE = 60  # seconds
KEPT_MINUTES = 60


@dataclass(frozen=True, slots=True)
class LastBatch:
    """The batch that was through last."""

    ended: float  # monotonic
    files: int
    failed: int
    seconds: float


@dataclass(slots=True)
class RateCounter:
    """Photos done in each minute of the last hour, and the last batch."""

    last_batch: LastBatch | None = None
    _minutes: deque[list[int]] = field(default_factory=lambda: deque(maxlen=KEPT_MINUTES))  # minute, photos

    def count(self, wall: float, photos: int = 1) -> None:
        """Count photos that are done now, `wall` seconds since the epoch."""
        minute = int(wall) // MINUTE
        if self._minutes and self._minutes[-1][0] >= minute:  # a clock that was set back counts into the newest
            self._minutes[-1][1] += photos
        else:
            self._minutes.append([minute, photos])

    def minutes(self) -> list[list[int]]:
        """List `[minute since the epoch, photos]`, minutes without photos left out, the oldest first."""
        return [list(pair) for pair in self._minutes]


def recent(minutes: list[list[int]], wall: float, span: int) -> int:
    """Count the photos of the last `span` minutes, the one that is running included."""
    newest = int(wall) // MINUTE
    return sum(photos for minute, photos in minutes if newest - span < minute <= newest)


def per_second(minutes: list[list[int]], wall: float, since: float) -> float:
    """Return the photos done each second of the last two minutes, of a daemon that runs since `since`."""
    begin = max(since, (int(wall) // MINUTE - 1) * MINUTE)
    return recent(minutes, wall, 2) / max(wall - begin, 1.0)
