"""The queries about photos that the page lists."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from watcher.core.formats import INPUTS
from watcher.core.naming import folded
from watcher.core.records import ListedPhoto, Phase
from watcher.core.types import PhotoId
from watcher.store.orphans import OrphanQueries
from watcher.store.reader import marks
from watcher.store.records import OPEN, PHOTOS


class ListQueries(OrphanQueries):
    """The lists of the page: what is found, what failed, what waits, and how many were made when."""

    def search(self, inboxes: Sequence[bytes], text: str, start: int, limit: int) -> list[ListedPhoto]:
        """List photos by a part of their names or folders, in capitals or not, the latest first.

        Reads all names: a tenth of a second for 100,000 photos.
        """
        whole = folded(text.encode("utf-8", "replace"))
        stem = whole
        for extension in chain.from_iterable(kind.extensions for kind in INPUTS.values()):  # no part of the stem
            stem = stem.removesuffix(extension.encode())
        self._db.create_function("folded", 1, folded, deterministic=True)
        within = "photo.folder IN (SELECT id FROM folder WHERE instr(folded(path), ?))"
        return self._latest(inboxes, f"(instr(photo.stem, ?) OR {within})", (stem, whole), start, limit)

    def failed(self, inboxes: Sequence[bytes], start: int, limit: int) -> list[ListedPhoto]:
        """List photos that failed, the latest first."""
        return self._latest(inboxes, f"photo.phase = {int(Phase.FAILED)} AND {OPEN}", (), start, limit)

    def waiting(self, inboxes: Sequence[bytes], start: int, limit: int) -> list[ListedPhoto]:
        """List photos that wait, those in the workers included; the one that has waited longest, first."""
        condition = f"photo.phase = {int(Phase.WAITING)} AND {OPEN}"
        return self._latest(inboxes, condition, (), start, limit, "photo.first_seen, photo.stem")

    def made_since(self, inboxes: Sequence[bytes], after: int, at: float) -> tuple[int, list[tuple[bytes, float]]]:
        """Return when photos were made, from time `at` on, and in which inbox, by the history after entry `after`.

        The first value is the number of the last entry that was looked at.
        """
        paths = {self._inbox_id(inbox): inbox for inbox in inboxes}
        (last,) = self._row("SELECT max(id) FROM event") or (None,)
        rows = self._rows(
            "SELECT inbox, at FROM event WHERE what = 'made' AND id > ? AND id <= ? AND at >= ?"
            f" AND inbox IN ({marks(paths)})",
            (after, last or 0, at, *paths),
        )
        return max(after, last or 0), [(paths[inbox], made) for inbox, made in rows]

    def _latest(
        self,
        inboxes: Sequence[bytes],
        condition: str,
        arguments: tuple[object, ...],
        start: int,
        limit: int,
        order: str = "photo.at DESC",
    ) -> list[ListedPhoto]:
        paths = {self._inbox_id(inbox): inbox for inbox in inboxes}
        rows = self._rows(
            f"{PHOTOS} WHERE {condition} AND folder.inbox IN ({marks(paths)}) ORDER BY {order} LIMIT ? OFFSET ?",
            (*arguments, *paths, limit, start),
        )
        return [
            ListedPhoto(PhotoId.inside(paths[number], folder, name), self._decode(row))
            for number, folder, name, *row in rows
        ]
