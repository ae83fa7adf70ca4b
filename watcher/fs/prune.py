"""Remove outputs that no photo needs any more. When in doubt, keep them and return why.

Rules:
- A file is removed only if it has a recorded content: its size and its digest agree. Its date proves nothing, and need
  not agree: the photo may have been given another one since.
- The outputs of a photo that is gone are removed only if nothing is at its place in an inbox that is there: the folder
  that was scanned, on the same side of any volume that is mounted in it, with every folder on the way readable and not
  empty, as a mount point is without its volume. Never if originals of the inbox are archived: a state file that was
  restored from a backup does not know which.
- An output tree that is empty has lost its volume: then nothing is known of what is there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from watcher.core.orphans import Orphan, Place
from watcher.core.selection import name_of_hidden
from watcher.fs.faults import Abort
from watcher.fs.openat import READ, open_below, open_root
from watcher.fs.output_mark import NAME, look
from watcher.fs.remove import remove_empty
from watcher.fs.volume import is_nested
from watcher.text import shown, utf8_text

Digest = Callable[[int], bytes]  # of an open output, as it is recorded


class Pruning(NamedTuple):
    """What was found at the places of an orphan's outputs."""

    found: tuple[bytes, ...] = ()  # absolute paths of outputs that were removed, or could be
    kept: tuple[tuple[bytes, str], ...] = ()  # absolute path of an output, and why it stays


def prune(orphan: Orphan, digest: Digest, *, remove: bool) -> Pruning:
    """Examine the outputs of an orphan, and with `remove` remove those that are certainly its own. Never raise OSError.

    Without `remove` nothing is changed.
    """
    try:
        root = open_root(orphan.output_root, create=False)
    except OSError as error:
        return _all_kept(orphan, f"its output folder can't be opened: {error.strerror}")
    try:
        why = _of_the_tree(root, orphan) or why_not(orphan)
        return _all_kept(orphan, why) if why else _prune(root, orphan, digest, remove=remove)
    finally:
        os.close(root)


def _all_kept(orphan: Orphan, why: str) -> Pruning:
    """Return that nothing is removed: of the names that an output may have, those that exist, or else the first."""
    paths = [orphan.output_root + b"/" + place.output for place in orphan.places]
    return Pruning(kept=tuple((path, why) for path in list(filter(os.path.lexists, paths)) or paths[:1]))


def _of_the_tree(root: int, orphan: Orphan) -> str:
    """Return why nothing of this output tree may be removed; empty: it may."""
    try:
        if orphan.holder is not None:
            folders = [utf8_text(place.output.partition(b"/")[0]) for place in orphan.places]
            look(root, orphan.output_root, orphan.holder, folders)
        if not any(os.fsencode(name) != NAME for name in os.listdir(root)):
            return "its output folder is empty: is its volume mounted?"
    except Abort:
        return "its output folder belongs to another inbox"
    except OSError as error:
        return f"its output folder can't be read: {error.strerror}"
    return ""


def _prune(root: int, orphan: Orphan, digest: Digest, *, remove: bool) -> Pruning:
    found, kept = list[bytes](), list[tuple[bytes, str]]()
    for place in orphan.places:
        output = orphan.output_root + b"/" + place.output
        there, why = _examine(root, orphan, place, digest, remove=remove)
        if why:
            kept.append((output, why))
        elif there:
            found.append(output)
    return Pruning(tuple(found), tuple(kept))


def _examine(root: int, orphan: Orphan, place: Place, digest: Digest, *, remove: bool) -> tuple[bool, str]:
    """Examine one place, and with `remove` remove what is there. Return whether something was, and why it stays."""
    path, _, name = place.output.rpartition(b"/")
    try:
        folder = open_below(root, path, create=False)
    except FileNotFoundError:
        return False, ""
    except OSError as error:
        return True, f"its folder can't be opened: {error.strerror}"
    try:
        why = _differs(folder, name, place, digest)
        if why is None:
            return False, ""
        why = why or (why_not(orphan) if remove else "")  # once more: to read it took a while
        if remove and not why:
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False, ""
    except OSError as error:
        return True, f"it can't be removed: {error.strerror}"
    finally:
        os.close(folder)
    if remove and not why:
        remove_empty(root, path, rendition=not orphan.gone)
    return True, why


def _differs(folder: int, name: bytes, place: Place, digest: Digest) -> str | None:
    """Return in what a file differs from what is recorded; empty: in nothing; None: there is none."""
    try:
        before = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(before.st_mode):
        return "it is no regular file"
    if not place.contents:
        return "its content is not recorded: it was made by an earlier version"
    if before.st_size not in {size for size, _ in place.contents}:
        return "it has changed since it was made"
    file = os.open(name, READ, dir_fd=folder)
    try:
        same = (before.st_size, digest(file)) in place.contents
        after, by_name = os.fstat(file), os.stat(name, dir_fd=folder, follow_symlinks=False)
    finally:
        os.close(file)
    if not same or _version(after) != _version(before) or _version(by_name) != _version(before):
        return "it has changed since it was made"
    return ""


def _version(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


# ---- the photo ----


def why_not(orphan: Orphan) -> str:
    """Return why it is not certain that the inbox is there and the photo is gone; empty: it is. Never raise OSError."""
    inbox = shown(orphan.photo.inbox)
    try:
        if orphan.root is None and not orphan.gone:
            return ""
        root = os.stat(orphan.photo.inbox)
        if orphan.root != (root.st_dev, root.st_ino):
            return f"the inbox {inbox} is not the folder that was scanned: is its volume mounted?"
        if orphan.gone and orphan.archives:
            return "its original may have been archived: the inbox has `after`"
        return _why_there(orphan) if orphan.gone else ""
    except OSError as error:
        return f"the inbox {inbox} can't be read: {error.strerror}"


def _why_there(orphan: Orphan) -> str:
    """Return what shows that the photo may be there. Raise OSError."""
    at = orphan.photo.inbox
    parts = orphan.photo.path.split(b"/")
    for depth, part in enumerate(parts, 1):
        at += b"/" + part
        try:
            found = os.lstat(at)
        except FileNotFoundError:
            break
        if depth == len(parts):
            return "its photo is there again" if stat.S_ISREG(found.st_mode) else f"something is at {shown(at)}"
        if not stat.S_ISDIR(found.st_mode):
            return f"{shown(at)} is no folder"
    above = os.path.dirname(at)
    folder = open_root(above, create=False)
    try:
        if is_nested(folder, orphan.photo.inbox) != orphan.nested:
            return f"another volume is mounted at {shown(above)} than when its photo was made"
        names = os.listdir(folder)
    finally:
        os.close(folder)
    if not names:
        return f"the folder {shown(above)} is empty: mount its volume, or remove it"
    if any(name_of_hidden(os.fsencode(name)) == orphan.photo.name for name in names):
        return "its original is being archived"
    with suppress(FileNotFoundError):
        os.lstat(orphan.photo.absolute)
        return "its photo is there again"
    return ""
