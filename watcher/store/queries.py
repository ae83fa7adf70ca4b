"""What the page lists: the newest, what failed, and photos by a part of their names; always a little at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from watcher.core.formats import INPUTS
from watcher.core.records import Phase, PhotoRecord
from watcher.core.types import PhotoId
from watcher.store.reading import FIELDS, OPEN, Reader
from watcher.store.schema import translated

_FIELDS = ", ".join("photo." + field for field in FIELDS.split(", "))
_PHOTOS = f"SELECT folder.inbox, folder.path, photo.name, {_FIELDS} FROM photo JOIN folder ON folder.id = photo.folder"
_LAST = 2**62  # above any entry's number


class Entry(NamedTuple):
    """A photo in a list."""

    photo: PhotoId
    known: PhotoRecord
    cursor: int = 0  # where the list goes on after it
    took: float | None = None  # seconds from when it was seen until it was made


def took(detail: Mapping[str, object]) -> float | None:
    """Tell from an entry of history how many seconds lie between a photo's being seen and its being made.

    None: that was not one go, as with a photo that was tried again.
    """
    if "line" not in detail:
        return None
    parts = (detail.get(name, 0.0) for name in ("burst", "line", "seconds"))
    return sum(float(part) for part in parts if isinstance(part, int | float))


class Gallery(Reader):
    """The open state file, for whoever looks through photos."""

    def newest(self, inboxes: Sequence[bytes], before: int | None, limit: int) -> list[Entry]:
        """List photos that were made, the last one first, as far as their history is kept.

        `before`: the cursor of the last one of the list so far. Fewer than `limit`: the list ends there.
        """
        found: list[Entry] = []
        with translated(self.path):
            paths = {self._inbox_id(inbox): inbox for inbox in inboxes}
            marks = ", ".join("?" * len(paths))
            for number, inbox, path, at, detail in self._db.execute(
                "SELECT id, inbox, path, at, detail FROM event"
                f" WHERE what = 'made' AND id < ? AND inbox IN ({marks}) ORDER BY id DESC",
                (_LAST if before is None else before, *paths),
            ):
                photo = PhotoId(paths[inbox], bytes(path))
                for key, known in ((photo, self.known(photo)), *self.taken_away(photo, at=at)):
                    if known is not None and known.phase is Phase.DONE and known.at == at:  # else it was made once more
                        found.append(Entry(key, known, number, took(json.loads(detail))))
                if len(found) == limit:
                    break
        return found

    def search(self, inboxes: Sequence[bytes], text: str, start: int, limit: int) -> list[Entry]:
        """List photos by a part of their names, in capitals or not, the latest first.

        Reads all names: a tenth of a second for 100,000 photos.
        """
        wanted = text.casefold()
        for extension in chain.from_iterable(kind.extensions for kind in INPUTS.values()):  # no part of the stem
            wanted = wanted.removesuffix(extension)
        return self._some(inboxes, "instr(photo.stem, ?)", (wanted.encode("utf-8", "replace"),), start, limit)

    def failed(self, inboxes: Sequence[bytes], start: int, limit: int) -> list[Entry]:
        """List photos that failed, the latest first."""
        return self._some(inboxes, f"photo.phase = {int(Phase.FAILED)} AND {OPEN}", (), start, limit)

    def _some(
        self, inboxes: Sequence[bytes], condition: str, arguments: tuple[Any, ...], start: int, limit: int
    ) -> list[Entry]:
        marks = ", ".join("?" * len(inboxes))
        with translated(self.path):
            paths = {self._inbox_id(inbox): inbox for inbox in inboxes}
            rows = self._db.execute(
                f"{_PHOTOS} WHERE {condition} AND folder.inbox IN ({marks}) ORDER BY photo.at DESC LIMIT ? OFFSET ?",
                (*arguments, *paths, limit, start),
            ).fetchall()
            return [
                Entry(PhotoId(paths[inbox], (folder + b"/" if folder else b"") + name), self._decode(tuple(row)))
                for inbox, folder, name, *row in rows
            ]
