"""Take one original out of its inbox, or put it back."""

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
_CLAIM_SECONDS = 60.0  # a younger empty file in an inbox may be about to be written


@dataclass(frozen=True, slots=True)
class Taken:
    """The result for an original."""

    where: bytes | None  # its new absolute path; empty: it was deleted; None: it was not touched
    fault: str = ""  # why it was not touched; empty: it is another file now, or gone
    other: bool = False  # its signature is the same, but its content is not that of its renditions


@dataclass(frozen=True, slots=True)
class _Original:
    """The open file to move or delete, and its state when its content was compared."""

    name: bytes
    folder: int  # file descriptors
    file: int
    seen: os.stat_result

    def unchanged(self, name: bytes | None = None) -> bool:
        """Return whether it is unchanged, and is still the file with the given name (default: its own)."""
        try:
            there = os.stat(name or self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        now = os.fstat(self.file)
        return (there.st_dev, there.st_ino) == (now.st_dev, now.st_ino) and _looks(now) == _looks(self.seen)


def take_away(
    photo: PhotoId, stamp: FileSignature, originals: bytes | None, holds: Callable[[int], bool], folders: Folders
) -> Taken:
    """Move `photo` below the folder `originals`, in the same folders as in its inbox, or delete it (None).

    `stamp`: its signature when its renditions were made (an inode of 0 is not compared). `holds`: return whether the
    open file has the content that they were made from. `folders` may be the same in all calls. Never raise OSError.
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
    """Open a regular file that has the signature `stamp`; None: there is no such file."""
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
    """Return the name of an unfinished copy: the same at each attempt, so that none is left behind."""
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
    """Move the original into `target` durably, and return its name there. None: it is another file now."""
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
    """Remove the bits that let a file run as its owner or group, or raise KeptError."""
    mode = stat.S_IMODE(original.seen.st_mode)
    if not mode & _SPECIAL:
        return
    try:
        os.fchmod(original.file, mode & ~_SPECIAL)
    except OSError as error:
        raise KeptError("it has the set-user-ID or set-group-ID bit; `chmod ug-s` it") from error


def _renamed(original: _Original, target: int) -> bytes | None:
    """Move it by a rename that replaces nothing, and return its name.

    Empty: it is another file now. None: such a rename can't be done here.
    """
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
    """Rename the original to a hidden name, and return that. None: another file was there, and was put back."""
    if not original.unchanged():
        return None
    hidden = hidden_name(original.name, os.urandom(8).hex())  # unpredictable, so no file has this name
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
    """Restore the name of an original that an interruption left under a hidden name in an inbox. Raise OSError.

    Return False if no file has the hidden name any more.
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
    """Rename a file with a hidden name to the first name that is free, or that has the same file already."""
    try:
        file = os.open(hidden, READ, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError:  # a link, or a file that may not be read: it is put back in any case
        file = -1
    try:
        place(folder, hidden, name_of_hidden(hidden) or hidden, file, claim_seconds=claim_seconds)
    finally:
        if file >= 0:
            os.close(file)
    with suppress(OSError):
        os.fsync(folder)
