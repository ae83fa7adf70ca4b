"""Folders of an output tree, opened step by step so that no link inside the tree leads out of it."""

from __future__ import annotations

import errno
import os
import stat

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# How file systems say that they can't sync a folder: vboxsf, drvfs, older cifs, some FUSE
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


def sync_file(file: int) -> bool:
    """Make an open file durable; False: its file system can't do that. Raises OSError for all else."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        return False
    return True


def sync_folder(folder: int) -> bool:
    """Make an open folder durable; False: its file system can't do that. Raises OSError for all else."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _UNSYNCED:
            raise
        return False
    return True


def open_root(root: bytes, *, create: bool) -> int:
    """Open the output folder (it may be a link); with `create`, make it and its parents durable first."""
    try:
        return os.open(root, _FOLDER)
    except FileNotFoundError:
        if not create:
            raise
    _make(root)
    return os.open(root, _FOLDER)


def _make(path: bytes) -> None:
    parent = os.path.dirname(path.rstrip(b"/"))
    if parent and not os.path.isdir(parent):
        _make(parent)
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    above = os.open(parent or b".", _FOLDER)
    try:
        sync_folder(above)
    finally:
        os.close(above)


def open_below(root: int, folder: bytes, *, create: bool) -> int:
    """Open `folder` below the open folder `root`; with `create`, missing parts are made and their parents fsynced.

    Raises OSError: ENOTDIR or ELOOP where a part is a link or a file, EINVAL where the path would climb out.
    """
    at = os.dup(root)
    try:
        for part in filter(None, folder.split(b"/")):
            if part in {b".", b".."}:
                raise OSError(errno.EINVAL, "not a path inside the output folder")  # noqa: TRY301 - the way out closes `at`
            deeper = _step(at, part, create=create)
            os.close(at)
            at = deeper
    except BaseException:
        os.close(at)
        raise
    return at


def _step(at: int, part: bytes, *, create: bool) -> int:
    try:
        return os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
    except FileNotFoundError:
        if not create:
            raise
    try:
        os.mkdir(part, dir_fd=at)
        sync_folder(at)
    except FileExistsError:
        pass  # another worker was quicker
    return os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)


def is_file(root: bytes, path: bytes) -> bool:
    """Return whether anything but a folder lies at `path` below the output folder `root`."""
    folder, _, name = path.rpartition(b"/")
    try:
        opened = open_root(root, create=False)
        try:
            below = open_below(opened, folder, create=False)
        finally:
            os.close(opened)
        try:
            return not stat.S_ISDIR(os.stat(name, dir_fd=below, follow_symlinks=False).st_mode)
        finally:
            os.close(below)
    except OSError:  # nothing, or what the attempt to write there will tell
        return False
