"""The photo on disk: opened without following a link, read once, and looked at again before anything is published."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from watcher.core.selection import special
from watcher.core.stability import OLD_DATE_SECONDS, PRIVATE_SECONDS, RECHECK_DATED_SECONDS
from watcher.core.types import FileSignature, PhotoId, Unready, Vanished
from watcher.fs.faults import Abort, bad_photo, unreachable, unreadable
from watcher.fs.openat import FOLDER, READ, open_below
from watcher.fs.volume import is_nested
from watcher.text import shown

_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # a link met with O_NOFOLLOW says ELOOP or ENOTDIR


@dataclass(slots=True)
class Source:
    """An open photo; to be closed, or left as a `with` block."""

    photo: PhotoId
    folder: int  # file descriptors
    file: int
    stamp: FileSignature
    changed_ns: int = 0  # ctime
    at_rest: Callable[[], bool] = lambda: True  # whether still no process writes to it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release it."""
        os.close(self.file)
        os.close(self.folder)

    def read(self) -> bytes:
        """Return the whole content in one read; Unready if the file ends before its size."""
        try:
            data = os.read(self.file, self.stamp.size)
            while len(data) < self.stamp.size:  # a network share, or beyond the 2 GB of one read
                more = os.read(self.file, self.stamp.size - len(data))
                if not more:
                    raise Abort(Unready(self.stamp, "it became shorter while it was read", settling=True))
                data += more
        except OSError as error:
            raise unreadable(error, shown(self.photo.path)) from error
        return data

    def is_nested(self) -> bool:
        """Return whether it is on a volume that is mounted below the inbox."""
        try:
            return bool(self.photo.folder) and is_nested(self.folder, self.photo.inbox)
        except OSError:
            return False

    def is_sparse(self) -> bool:
        """Return whether it has holes: reserved space that was never written."""
        if not hasattr(os, "SEEK_HOLE"):
            return False
        try:
            return os.lseek(self.file, 0, os.SEEK_HOLE) < self.stamp.size
        except OSError:
            return False

    def recheck(self) -> None:
        """Raise Abort if the photo is no longer what was opened: by its path, and by what is open."""
        try:
            by_path = os.stat(self.photo.name, dir_fd=self.folder, follow_symlinks=False)
            by_file = os.fstat(self.file)
        except OSError as error:
            if error.errno in _GONE:
                raise Abort(Vanished("it was removed while it was read")) from error
            raise unreadable(error, shown(self.photo.path)) from error
        now = _stamp(by_path)
        if now != self.stamp or _stamp(by_file) != self.stamp:
            # To set a date in the past is the last that a copy does: nothing else need be waited for.
            dated = (
                now == self.stamp._replace(mtime_ns=now.mtime_ns)
                and time.time() - now.mtime_ns / 1e9 > OLD_DATE_SECONDS
            )
            reason = "it was dated while it was read" if dated else "it changed while it was read"
            raise Abort(Unready(now, reason, settling=True, seconds=RECHECK_DATED_SECONDS if dated else 0.0))
        if not self.at_rest():
            raise Abort(Unready(now, "another process began to write it while it was read", settling=True))


def open_photo(photo: PhotoId) -> Source:
    """Open `photo` by openat steps from its inbox; a link on the way or in its place is never followed.

    Raise Abort: Vanished for what is not there, behind a link or no regular file, Failed for what can't be read.
    Special files (FIFO, device, socket) are recognised before they would be opened.
    """
    what = shown(photo.path)
    if any(part in {b"", b".", b".."} for part in photo.path.split(b"/")):
        raise bad_photo(f"{what} is no path inside an inbox")
    folder, seen = _open_inbox(photo.inbox), None
    try:
        inbox, folder = folder, open_below(folder, photo.folder, create=False)
        os.close(inbox)
        seen = os.stat(photo.name, dir_fd=folder, follow_symlinks=False)
        _refuse_special(seen)
        file = os.open(photo.name, READ, dir_fd=folder)
    except BaseException as error:
        os.close(folder)
        if not isinstance(error, OSError):
            raise
        if error.errno in _GONE:
            raise Abort(Vanished("there is no such file, or a symbolic link leads to it")) from error
        if error.errno == errno.EACCES and seen is not None and 0 <= time.time() - seen.st_mtime < PRIVATE_SECONDS:
            reason = f"{what} may not be read yet: many a copy keeps others out until it is over"
            raise Abort(Unready(_stamp(seen), reason, settling=True)) from error
        raise unreadable(error, what) from error
    status = os.fstat(file)
    source = Source(photo, folder, file, _stamp(status), status.st_ctime_ns)
    try:
        _refuse_special(status)
    except Abort:
        with source:
            raise
    return source


def _open_inbox(inbox: bytes) -> int:
    try:
        return os.open(inbox, FOLDER)  # it may be a link
    except OSError as error:
        if error.errno in _GONE:
            raise Abort(Vanished("the inbox is not there")) from error
        raise unreachable(error, inbox) from error


def _refuse_special(status: os.stat_result) -> None:
    if reason := special(status.st_mode):
        raise Abort(Vanished(reason))


def _stamp(status: os.stat_result) -> FileSignature:
    return FileSignature(status.st_size, status.st_mtime_ns, status.st_ino)
