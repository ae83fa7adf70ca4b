"""Collect what becomes of the photos of each batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from watcher.core.observer import BatchDone, PhotoDone, PhotoFailed

# how a photo leaves its batch; None: it needed nothing, or is tried again later
Ending = PhotoDone | PhotoFailed | None


@dataclass(slots=True)
class Batch:
    """One burst, or a part of a backlog, on its way."""

    inbox: bytes
    began: float  # monotonic
    open: bool = True  # more photos may come
    outstanding: int = 0
    photos: list[PhotoDone] = field(default_factory=list)
    failed: list[PhotoFailed] = field(default_factory=list)


class BatchTracker:
    """All batches on their way, by number. A batch ends when no more photos can join it, and all have left it."""

    def __init__(
        self, ended: Callable[[BatchDone], None], left: Callable[[int, PhotoDone | PhotoFailed], None] | None = None
    ) -> None:
        self._ended = ended
        self._left = left  # told of each photo that a batch will report, with the batch's number
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
        batch = self._batches[number]
        batch.outstanding -= 1
        if isinstance(ending, PhotoFailed):
            batch.failed.append(ending)
        elif ending is not None and ending.outcome.made:
            batch.photos.append(ending)
        else:
            ending = None
        if ending is not None and self._left is not None:
            self._left(number, ending)
        self._end_if_over(number, now)

    def close_all(self, now: float) -> None:
        """End all batches with what has come of them so far."""
        batches = list(self._batches.items())
        self._batches.clear()
        for number, batch in batches:
            self._report(number, batch, now)

    def _end_if_over(self, number: int, now: float) -> None:
        batch = self._batches[number]
        if not (batch.open or batch.outstanding):
            self._report(number, self._batches.pop(number), now)

    def _report(self, number: int, batch: Batch, now: float) -> None:
        if batch.photos or batch.failed:
            self._ended(
                BatchDone(batch.inbox, number, tuple(batch.photos), tuple(batch.failed), now - batch.began, now)
            )
