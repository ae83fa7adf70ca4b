"""The mark of an output tree: which inbox it belongs to, and how precisely its file system stores dates.

The mark is an extended attribute of the root folder. If the file system has no attributes (FAT, some shares), it is a
small file in the root instead. The attribute is preferred, since users and programs list output trees and expect only
outputs there.

Theory: two runs that do not know of each other would replace each other's outputs. So the first run that writes to a
tree records its inbox's name there, and another inbox is refused. The inbox counts and not the state file: that may be
lost or be a different one, and the same photos give the same outputs.

Rules:
- A tree is `own` if there were no outputs when it was marked, or the state file had records of them, and the inbox is
  still the same folder. Anything at an output's place there is an earlier version of the output, and is replaced.
- In any other tree, a file that is not proved to be watcher's is foreign: it stays, and the output gets its second
  name.
- No inbox is locked out for good: a tree is handed over if its inbox and state file are both gone, if its state file is
  the one in use, or if its mark was removed by hand. Then it is not `own`.
- The precision of dates is measured when the tree is marked. The attribute records it. The mark file has a known date:
  what is left of that date shows the precision, also after the tree was copied elsewhere. See `watcher.fs.dates`.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from watcher.core.types import Failed, FailureKind
from watcher.core.volumes import Holder
from watcher.fs.cleanup import temporary_name
from watcher.fs.dates import EXACT, NOT_KEPT, SAMPLE_NS, grain_of, set_date
from watcher.fs.faults import Abort, unwritable
from watcher.fs.openat import READ, open_root, sync_file, sync_folder
from watcher.fs.volume import is_bare
from watcher.text import shown, utf8_bytes, utf8_text

ATTRIBUTE = "user.watcher.output"
NAME = b".watcher-output"  # of the mark file
_MOST = 1 << 16  # bytes; a larger file is not watcher's
_ABOUT = (
    "The renditions in this folder are watcher's, made from the photos of this inbox. To have another inbox write here,"
    " stop watcher and remove this file: what lies here then stays, and new renditions get second names."
)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Tree(NamedTuple):
    """What is known about an output tree."""

    own: bool = True  # a file at an output's place is an earlier version of that output
    grain: int = EXACT  # ns, see `watcher.fs.dates`


class Mark(NamedTuple):
    """The mark at the root of an output tree."""

    inbox: bytes  # resolved absolute path
    state: bytes  # path of the state file
    folders: tuple[int, ...]  # inode numbers that the inbox has had
    own: bool
    dates: bool  # whether dates can be set there


class TakenError(Abort):
    """The tree belongs to another inbox. The message names that inbox, and what to do."""

    def __init__(self, path: bytes, mark: Mark, *, in_file: bool) -> None:
        self.found = (
            f"{shown(path)}, which holds the renditions of another inbox, {shown(mark.inbox)}"
            f" (its state file: {shown(mark.state)})"
        )
        how = f"removing {shown(path + b'/' + NAME)}" if in_file else f"setfattr -x {ATTRIBUTE} {shown(path)}"
        self.hint = f"write another folder, or hand it over by {how}"
        super().__init__(Failed(f"{self.found}: {self.hint}", FailureKind.OUTPUT))


def read(root: int) -> tuple[Mark | None, int]:
    """Return the mark of an open output folder (None: it has no mark) and the grain of its dates. Raise OSError."""
    data = _attribute(root)
    return (_parse(data) if data is not None else _in_file(root)) or (None, EXACT)


def _attribute(root: int) -> bytes | None:
    try:
        return os.getxattr(root, ATTRIBUTE)
    except (OSError, AttributeError):  # none, or the file system or this Python has no attributes
        return None


def _in_file(root: int) -> tuple[Mark, int] | None:
    try:
        file = os.open(NAME, READ, dir_fd=root)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ELOOP}:
            return None
        raise
    try:
        parsed = _parse(os.read(file, _MOST))
        if parsed is None:
            return None
        mark, _ = parsed
        return mark, (grain_of(os.fstat(file).st_mtime_ns) or EXACT) if mark.dates else NOT_KEPT
    finally:
        os.close(file)


@lru_cache(maxsize=64)  # it is read for every few photos, and rarely changes
def _parse(data: bytes) -> tuple[Mark, int] | None:
    try:
        found = json.loads(data)
        inbox, state = utf8_bytes(found["inbox"]), utf8_bytes(found["state"])
        folders = tuple(int(number) for number in found["folders"])
        mark = Mark(inbox, state, folders, bool(found["own"]), bool(found["dates"]))
        return mark, int(found.get("grain", EXACT))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):  # cut short, or not watcher's
        return None


def look(root: int, path: bytes, holder: Holder, folders: Iterable[str]) -> tuple[Tree, Mark | None]:
    """Return the state of an open output folder for `holder`, and the mark to write, or None if it has that mark.

    `folders`: the renditions' own, see `is_bare`. Raise Abort if the tree belongs to another inbox.
    """
    try:
        mark, grain = read(root)
    except OSError as error:
        raise unwritable(error, shown(path), FailureKind.OUTPUT) from error
    numbers = (holder.folder,) if holder.folder else ()
    if mark is None:
        own = holder.known or is_bare(path, folders)
        return Tree(own, grain), Mark(holder.inbox, holder.state, numbers, own, dates=True)
    if not _same_inbox(mark, holder):
        if mark.state != holder.state and (os.path.lexists(mark.inbox) or os.path.lexists(mark.state)):
            raise TakenError(path, mark, in_file=_attribute(root) is None)
        return Tree(own=False, grain=grain), Mark(holder.inbox, holder.state, numbers, own=False, dates=mark.dates)
    new = mark._replace(inbox=holder.inbox, state=holder.state)
    if holder.folder and holder.folder not in mark.folders:
        if holder.known:  # for example, the inbox was restored from a backup
            new = new._replace(folders=numbers)
        else:  # a folder of the same name, as in containers: nothing shows whether its photos are the same
            new = new._replace(folders=(*mark.folders[-99:], *numbers), own=False)
    return Tree(new.own, grain), new if new != mark else None


def _same_inbox(mark: Mark, holder: Holder) -> bool:
    if mark.inbox == holder.inbox:
        return True
    if os.path.lexists(mark.inbox):
        with suppress(OSError):
            return os.path.samefile(mark.inbox, holder.inbox)
        return False
    # Whether it was renamed. The roots of all disks have the same inode number, and the number of a removed folder is
    # given to another one: if an inbox is removed for good, its state file is removed too.
    renamed = holder.folder in mark.folders and os.path.lexists(mark.state)
    return renamed and not os.path.ismount(holder.inbox)


def claim(root: int, path: bytes, holder: Holder, folders: Iterable[str]) -> Tree:
    """Do as `look` does, and write the mark. If it can't be written, continue without it."""
    tree, mark = look(root, path, holder, folders)
    if mark is None:
        return tree
    try:
        _write(root, mark)
    except FileExistsError:  # another process was faster
        return look(root, path, holder, folders)[0]
    except OSError:
        return tree
    return tree._replace(grain=read(root)[1])


def _write(root: int, mark: Mark) -> None:
    """Write the mark durably, completely or not at all. Raise FileExistsError if one was written meanwhile."""
    found = _in_file(root)
    if found is None and _attributed(root, mark):
        return
    fresh = found is None
    name = temporary_name(0, 2)
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=root)
    try:
        if not _fill(root, name, mark):
            os.unlink(name, dir_fd=root)
            _fill(root, name, mark._replace(dates=False))
        if fresh and _linked(root, name):
            os.unlink(name, dir_fd=root)
        else:
            os.rename(name, NAME, src_dir_fd=root, dst_dir_fd=root)
        sync_folder(root)
    except BaseException:
        with suppress(OSError):
            os.unlink(name, dir_fd=root)
        raise


def _attributed(root: int, mark: Mark) -> bool:
    """Write the mark as an attribute. Return False if the file system has no attributes."""
    before = _attribute(root)
    known = _parse(before) if before is not None else None
    grain = known[1] if known is not None else _measured(root)
    fields = _fields(mark._replace(dates=grain != NOT_KEPT)) | {"grain": grain}
    try:
        flags = os.XATTR_CREATE if before is None else os.XATTR_REPLACE
        os.setxattr(root, ATTRIBUTE, json.dumps(fields).encode(), flags)
    except FileExistsError:
        raise
    except (OSError, AttributeError):
        return False
    sync_folder(root)
    return True


def _measured(root: int) -> int:
    """Return the grain of dates in a folder, measured with a temporary file. Raise OSError."""
    name = temporary_name(0, 2)
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=root)
    file = os.open(name, _CREATE, 0o666, dir_fd=root)
    try:
        kept = set_date(file, SAMPLE_NS)
    finally:
        os.close(file)
        found = os.stat(name, dir_fd=root, follow_symlinks=False)
        os.unlink(name, dir_fd=root)
    return grain_of(found.st_mtime_ns) if kept else NOT_KEPT


def _fields(mark: Mark) -> dict[str, object]:
    return {
        "inbox": utf8_text(mark.inbox),
        "state": utf8_text(mark.state),
        "folders": mark.folders,
        "own": mark.own,
        "dates": mark.dates,
    }


def _fill(root: int, name: bytes, mark: Mark) -> bool:
    """Write a mark to a new file. Return whether the file's date agrees with the mark's `dates`."""
    fields = {"about": _ABOUT} | _fields(mark)
    file = os.open(name, _CREATE, 0o666, dir_fd=root)
    try:
        os.write(file, json.dumps(fields, indent=1).encode() + b"\n")
        kept = set_date(file, SAMPLE_NS)
        sync_file(file)
    finally:
        os.close(file)
    found = os.stat(name, dir_fd=root, follow_symlinks=False)
    return not mark.dates or (kept and grain_of(found.st_mtime_ns) != NOT_KEPT)


def _linked(root: int, name: bytes) -> bool:
    """Link a file to the mark's name, and never replace a mark. Return False if no link can be made."""
    try:
        os.link(name, NAME, src_dir_fd=root, dst_dir_fd=root, follow_symlinks=False)
    except FileExistsError:
        if _in_file(root) is not None:
            raise
        return False  # the existing file is no mark
    except (OSError, NotImplementedError):
        return False
    return True


def look_at(path: bytes, holder: Holder, folders: Iterable[str]) -> Tree:
    """Do as `look` does, by the path of the output folder. A folder that does not exist yet has no owner."""
    root = _open(path)
    if root is None:
        return Tree()
    try:
        return look(root, path, holder, folders)[0]
    finally:
        os.close(root)


def grain_at(path: bytes) -> int:
    """Return the grain of dates in the output folder at a path, from its mark."""
    root = _open(path)
    if root is None:
        return EXACT
    try:
        return read(root)[1]
    except OSError:
        return EXACT
    finally:
        os.close(root)


def _open(path: bytes) -> int | None:
    try:
        return open_root(path, create=False)
    except OSError:
        return None
