"""Remove renditions that a photo left behind when it moved, and the folders that are empty after that."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from watcher.core.types import ReusableRendition
from watcher.fs.dates import same_date
from watcher.fs.openat import open_below, open_root
from watcher.fs.output_mark import read


def remove(output_root: bytes, outputs: Iterable[ReusableRendition], mtime_ns: int) -> int:
    """Remove outputs that are regular files of the given size and modification time. Return the number removed.

    Never raise OSError.
    """
    try:
        root = open_root(output_root, create=False)
    except OSError:
        return 0
    try:
        return sum(_remove(root, output, mtime_ns) for output in outputs)
    finally:
        os.close(root)


def _remove(root: int, output: ReusableRendition, mtime_ns: int) -> bool:
    path, _, name = output.output.rpartition(b"/")
    try:
        folder = open_below(root, path, create=False)
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            dated = found.st_mtime_ns == mtime_ns or same_date(found.st_mtime_ns, mtime_ns, read(root)[1])
            if not (stat.S_ISREG(found.st_mode) and found.st_size == output.size and dated):
                return False
            os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError:
        return False  # it is not there, or no longer watcher's: leave it as it is
    remove_empty(root, path)
    return True


def remove_empty(root: int, path: bytes, *, rendition: bool = False) -> None:
    """Remove empty folders, from the innermost outwards; the folder of the rendition itself only with `rendition`."""
    while b"/" in path or (rendition and path):
        above, _, name = path.rpartition(b"/")
        try:
            folder = open_below(root, above, create=False)
            try:
                os.rmdir(name, dir_fd=folder)
            finally:
                os.close(folder)
        except OSError:
            return
        path = above
