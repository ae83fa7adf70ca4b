"""Which folders of a config are one and the same, or lie in each other, although their paths don't say so.

Theory: a path can't tell. A folder mounted a second time (containers do that), an overlay and its layers, a disk that
folds case: each shows one folder under two names. The mount table tells which part of which device a folder is, and
the number of its inode confirms it, since several shares of one server may look alike in the table and what is mounted
may be hidden again. Where there is no table, inodes of the folder and of those above it tell.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Self

from watcher.config import overlaps
from watcher.core.messages import FoldersMeet
from watcher.core.output_paths import top_folders
from watcher.engine.ports import Settings
from watcher.errors import Fault
from watcher.fs import mounts
from watcher.fs.openat import folder_identity
from watcher.text import utf8_bytes

Trio = tuple[bytes, bytes, bytes | None]  # resolved: an inbox, its output, where its originals go
_TABLE = "/proc/self/mountinfo"


class Overlap:
    """Compares folders as they are at this moment; make another one to compare anew."""

    def __init__(self, roots: Collection[bytes]) -> None:
        # what may hold other folders of the config: of them only some sub-folders are written to
        self._roots = roots
        self._spots = cache(lambda path, layers: mounts.spots(path, layers=layers))
        self._below = cache(mounts.spots_below)
        self._identity = cache(folder_identity)

    def within(self, path: bytes, folder: bytes) -> bool:
        """Return whether `path` is `folder` or lies in it, or what is mounted in one of them does so in the other."""
        mine, its = self._spots(path, False), self._spots(folder, True)
        if any(self._inside(a, b) for a in mine for b in (*its, *self._below(folder))):
            return True
        if path not in self._roots and any(self._inside(a, b) for a in self._below(path) for b in its):
            return True
        identity = self._identity(folder)
        return identity is not None and any(self._identity(above) == identity for above in _with_those_above(path))

    def _inside(self, spot: mounts.Spot, other: mounts.Spot) -> bool:
        if spot.device != other.device or not f"{spot.path}/".startswith(f"{other.path.rstrip('/')}/"):
            return False
        mine = os.fsencode(spot.name)
        inside = os.path.relpath(spot.path, other.path)
        seen = os.path.normpath(os.fsencode(os.path.join(other.name, inside)))
        while True:
            one, two = self._identity(mine), self._identity(seen)
            if one is not None or two is not None:
                return one == two
            if seen == os.fsencode(other.name) or os.path.basename(mine) != os.path.basename(seen):
                return True  # nothing of it is there yet
            mine, seen = os.path.dirname(mine), os.path.dirname(seen)


def _with_those_above(folder: bytes) -> Iterator[bytes]:
    while folder != os.path.dirname(folder):
        yield folder
        folder = os.path.dirname(folder)
    yield folder


def met_otherwise(trios: Sequence[Trio], renditions: Sequence[Collection[bytes]]) -> list[Fault]:
    """Return the faults of folders that get in each other's way although their paths do not."""
    roots = {root for _, output, originals in trios for root in (output, originals) if root is not None}
    return overlaps(trios, renditions, Overlap(roots).within)


def held_up(settings: Settings) -> Mapping[bytes, str]:
    """Return the inboxes at whose folders no work may be done, and why: what was mounted since."""
    reasons: dict[bytes, str] = {}
    plans = settings.inboxes
    for i, one in enumerate(plans):
        for other in plans[i:]:
            pair = [one] if other is one else [one, other]
            trios = [(plan.inbox, plan.output, plan.originals) for plan in pair]
            for fault in met_otherwise(trios, [list(map(utf8_bytes, top_folders(plan.wanted))) for plan in pair])[:1]:
                reason = (
                    f"{fault.found.removeprefix('found ').replace(', another', ' is another', 1)}: unmount one of both"
                )
                for plan in pair:
                    reasons.setdefault(plan.inbox, reason)
    return reasons


class MountGuard:
    """Looks at the folders whenever something is mounted or unmounted, on a thread of its own. A context manager."""

    def __init__(self, settings: Callable[[], Settings], post: Callable[[FoldersMeet], object]) -> None:
        self._settings = settings
        self._post = post
        self._reported: Mapping[bytes, str] = {}
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._run, name="mounts", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._waker)
        self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        with suppress(OSError), open(_TABLE, "rb") as table:  # a system without one has no bind mounts either
            poll = select.poll()
            poll.register(table, select.POLLERR | select.POLLPRI)  # the kernel says so when the table changes
            poll.register(self._wake, select.POLLHUP)
            while True:
                self.look()
                if any(file == self._wake for file, _ in poll.poll()):
                    return

    def look(self) -> None:
        """Look now, and tell what has changed."""
        found = held_up(self._settings())
        if found != self._reported:
            self._reported = found
            self._post(FoldersMeet(found))
