"""What observers are notified of: photos and batches.

An observer is called on the loop's thread, after the change was put into the write buffer. It must return at once, and
raise nothing. The page is not an observer: it shows the state file, so it is notified when that is written.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from watcher.core.types import Done, PhotoId


class PhotoDone(NamedTuple):
    """A photo's renditions are durable and recorded."""

    photo: PhotoId
    outcome: Done
    at: float  # wall clock
    announced: float | None = None  # wall clock: when the event for it came; None: there was none
    moved_from: PhotoId | None = None  # its former name, under which it was made

    @property
    def reused(self) -> bool:
        """Whether nothing was decoded for it, because its renditions were on disk already."""
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
    """All photos of a burst, or of a part of a scan, are done or have failed. Photos that left it are not included."""

    inbox: bytes
    number: int  # of this run
    photos: tuple[PhotoDone, ...]
    failed: tuple[PhotoFailed, ...]
    seconds: float
    ended: float  # monotonic clock

    @property
    def files(self) -> int:
        """The number of photos in it."""
        return len(self.photos) + len(self.failed)


class Observer(Protocol):
    """An action after each photo or batch."""

    def photo_done(self, item: PhotoDone, /) -> None:
        """Handle a photo that is done."""

    def photo_failed(self, item: PhotoFailed, /) -> None:
        """Handle a photo that has failed."""

    def batch_done(self, batch: BatchDone, /) -> None:
        """Handle a batch that has ended; it has at least one photo."""
