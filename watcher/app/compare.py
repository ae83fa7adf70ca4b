"""The state file against an output tree: what is missing, different or unknown.

Rules and theory of operation:
- Memory is bounded: photos come in pages; of a folder's outputs only a hash of each name is kept while it is looked at.
- A running daemon changes both sides. What seems wrong is looked at once more with its row read anew: a worker that is
  at a photo has that on its row from before it begins until what it made is recorded.
- Of renditions that the config no longer has, and of photos that have left, files are known, and not held to anything.
"""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal

from watcher.app.locate import KnownInbox, claimed_by, layouts, photos_like
from watcher.core.output_paths import Layouts, folder_path, photos_folders, recorded_paths
from watcher.core.records import Phase, PhotoRecord, RenditionRecord
from watcher.core.selection import PathFilter
from watcher.core.types import PhotoId
from watcher.fs.dates import same_date
from watcher.fs.openat import open_below, open_root
from watcher.fs.output_mark import grain_at
from watcher.store import Queries
from watcher.text import shown

_TAKES_ALL = PathFilter(["*"], [], recursive=True)  # all but the junk that systems leave everywhere


@dataclass(frozen=True, slots=True)
class Difference:
    """One output that is not as recorded, or a file that is not recorded at all."""

    kind: Literal["missing", "different", "unknown"]
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


@dataclass(slots=True)
class _Folder:
    """The folders of the outputs of the photos in one folder."""

    root: int  # the open output folder; -1: it is not there
    folder: bytes
    grain: int  # ns: how finely dates are kept there
    layouts: Layouts
    names: dict[bytes, array[int]] = field(default_factory=dict)  # path → hashes of the file names that are known
    opened: dict[bytes, int] = field(default_factory=dict)

    def stat(self, output: bytes) -> os.stat_result | None:
        """Look at an output without following links; None: there is none."""
        path, _, name = output.rpartition(b"/")
        opened = self.open(path)
        if opened < 0:
            return None
        try:
            return os.stat(name, dir_fd=opened, follow_symlinks=False)
        except OSError:
            return None

    def know(self, outputs: Sequence[bytes]) -> None:
        """Remember that these are known."""
        for output in outputs:
            path, _, name = output.rpartition(b"/")
            self.names.setdefault(path, array("q")).append(hash(name))

    def open(self, path: bytes) -> int:
        """Open a folder of outputs, once; -1: there is none."""
        if path not in self.opened:
            try:
                self.opened[path] = open_below(self.root, path, create=False)
            except OSError:
                self.opened[path] = -1
        return self.opened[path]


def compare(reader: Queries, watched: KnownInbox) -> Iterator[Page]:
    """Hold all that was made for one inbox against its output folder."""
    if watched.output is None:
        return
    grain, examined = grain_at(watched.output), set[bytes]()
    known = layouts(reader, watched)
    with _open_output(watched.output) as root:
        for folder in reader.folders(watched.inbox):
            yield from _folder(reader, watched, _Folder(root, folder, grain, known), examined)
        yield from _elsewhere(reader, watched, root, known, examined)


@contextmanager
def _open_output(output: bytes) -> Iterator[int]:
    try:
        root = open_root(output, create=False)
    except OSError:
        yield -1
        return
    try:
        yield root
    finally:
        os.close(root)


def _folder(reader: Queries, watched: KnownInbox, at: _Folder, examined: set[bytes]) -> Iterator[Page]:
    try:
        for photos in reader.pages(watched.inbox, at.folder):
            yield _page(reader, watched, at, photos)
        yield Page(0, 0, tuple(_unknown(reader, watched, at, examined)), ())
    finally:
        for opened in at.opened.values():
            if opened >= 0:
                os.close(opened)


def _page(reader: Queries, watched: KnownInbox, at: _Folder, photos: list[tuple[PhotoId, PhotoRecord]]) -> Page:
    differences: list[Difference] = []
    sound = []
    checked = 0
    for photo, known in photos:
        outputs = _paths(photo, known.made, known.recipes, watched)
        for paths in outputs.values():
            at.know(paths)
        if known.leased:
            continue
        good = []
        for rendition in _held_to(known, watched):
            checked += 1
            found = _differs(watched, at, photo, known, rendition, outputs[rendition])
            if found is not None:
                found = _once_more(reader, watched, at, photo, rendition)
            if found is not None:
                differences.append(found if known.away is None else _without_original(found, known.away))
            elif rendition in known.recipes:
                good.append(rendition)
        if good and known.away is None:
            sound.append((photo, known, tuple(good)))
    return Page(len(photos), checked, tuple(differences), tuple(sound))


def _without_original(found: Difference, away: bytes) -> Difference:
    """Return why an output can't be made again, and what would help."""
    went = f"moved to {shown(away)}: put it back, and it is made again" if away else "deleted"
    return replace(found, photo=None, why="; ".join(filter(None, (found.why, f"the original was {went}"))))


def _paths(
    photo: PhotoId, made: Mapping[str, RenditionRecord], recipes: Mapping[str, str], watched: KnownInbox
) -> dict[str, list[bytes]]:
    """Return where a photo's outputs may be, by rendition."""
    return {
        rendition: recorded_paths(photo.path, rendition, fact, recipes, watched.recipes)
        for rendition, fact in made.items()
    }


def _held_to(known: PhotoRecord, watched: KnownInbox) -> list[str]:
    """Return the renditions whose outputs must be there; of a photo that failed also those it had before."""
    names = [*known.recipes, *(known.made if known.phase is Phase.FAILED else ())]
    return [
        name
        for name in dict.fromkeys(names)
        if name in known.made and (watched.recipes is None or name in watched.recipes)
    ]


def _differs(
    watched: KnownInbox, at: _Folder, photo: PhotoId, known: PhotoRecord, rendition: str, outputs: Sequence[bytes]
) -> Difference | None:
    root = (watched.output or b"") + b"/"
    looks = [(output, found) for output in outputs if (found := at.stat(output)) is not None]
    failed = f"its photo failed: {known.reason}" if known.phase is Phase.FAILED else ""
    if not looks:
        return Difference("missing", root + outputs[0], failed, photo, rendition)
    mtime_ns = known.stamp.mtime_ns if rendition in known.recipes else None  # else it may be of an earlier version
    faults = {output: _otherwise(found, known.made[rendition].size, mtime_ns, at.grain) for output, found in looks}
    if "" in faults.values():
        return None
    output, why = next(iter(faults.items()))
    return Difference("different", root + output, "; ".join(filter(None, (why, failed))), photo, rendition)


def _otherwise(found: os.stat_result, size: int, mtime_ns: int | None, grain: int) -> str:
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


def _once_more(reader: Queries, watched: KnownInbox, at: _Folder, photo: PhotoId, rendition: str) -> Difference | None:
    """Look again with the row read anew: what is being made, or was made since, is no difference."""
    known = reader.known(photo)
    if known is None or known.leased or rendition not in _held_to(known, watched):
        return None
    outputs = _paths(photo, known.made, known.recipes, watched)
    return _differs(watched, at, photo, known, rendition, outputs[rendition])


# ---- unknown files ----


def _unknown(reader: Queries, watched: KnownInbox, at: _Folder, examined: set[bytes]) -> Iterator[Difference]:
    """Look through the folders in which the outputs of these photos are, or would be, each once."""
    if at.root < 0:
        return
    try:
        first = [entry.name for entry in os.scandir(at.root) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    paths = {
        folder_path(rendition, layout, at.folder)
        for rendition, layout in (*((name, "") for name in first), *at.layouts)
    }
    for path in sorted({*paths, *at.names} - examined):
        opened = at.open(path)
        if opened >= 0:
            examined.add(path)
            known = sorted((*at.names.get(path, ()), *_of_those_that_left(reader, watched, path, at.layouts)))
            yield from _unknown_files(reader, watched, opened, path, array("q", known))


def _unknown_files(
    reader: Queries, watched: KnownInbox, opened: int, below: bytes, known: array[int]
) -> Iterator[Difference]:
    with os.scandir(opened) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False) or not _TAKES_ALL.takes_name(name) or _has(known, hash(name)):
                continue
            output = (below + b"/" if below else b"") + name
            path = b"/".join((watched.output or b"", output))
            if not (path in _of_the_state_file(watched) or _came_since(reader, watched, output)):
                yield Difference("unknown", path)


def _came_since(reader: Queries, watched: KnownInbox, output: bytes) -> bool:
    """Return whether a file is the output of a photo that was tried only after its folder was gone through."""
    if claimed_by(reader, watched, output) is not None:
        return True
    for photo, rendition in photos_like(reader, watched, output):
        known = reader.known(photo)
        outputs = recorded_paths(photo.path, rendition, RenditionRecord(0, 0, 0))
        if known is not None and known.leased and output in outputs:
            return True
    return False


def _has(known: array[int], wanted: int) -> bool:
    at = bisect_left(known, wanted)
    return at < len(known) and known[at] == wanted


def _of_the_state_file(watched: KnownInbox) -> set[bytes]:
    state = os.path.realpath(os.fsencode(watched.state))
    return {state + end for end in (b"", b"-wal", b"-shm", b".lock")}


def _elsewhere(reader: Queries, watched: KnownInbox, root: int, known: Layouts, examined: set[bytes]) -> Iterator[Page]:
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
            waiting += [prefix + name for name in names if not _is_left_alone(watched, prefix + name)]
            if below not in examined:
                left = array("q", sorted(_of_those_that_left(reader, watched, below, known)))
                yield Page(0, 0, tuple(_unknown_files(reader, watched, opened, below, left)), ())
        except OSError:
            continue
        finally:
            os.close(opened)


def _is_left_alone(watched: KnownInbox, below: bytes) -> bool:
    path = b"/".join((watched.output or b"", below))
    return not _TAKES_ALL.enters(below) or path in watched.elsewhere


def _of_those_that_left(reader: Queries, watched: KnownInbox, below: bytes, known: Layouts) -> Iterator[int]:
    """Yield the hashes of the names that outputs of photos that have left may have in a folder."""
    for folder in photos_folders(below, known):
        for name, made in reader.left(watched.inbox, folder):
            photo = PhotoId.inside(watched.inbox, folder, name)
            for output in chain.from_iterable(_paths(photo, made, {}, watched).values()):
                path, _, file = output.rpartition(b"/")
                if path == below:
                    yield hash(file)
