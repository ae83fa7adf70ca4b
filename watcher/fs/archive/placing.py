"""Link or rename a file to a name in a folder, and never replace anything there."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from watcher.fs.archive.attributes import keep
from watcher.fs.openat import READ

_STEP = 1 << 20  # bytes
_LONGEST = 255  # bytes of a name
_COARSE_NS = 2_000_000_000  # FAT keeps times to two seconds
# No hard link can be made: another file system, one without links, one with no space for more, a file of another user.
NO_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EINVAL}
NO_FLAGS = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}  # of a rename: an old kernel, or a share


def names(name: bytes) -> Iterator[bytes]:
    """Yield the names that an original may get, the best one first."""
    yield name
    stem, dot, extension = name.rpartition(b".") if b"." in name[1:] else (name, b"", b"")
    number = 1
    while True:
        end = b" (%d)" % number + dot + extension
        yield stem[: _LONGEST - len(end)] + end
        number += 1


def rename_over_nothing(source: int, name: bytes, target: int, to: bytes) -> None:
    """Rename in one step. Raise FileExistsError if `to` exists, OSError of `NO_FLAGS` if that can't be done here."""
    libc = ctypes.CDLL(None, use_errno=True)
    call, flag = (
        (getattr(libc, "renameatx_np", None), 4) if sys.platform == "darwin" else (getattr(libc, "renameat2", None), 1)
    )
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(source, ctypes.c_char_p(name), target, ctypes.c_char_p(to), ctypes.c_uint(flag)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def name_hidden(folder: int, hidden: bytes, name: bytes) -> None:
    """Rename the file `hidden` within a folder, or raise FileExistsError.

    Raise OSError of `NO_LINK` if neither such a rename nor a hard link is possible.
    """
    try:
        rename_over_nothing(folder, hidden, folder, name)
    except OSError as error:
        if error.errno not in NO_FLAGS:
            raise
    else:
        return
    os.link(hidden, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    os.unlink(hidden, dir_fd=folder)


def place(folder: int, hidden: bytes, wanted: bytes, file: int, *, claim_seconds: float | None) -> bytes:
    """Rename the file `hidden` to the first name that is free or has the same content, and return that name.

    `file`: the same file, open; -1: it counts as different from any other file. An empty file that is older than
    `claim_seconds` is the claim to the name that an interrupted attempt has left; None: there can't be one.
    """
    for name in names(wanted):
        try:
            _place(folder, hidden, name)
        except FileExistsError:
            if not same(file, name, folder):
                if claim_seconds is None or not _is_claim(name, folder, claim_seconds):
                    continue
                os.rename(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)
        with suppress(FileNotFoundError):  # it still exists if the same file had the name already
            os.unlink(hidden, dir_fd=folder)
        return name
    raise AssertionError  # the names never end


def _place(folder: int, hidden: bytes, name: bytes) -> None:
    """Rename a hidden file, or raise FileExistsError."""
    try:
        name_hidden(folder, hidden, name)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        # It can't be done in one step: an empty file claims the name, and the rename replaces that file.
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder))
        os.rename(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)


def _is_claim(name: bytes, folder: int, seconds: float) -> bool:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return stat.S_ISREG(found.st_mode) and not found.st_size and time.time() - found.st_ctime >= seconds


def same(file: int, name: bytes, folder: int) -> bool:
    """Return whether `name` is a regular file with the same time and content as the open `file` (-1: never)."""
    if file < 0:
        return False
    try:
        other = os.open(name, READ, dir_fd=folder)
    except OSError:
        return False
    try:
        mine, theirs = os.fstat(file), os.fstat(other)
        if not stat.S_ISREG(theirs.st_mode):
            return False
        if (mine.st_dev, mine.st_ino) == (theirs.st_dev, theirs.st_ino):
            return mine.st_nlink > 1  # otherwise it is the original itself, reached by another path
        if mine.st_size != theirs.st_size or abs(mine.st_mtime_ns - theirs.st_mtime_ns) > _COARSE_NS:
            return False
        return all(os.pread(file, _STEP, at) == os.pread(other, _STEP, at) for at in range(0, mine.st_size, _STEP))
    finally:
        os.close(other)


def linked(file: int, target: int, wanted: bytes) -> bytes | None:
    """Link an open file into `target`, and return its name: the first that is free or has the same file already.

    None: it can't be linked.
    """
    for name in names(wanted):
        try:
            os.link(b"/proc/self/fd/%d" % file, name, dst_dir_fd=target, follow_symlinks=True)
        except FileExistsError:
            if same(file, name, target):
                return name
        except FileNotFoundError:  # no /proc
            return None
        except OSError as error:
            if error.errno in NO_LINK:
                return None
            raise
        else:
            return name
    raise AssertionError  # the names never end


def copied(file: int, wanted: bytes, target: int, temporary: bytes, keeps: Callable[[], bool]) -> bytes:
    """Copy an open file into `target` durably, under a free name, and return that name.

    `keeps` returns, after the copy is written, whether the original is unchanged. Raise KeptError, OSError.
    """
    interrupted = False
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=target)
        interrupted = True
    copy = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target)
    try:
        try:
            _fill(copy, file)
        finally:
            os.close(copy)
        if not keeps() or not same(file, temporary, target):
            raise OSError(errno.EIO, "what was written is not what is read")
        return place(target, temporary, wanted, file, claim_seconds=0.0 if interrupted else None)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=target)


def _fill(copy: int, file: int) -> None:
    """Copy an open file's content to another open file durably, with all attributes to keep."""
    size = os.fstat(file).st_size
    for at in range(0, size, _STEP):
        part = memoryview(os.pread(file, _STEP, at))
        while part:
            part = part[os.write(copy, part) :]
    keep(copy, file)
    os.fsync(copy)
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # so that the comparison reads from the disk, as far as the kernel allows
            os.posix_fadvise(copy, 0, 0, os.POSIX_FADV_DONTNEED)
