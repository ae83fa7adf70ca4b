"""The photos made in each minute of the last hour, from the history: so they are the same after a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from threading import Lock

from watcher.core.counters import KEPT_MINUTES, MINUTE
from watcher.http.ports import Records


class LastHour:
    """Reads the history once, from then on only what was added to it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last = 0  # the last entry that was read
        self._counts: dict[bytes, Counter[int]] = {}

    def minutes(self, records: Records, inboxes: Sequence[bytes], now: float) -> Mapping[bytes, Mapping[int, int]]:
        """Return for each inbox the minutes since the epoch in which photos were made, with their number."""
        first = int(now) // MINUTE - KEPT_MINUTES
        with self._lock:
            if not set(inboxes) <= self._counts.keys():  # at the start, or a new config has more of them
                self._last, self._counts = 0, {inbox: Counter() for inbox in inboxes}
            self._last, made = records.made_since(inboxes, self._last, first * MINUTE)
            for inbox, at in made:
                self._counts[inbox][int(at) // MINUTE] += 1
            for counts in self._counts.values():
                for minute in [minute for minute in counts if minute <= first]:
                    del counts[minute]
            return {inbox: dict(counts) for inbox, counts in self._counts.items()}
