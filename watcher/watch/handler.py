"""Convert watchdog's events to messages."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)

from watcher.core.messages import FolderSeen, Gone, Seen
from watcher.core.types import FileSignature
from watcher.fs.spelling import Spelling
from watcher.watch.observer_state import ObserverState

Event = Seen | FolderSeen | Gone


# Open and modify events are not requested from the kernel: each write of a copy would be an event.
WANTED: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileAttribEvent,  # many copy programs set the date and the permissions after they close the file
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]


class Handler(FileSystemEventHandler):
    """The handler that converts watchdog's events to messages, for photos and folders only."""

    def __init__(
        self,
        inbox: bytes,
        takes: Callable[[bytes], bool],
        enters: Callable[[bytes], bool],
        emit: Callable[[Event], None],
        signs: ObserverState,
    ) -> None:
        self._inbox = inbox
        self._prefix = inbox.rstrip(b"/") + b"/"
        self._takes = takes
        self._enters = enters
        self._emit = emit
        self._signs = signs

    def dispatch(self, event: FileSystemEvent) -> None:
        """Handle one event."""
        try:
            if event.is_synthetic:
                return
            source, target = self._inside(event.src_path), self._inside(event.dest_path)
            if event.is_directory:
                self._folder_event(event, source, target)
            else:
                self._file_event(event, source, target)
        except Exception as error:  # noqa: BLE001 - an exception here would end watchdog's thread
            self._signs.lost(f"an event could not be dealt with ({error!r}); everything is looked at again")

    def _inside(self, path: bytes | str) -> bytes | None:
        raw = os.fsencode(path)
        return raw[len(self._prefix) :] if raw.startswith(self._prefix) else None

    def _file_event(self, event: FileSystemEvent, source: bytes | None, target: bytes | None) -> None:
        if target is not None and self._takes(target):
            self._emit(Seen(self._inbox, target, complete=True, stamp=_stamp(self._find(target))))
        if source is None or not self._takes(source):
            return
        found = self._find(source)
        if isinstance(event, FileMovedEvent) and self._is_another(source, found, target, stat.S_ISREG):
            self._emit(Seen(self._inbox, source, complete=False, stamp=_stamp(found), touched=True))
            return
        if isinstance(event, FileMovedEvent | FileDeletedEvent):
            self._emit(Gone(self._inbox, paths=(source,)))
            return
        # A hard link is made to a file that is already complete. If that file is written to, the kernel reports it.
        linked = found is not None and found.st_nlink > 1
        created = isinstance(event, FileCreatedEvent)
        complete = isinstance(event, FileClosedEvent) or (created and linked)
        touched = isinstance(event, FileAttribEvent)
        stamp = _stamp(found)
        self._emit(Seen(self._inbox, source, complete, stamp, touched, created=created and not linked))

    def _find(self, path: bytes) -> os.stat_result | None:
        """Return the stat of a file: 2 µs on the local disks that are watched. Its size finds possible duplicates."""
        try:
            return os.lstat(self._prefix + path)
        except OSError:
            return None

    def _folder_event(self, event: FileSystemEvent, source: bytes | None, target: bytes | None) -> None:
        if target is not None and self._enters(target):
            self._emit(FolderSeen(self._inbox, target))
        if source is None:
            self._signs.wake()  # the inbox itself, or a folder that was moved in from outside
        elif self._enters(source):
            moved = isinstance(event, DirMovedEvent)
            if isinstance(event, DirCreatedEvent) or (
                moved and self._is_another(source, self._find(source), target, stat.S_ISDIR)
            ):
                self._emit(FolderSeen(self._inbox, source))
            else:
                self._emit(Gone(self._inbox, folders=(source,)))

    def _is_another(
        self, source: bytes, found: os.stat_result | None, target: bytes | None, kind: Callable[[int], bool]
    ) -> bool:
        """Return whether another file or folder now has the old name: two may exchange their names in one step.

        On a case-insensitive file system, a file whose name changed only in case is also found under its old name, on
        some file systems with another inode.
        """
        if found is None or not kind(found.st_mode):
            return False
        moved = self._find(target) if target is not None else None
        another = moved is None or not os.path.samestat(found, moved)
        return another and Spelling(self._inbox).is_exact(source)


def _stamp(found: os.stat_result | None) -> FileSignature | None:
    return found and FileSignature(found.st_size, found.st_mtime_ns, found.st_ino)
