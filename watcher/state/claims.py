"""What was made of which content, whatever its photo is called and whether it is still there."""

from __future__ import annotations

from watcher.model import PhotoId, Stamp
from watcher.plan import Claim, stem_of, stems_above
from watcher.state.reading import Reader, decode_made
from watcher.state.schema import translated

_MOST_ALIKE = 32  # photos of one size that are looked at: in a heap of padded files the right one may be missed
_LATELY = 3600  # seconds


class ClaimReader(Reader):
    """Finds renditions by the content that they were made from."""

    def alike(self, size: int) -> list[Claim]:
        """Give what was made of photos with so many bytes, whether they are still there or have left."""
        with translated(self.path):
            live = self._db.execute(
                "SELECT inbox.path, folder.path, photo.name, photo.mtime_ns, photo.recipes, photo.made, photo.digest,"
                f" 0, 0 FROM (SELECT folder, stem FROM alike WHERE size = ? LIMIT {_MOST_ALIKE}) AS some"
                " JOIN photo ON photo.folder = some.folder AND photo.stem = some.stem"
                " JOIN folder ON folder.id = photo.folder JOIN inbox ON inbox.id = folder.inbox"
                " WHERE photo.size = ? AND phase = 1 AND leased = 0 AND digest IS NOT NULL",
                (size, size),
            ).fetchall()
            left = self._db.execute(
                "SELECT inbox.path, folder, name, mtime_ns, recipes, made, digest, 1,"
                f" gone > strftime('%s', 'now') - {_LATELY} FROM ghost JOIN inbox ON inbox.id = ghost.inbox"
                f" WHERE size = ? AND digest IS NOT NULL ORDER BY ghost.id DESC LIMIT {_MOST_ALIKE}",
                (size,),
            ).fetchall()
            return [self._claim(size, *row) for row in (*live, *left)]

    def haunted(self, photo: PhotoId) -> bool:
        """Tell whether an output of this photo could lie there already as that of another one, which has left."""
        with translated(self.path):
            where, values = meeting(photo.name)
            row = self._db.execute(
                f"SELECT 1 FROM ghost WHERE inbox = ? AND folder = ? AND {where} LIMIT 1",
                (self._inbox_id(photo.inbox), photo.folder, *values),
            ).fetchone()
        return row is not None

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
        gone: int,
        lately: int,
    ) -> Claim:
        photo = PhotoId(inbox, (folder + b"/" if folder else b"") + name)
        stamp = Stamp(size, int(mtime_ns))
        return Claim(photo, stamp, digest, self.recipes_of(recipes), decode_made(made), bool(gone), bool(lately))


def meeting(name: bytes) -> tuple[str, tuple[bytes, ...]]:
    """Give a condition on `stem` for photos of one folder whose outputs could meet those of `name`, and its values."""
    stem = stem_of(name)
    above = stems_above(stem)
    marks = ", ".join("?" * len(above))
    return f"(stem IN ({marks}) OR (stem >= ? AND stem < ?))", (*above, stem + b".", stem + b"/")  # "/" follows "."
