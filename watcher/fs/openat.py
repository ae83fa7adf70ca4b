"""Open folders and files of a tree step by step, so that no link inside the tree leads out of it."""

from __future__ import annotations

import errno
import os
import stat

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# NONBLOCK: if it became a FIFO since it was checked, opening it must not hang.
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
# The errors of file systems that can't sync a folder: vboxsf, drvfs, older cifs, some FUSE.
_UNSYNCED = {
    errno.EINVAL,
    errno.EBADF,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EISDIR,
    errno.EACCES,
    errno.EPERM,
}


def folder_identity(folder: bytes) -> tuple[int, int] | None:
    """Return the (st_dev, st_ino) of the folder at a path, or None if no folder can be reached there. May block."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def sync_file(file: int) -> bool:
    """Make an open file durable. Return False if its file system can't do that. Raise OSError for other errors."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        return False
    return True


def sync_folder(folder: int) -> bool:
    """Make an open folder durable. Return False if its file system can't do that. Raise OSError for other errors."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _UNSYNCED:
            raise
        return False
    return True


def open_root(root: bytes, *, create: bool) -> int:
    """Open the root of a tree, which may be a link. With `create`, make it and its parents first, durably."""
    try:
        return os.open(root, FOLDER)
    except FileNotFoundError:
        if not create:
            raise
    _make(root)
    return os.open(root, FOLDER)


def _make(path: bytes) -> None:
    parent = os.path.dirname(path.rstrip(b"/"))
    if parent and not os.path.isdir(parent):
        _make(parent)
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    above = os.open(parent or b".", FOLDER)
    try:
        sync_folder(above)
    finally:
        os.close(above)


def open_below(root: int, folder: bytes, *, create: bool) -> int:
    """Open `folder` below the open folder `root`. With `create`, make missing parts and fsync their parents.

    Raise OSError: ENOTDIR or ELOOP if a part is a link or a file, EINVAL if the path would leave the tree.
    """
    at = os.dup(root)
    try:
        for part in filter(None, folder.split(b"/")):
            if part in {b".", b".."}:
                raise OSError(errno.EINVAL, "not a path inside the tree")  # noqa: TRY301 - the handler closes `at`
            deeper = step(at, part, create=create)
            os.close(at)
            at = deeper
    except BaseException:
        os.close(at)
        raise
    return at


def step(at: int, part: bytes, *, create: bool = False) -> int:
    """Open a folder, not a link, in an open folder. With `create`, make it if it is missing."""
    try:
        return os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=at)
    except FileNotFoundError:
        if not create:
            raise
    try:
        os.mkdir(part, dir_fd=at)
        sync_folder(at)
    except FileExistsError:
        pass  # another worker was faster
    return os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=at)


def open_folder(root: bytes, folder: bytes) -> int:
    """Open `folder` below the folder `root`, as `open_below` does."""
    opened = open_root(root, create=False)
    try:
        return open_below(opened, folder, create=False)
    finally:
        os.close(opened)


def open_regular(folder: int, name: bytes) -> int:
    """Open a regular file in an open folder for reading. Raise FileNotFoundError if anything else is there."""
    if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        file = os.open(name, READ, dir_fd=folder)
        if stat.S_ISREG(os.fstat(file).st_mode):
            return file
        os.close(file)
    raise FileNotFoundError(errno.ENOENT, "not a regular file", name)


def open_file(root: bytes, path: bytes) -> int:
    """Open the regular file at `path` below `root` for reading; no part of `path` may be a link. Raise OSError."""
    folder = open_folder(root, os.path.dirname(path))
    try:
        return open_regular(folder, os.path.basename(path))
    finally:
        os.close(folder)


def is_file(root: bytes, path: bytes) -> bool:
    """Return whether anything but a folder is at `path` below the folder `root`."""
    try:
        folder = open_folder(root, os.path.dirname(path))
        try:
            return not stat.S_ISDIR(os.stat(os.path.basename(path), dir_fd=folder, follow_symlinks=False).st_mode)
        finally:
            os.close(folder)
    except OSError:  # nothing is there, or the attempt to write there will report why not
        return False
