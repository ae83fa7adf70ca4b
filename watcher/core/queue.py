"""The order of work: a queue in which no inbox starves another.

Inboxes take turns. Within an inbox, photos are taken in the order in which they came.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from watcher.core.task import PhotoTask
from watcher.core.types import PhotoId


class FairQueue:
    """The photos that wait for a worker in one `Lane`."""

    def __init__(self) -> None:
        self._inboxes: dict[bytes, OrderedDict[PhotoId, PhotoTask]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return how many photos wait."""
        return self._count

    def __contains__(self, photo: PhotoId) -> bool:
        """Return whether a photo waits."""
        return photo in self._inboxes.get(photo.inbox, ())

    def waiting(self, inbox: bytes) -> int:
        """Return how many photos of an inbox wait."""
        return len(self._inboxes.get(inbox, ()))

    def head(self, inbox: bytes) -> PhotoTask | None:
        """Return the next photo of an inbox, without removing it."""
        return next(iter(self._inboxes.get(inbox, {}).values()), None)

    def put(self, task: PhotoTask, *, first: bool = False) -> None:
        """Add a photo. `first`: before all others of its inbox."""
        waiting = self._inboxes.setdefault(task.photo.inbox, OrderedDict())
        self._count += task.photo not in waiting
        waiting[task.photo] = task
        if first:
            waiting.move_to_end(task.photo, last=False)

    def remove(self, photo: PhotoId) -> bool:
        """Remove a photo. Return whether it was in the queue."""
        if photo not in self:
            return False
        del self._inboxes[photo.inbox][photo]
        self._count -= 1
        return True

    def take(self, allowed: Callable[[bytes], bool]) -> PhotoTask | None:
        """Remove and return the next photo of an inbox that is allowed to work."""
        for inbox in list(self._inboxes):
            waiting = self._inboxes[inbox]
            if not waiting:
                del self._inboxes[inbox]
            elif allowed(inbox):
                _, task = waiting.popitem(last=False)
                del self._inboxes[inbox]  # it becomes the last of the inboxes
                if waiting:
                    self._inboxes[inbox] = waiting
                self._count -= 1
                return task
        return None
