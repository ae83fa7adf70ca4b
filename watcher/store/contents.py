"""What was made of which content, whatever its photo is called and whether it is still there."""

from __future__ import annotations

from typing import Any

from watcher.core.naming import key_stem, stem_of, stems_above
from watcher.core.records import ContentRecord, PhotoRecord
from watcher.core.types import FileSignature, PhotoId
from watcher.store.reading import FIELDS, Reader
from watcher.store.rows import decode_made, fits
from watcher.store.schema import translated

_MOST_ALIKE = 32  # photos of one size that are looked at: in a heap of padded files the right one may be missed
_MOST_CLAIMS = 8  # of those
_LATELY = 3600  # seconds
_OF_PHOTO = ", ".join(f"photo.{field}" for field in FIELDS.split(", "))
_CLAIM = "size, inbox.path, folder.path, name, mtime_ns, recipes, photo.made, digest, at, 0, 0"
_LEFT = (
    "SELECT size, inbox.path, folder, name, mtime_ns, recipes, made, digest, at, 1,"
    f" gone > strftime('%s', 'now') - {_LATELY}, strftime('%s', 'now') - gone"
    " FROM ghost JOIN inbox ON inbox.id = ghost.inbox WHERE digest IS NOT NULL"
)


class ClaimReader(Reader):
    """Finds renditions by the content that they were made from."""

    ghosts: bool | None = None  # whether any photos that have left are remembered; None: nobody has looked

    def alike(self, size: int, mtime_ns: int = 0) -> list[ContentRecord]:
        """Give what was made of photos with so many bytes, still there or not; first those that are as old."""
        with translated(self.path):
            live = self._db.execute(
                f"SELECT {_CLAIM} FROM"
                f" (SELECT folder, stem FROM alike WHERE size = ? AND stem >= x'01' LIMIT {_MOST_ALIKE}) AS some"
                " JOIN photo ON photo.folder = some.folder AND photo.stem = some.stem"
                " JOIN folder ON folder.id = photo.folder JOIN inbox ON inbox.id = folder.inbox"
                " WHERE photo.size = ? AND phase = 1 AND leased = 0 AND digest IS NOT NULL"
                f" ORDER BY photo.mtime_ns <> ? LIMIT {_MOST_CLAIMS}",
                (size, size, fits(mtime_ns)),
            ).fetchall()
            live += self._away_alike(size, mtime_ns)
            if not self._any_ghosts():
                return [self._claim(*row) for row in live]
            left = self._db.execute(
                f"{_LEFT} AND size = ? ORDER BY ghost.mtime_ns <> ?, ghost.id DESC LIMIT {_MOST_CLAIMS}",
                (size, fits(mtime_ns)),
            ).fetchall()
            return [self._claim(*row) for row in live] + [self._claim(*row[:-1]) for row in left]

    def any_gone(self) -> bool:
        """Tell whether photos are remembered that have left."""
        with translated(self.path):
            return self._any_ghosts()

    def lately_gone(self, most: int) -> list[tuple[ContentRecord, float]]:
        """Give photos that have left within the last hour, and how many seconds ago; the latest, at most so many."""
        with translated(self.path):
            rows = self._db.execute(
                f"{_LEFT} AND gone > strftime('%s', 'now') - {_LATELY} ORDER BY ghost.id DESC LIMIT ?", (most,)
            ).fetchall()
            return [(self._claim(*row), float(seconds)) for *row, seconds in rows]

    def left_by(self, photo: PhotoId) -> list[ContentRecord]:
        """Return what photos of this name were before they left or changed, as far as renditions of it may remain."""
        with translated(self.path):
            rows = self._db.execute(
                f"{_LEFT} AND ghost.inbox = ? AND folder = ? AND stem = ? AND name = ?",
                (self._inbox_id(photo.inbox), photo.folder, key_stem(photo.name), photo.name),
            ).fetchall()
            return [self._claim(*row[:-1]) for row in rows]

    def known_below(self, inbox: bytes, folder: bytes) -> list[tuple[PhotoId, PhotoRecord]]:
        """Give the photos of a folder and all below it that are still there."""
        with translated(self.path):
            rows = self._db.execute(
                f"SELECT path, name, {_OF_PHOTO} FROM photo JOIN folder ON folder.id = photo.folder"
                " WHERE inbox = ? AND (path = ? OR (path >= ? AND path < ?)) AND photo.away IS NULL",
                (self._inbox_id(inbox), folder, folder + b"/", folder + b"0"),  # "0" follows "/"
            ).fetchall()
            return [
                (PhotoId(inbox, bytes(path) + b"/" + bytes(name)), self._decode(tuple(row)))
                for path, name, *row in rows
            ]

    def _away_alike(self, size: int, mtime_ns: int) -> list[tuple[Any, ...]]:
        """Give those whose originals were taken away. There may be very many of one name: the newest are looked at."""
        found: list[tuple[Any, ...]] = []
        heaps = self._db.execute(
            f"SELECT folder, stem FROM alike WHERE size = ? AND stem < x'01' LIMIT {_MOST_ALIKE}", (size,)
        ).fetchall()
        for condition, values in ((" AND photo.mtime_ns = ?", (fits(mtime_ns),)), ("", ())):
            for heap in heaps:
                found += self._db.execute(
                    f"SELECT {_CLAIM} FROM photo INDEXED BY photo_looks"
                    " JOIN folder ON folder.id = photo.folder JOIN inbox ON inbox.id = folder.inbox"
                    f" WHERE photo.folder = ? AND stem = ? AND size = ?{condition} AND photo.away IS NOT NULL"
                    " AND phase = 1 AND leased = 0 AND digest IS NOT NULL"
                    f" ORDER BY photo.mtime_ns DESC, photo.at DESC LIMIT {_MOST_CLAIMS}",
                    (*heap, size, *values),
                ).fetchall()
            if found:
                break
        return found[:_MOST_CLAIMS]

    def haunted(self, photo: PhotoId) -> bool:
        """Tell whether an output of this photo could lie there already as that of another one, which has left."""
        with translated(self.path):
            if not self._any_ghosts():
                return False
            where, values = meeting(photo.name)
            row = self._db.execute(
                f"SELECT 1 FROM ghost WHERE inbox = ? AND folder = ? AND {where} LIMIT 1",
                (self._inbox_id(photo.inbox), photo.folder, *values),
            ).fetchone()
        return row is not None

    def _any_ghosts(self) -> bool:
        if self.ghosts is None:
            self.ghosts = self._db.execute("SELECT 1 FROM ghost LIMIT 1").fetchone() is not None
        return self.ghosts

    def _claim(
        self,
        size: int,
        inbox: bytes,
        folder: bytes,
        name: bytes,
        mtime_ns: int,
        recipes: int,
        made: str,
        digest: bytes,
        at: float,
        gone: int,
        lately: int,
    ) -> ContentRecord:
        photo = PhotoId(inbox, (folder + b"/" if folder else b"") + name)
        stamp = FileSignature(size, int(mtime_ns))
        return ContentRecord(
            photo, stamp, digest, self.recipes_of(recipes), decode_made(made), at, bool(gone), bool(lately)
        )


def meeting(name: bytes) -> tuple[str, tuple[bytes, ...]]:
    """Give a condition on `stem` for photos of one folder whose outputs could meet those of `name`, and its values."""
    stem = stem_of(name)
    above = stems_above(stem)
    marks = ", ".join("?" * len(above))
    return f"(stem IN ({marks}) OR (stem >= ? AND stem < ?))", (*above, stem + b".", stem + b"/")  # "/" follows "."
