"""The state file against an output tree: what is missing, different or unknown.

Rules and theory of operation:
- Memory is bounded: photos come in pages; of a folder's outputs only a hash of each name is kept while it is looked at.
- A running daemon changes both sides. A difference is checked once more with the photo's row read again: from before a
  worker begins with a photo until its result is recorded, the row says so.
- Files of renditions that the config no longer has, and of photos that have left, are known, but not compared.
"""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from watcher.app.locate import KnownInbox, claimed_by, layouts, photos_like
from watcher.app.output_folders import OutputFolders, UnreadableError, obstacle, open_output
from watcher.core.output_paths import folder_path, photos_folders, recorded_paths
from watcher.core.records import Phase, PhotoRecord, RenditionRecord
from watcher.core.selection import PathFilter
from watcher.core.types import PhotoId
from watcher.fs.dates import same_date
from watcher.fs.openat import open_below
from watcher.fs.output_mark import grain_at
from watcher.store import Queries
from watcher.text import shown

_TAKES_ALL = PathFilter(["*"], [], recursive=True)  # all but the junk that systems leave everywhere


@dataclass(frozen=True, slots=True)
class Difference:
    """One output that is not as recorded, a file that is not recorded at all, or a folder that can't be read."""

    kind: Literal["missing", "different", "unknown", "unreadable"]
    path: bytes  # absolute
    why: str = ""
    photo: PhotoId | None = None
    rendition: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A number of photos that were looked at: what was found, and what was sound."""

    photos: int
    checked: int  # renditions
    differences: tuple[Difference, ...]
    sound: tuple[tuple[PhotoId, PhotoRecord, tuple[str, ...]], ...]


def compare(reader: Queries, watched: KnownInbox) -> Iterator[Page]:
    """Compare all that was made for one inbox with its output folder."""
    if watched.output is None:
        return
    comparison = _Comparison(reader, watched, watched.output)
    with open_output(watched.output) as root:
        if isinstance(root, OSError):
            yield Page(0, 0, (Difference("unreadable", *obstacle(watched.output, b"", root)),), ())
            return
        for folder in reader.folders(watched.inbox):
            yield from comparison.of_folder(OutputFolders(root, folder))
        yield from comparison.elsewhere(root)


class _Comparison:
    """The comparison of what is recorded of one inbox with its output folder."""

    def __init__(self, reader: Queries, watched: KnownInbox, output: bytes) -> None:
        self._reader = reader
        self._watched = watched
        self._output = output
        self._grain = grain_at(output)  # ns: how finely dates are kept there
        self._layouts = layouts(reader, watched)
        self._named = set[bytes]()  # folders that can't be read
        self._examined = set[bytes]()  # folders of the output tree in which unknown files were looked for
        state = os.path.realpath(os.fsencode(watched.state))
        self._state_files = {state + end for end in (b"", b"-wal", b"-shm", b".lock")}

    def of_folder(self, at: OutputFolders) -> Iterator[Page]:
        """Compare the outputs of the photos in one folder."""
        try:
            for photos in self._reader.pages(self._watched.inbox, at.folder):
                yield self._page(at, photos)
            yield Page(0, 0, (*self._unknown(at), *self._unreadable(at)), ())
        finally:
            for opened in at.opened.values():
                if opened >= 0:
                    os.close(opened)

    def _page(self, at: OutputFolders, photos: list[tuple[PhotoId, PhotoRecord]]) -> Page:
        differences: list[Difference] = []
        sound = []
        checked = 0
        for photo, known in photos:
            outputs = self._paths(photo, known.made, known.recipes)
            for paths in outputs.values():
                at.know(paths)
            if known.leased:
                continue
            good = []
            for rendition in self._compared(known):
                try:
                    found = self._difference(at, photo, known, rendition, outputs[rendition])
                    if found is not None:
                        found = self._once_more(at, photo, rendition)
                except UnreadableError:
                    continue
                checked += 1
                if found is not None:
                    differences.append(found if known.away is None else _without_original(found, known.away))
                elif rendition in known.recipes:
                    good.append(rendition)
            if good and known.away is None:
                sound.append((photo, known, tuple(good)))
        return Page(len(photos), checked, tuple(differences), tuple(sound))

    def _paths(
        self, photo: PhotoId, made: Mapping[str, RenditionRecord], recipes: Mapping[str, str]
    ) -> dict[str, list[bytes]]:
        """Return where a photo's outputs may be, by rendition."""
        wanted = self._watched.recipes
        return {name: recorded_paths(photo.path, name, fact, recipes, wanted) for name, fact in made.items()}

    def _compared(self, known: PhotoRecord) -> list[str]:
        """Return the renditions of a photo that are compared: those that the config has.

        Of a photo that failed also those that it had before.
        """
        wanted = self._watched.recipes
        before = [name for name, fact in known.made.items() if fact.size] if known.phase is Phase.FAILED else []
        names = dict.fromkeys([*known.recipes, *before])
        return [name for name in names if name in known.made and (wanted is None or name in wanted)]

    def _difference(
        self, at: OutputFolders, photo: PhotoId, known: PhotoRecord, rendition: str, outputs: Sequence[bytes]
    ) -> Difference | None:
        root = self._output + b"/"
        looks = [(output, found) for output in outputs if (found := at.stat(output)) is not None]
        failed = f"its photo failed: {known.reason}" if known.phase is Phase.FAILED else ""
        if not looks:
            return Difference("missing", root + outputs[0], failed, photo, rendition)
        size = known.made[rendition].size
        mtime_ns = known.stamp.mtime_ns if rendition in known.recipes else None  # else it may be of an earlier version
        faults = {output: _fault(found, size, mtime_ns, self._grain) for output, found in looks}
        if "" in faults.values():
            return None
        output, why = next(iter(faults.items()))
        return Difference("different", root + output, "; ".join(filter(None, (why, failed))), photo, rendition)

    def _once_more(self, at: OutputFolders, photo: PhotoId, rendition: str) -> Difference | None:
        """Compare again with the row read again: what is being made, or was made since, is no difference."""
        known = self._reader.known(photo)
        if known is None or known.leased or rendition not in self._compared(known):
            return None
        outputs = self._paths(photo, known.made, known.recipes)
        return self._difference(at, photo, known, rendition, outputs[rendition])

    def _unreadable(self, at: OutputFolders) -> Iterator[Difference]:
        """Name the folders that kept outputs from being compared, each once."""
        for folder, error in at.closed.items():
            found = Difference("unreadable", *obstacle(self._output, folder, error))
            if found.path not in self._named:
                self._named.add(found.path)
                yield found

    # ---- unknown files ----

    def _unknown(self, at: OutputFolders) -> Iterator[Difference]:
        """Look through the folders in which the outputs of these photos are, or would be, each once."""
        if at.root < 0:
            return
        try:
            first = [entry.name for entry in os.scandir(at.root) if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return
        pairs = (*((name, "") for name in first), *self._layouts)
        paths = {folder_path(rendition, layout, at.folder) for rendition, layout in pairs}
        for path in sorted({*paths, *at.names} - self._examined):
            try:
                opened = at.open(path)
            except UnreadableError:
                continue
            if opened >= 0:
                self._examined.add(path)
                known = sorted((*at.names.get(path, ()), *self._left(path)))
                yield from self._unknown_files(opened, path, array("q", known))

    def _unknown_files(self, opened: int, below: bytes, known: array[int]) -> Iterator[Difference]:
        with os.scandir(opened) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if entry.is_dir(follow_symlinks=False) or not _TAKES_ALL.takes_name(name) or _has(known, hash(name)):
                    continue
                output = (below + b"/" if below else b"") + name
                path = self._output + b"/" + output
                if not (path in self._state_files or self._came_since(output)):
                    yield Difference("unknown", path)

    def _came_since(self, output: bytes) -> bool:
        """Return whether a file is the output of a photo that was tried only after its folder was compared."""
        reader, watched = self._reader, self._watched
        if claimed_by(reader, watched, output) is not None:
            return True
        for photo, rendition in photos_like(reader, watched, output):
            known = reader.known(photo)
            outputs = recorded_paths(photo.path, rendition, RenditionRecord(0, 0, 0))
            if known is not None and known.leased and output in outputs:
                return True
        return False

    def elsewhere(self, root: int) -> Iterator[Page]:
        """Look through the folders of the tree in which no photo's outputs are."""
        if root < 0:
            return
        waiting = [b""]
        while waiting:
            below = waiting.pop()
            try:
                opened = open_below(root, below, create=False)
            except OSError:
                continue
            try:
                with os.scandir(opened) as entries:
                    names = [os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
                prefix = below + b"/" if below else b""
                waiting += [prefix + name for name in names if not self._is_left_alone(prefix + name)]
                if below not in self._examined:
                    left = array("q", sorted(self._left(below)))
                    yield Page(0, 0, tuple(self._unknown_files(opened, below, left)), ())
            except OSError:
                continue
            finally:
                os.close(opened)

    def _is_left_alone(self, below: bytes) -> bool:
        return not _TAKES_ALL.enters(below) or self._output + b"/" + below in self._watched.elsewhere

    def _left(self, below: bytes) -> Iterator[int]:
        """Yield the hashes of the names that outputs of photos that have left may have in a folder."""
        inbox = self._watched.inbox
        for folder in photos_folders(below, self._layouts):
            for name, made in self._reader.left(inbox, folder):
                photo = PhotoId.inside(inbox, folder, name)
                for output in chain.from_iterable(self._paths(photo, made, {}).values()):
                    path, _, file = output.rpartition(b"/")
                    if path == below:
                        yield hash(file)


def _without_original(found: Difference, away: bytes) -> Difference:
    """Return why an output can't be made again, and what would help."""
    went = f"moved to {shown(away)}: put it back, and it is made again" if away else "deleted"
    return replace(found, photo=None, why="; ".join(filter(None, (found.why, f"the original was {went}"))))


def _fault(found: os.stat_result, size: int, mtime_ns: int | None, grain: int) -> str:
    """Return in what a file differs from what is recorded; empty: in nothing that can be seen from outside.

    `mtime_ns`: its date; None: that is not known.
    """
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    if found.st_size != size:
        return f"it has {found.st_size} bytes instead of {size}"
    if mtime_ns is not None and not same_date(found.st_mtime_ns, mtime_ns, grain):
        return "its modification time is not the photo's"
    return ""


def _has(known: array[int], wanted: int) -> bool:
    at = bisect_left(known, wanted)
    return at < len(known) and known[at] == wanted
