"""Photos that are to be tried or looked at again at some time."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from watcher.core.queue import Look, Sighting
from watcher.core.stability import INCOMPLETE_SECONDS, recheck_after
from watcher.core.types import FileSignature, PhotoId
from watcher.engine.inbox import InboxState

MOST_WAITING = 100_000  # photos that are looked at again on a timer
_TOGETHER_SECONDS = 0.25  # those that are to be tried again within this are tried together
_LOOKS_SECONDS = 0.1  # the same for those that only come to rest: somebody waits for them


class Waiting:
    """Photos that are to be tried or looked at again at some time."""

    def __init__(self) -> None:
        self._photos: dict[PhotoId, tuple[float, Sighting, bool]] = {}
        self._heap: list[tuple[float, PhotoId]] = []
        self._retries = 0

    def __contains__(self, photo: PhotoId) -> bool:
        """Tell whether a photo waits for its time."""
        return photo in self._photos

    def __len__(self) -> int:
        """How many photos wait for their time."""
        return len(self._photos)

    @property
    def full(self) -> bool:
        """Whether no more photos are taken; the next scan finds those beyond."""
        return len(self._photos) >= MOST_WAITING

    @property
    def retries(self) -> int:
        """How many of them wait to be tried again, not just to be looked at."""
        return self._retries

    def photos(self) -> list[Sighting]:
        """List them."""
        return [sighting for _, sighting, _ in self._photos.values()]

    def get(self, photo: PhotoId) -> Sighting | None:
        """Give what is remembered of a photo that waits."""
        found = self._photos.get(photo)
        return found[1] if found else None

    def put(self, sighting: Sighting, due: float, *, retry: bool) -> None:
        """Let a photo wait until `due`, or a moment longer: those that are due together make one batch."""
        self.pop(sighting.photo)
        step = _TOGETHER_SECONDS if retry else _LOOKS_SECONDS
        due = math.ceil(due / step) * step
        self._photos[sighting.photo] = due, sighting, retry
        self._retries += retry
        heapq.heappush(self._heap, (due, sighting.photo))

    def pop(self, photo: PhotoId) -> Sighting | None:
        """Let a photo wait no longer."""
        found = self._photos.pop(photo, None)
        if found is None:
            return None
        self._retries -= found[2]
        return found[1]

    def take_looks(self) -> list[Sighting]:
        """Take out all that wait to be looked at, whatever their time."""
        taken = [sighting for _, sighting, retry in self._photos.values() if not retry]
        for sighting in taken:
            self.pop(sighting.photo)
        return taken

    def deadline(self) -> float | None:
        """When the next one is due."""
        while self._heap:
            due, photo = self._heap[0]
            if photo in self._photos and self._photos[photo][0] == due:
                return due
            heapq.heappop(self._heap)  # it was taken out or put off
        return None

    def due(self, now: float) -> list[Sighting]:
        """Take out those whose time has come."""
        taken = []
        while (deadline := self.deadline()) is not None and deadline <= now:
            sighting = self.pop(heapq.heappop(self._heap)[1])
            if sighting is not None:
                taken.append(sighting)
        return taken

    def only_look(
        self, sightings: Iterable[Sighting], desks: Mapping[bytes, InboxState], now: float, wall: float
    ) -> list[Sighting]:
        """Have those looked at that are incomplete until they change, which a stat tells; give the others back."""
        others, looks = [], defaultdict[bytes, list[Look]](list)
        for sighting in sightings:
            photo, left = sighting.photo, sighting.patience_ends - wall
            if sighting.incomplete is None or sighting.alone or left <= 0 or photo.inbox not in desks:
                others.append(sighting)
                continue
            stamp = sighting.incomplete._replace(inode=sighting.hint.inode if sighting.hint else 0)
            looks[photo.inbox].append(Look(photo.path, stamp, sighting.changed_ns))
            again = replace(sighting, looks=sighting.looks + 1)
            self.put(again, now + recheck_after(again.looks, INCOMPLETE_SECONDS - left), retry=False)
        for inbox, some in looks.items():
            desks[inbox].looking += 1
            desks[inbox].parts.look(some)
        return others

    def changed(self, photo: PhotoId, stamp: FileSignature, wall: float) -> Sighting | None:
        """Take a photo out that was found to look otherwise now; None: it does not wait for that."""
        sighting = self.get(photo)
        if sighting is None or sighting.incomplete is None:
            return None
        self.pop(photo)
        since = wall if sighting.since else 0.0
        return replace(sighting, expected=stamp, hint=stamp, since=since, incomplete=None, looks=0)
