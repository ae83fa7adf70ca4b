"""Somebody who sees every output the moment it appears, and every event of the inbox: inotify, apart from the daemon.

Theory of operation: one thread reads events, notes the time, and opens each output at once, so that what is looked at
is what stood there then, even if it is replaced a moment later. Another thread decodes what was opened.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from inotify_simple import Event, INotify, flags

from tests.transports.card import Version, shown_by

_LANDS = flags.CREATE | flags.MODIFY | flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE
_APPEARS = flags.CREATE | flags.MOVED_TO
_BRINGS = ("create", "modify", "moved_to", "found")  # events after which a file may hold what it did not hold before


@dataclass(frozen=True)
class Appearance:
    """An output that somebody could open from `at` on."""

    at: float  # seconds of time.time()
    rendition: str
    name: str  # as in the inbox
    version: Version | None  # None: half, mixed or broken


@dataclass
class _Tree:
    """A folder that is watched with all below."""

    root: Path
    mask: flags
    tell: Callable[[float, str, str], None]  # when, what, path relative to the root


class Witness:
    """Watches an output folder and, where files land in a local folder with events, that one."""

    def __init__(self, output: Path, landing: Path | None) -> None:
        self.appearances: list[Appearance] = []
        self.broken: list[str] = []  # what was wrong with outputs that showed no version
        self.landed: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self._inotify = INotify()
        self._wake, self._waker = os.pipe()
        self._places: dict[int, tuple[_Tree, str]] = {}
        self._known: set[tuple[str, int, int]] = set()  # outputs that were looked at: path, inode, time of the rename
        self._opened: queue.SimpleQueue[tuple[float, str, IO[bytes]] | None] = queue.SimpleQueue()
        self._faults: list[BaseException] = []
        output.mkdir(exist_ok=True)
        self._trees = [_Tree(output, _APPEARS, self._appeared)]
        if landing is not None:
            self._trees.append(_Tree(landing, _LANDS, lambda at, what, path: self.landed[path].append((at, what))))
        self._threads = [threading.Thread(target=self._guarded, args=(f,)) for f in (self._read, self._look)]

    def __enter__(self) -> Self:
        for tree in self._trees:
            self._add(tree, "", None)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._waker)
        for thread in self._threads:
            thread.join()
        os.close(self._wake)
        self._inotify.close()
        if self._faults and error[0] is None:
            raise self._faults[0]

    # ---- what it has seen ----

    def seen(self, rendition: str, name: str) -> list[Appearance]:
        return [a for a in self.appearances if a.rendition == rendition and a.name == name]

    def last_byte(self, name: str, before: float) -> float | None:
        """When the last byte of a file came, or it came to its name, before a moment; None: nothing was seen."""
        return max((at for at, what in self.landed[name] if what in _BRINGS and at <= before), default=None)

    # ---- its threads ----

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as fault:  # noqa: BLE001 - it is raised where the test can see it
            self._faults.append(fault)

    def _read(self) -> None:
        try:
            while True:
                ready, _, _ = select.select([self._inotify, self._wake], [], [])
                now = time.time()
                if self._wake in ready:
                    return
                for event in self._inotify.read():
                    self._take(event, now)
        finally:
            self._opened.put(None)

    def _take(self, event: Event, now: float) -> None:
        if event.mask & flags.Q_OVERFLOW:
            raise RuntimeError("the kernel dropped events: this run proves nothing")
        if event.wd not in self._places or not event.name:
            return
        tree, folder = self._places[event.wd]
        path = os.path.join(folder, event.name)
        what = flags.from_mask(event.mask & ~flags.ISDIR)[0].name or ""
        if not event.mask & flags.ISDIR:
            tree.tell(now, what.lower(), path)
        elif what in {"CREATE", "MOVED_TO"}:
            self._add(tree, path, now if what == "MOVED_TO" else None)

    def _add(self, tree: _Tree, folder: str, came: float | None) -> None:
        """Watch a folder, and tell of what lies in it already: since `came`, or since the time of its last change."""
        try:
            watch = self._inotify.add_watch(tree.root / folder, tree.mask | flags.ONLYDIR)
            self._places[watch] = (tree, folder)
            entries = list(os.scandir(tree.root / folder))
        except OSError:
            return  # it is gone again
        for entry in entries:
            path = os.path.join(folder, entry.name)
            if entry.is_dir(follow_symlinks=False):
                self._add(tree, path, came)
                continue
            with contextlib.suppress(FileNotFoundError):  # a temporary file may be gone by now
                tree.tell(came or entry.stat(follow_symlinks=False).st_ctime, "found", path)

    def _appeared(self, at: float, what: str, path: str) -> None:
        del what
        if os.path.basename(path).startswith("."):
            return  # the daemon's own temporary name
        try:
            file = (self._trees[0].root / path).open("rb")
        except FileNotFoundError:
            return
        found = os.fstat(file.fileno())
        key = (path, found.st_ino, found.st_ctime_ns)
        if key in self._known:  # both its event and the first look into its folder told of it
            file.close()
            return
        self._known.add(key)
        self._opened.put((at, path, file))

    def _look(self) -> None:
        while (task := self._opened.get()) is not None:
            at, path, file = task
            with file:
                version = shown_by(file)
            rendition, _, name = path.partition(os.sep)
            self.appearances.append(Appearance(at, rendition, name, version))
