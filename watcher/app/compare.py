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
from typing import Literal

from watcher.app.locate import KnownInbox, claimed_by
from watcher.core.naming import recorded_names
from watcher.core.records import PhotoRecord, RenditionRecord
from watcher.core.selection import PathFilter
from watcher.core.types import PhotoId
from watcher.fs.dates import EXACT, same_date
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
    """One folder below each of the output's renditions."""

    root: int  # the open output folder; -1: it is not there
    folder: bytes
    grain: int = EXACT  # ns: how finely dates are kept there
    names: dict[str, array[int]] = field(default_factory=dict)  # rendition → hashes of the file names that are known
    opened: dict[str, int] = field(default_factory=dict)

    def stat(self, rendition: str, name: bytes) -> os.stat_result | None:
        """Look at an output without following links; None: there is none."""
        opened = self.open(rendition)
        if opened < 0:
            return None
        try:
            return os.stat(name, dir_fd=opened, follow_symlinks=False)
        except OSError:
            return None

    def know(self, rendition: str, names: Sequence[bytes]) -> None:
        """Remember that files of these names are known."""
        self.names.setdefault(rendition, array("q")).extend(map(hash, names))

    def open(self, rendition: str) -> int:
        """Open the folder of a rendition, once; -1: there is none."""
        if rendition not in self.opened:
            try:
                path = os.fsencode(rendition) + b"/" + self.folder
                self.opened[rendition] = open_below(self.root, path, create=False)
            except OSError:
                self.opened[rendition] = -1
        return self.opened[rendition]


def compare(reader: Queries, watched: KnownInbox) -> Iterator[Page]:
    """Hold all that was made for one inbox against its output folder."""
    if watched.output is None:
        return
    folders = reader.folders(watched.inbox)
    grain = grain_at(watched.output)
    with _open_output(watched.output) as root:
        for folder in folders:
            yield from _folder(reader, watched, _Folder(root, folder, grain))
        yield from _elsewhere(reader, watched, root, set(folders))


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


def _folder(reader: Queries, watched: KnownInbox, at: _Folder) -> Iterator[Page]:
    try:
        for photos in reader.pages(watched.inbox, at.folder):
            yield _page(reader, watched, at, photos)
        for name, made in reader.left(watched.inbox, at.folder):
            _know(at, name, made, {}, watched)
        yield Page(0, 0, tuple(_unknown(reader, watched, at)), ())
    finally:
        for opened in at.opened.values():
            if opened >= 0:
                os.close(opened)


def _page(reader: Queries, watched: KnownInbox, at: _Folder, photos: list[tuple[PhotoId, PhotoRecord]]) -> Page:
    differences: list[Difference] = []
    sound = []
    checked = 0
    for photo, known in photos:
        names = _know(at, photo.name, known.made, known.recipes, watched)
        if known.leased:
            continue
        good = []
        for rendition in _held_to(known, watched):
            checked += 1
            found = _differs(watched, at, photo, known, rendition, names[rendition])
            if found is not None:
                found = _once_more(reader, watched, at, photo, rendition)
            if found is None:
                good.append(rendition)
            else:
                differences.append(found if known.away is None else _without_original(found, known.away))
        if good and known.away is None:
            sound.append((photo, known, tuple(good)))
    return Page(len(photos), checked, tuple(differences), tuple(sound))


def _without_original(found: Difference, away: bytes) -> Difference:
    """Return why an output can't be made again, and what would help."""
    went = f"moved to {shown(away)}: put it back, and it is made again" if away else "deleted"
    return replace(found, photo=None, why="; ".join(filter(None, (found.why, f"the original was {went}"))))


def _know(
    at: _Folder, name: bytes, made: Mapping[str, RenditionRecord], recipes: Mapping[str, str], watched: KnownInbox
) -> dict[str, list[bytes]]:
    """Remember what a photo's outputs may be called, by rendition."""
    names = {}
    for rendition, fact in made.items():
        recipe = (watched.recipes or {}).get(rendition)
        same = recipe is not None and recipes.get(rendition) == recipe.fingerprint
        names[rendition] = recorded_names(name, fact, recipe.format if recipe and same else None)
        at.know(rendition, names[rendition])
    return names


def _held_to(known: PhotoRecord, watched: KnownInbox) -> list[str]:
    return [
        name for name in known.recipes if name in known.made and (watched.recipes is None or name in watched.recipes)
    ]


def _differs(
    watched: KnownInbox, at: _Folder, photo: PhotoId, known: PhotoRecord, rendition: str, names: Sequence[bytes]
) -> Difference | None:
    output = watched.output or b""
    folder = os.fsencode(rendition) + b"/" + (at.folder + b"/" if at.folder else b"")
    looks = [(name, found) for name in names if (found := at.stat(rendition, name)) is not None]
    if not looks:
        return Difference("missing", b"/".join((output, folder + names[0])), "", photo, rendition)
    faults = {
        name: _otherwise(found, known.made[rendition].size, known.stamp.mtime_ns, at.grain) for name, found in looks
    }
    if "" in faults.values():
        return None
    name, why = next(iter(faults.items()))
    return Difference("different", b"/".join((output, folder + name)), why, photo, rendition)


def _otherwise(found: os.stat_result, size: int, mtime_ns: int, grain: int) -> str:
    """Return in what a file differs from what is recorded; empty: in nothing that can be seen from outside."""
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    if found.st_size != size:
        return f"it has {found.st_size} bytes instead of {size}"
    if not same_date(found.st_mtime_ns, mtime_ns, grain):
        return "its modification time is not the photo's"
    return ""


def _once_more(reader: Queries, watched: KnownInbox, at: _Folder, photo: PhotoId, rendition: str) -> Difference | None:
    """Look again with the row read anew: what is being made, or was made since, is no difference."""
    known = reader.known(photo)
    if known is None or known.leased or rendition not in _held_to(known, watched):
        return None
    names = _know(at, photo.name, known.made, known.recipes, watched)
    return _differs(watched, at, photo, known, rendition, names[rendition])


# ---- unknown files ----


def _unknown(reader: Queries, watched: KnownInbox, at: _Folder) -> Iterator[Difference]:
    if at.root < 0:
        return
    try:
        renditions = [entry.name for entry in os.scandir(at.root) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for rendition in renditions:
        opened = at.open(rendition)
        if opened >= 0:
            known = array("q", sorted(at.names.get(rendition, array("q"))))
            below = os.fsencode(rendition) + (b"/" + at.folder if at.folder else b"")
            yield from _strangers(reader, watched, opened, below, known)


def _strangers(
    reader: Queries, watched: KnownInbox, opened: int, below: bytes, known: array[int]
) -> Iterator[Difference]:
    with os.scandir(opened) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False) or not _TAKES_ALL.takes_name(name) or _has(known, hash(name)):
                continue
            path = b"/".join((watched.output or b"", below + (b"/" if below else b"") + name))
            if not (path in _of_the_state_file(watched) or _came_since(reader, watched, below, name)):
                yield Difference("unknown", path)


def _came_since(reader: Queries, watched: KnownInbox, below: bytes, name: bytes) -> bool:
    """Return whether a file is the output of a photo that was tried only after its folder was gone through."""
    rendition, _, folder = below.partition(b"/")
    if claimed_by(reader, watched, folder, os.fsdecode(rendition), name) is not None:
        return True
    like = PhotoId(watched.inbox, (folder + b"/" if folder else b"") + name)
    for photo in (like.name, *reader.name_conflicts(like)):
        known = reader.known(PhotoId(watched.inbox, (folder + b"/" if folder else b"") + photo))
        if known is not None and known.leased and name in recorded_names(photo, RenditionRecord(0, 0, 0), None):
            return True
    return False


def _has(known: array[int], wanted: int) -> bool:
    at = bisect_left(known, wanted)
    return at < len(known) and known[at] == wanted


def _of_the_state_file(watched: KnownInbox) -> set[bytes]:
    state = os.path.realpath(os.fsencode(watched.state))
    return {state + end for end in (b"", b"-wal", b"-shm", b".lock")}


def _elsewhere(reader: Queries, watched: KnownInbox, root: int, folders: set[bytes]) -> Iterator[Page]:
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
            rendition, slash, folder = below.partition(b"/")
            if below and (folder if slash else b"") in folders:
                continue
            known = _of_those_that_left(reader, watched, rendition, folder)
            yield Page(0, 0, tuple(_strangers(reader, watched, opened, below, known)), ())
        except OSError:
            continue
        finally:
            os.close(opened)


def _is_left_alone(watched: KnownInbox, below: bytes) -> bool:
    path = b"/".join((watched.output or b"", below))
    return not _TAKES_ALL.enters(below) or path in watched.elsewhere


def _of_those_that_left(reader: Queries, watched: KnownInbox, rendition: bytes, folder: bytes) -> array[int]:
    at = _Folder(-1, folder)
    for name, made in reader.left(watched.inbox, folder):
        _know(at, name, made, {}, watched)
    return array("q", sorted(at.names.get(os.fsdecode(rendition), array("q"))))
