"""Count what becomes of each batch, so that its end can be told in one line, and of a whole run."""

from __future__ import annotations

from dataclasses import dataclass, field

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


@dataclass(slots=True)
class BatchTracker:
    """All batches on their way, by number."""

    _batches: dict[int, Batch] = field(default_factory=dict)
    _last: int = 0

    def begin(self, inbox: bytes, now: float) -> int:
        """Open a batch; its number."""
        self._last += 1
        self._batches[self._last] = Batch(inbox, now)
        return self._last

    def join(self, number: int) -> None:
        """Count one more photo into a batch."""
        self._batches[number].outstanding += 1

    def close(self, number: int) -> Batch | None:
        """Say that no more photos come; the batch where all of it is told already."""
        self._batches[number].open = False
        return self._finished(number)

    def leave(
        self, number: int, done: Done | None = None, *, failed: bool = False, moved: bool = False
    ) -> Batch | None:
        """Say that one photo of a batch is through with it; the batch where that was the last."""
        batch = self._batches[number]
        batch.outstanding -= 1
        if done is not None and done.made:
            batch.files += 1
            batch.renditions += len(done.made)
            batch.pixels += decoded(done)
            batch.moved += moved
            batch.copied += not moved and any(item.copied for item in done.made)
        if failed:
            batch.files += 1
            batch.failed += 1
        return self._finished(number)

    def close_all(self) -> list[Batch]:
        """Say that nothing more comes of any batch; all that were on their way."""
        batches = list(self._batches.values())
        self._batches.clear()
        return batches

    def _finished(self, number: int) -> Batch | None:
        batch = self._batches[number]
        if batch.open or batch.outstanding:
            return None
        return self._batches.pop(number)
