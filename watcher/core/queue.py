"""The order of work: photos that came just now go ahead of a backlog, and no inbox starves another.

Rules:
- Two lanes, live and backlog. The live one is emptied first.
- Within a lane inboxes take turns; within an inbox the first come is the first served.
- A photo waits once: seen again, it keeps its place in the better lane and takes on what was seen last.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from watcher.core.types import FileSignature, Origin, PhotoId

_LIVE, _BACKLOG = 0, 1


@dataclass(frozen=True, slots=True)
class Sighting:
    """A photo that came to notice and is to be looked at."""

    photo: PhotoId
    origin: Origin
    seen: float  # wall clock: when it came to notice
    batch: int  # the batch that it counts in
    expected: FileSignature | None = None  # as a scan saw it
    complete: bool = False  # its writer is known to be done
    incomplete: FileSignature | None = None  # it was not whole when it looked like this
    alone: bool = False  # to be tried where it can hurt nobody
    tries: int = 0  # that it did not survive, or watcher itself: who has fewest is tried first
    hint: FileSignature | None = (
        None  # how it looks, as far as anybody knows: only good for finding what could be the same
    )
    held: bool = False  # it has waited for one that could be the same
    ready: float = 0.0  # wall clock: since when it waits for a worker alone; 0: since it was seen
    since: float = 0.0  # wall clock: since when it was seen to look like `expected`, where its date can't be relied on
    looks: int = 0  # how often it was found incomplete since it last changed
    changed_ns: int = 0  # the ctime that it had when it was; 0: not known
    patience_ends: float = 0.0  # wall clock: when one that is incomplete and has not changed has failed


class Look(NamedTuple):
    """What a photo that waits looked like when it was found incomplete."""

    path: bytes
    stamp: FileSignature
    changed_ns: int = 0  # ctime; 0: not known

    def is_same(self, stamp: FileSignature, changed_ns: int) -> bool:
        """Tell whether it still looks like that; an inode or a ctime that is not known differs from none."""
        same_file = not self.stamp.inode or self.stamp.inode == stamp.inode
        return same_file and self.stamp.same_content(stamp) and self.changed_ns in {0, changed_ns}


@dataclass(frozen=True, slots=True)
class Looked:
    """Photos that wait were looked at once more: those that look otherwise now."""

    inbox: bytes
    changed: tuple[tuple[bytes, FileSignature], ...]


class Queue:
    """Photos that wait for a worker: live ones ahead of a backlog, and no inbox starves another."""

    def __init__(self) -> None:
        self._lanes: tuple[dict[bytes, OrderedDict[PhotoId, Sighting]], ...] = ({}, {})
        self._count = 0

    def __len__(self) -> int:
        """How many photos wait."""
        return self._count

    def __contains__(self, photo: PhotoId) -> bool:
        """Tell whether `photo` waits."""
        return any(photo in lane.get(photo.inbox, ()) for lane in self._lanes)

    @property
    def live(self) -> int:
        """How many photos wait in the live lane."""
        return sum(map(len, self._lanes[_LIVE].values()))

    def waiting(self, inbox: bytes) -> int:
        """How many photos of `inbox` wait."""
        return sum(len(lane.get(inbox, ())) for lane in self._lanes)

    def oldest(self, inbox: bytes) -> float | None:
        """When the photo of `inbox` that waits longest was seen."""
        firsts = [next(iter(lane[inbox].values())).seen for lane in self._lanes if lane.get(inbox)]
        return min(firsts, default=None)

    def put(self, sighting: Sighting, *, live: bool, front: bool = False) -> Sighting | None:
        """Let a photo wait; one that waits already is replaced and handed back, its better lane kept."""
        photo = sighting.photo
        live = live or photo in self._lanes[_LIVE].get(photo.inbox, ())
        waiting = self._lanes[_LIVE if live else _BACKLOG].setdefault(photo.inbox, OrderedDict())
        replaced = waiting.get(photo)
        if replaced is None:
            replaced = self.remove(photo)
        else:
            self._count -= 1
        waiting[photo] = sighting
        if front:
            waiting.move_to_end(photo, last=False)
        self._count += 1
        return replaced

    def remove(self, photo: PhotoId) -> Sighting | None:
        """Take `photo` out; None: it did not wait."""
        for lane in self._lanes:
            waiting = lane.get(photo.inbox)
            sighting = waiting.pop(photo, None) if waiting is not None else None
            if sighting is not None:
                self._count -= 1
                return sighting
        return None

    def take(self, allowed: Callable[[bytes], bool], *, live: bool = False) -> Sighting | None:
        """Hand out the next photo (`live`: of the live lane only) of an inbox that `allowed` lets work."""
        for lane in self._lanes[: 1 if live else 2]:
            for inbox in list(lane):
                waiting = lane[inbox]
                if not waiting:
                    del lane[inbox]
                elif allowed(inbox):
                    _, sighting = waiting.popitem(last=False)
                    del lane[inbox]  # to the end of the line of inboxes
                    if waiting:
                        lane[inbox] = waiting
                    self._count -= 1
                    return sighting
        return None

    def drop(self, inbox: bytes) -> list[Sighting]:
        """Take out all that waits in `inbox`."""
        dropped = [sighting for lane in self._lanes for sighting in lane.pop(inbox, {}).values()]
        self._count -= len(dropped)
        return dropped
