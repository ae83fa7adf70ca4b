"""What was made of which content, whatever its photo is called and whether it is still there."""

from __future__ import annotations

from watcher.model import PhotoId, Stamp
from watcher.plan import Claim, stem_of, stems_above
from watcher.state.reading import Reader
from watcher.state.rows import decode_made
from watcher.state.schema import translated

_MOST_ALIKE = 32  # photos of one size that are looked at: in a heap of padded files the right one may be missed
_MOST_CLAIMS = 8  # of those
_INT64 = 2**63
_LATELY = 3600  # seconds


class ClaimReader(Reader):
    """Finds renditions by the content that they were made from."""

    ghosts: bool | None = None  # whether any photos that have left are remembered; None: nobody has looked

    def alike(self, size: int, mtime_ns: int = 0) -> list[Claim]:
        """Give what was made of photos with so many bytes, still there or not; first those that are as old."""
        with translated(self.path):
            live = self._db.execute(
                "SELECT inbox.path, folder.path, photo.name, photo.mtime_ns, photo.recipes, photo.made, photo.digest,"
                f" 0, 0 FROM (SELECT folder, stem FROM alike WHERE size = ? LIMIT {_MOST_ALIKE}) AS some"
                " JOIN photo ON photo.folder = some.folder AND photo.stem = some.stem"
                " JOIN folder ON folder.id = photo.folder JOIN inbox ON inbox.id = folder.inbox"
                " WHERE photo.size = ? AND phase = 1 AND leased = 0 AND digest IS NOT NULL"
                f" ORDER BY photo.mtime_ns <> ? LIMIT {_MOST_CLAIMS}",
                (size, size, _fits(mtime_ns)),
            ).fetchall()
            if not self._any_ghosts():
                return [self._claim(size, *row) for row in live]
            left = self._db.execute(
                "SELECT inbox.path, folder, name, mtime_ns, recipes, made, digest, 1,"
                f" gone > strftime('%s', 'now') - {_LATELY} FROM ghost JOIN inbox ON inbox.id = ghost.inbox"
                f" WHERE size = ? AND digest IS NOT NULL ORDER BY ghost.mtime_ns <> ?,"
                f" ghost.id DESC LIMIT {_MOST_CLAIMS}",
                (size, _fits(mtime_ns)),
            ).fetchall()
            return [self._claim(size, *row) for row in (*live, *left)]

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
        gone: int,
        lately: int,
    ) -> Claim:
        photo = PhotoId(inbox, (folder + b"/" if folder else b"") + name)
        stamp = Stamp(size, int(mtime_ns))
        return Claim(photo, stamp, digest, self.recipes_of(recipes), decode_made(made), bool(gone), bool(lately))


def _fits(mtime_ns: int) -> int | bytes:
    """Give a time as the state file keeps it."""
    return mtime_ns if -_INT64 <= mtime_ns < _INT64 else b"%d" % mtime_ns


def meeting(name: bytes) -> tuple[str, tuple[bytes, ...]]:
    """Give a condition on `stem` for photos of one folder whose outputs could meet those of `name`, and its values."""
    stem = stem_of(name)
    above = stems_above(stem)
    marks = ", ".join("?" * len(above))
    return f"(stem IN ({marks}) OR (stem >= ? AND stem < ?))", (*above, stem + b".", stem + b"/")  # "/" follows "."
