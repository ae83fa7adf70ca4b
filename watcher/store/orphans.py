"""What photos have left behind that are gone, and what must not be taken for that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from watcher.core.naming import key_stem, stem_of, stems_above
from watcher.core.orphans import LeftPhoto
from watcher.core.records import RenditionRecord
from watcher.core.types import PhotoId
from watcher.store.reader import FOLDER, Reader, marks
from watcher.store.records import decode_made

_PAGE = 1000  # photos
_GONE = (
    "(SELECT folder, name FROM tombstone WHERE inbox = ?1 AND NOT EXISTS (SELECT 1 FROM folder"
    " JOIN photo ON photo.folder = folder.id WHERE folder.inbox = ?1 AND folder.path = tombstone.folder"
    " AND photo.stem = tombstone.stem AND photo.name = tombstone.name)"
    " GROUP BY folder, stem, name HAVING max(unsure) = 0 AND count(digest) > 0)"  # see `tombstones`
)


class OrphanQueries(Reader):
    """The queries about photos that are gone."""

    def left_photos(self, inbox: bytes) -> Iterator[PhotoId]:
        """Yield the names of photos that have left or changed, as far as they are kept, as `pages` does."""
        after = (b"", b"", b"")
        while True:
            rows = self._rows(
                "SELECT DISTINCT folder, stem, name FROM tombstone WHERE inbox = ? AND (folder, stem, name) > (?, ?, ?)"
                f" ORDER BY folder, stem, name LIMIT {_PAGE}",
                (self._inbox_id(inbox), *after),
            )
            yield from (PhotoId.inside(inbox, bytes(folder), bytes(name)) for folder, _, name in rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1]

    def gone_photos(self, inbox: bytes, limit: int) -> list[PhotoId]:
        """List photos that are gone for good, as far as they are kept."""
        rows = self._rows(f"SELECT folder, name FROM {_GONE} LIMIT ?2", (self._inbox_id(inbox), limit))
        return [PhotoId.inside(inbox, bytes(folder), bytes(name)) for folder, name in rows]

    def count_gone(self, inbox: bytes) -> int:
        """Count the photos that are gone for good, as far as they are kept."""
        row = self._row(f"SELECT count(*) FROM {_GONE}", (self._inbox_id(inbox),))
        return int(row[0]) if row else 0

    def has_photos(self, inbox: bytes) -> bool:
        """Return whether photos of an inbox are recorded, those whose originals were taken away left out."""
        query = "SELECT 1 FROM folder WHERE inbox = ? AND waiting + done + failed > away LIMIT 1"
        return self._row(query, (self._inbox_id(inbox),)) is not None

    def present(self, inbox: bytes) -> int:
        """Count the photos of an inbox that are done and whose originals were not taken away."""
        row = self._row("SELECT total(done - away) FROM folder WHERE inbox = ?", (self._inbox_id(inbox),))
        return int(row[0]) if row else 0

    def left_versions(self, photo: PhotoId) -> list[LeftPhoto]:
        """Return what photos of this name were before they left or changed, also where nothing proves their content."""
        rows = self._rows(
            "SELECT recipes, made, unsure, nested FROM tombstone"
            " WHERE inbox = ? AND folder = ? AND stem = ? AND name = ?",
            (self._inbox_id(photo.inbox), photo.folder, key_stem(photo.name), photo.name),
        )
        return [
            LeftPhoto(self.recipes_of(recipes), decode_made(made), bool(unsure), bool(nested))
            for recipes, made, unsure, nested in rows
        ]

    def archived_beside(self, photo: PhotoId) -> dict[bytes, Mapping[str, RenditionRecord]]:
        """Return each photo with an archived original whose outputs could meet this one's; see `name_conflicts`."""
        stem = stem_of(photo.name)
        above = [b"\0" + each for each in stems_above(stem)]
        rows = self._rows(
            f"SELECT name, made FROM photo WHERE folder = {FOLDER} AND away IS NOT NULL"
            f" AND (stem IN ({marks(above)}) OR (stem >= ? AND stem < ?))",
            (self._inbox_id(photo.inbox), photo.folder, *above, b"\0" + stem + b".", b"\0" + stem + b"/"),
        )
        return {bytes(name): decode_made(made) for name, made in rows}
