"""What an original keeps where it is copied to, and the folders that are made for it: owner, rights, attributes, times.

Rules:
- As `cp -a` does: owner and group, the mode, the ACL, every other attribute, each tried for itself, and the times.
- A file never keeps set-user-ID, set-group-ID or capabilities: who may write to an inbox could have a program
  run as another user.
- What can't be kept and matters is an error (`KeptError`), and the original stays: that a user who could read it no
  longer can, that its ACL is lost, or an attribute that a person or a program has put there.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

from watcher.fs.openat import FOLDER, step
from watcher.text import shown

_TEMPORARY = b".watcher-folder.tmp"
_MOST_FOLDERS = 10_000  # with remembered times
_ACL = "system.posix_acl_access"
# Written by programs for themselves or made up by the file system: not missed elsewhere.
_MACHINES = {"user.DOSATTRIB", "user.SAMBA_PAI", "user.DosStream.Zone.Identifier:$DATA", "user.com.apple.quarantine"}


class KeptError(Exception):
    """The original stays: something that matters can't be kept, or it is not to go now; the message says what."""


def keep(copy: int, source: int) -> None:
    """Copy what `source` has beside its content to the open file or folder `copy`. Raise KeptError, OSError."""
    found = os.fstat(source)
    _keep_owner(copy, found)
    _keep_attributes(copy, source)
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode):
        mode &= 0o777
    elif os.fstat(copy).st_uid != found.st_uid:
        mode |= stat.S_IRWXU  # the folder is ours then, and the next original must fit into it
    with suppress(OSError):  # a file system without rights
        os.fchmod(copy, mode)
    if lost := _shut_out(found, os.fstat(copy)):
        raise KeptError(f"{lost} could no longer read it there; run watcher as root, or let others read it")
    os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))


def _keep_owner(copy: int, found: os.stat_result) -> None:
    for owner, group in ((-1, found.st_gid), (found.st_uid, found.st_gid)):
        with suppress(OSError):  # only root may give files away; whether it matters is looked at afterwards
            os.fchown(copy, owner, group)


def _shut_out(before: os.stat_result, now: os.stat_result) -> str:
    """Return who could read it before and can't any more; empty: all still can."""
    need = 5 if stat.S_ISDIR(before.st_mode) else 4

    def may(found: os.stat_result, shift: int) -> bool:
        return found.st_mode >> shift & need == need

    if may(now, 0):
        return ""
    group_kept = now.st_gid == before.st_gid and may(now, 3)
    if now.st_uid != before.st_uid and may(before, 6) and not group_kept:
        return f"its owner (user {before.st_uid})"
    if may(before, 3) and not group_kept and not may(before, 0):
        return f"its group ({before.st_gid})"
    return ""


if sys.platform == "darwin":
    import ctypes

    _ACL_AND_ATTRIBUTES = 1 | 4  # copyfile.h: COPYFILE_ACL, COPYFILE_XATTR

    def _keep_attributes(copy: int, source: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.fcopyfile(source, copy, None, _ACL_AND_ATTRIBUTES):
            raise KeptError(f"its attributes can't be kept there: {os.strerror(ctypes.get_errno())}")

else:

    def _keep_attributes(copy: int, source: int) -> None:
        try:
            names = os.listxattr(source)
        except OSError:
            return  # a file system without them
        if _ACL not in names:
            with suppress(OSError):  # one that it inherited from its new folder
                os.removexattr(copy, _ACL)
        for name in names:
            if name == "security.capability":
                continue
            try:
                os.setxattr(copy, name, os.getxattr(source, name))
            except OSError as error:
                if name == _ACL or (name.startswith("user.") and name not in _MACHINES):
                    what = "its access control list" if name == _ACL else f"its attribute {shown(name)}"
                    raise KeptError(f"{what} can't be kept there: {error.strerror}") from error


class Folders:
    """Folders below `originals`, made like those of the inbox. Those made in this run keep their dates too."""

    def __init__(self) -> None:
        self._times: dict[tuple[int, int], tuple[int, int]] = {}

    def open(self, root: bytes, path: bytes, like: bytes) -> list[int]:
        """Open `root` and the folders of `path` below it, made where missing as those of `like` are, the inmost last.

        No part of `path` may be a link. Raise KeptError, OSError.
        """
        os.makedirs(root, exist_ok=True)
        opened = [os.open(root, FOLDER)]
        model = os.open(like, FOLDER)
        try:
            for part in filter(None, path.split(b"/")):
                deeper = step(model, part)
                os.close(model)
                model = deeper
                opened.append(self._folder(opened[-1], part, model))
        except BaseException:
            for folder in opened:
                os.close(folder)
            raise
        finally:
            os.close(model)
        return opened

    def _folder(self, above: int, name: bytes, model: int) -> int:
        with suppress(FileNotFoundError):
            return step(above, name)
        # It gets its name when it has all the rest, so that a kill leaves none that is half made.
        with suppress(FileNotFoundError):
            os.rmdir(_TEMPORARY, dir_fd=above)
        os.mkdir(_TEMPORARY, 0o700, dir_fd=above)
        folder = step(above, _TEMPORARY)
        try:
            keep(folder, model)
            os.rename(_TEMPORARY, name, src_dir_fd=above, dst_dir_fd=above)
        except BaseException:
            os.close(folder)
            with suppress(OSError):
                os.rmdir(_TEMPORARY, dir_fd=above)
            raise
        os.fsync(above)
        found = os.fstat(folder)
        if len(self._times) < _MOST_FOLDERS:
            self._times[found.st_dev, found.st_ino] = found.st_atime_ns, found.st_mtime_ns
        return folder

    def date(self, folders: list[int]) -> None:
        """Restore the dates of the inbox's folders on those of the open folders that were made in this run."""
        for folder in folders:
            found = os.fstat(folder)
            times = self._times.get((found.st_dev, found.st_ino))
            if times is not None:
                with suppress(OSError):
                    os.utime(folder, ns=times)
