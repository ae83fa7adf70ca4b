"""How photos join the line of those that wait for a worker, each in its batch, and leave it unmade."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from watcher.core.queue import Sighting
from watcher.engine.batches import BatchTracker
from watcher.engine.results import ResultHandler
from watcher.engine.scheduler import Scheduler

MOST_PENDING = 50_000  # photos that wait: events beyond are dropped for a scan, listings are not asked for


class Line:
    """The line as those see it who bring photos to it."""

    def __init__(self, dispatcher: Scheduler, settler: ResultHandler, tally: BatchTracker) -> None:
        self._dispatcher = dispatcher
        self._settler = settler
        self._tally = tally

    def join(self, sighting: Sighting, now: float, *, live: bool) -> None:
        """Let a photo wait for a worker; it counts in its batch."""
        self._tally.join(sighting.batch)
        replaced = self._dispatcher.put(sighting, live=live)
        if replaced is not None:
            self.leave(replaced, now)

    def look_again(self, sightings: Iterable[Sighting], now: float) -> None:
        """Let photos whose time has come again wait for a worker: a batch for each inbox."""
        batches: dict[bytes, int] = {}
        for sighting in sightings:
            inbox = sighting.photo.inbox
            if inbox not in batches:
                batches[inbox] = self.begin(inbox, now)
            self.join(replace(sighting, batch=batches[inbox]), now, live=True)
        for number in batches.values():
            self.close(number, now)

    def leave(self, sighting: Sighting, now: float) -> None:
        """Take a photo out of its batch that was not made."""
        self._settler.finish(self._tally.leave(sighting.batch), now)

    def begin(self, inbox: bytes, now: float) -> int:
        """Open a batch."""
        return self._tally.begin(inbox, now)

    def close(self, number: int | None, now: float) -> None:
        """Let no more photos join a batch, if there is one; it ends when the last of them has left it."""
        if number is not None:
            self._settler.finish(self._tally.close(number), now)
