"""Outputs that leave their places, since the template or the size in it has changed: moved, or made anew elsewhere.

Rules:
- A move never replaces a file: a link is made at the new place, and the old name is removed when the link is durable.
  Where there are no links, the file is renamed.
- Until all of the photo's outputs are durable, nothing is lost: cut off before, the next run finds an output at its
  old place, at both or at its new one, and goes on. If the photo fails, the moves are undone.
- A file is moved if it has the recorded size and the photo's date, and removed if it has the recorded content.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from watcher.core.layout import OldOutput
from watcher.core.naming import folded
from watcher.fs.dates import same_date
from watcher.fs.openat import open_file, open_folder, sync_folder
from watcher.fs.remove import remove_empty

if TYPE_CHECKING:
    from watcher.fs.publish import Outputs


class Relocation:
    """The outputs of one photo that leave their places."""

    def __init__(self, outputs: Outputs, root: bytes) -> None:
        self._outputs, self._root = outputs, root
        self._moved: list[tuple[bytes, bytes]] = []  # from, to
        self._replaced: list[tuple[OldOutput, Callable[[int], bytes]]] = []
        self._shown: list[bytes] = []  # where the new outputs are
        self.old_stays = False  # one that was to be removed in the end is still there

    def move(
        self, old: OldOutput, places: Sequence[bytes], mtime_ns: int, grain: int, leaving: Collection[bytes]
    ) -> bytes | None:
        """Move an output to the first of `places` that is free; return which. None: it must be made anew.

        `leaving`: places of the photo's outputs that they are about to leave, so that they are not to be avoided.
        """
        (source,) = old.outputs
        there = self._stat(source)
        for place in places:
            found = self._stat(place)
            if found is None:
                moved = there is not None and _is_recorded(there, old, mtime_ns, grain) and self._move(source, place)
                return place if moved else None
            if _is_recorded(found, old, mtime_ns, grain) and (there is None or os.path.samestat(there, found)):
                if folded(source) != folded(place):  # else it may be one name on this file system
                    self._moved.append((source, place))  # before it was cut off
                return place
            if place in leaving:
                return None
        return None

    def replace(self, old: Sequence[OldOutput], shown: Sequence[bytes], digest: Callable[[int], bytes]) -> None:
        """Remove outputs at their old places in the end, unless new ones are `shown` there: they are made anew."""
        self._replaced = [(each, digest) for each in old]
        self._shown = list(shown)

    def _stat(self, output: bytes) -> os.stat_result | None:
        try:
            folder = open_folder(self._root, os.path.dirname(output))
            try:
                return os.stat(os.path.basename(output), dir_fd=folder, follow_symlinks=False)
            finally:
                os.close(folder)
        except OSError:
            return None

    def _move(self, source: bytes, place: bytes) -> bool:
        name, new = os.path.basename(source), os.path.basename(place)
        try:
            target = self._outputs.folder(self._root, os.path.dirname(place))
            folder = open_folder(self._root, os.path.dirname(source))
        except OSError:
            return False
        try:
            try:
                os.link(name, new, src_dir_fd=folder, dst_dir_fd=target, follow_symlinks=False)
            except FileExistsError:
                return False
            except (OSError, NotImplementedError):  # this file system has no links
                os.rename(name, new, src_dir_fd=folder, dst_dir_fd=target)
        except OSError:
            return False
        finally:
            os.close(folder)
        self._moved.append((source, place))
        return True

    def finish(self) -> None:
        """Make the moves durable, and remove what is at the old places. Raise OSError if they are not durable."""
        for _, place in self._moved:
            self._outputs.sync(self._outputs.folder(self._root, os.path.dirname(place)))
        for source, place in self._moved:
            old, new = self._stat(source), self._stat(place)
            if old is not None and new is not None and os.path.samestat(old, new):
                self._remove(source)
        self._moved = []
        for output, digest in self._replaced:
            there = [source for source in output.outputs if self._is_old(source)]
            own = [source for source in there if self._has_content(source, output, digest)]
            for source in own:
                self._remove(source)
            self.old_stays |= any(self._stat(source) is not None for source in own or there)
        self._replaced = []

    def undo(self) -> None:
        """Move outputs back that are not durable at their new places."""
        moved, self._moved = self._moved, []
        for source, place in moved:
            if self._stat(source) is not None:
                self._remove(place)
                continue
            with suppress(OSError):
                self._back(source, place)

    def _back(self, source: bytes, place: bytes) -> None:
        folder, target = (open_folder(self._root, os.path.dirname(path)) for path in (place, source))
        try:
            os.rename(os.path.basename(place), os.path.basename(source), src_dir_fd=folder, dst_dir_fd=target)
        finally:
            os.close(folder)
            os.close(target)

    def _is_old(self, source: bytes) -> bool:
        """Return whether a file is there that is no new output, by whatever name the file system takes for it."""
        found, shown = self._stat(source), map(self._stat, self._shown)
        return found is not None and not any(each is not None and os.path.samestat(found, each) for each in shown)

    def _has_content(self, source: bytes, old: OldOutput, digest: Callable[[int], bytes]) -> bool:
        found = self._stat(source)
        if found is None or not stat.S_ISREG(found.st_mode) or found.st_size != old.size or not old.digest:
            return False
        try:
            file = open_file(self._root, source)
        except OSError:
            return False
        try:
            return digest(file) == old.digest
        except OSError:
            return False
        finally:
            os.close(file)

    def _remove(self, output: bytes) -> None:
        """Remove a file, and its folder if that is empty. What can't be removed stays, as a file that nothing needs."""
        path, _, name = output.rpartition(b"/")
        with suppress(OSError):
            folder = open_folder(self._root, path)
            try:
                os.unlink(name, dir_fd=folder)
                sync_folder(folder)
            finally:
                os.close(folder)
            root = open_folder(self._root, b"")
            try:
                remove_empty(root, path, rendition=True)
            finally:
                os.close(root)


def _is_recorded(found: os.stat_result, old: OldOutput, mtime_ns: int, grain: int) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_size == old.size and same_date(found.st_mtime_ns, mtime_ns, grain)
