"""An original is moved or deleted, once it is wanted no more: never over another file, never through a link.

Theory of operation:
- It is looked at first, without following a link: only the very file that was rendered is touched.
- On one file system it gets its new name beside the old one (a hard link, which never replaces anything), that is made
  durable, and the old name is removed. A crash between leaves both.
- Elsewhere it is copied to a temporary file, made durable, read back and compared, and given its name in the same way.
- A name that is taken is left to whoever has it: `a (1).jpg` follows `a.jpg`. Only the same content with the same time,
  as an interrupted move leaves it, is as good as moved.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from watcher.model import PhotoId, Stamp

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_STEP = 1 << 20  # bytes
_LONGEST = 255  # bytes of a name
_COARSE_NS = 2_000_000_000  # FAT keeps times to two seconds
# no hard link can be made: another file system, one that has none, one with no room for more, a file of somebody else
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EINVAL}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an original."""

    where: bytes | None  # absolute path; empty: deleted; None: it was not touched
    fault: str = ""  # why not; empty: it is another file now, or none


def take_away(photo: PhotoId, stamp: Stamp, originals: bytes | None) -> Taken:
    """Move `photo` below the folder `originals`, in folders as in its inbox, or delete it (None); never raises OSError.

    `stamp` is what it looked like when its renditions were made; an inode of 0 is not compared.
    """
    opened: list[int] = []
    try:
        opened.append(_below(photo.inbox, photo.folder, create=False))
        if not _is(photo.name, opened[0], stamp):
            return Taken(None)
        if originals is None:
            where = b""
        else:
            opened.append(_below(originals, photo.folder, create=True))
            name = _moved(opened[0], photo.name, opened[1], stamp, _temporary(photo))
            if name is None:
                return Taken(None)
            where = b"/".join(filter(None, (originals, photo.folder, name)))
        if _is(photo.name, opened[0], stamp):  # otherwise somebody was quicker: the new file is not ours to remove
            os.unlink(photo.name, dir_fd=opened[0])
            os.fsync(opened[0])
    except OSError as error:
        gone = error.errno in _GONE and not opened
        return Taken(None, "" if gone else _fault(error, photo, originals))
    finally:
        for folder in opened:
            os.close(folder)
    return Taken(where)


def _fault(error: OSError, photo: PhotoId, originals: bytes | None) -> str:
    what = os.strerror(error.errno) if error.errno else str(error)
    if originals is None:
        return f"the original can't be deleted: {what}; let the user of watcher write in {_shown(photo.inbox)}"
    places = f"{_shown(photo.inbox)} and {_shown(originals)}"
    return f"the original can't be moved: {what}; let the user of watcher write in {places}, and see that there is room"


def _shown(path: bytes) -> str:
    return ascii(os.fsdecode(path))[1:-1]


def _is(name: bytes, folder: int, stamp: Stamp) -> bool:
    """Tell whether what lies there is a regular file that looks like `stamp`."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and _looks(found, stamp)


def _looks(found: os.stat_result, stamp: Stamp) -> bool:
    same = (found.st_size, found.st_mtime_ns) == (stamp.size, stamp.mtime_ns)
    return same and stamp.inode in {0, found.st_ino}


def _below(root: bytes, path: bytes, *, create: bool) -> int:
    """Open a folder below `root`, no part of `path` being a link; with `create`, both are made where missing."""
    if create:
        os.makedirs(root, exist_ok=True)
    at = os.open(root, _FOLDER)
    try:
        for part in filter(None, path.split(b"/")):
            if create:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=at)
                    os.fsync(at)
            deeper = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = deeper
    except BaseException:
        os.close(at)
        raise
    return at


def _names(name: bytes) -> Iterator[bytes]:
    """Give the names that an original may get, the best one first."""
    yield name
    stem, dot, extension = name.rpartition(b".") if b"." in name[1:] else (name, b"", b"")
    number = 1
    while True:
        end = b" (%d)" % number + dot + extension
        yield stem[: _LONGEST - len(end)] + end
        number += 1


def _temporary(photo: PhotoId) -> bytes:
    """Give the name of a copy that is under way: the same at each try, so that none is left behind."""
    return b".watcher-%b.tmp" % sha256(photo.absolute).hexdigest()[:16].encode()


def _moved(source: int, name: bytes, target: int, stamp: Stamp, temporary: bytes) -> bytes | None:
    """Let the file `name` of the folder `source` have a name in `target` too, durable; None: it is another file now."""
    file = os.open(name, _READ, dir_fd=source)
    try:
        if not _looks(os.fstat(file), stamp):
            return None
        try:
            found = _linked(source, name, target, name, file)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            found = _copied(file, name, target, temporary)
        if not _looks(os.fstat(file), stamp) or not _same(file, found, target):
            return None  # it was written to meanwhile: what is there is a copy of what it was, and does no harm
        os.fsync(target)
        return found
    finally:
        os.close(file)


def _linked(source: int, name: bytes, target: int, wanted: bytes, file: int) -> bytes:
    """Link a file into `target` by the first name that is free, or that has the same content already; that name."""
    for candidate in _names(wanted):
        try:
            os.link(name, candidate, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        except FileExistsError:
            if not _same(file, candidate, target):
                continue
        return candidate
    raise AssertionError  # the names never end


def _same(file: int, name: bytes, folder: int) -> bool:
    """Tell whether what lies there is a regular file with the same time and content as an open one."""
    try:
        other = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return False
    try:
        mine, theirs = os.fstat(file), os.fstat(other)
        if not stat.S_ISREG(theirs.st_mode):
            return False
        if (mine.st_dev, mine.st_ino) == (theirs.st_dev, theirs.st_ino):
            return True
        if mine.st_size != theirs.st_size or abs(mine.st_mtime_ns - theirs.st_mtime_ns) > _COARSE_NS:
            return False
        return all(os.pread(file, _STEP, at) == os.pread(other, _STEP, at) for at in range(0, mine.st_size, _STEP))
    finally:
        os.close(other)


def _copied(file: int, name: bytes, target: int, temporary: bytes) -> bytes:
    """Copy an open file into `target`, durable, by a name that is free; that name."""
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=target)
    copy = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target)
    try:
        try:
            _fill(copy, file)
        finally:
            os.close(copy)
        if not _same(file, temporary, target):
            raise OSError(errno.EIO, "what was written is not what is read")
        try:
            return _linked(target, temporary, target, name, file)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            return _renamed(target, temporary, name, file)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=target)


def _fill(copy: int, file: int) -> None:
    """Write an open file's content into another one, with its time and rights, durable."""
    size = os.fstat(file).st_size
    for at in range(0, size, _STEP):
        part = memoryview(os.pread(file, _STEP, at))
        while part:
            part = part[os.write(copy, part) :]
    found = os.fstat(file)
    with suppress(OSError):  # a file system without rights
        os.fchmod(copy, stat.S_IMODE(found.st_mode))
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            for attribute in os.listxattr(file):
                os.setxattr(copy, attribute, os.getxattr(file, attribute))
    os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
    os.fsync(copy)
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # so that the comparison reads what is on the disk, as far as the kernel lets it
            os.posix_fadvise(copy, 0, 0, os.POSIX_FADV_DONTNEED)


def _renamed(target: int, temporary: bytes, name: bytes, file: int) -> bytes:
    """Give a temporary file a free name where there are no hard links: the name is claimed by an empty file first."""
    for candidate in _names(name):
        try:
            os.close(os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target))
        except FileExistsError:
            if _same(file, candidate, target):
                return candidate
            continue
        os.rename(temporary, candidate, src_dir_fd=target, dst_dir_fd=target)
        return candidate
    raise AssertionError  # the names never end
