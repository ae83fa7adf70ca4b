"""What observers are told of photos and batches.

An observer is called on the loop's thread, after the change was put into the write buffer: it returns at once, and
raises nothing. The page is none: it shows what the state file has, so it is told when that is written.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from watcher.core.types import Done, PhotoId


class PhotoDone(NamedTuple):
    """A photo's renditions are durable and recorded."""

    photo: PhotoId
    outcome: Done
    at: float  # wall clock
    announced: float | None = None  # when an event announced it, wall clock; None: none did
    moved_from: PhotoId | None = None  # it was made before, under this name

    @property
    def reused(self) -> bool:
        """Whether nothing was decoded for it, since its renditions were on disk."""
        return all(item.adopted or item.copied for item in self.outcome.made)

    @property
    def pixels(self) -> int:
        """How many pixels were decoded for it."""
        return 0 if self.reused else self.outcome.width * self.outcome.height


class PhotoFailed(NamedTuple):
    """A photo has failed, and is not tried again until it changes."""

    photo: PhotoId
    reason: str
    attempts: int


class BatchDone(NamedTuple):
    """All photos of a burst, or of a part of a scan, are done or have failed; others are left out."""

    inbox: bytes
    photos: tuple[PhotoDone, ...]
    failed: tuple[PhotoFailed, ...]
    seconds: float
    ended: float  # monotonic clock

    @property
    def files(self) -> int:
        """How many photos it had."""
        return len(self.photos) + len(self.failed)


class Observer(Protocol):
    """Something that happens after a photo or a batch."""

    def photo_done(self, item: PhotoDone, /) -> None:
        """Handle a photo that is done."""

    def photo_failed(self, item: PhotoFailed, /) -> None:
        """Handle a photo that has failed."""

    def batch_done(self, batch: BatchDone, /) -> None:
        """Handle a batch that has ended; it has at least one photo."""
