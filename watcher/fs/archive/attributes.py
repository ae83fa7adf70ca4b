"""Keep owner, rights, attributes and times of originals that are copied, and of the folders made for them.

Rules:
- As `cp -a` does, keep owner and group, the mode, the ACL, every other attribute, each tried separately, and the times.
- A file never keeps set-user-ID, set-group-ID or capabilities: a user who may write to an inbox could otherwise have a
  program run as another user.
- If something that matters can't be kept, that is an error (`KeptError`), and the original stays. It matters if a user
  who could read the file no longer can, if its ACL is lost, or an attribute that a user or a program has set.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

from watcher.fs.openat import FOLDER, step
from watcher.text import shown

_TEMPORARY = b".watcher-folder.tmp"
_MOST_FOLDERS = 10_000  # whose times are kept in memory
_ACL = "system.posix_acl_access"
# Attributes that programs write for themselves or that the file system generates: not needed elsewhere.
_MACHINES = {"user.DOSATTRIB", "user.SAMBA_PAI", "user.DosStream.Zone.Identifier:$DATA", "user.com.apple.quarantine"}


class KeptError(Exception):
    """The original stays: something that matters can't be kept, or it must not be moved now. The message says what."""


def keep(copy: int, source: int) -> None:
    """Copy all of `source` except its content to the open file or folder `copy`. Raise KeptError, OSError."""
    found = os.fstat(source)
    _keep_owner(copy, found)
    _keep_attributes(copy, source)
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode):
        mode &= 0o777
    elif os.fstat(copy).st_uid != found.st_uid:
        mode |= stat.S_IRWXU  # watcher owns the folder then, and must be able to put the next original into it
    with suppress(OSError):  # a file system without rights
        os.fchmod(copy, mode)
    if lost := _shut_out(found, os.fstat(copy)):
        raise KeptError(f"{lost} could no longer read it there; run watcher as root, or let others read it")
    os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))


def _keep_owner(copy: int, found: os.stat_result) -> None:
    for owner, group in ((-1, found.st_gid), (found.st_uid, found.st_gid)):
        with suppress(OSError):  # only root may change the owner; whether it matters is checked afterwards
            os.fchown(copy, owner, group)


def _shut_out(before: os.stat_result, now: os.stat_result) -> str:
    """Return which users could read it before and no longer can; empty: all still can."""
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
            return  # a file system without attributes
        if _ACL not in names:
            with suppress(OSError):  # an ACL inherited from its new folder
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
    """The folders below `originals`, created like the inbox's. Those created in this run keep their dates too."""

    def __init__(self) -> None:
        self._times: dict[tuple[int, int], tuple[int, int]] = {}

    def open(self, root: bytes, path: bytes, like: bytes) -> list[int]:
        """Open `root` and the folders of `path` below it, the innermost last. Create missing ones like those of `like`.

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
        # It gets its name last, so that no incomplete folder is left if the process is killed.
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
