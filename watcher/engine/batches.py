"""Count what becomes of each batch, so that its end can be told in one line, and of a whole run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from watcher.core.counters import decoded
from watcher.core.types import Done


@dataclass(slots=True)
class Batch:
    """One burst, or a part of a backlog, on its way."""

    inbox: bytes
    began: float  # monotonic
    open: bool = True  # more photos may come
    outstanding: int = 0
    files: int = 0  # made or failed; a photo that turned out to need nothing is none
    renditions: int = 0
    failed: int = 0
    pixels: int = 0  # that were decoded
    copied: int = 0  # photos whose renditions were there already under another name
    moved: int = 0  # of those, but not counted among them: the other name is gone


class Ending(NamedTuple):
    """How a photo leaves its batch."""

    done: Done | None = None  # it was made; None: it needed nothing, failed, or is tried again later
    failed: bool = False
    moved: bool = False  # it was made before, under another name


class BatchTracker:
    """All batches on their way, by number. A batch ends when no more photos can join it, and all have left it."""

    def __init__(self) -> None:
        self.ended: Callable[[Batch, float], None] | None = None  # is told of every batch that ends
        self._batches: dict[int, Batch] = {}
        self._last = 0

    def begin(self, inbox: bytes, now: float) -> int:
        """Open a batch; return its number."""
        self._last += 1
        self._batches[self._last] = Batch(inbox, now)
        return self._last

    @contextmanager
    def by_inbox(self, now: float) -> Iterator[Callable[[bytes], int]]:
        """Provide a function that returns the number of an inbox's batch, which is begun when it is first asked for."""
        numbers: dict[bytes, int] = {}

        def number_of(inbox: bytes) -> int:
            if inbox not in numbers:
                numbers[inbox] = self.begin(inbox, now)
            return numbers[inbox]

        yield number_of
        for number in numbers.values():
            self.close(number, now)

    def join(self, number: int) -> None:
        """Count one more photo into a batch."""
        self._batches[number].outstanding += 1

    def close(self, number: int | None, now: float) -> None:
        """Let no more photos join a batch, if there is one."""
        if number is not None:
            self._batches[number].open = False
            self._end_if_over(number, now)

    def leave(self, number: int, ending: Ending, now: float) -> None:
        """Count a photo out of its batch."""
        batch, done = self._batches[number], ending.done
        batch.outstanding -= 1
        if done is not None and done.made:
            batch.files += 1
            batch.renditions += len(done.made)
            batch.pixels += decoded(done)
            batch.moved += ending.moved
            batch.copied += not ending.moved and any(item.copied for item in done.made)
        if ending.failed:
            batch.files += 1
            batch.failed += 1
        self._end_if_over(number, now)

    def close_all(self, now: float) -> None:
        """End all batches with what has come of them so far."""
        batches = list(self._batches.values())
        self._batches.clear()
        for batch in batches:
            self._tell(batch, now)

    def _end_if_over(self, number: int, now: float) -> None:
        batch = self._batches[number]
        if not (batch.open or batch.outstanding):
            self._tell(self._batches.pop(number), now)

    def _tell(self, batch: Batch, now: float) -> None:
        if self.ended is not None:
            self.ended(batch, now)
