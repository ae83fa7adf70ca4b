"""One original is taken out of its inbox, or put back into it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from hashlib import sha256

from watcher.core.selection import hidden_name, name_of_hidden
from watcher.core.types import FileSignature, PhotoId
from watcher.fs.archive.attributes import Folders, KeptError
from watcher.fs.archive.placing import NO_FLAGS, NO_LINK, copied, linked, names, place, rename_over_nothing
from watcher.fs.openat import READ, open_folder, open_regular
from watcher.text import shown

_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_SPECIAL = stat.S_ISUID | stat.S_ISGID
_CLAIM_SECONDS = 60.0  # an empty file in an inbox that is younger may be about to be written


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an original."""

    where: bytes | None  # absolute path; empty: deleted; None: it was not touched
    fault: str = ""  # why not; empty: it is another file now, or none
    other: bool = False  # it looks the same, and holds something else than what was made


@dataclass(frozen=True, slots=True)
class _Original:
    """The open file that is to go, and what it looked like when its content was compared."""

    name: bytes
    folder: int  # file descriptors
    file: int
    seen: os.stat_result

    def unchanged(self, name: bytes | None = None) -> bool:
        """Return whether it is what it was, and lies there by that name (its own, unless told otherwise)."""
        try:
            there = os.stat(name or self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        now = os.fstat(self.file)
        return (there.st_dev, there.st_ino) == (now.st_dev, now.st_ino) and _looks(now) == _looks(self.seen)


def take_away(
    photo: PhotoId, stamp: FileSignature, originals: bytes | None, holds: Callable[[int], bool], folders: Folders
) -> Taken:
    """Move `photo` below the folder `originals`, in folders as in its inbox, or delete it (None); never raises OSError.

    `stamp` is what it looked like when its renditions were made (an inode of 0 is not compared), and `holds` tells of
    the open file whether it has the content that they were made of. `folders` may be the same in all calls.
    """
    found = False
    try:
        with ExitStack() as stack:
            folder = open_folder(photo.inbox, photo.folder)
            stack.callback(os.close, folder)
            found = True
            file = _open(photo.name, folder, stamp)
            if file is None:
                return Taken(None)
            stack.callback(os.close, file)
            original = _Original(photo.name, folder, file, os.fstat(file))
            content = holds(file)
            if not original.unchanged():
                return Taken(None)
            if not content:
                return Taken(None, other=True)
            if originals is None:
                return Taken(b"" if _delete(original) else None)
            opened = folders.open(originals, photo.folder, photo.inbox)
            for each in opened:
                stack.callback(os.close, each)
            try:
                name = _move(original, opened[-1], _temporary(photo))
            finally:
                folders.date(opened)
            where = b"/".join(filter(None, (originals, photo.folder, name)))
            return Taken(where if name is not None else None)
    except KeptError as error:
        return Taken(None, f"the original stays where it is: {error}")
    except OSError as error:
        return Taken(None, "" if error.errno in _GONE and not found else _fault(error, photo, originals))


def _fault(error: OSError, photo: PhotoId, originals: bytes | None) -> str:
    what = os.strerror(error.errno) if error.errno else str(error)
    if originals is None:
        return f"the original can't be deleted: {what}; let the user of watcher write in {shown(photo.inbox)}"
    places = f"{shown(photo.inbox)} and {shown(originals)}"
    return (
        f"the original can't be moved: {what}; let the user of watcher write in {places}, and see that there is space"
    )


def _looks(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def _open(name: bytes, folder: int, stamp: FileSignature) -> int | None:
    """Open what lies there if it is a regular file that looks like `stamp`."""
    try:
        file = open_regular(folder, name)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    found = os.fstat(file)
    if _looks(found) == stamp[:2] and stamp.inode in {0, found.st_ino}:
        return file
    os.close(file)
    return None


def _temporary(photo: PhotoId) -> bytes:
    """Return the name of a copy that is under way: the same at each try, so that none is left behind."""
    return b".watcher-%b.tmp" % sha256(photo.absolute).hexdigest()[:16].encode()


# ---- taking away ----


def _delete(original: _Original) -> bool:
    hidden = _hide(original)
    if hidden is None:
        return False
    try:
        os.unlink(hidden, dir_fd=original.folder)
    except BaseException:
        _show(original.folder, hidden)
        raise
    with suppress(OSError):
        os.fsync(original.folder)
    return True


def _move(original: _Original, target: int, temporary: bytes) -> bytes | None:
    """Move the original into `target`, durable; its name there. None: it is another file now."""
    if os.path.samestat(os.fstat(original.folder), os.fstat(target)):
        raise KeptError("`originals` leads to the inbox itself; name another folder")
    _plain(original)
    name = linked(original.file, target, original.name)
    if name is None and not _apart(original.file, target):
        name = _renamed(original, target)
        if name is not None:
            return name or None
    if name is None:
        name = copied(original.file, original.name, target, temporary, original.unchanged)
    os.fsync(target)
    return name if _delete(original) else None


def _apart(file: int, folder: int) -> bool:
    """Return whether a file and a folder are certainly on two file systems."""
    return os.fstat(file).st_dev != os.fstat(folder).st_dev


def _plain(original: _Original) -> None:
    """Take away what would let a file run as its owner, or raise KeptError."""
    mode = stat.S_IMODE(original.seen.st_mode)
    if not mode & _SPECIAL:
        return
    try:
        os.fchmod(original.file, mode & ~_SPECIAL)
    except OSError as error:
        raise KeptError("it has the set-user-ID or set-group-ID bit; `chmod ug-s` it") from error


def _renamed(original: _Original, target: int) -> bytes | None:
    """Move it by a rename that replaces nothing; empty: it is another file now, None: that can't be done here."""
    hidden = _hide(original)
    if hidden is None:
        return b""
    try:
        for name in names(original.name):
            try:
                rename_over_nothing(original.folder, hidden, target, name)
            except FileExistsError:
                continue
            os.fsync(target)
            os.fsync(original.folder)
            return name
    except OSError as error:
        _show(original.folder, hidden)
        if error.errno not in NO_FLAGS | NO_LINK:
            raise
        return None
    raise AssertionError  # the names never end


def _hide(original: _Original) -> bytes | None:
    """Rename the original to a hidden name; None: something else lay there, and was put back."""
    if not original.unchanged():
        return None
    hidden = hidden_name(original.name, os.urandom(8).hex())  # unpredictable, and so nothing lies there
    try:
        os.rename(original.name, hidden, src_dir_fd=original.folder, dst_dir_fd=original.folder)
    except FileNotFoundError:
        return None
    if original.unchanged(hidden):
        return hidden
    _show(original.folder, hidden)
    return None


# ---- putting back ----


def put_back(inbox: bytes, path: bytes) -> bool:
    """Restore the own name of what has a hidden name in an inbox, as an interruption leaves it. Raise OSError.

    False: there is nothing of that name any more.
    """
    folder_path, _, hidden = path.rpartition(b"/")
    folder = open_folder(inbox, folder_path)
    try:
        _show(folder, hidden, claim_seconds=_CLAIM_SECONDS)
    except FileNotFoundError:
        return False
    finally:
        os.close(folder)
    return True


def _show(folder: int, hidden: bytes, *, claim_seconds: float | None = None) -> None:
    """Rename what has a hidden name to the first name that is free, or that has the same already."""
    try:
        file = os.open(hidden, READ, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError:  # a link, or not to be read by us: whatever it is, it is put back
        file = -1
    try:
        place(folder, hidden, name_of_hidden(hidden) or hidden, file, claim_seconds=claim_seconds)
    finally:
        if file >= 0:
            os.close(file)
    with suppress(OSError):
        os.fsync(folder)
