"""The books in pages, for whoever goes through all of them: no page keeps a reading transaction open after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from watcher.core.records import PhotoRecord, RenditionRecord
from watcher.core.types import PhotoId
from watcher.store.contents import ClaimReader
from watcher.store.reading import FIELDS
from watcher.store.rows import decode_made
from watcher.store.schema import translated

PAGE = 1000  # photos


class PageReader(ClaimReader):
    """Goes through the books in bounded memory."""

    def pages(self, inbox: bytes, folder: bytes) -> Iterator[list[tuple[PhotoId, PhotoRecord]]]:
        """Give all photos of one folder, in pages; what changes meanwhile may be in either form."""
        prefix = folder + b"/" if folder else b""
        number, after = self._folder(inbox, folder), (b"", b"")
        while True:
            with translated(self.path):
                rows = self._db.execute(
                    f"SELECT stem, name, {FIELDS} FROM photo WHERE folder = ? AND (stem, name) > (?, ?)"
                    f" ORDER BY stem, name LIMIT {PAGE}",
                    (number, *after),
                ).fetchall()
                page = [(PhotoId(inbox, prefix + name), self._decode(tuple(row))) for _, name, *row in rows]
            if page:
                yield page
            if len(rows) < PAGE:
                return
            after = rows[-1][0], rows[-1][1]

    def left(self, inbox: bytes, folder: bytes) -> Iterator[tuple[bytes, Mapping[str, RenditionRecord]]]:
        """Give the photos that have left a folder of the inbox, and what was made of them, as far as it is kept."""
        with translated(self.path):
            rows = self._db.execute(
                "SELECT name, made FROM ghost WHERE inbox = ? AND folder = ?", (self._inbox_id(inbox), folder)
            ).fetchall()
        for name, made in rows:
            yield bytes(name), decode_made(made)

    def _folder(self, inbox: bytes, folder: bytes) -> int:
        with translated(self.path):
            row = self._db.execute(
                "SELECT id FROM folder WHERE inbox = ? AND path = ?", (self._inbox_id(inbox), folder)
            ).fetchone()
        return int(row[0]) if row else -1
