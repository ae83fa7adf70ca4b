"""Reading the state file: beside a running daemon, or without one."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

from watcher.core.history import HistoryEntry
from watcher.core.naming import called, key_stem, number_of, stem_of, stems_above
from watcher.core.records import Phase, PhotoRecord, RenditionRecord
from watcher.core.types import FileSignature, PhotoId, Request
from watcher.errors import StateError
from watcher.store import commands as requests
from watcher.store import history
from watcher.store.rows import Brief, Counts, decode_made, fits
from watcher.store.schema import BUSY_SECONDS, MIGRATIONS, StateBusyError, refuse_newer, translated, up_to_date

FIELDS = "size, mtime_ns, phase, recipes, made, at, attempts, leased, reason, first_seen, origin, digest, away"
OPEN = "photo.phase <> 1"  # says nothing new, but without it SQLite does not see that the index photo_open will do
_HERE = "stem >= x'01'"  # the stem of a photo whose original was taken away begins with a zero, see `plan.key_stem`
_MOST_AWAY = 8  # photos of one name whose originals were taken away, and that are looked at
_WHOLE_FOLDER = 4  # a listing is compared with its whole folder while that is at most this much larger


class Reader:
    """The open state file. A context manager; every method may raise StateBusyError or StateCorruptError."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        self._recipes: dict[int, Mapping[str, str]] = {}
        self.current = True  # the file on disk is of this version; otherwise what is read is a copy in memory

    @classmethod
    def open_to_read(cls, path: str) -> Self | None:
        """Open beside a daemon, or without one; None: there is no state file yet. Nothing is changed on disk."""
        if not os.path.exists(path):
            return None
        if os.path.isdir(path):
            raise StateError(f"the state file {path} is a folder; name a file, or its place in that folder")
        uri = "file:" + quote(os.fsencode(path)) + "?mode=ro"
        for query in ("", "&immutable=1"):  # immutable: a folder where no -shm file can be made, so nobody writes
            connection = sqlite3.connect(uri + query, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
            try:
                with translated(path):
                    (version,) = connection.execute("PRAGMA user_version").fetchone()
                refuse_newer(version, path)
                if version == 0:
                    connection.close()
                    return None
                with translated(path):
                    connection = up_to_date(connection, version)
            except StateBusyError:
                connection.close()
                if query:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                reader = cls(path, connection)
                reader.current = version == len(MIGRATIONS)
                return reader
        raise AssertionError  # the second round returns or raises

    def close(self) -> None:
        """Close the file; whatever was committed is safe."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def known(self, photo: PhotoId) -> PhotoRecord | None:
        """Tell all that is known of one photo."""
        with translated(self.path):
            row = self._db.execute(
                f"SELECT {FIELDS} FROM photo WHERE folder = (SELECT id FROM folder WHERE inbox = ? AND path = ?)"
                " AND stem = ? AND name = ?",
                (self._inbox_id(photo.inbox), photo.folder, key_stem(photo.name), photo.name),
            ).fetchone()
            return self._decode(row) if row else None

    def notes(self, photo: PhotoId) -> list[HistoryEntry]:
        """Give what is remembered of a photo's history, the oldest first; also of one that is off the books."""
        with translated(self.path):
            return [
                HistoryEntry(photo, *row) for row in history.of_photo(self._db, self._inbox_id(photo.inbox), photo.path)
            ]

    def copied_to(self, photo: PhotoId) -> PhotoId | None:
        """Return the photo of the same inbox that got the renditions of this one last; None: that is not known."""
        with translated(self.path):
            path = history.copied_to(self._db, self._inbox_id(photo.inbox), photo.absolute)
        return None if path is None else PhotoId(photo.inbox, path)

    def counts_below(self, folder: PhotoId) -> Counts:
        """Count the photos of a folder and of those in it."""
        prefix = folder.path + b"/"
        with translated(self.path):
            row = self._db.execute(
                "SELECT sum(waiting), sum(done), sum(failed) FROM folder"
                " WHERE inbox = ? AND (path = ? OR substr(path, 1, ?) = ?)",
                (self._inbox_id(folder.inbox), folder.path, len(prefix), prefix),
            ).fetchone()
        return Counts(*(number or 0 for number in row))

    def requests(self, limit: int = -1) -> list[tuple[int, Request]]:
        """List what people ask of the daemon, with numbers, the oldest first."""
        with translated(self.path):
            return requests.waiting(self._db, limit)

    def any_away(self, inbox: bytes) -> bool:
        """Tell whether originals of an inbox were taken away, and their photos are still known."""
        with translated(self.path):
            row = self._db.execute(
                "SELECT total(away) > 0 FROM folder WHERE inbox = ?", (self._inbox_id(inbox),)
            ).fetchone()
        return bool(row[0])

    def taken_away(
        self, photo: PhotoId, *, looks: FileSignature | None = None, at: float | None = None
    ) -> list[tuple[PhotoId, PhotoRecord]]:
        """List photos that had this name when their originals were taken away, with their keys; the newest, first.

        `looks`: those of that size and date only; `at`: those that were made then. There may be very many in all.
        """
        index, condition, values = "photo_made", "", list[object]()
        if looks is not None:
            index, condition = "photo_looks", " AND size = ? AND mtime_ns = ?"
            values = [looks.size, fits(looks.mtime_ns)]
        if at is not None:
            condition, values = condition + " AND at = ?", [*values, at]
        with translated(self.path):
            rows = self._db.execute(
                f"SELECT name, {FIELDS} FROM photo INDEXED BY {index}"
                " WHERE folder = (SELECT id FROM folder WHERE inbox = ? AND path = ?) AND stem = ?"
                f" AND away IS NOT NULL{condition} AND name > ? AND name < ? ORDER BY at DESC LIMIT {_MOST_AWAY}",
                (*self._aside(photo)[:3], *values, *self._aside(photo)[3:]),
            ).fetchall()
            prefix = photo.folder + b"/" if photo.folder else b""
            return [(PhotoId(photo.inbox, prefix + name), self._decode(tuple(row))) for name, *row in rows]

    def last_aside(self, photo: PhotoId) -> int:
        """Return the highest number of a key of those that had this name; 0: there are none."""
        with translated(self.path):
            row = self._db.execute(
                "SELECT max(name) FROM photo WHERE folder = (SELECT id FROM folder WHERE inbox = ? AND path = ?)"
                " AND stem = ? AND name > ? AND name < ?",
                self._aside(photo),
            ).fetchone()
        return number_of(row[0]) if row[0] is not None else 0

    def _aside(self, photo: PhotoId) -> tuple[object, ...]:
        name = photo.name
        between = name + b"\0", name + b"\1"
        return self._inbox_id(photo.inbox), photo.folder, key_stem(between[0]), *between

    def rivals(self, photo: PhotoId) -> dict[bytes, Mapping[str, RenditionRecord]]:
        """Give the photos whose outputs could meet this one's (see `plan.could_meet`), itself left out.

        Of those with one name whose originals were taken away the last one stands for all.
        """
        name, stem = photo.name, stem_of(photo.name)
        above = stems_above(stem)
        marks = ", ".join("?" * len(above))
        with translated(self.path):
            folder = self._db.execute(
                "SELECT id, away FROM folder WHERE inbox = ? AND path = ?", (self._inbox_id(photo.inbox), photo.folder)
            ).fetchone()
            if folder is None:
                return {}
            number, away = folder
            rows = self._db.execute(
                f"SELECT name, made FROM photo WHERE folder = ? AND stem IN ({marks}) AND name <> ? UNION ALL"
                " SELECT name, made FROM photo WHERE folder = ? AND stem >= ? AND stem < ?",  # "/" follows "."
                (number, *above, name, number, stem + b".", stem + b"/"),
            ).fetchall()
            if away:
                ranges = [(b"\0" + each, b"\0" + each + b"\0") for each in above]
                for low, high in (*ranges, (b"\0" + stem + b".", b"\0" + stem + b"/")):
                    rows += self._last_of_each(number, low, high)
        return {bytes(other): decode_made(made) for other, made in rows}

    def _last_of_each(self, folder: int, low: bytes, high: bytes) -> Iterator[tuple[bytes, str]]:
        """Give of each name the last photo whose original was taken away, from stem to stem; the others are skipped."""
        end = high, b""
        while row := self._db.execute(
            "SELECT stem, name, made FROM photo WHERE folder = ? AND (stem, name) >= (?, ?) AND (stem, name) < (?, ?)"
            " ORDER BY stem DESC, name DESC LIMIT 1",
            (folder, low, b"", *end),
        ).fetchone():
            stem, name, made = row
            yield name, made
            end = stem, called(name) + b"\0"

    def briefs(self, inbox: bytes, folder: bytes, names: Sequence[bytes]) -> tuple[dict[bytes, Brief], int]:
        """Give what is known of `names` in one folder, and how many photos are known there in all."""
        with translated(self.path):
            found = self._db.execute(
                "SELECT id, waiting + done + failed - away FROM folder WHERE inbox = ? AND path = ?",
                (self._inbox_id(inbox), folder),
            ).fetchone()
            if found is None:
                return {}, 0
            number, total = found
            columns = "name, size, mtime_ns, phase, recipes, leased, attempts"
            if total <= _WHOLE_FOLDER * len(names) + 100:
                rows = self._db.execute(
                    f"SELECT {columns} FROM photo WHERE folder = ? AND {_HERE}", (number,)
                ).fetchall()
            else:
                one = f"SELECT {columns} FROM photo WHERE folder = ? AND stem = ? AND name = ?"
                rows = [
                    row
                    for name in names
                    if (row := self._db.execute(one, (number, key_stem(name), name)).fetchone()) is not None
                ]
        return {name: Brief(size, int(mtime_ns), *rest) for name, size, mtime_ns, *rest in rows}, total

    def names(self, inbox: bytes, folder: bytes) -> Iterator[bytes]:
        """List the photos known in one folder, those whose originals were taken away left out."""
        with translated(self.path):
            for (name,) in self._db.execute(
                "SELECT name FROM photo WHERE folder = (SELECT id FROM folder WHERE inbox = ? AND path = ?)"
                f" AND {_HERE}",
                (self._inbox_id(inbox), folder),
            ):
                yield bytes(name)

    def folders(self, inbox: bytes, *, away: bool = True) -> list[bytes]:
        """List the folders of an inbox in which photos are known; unless `away`, more than originals taken away."""
        some = "waiting + done + failed > " + ("0" if away else "away")
        with translated(self.path):
            rows = self._db.execute(f"SELECT path FROM folder WHERE inbox = ? AND {some}", (self._inbox_id(inbox),))
            return [bytes(path) for (path,) in rows]

    def recipes_of(self, number: int) -> Mapping[str, str]:
        """Give the recipes behind `Brief.recipes`: rendition → fingerprint."""
        if number not in self._recipes:
            with translated(self.path):
                (made,) = self._db.execute("SELECT made FROM recipes WHERE id = ?", (number,)).fetchone()
            self._recipes[number] = json.loads(made)
        return self._recipes[number]

    def counts(self, inbox: bytes) -> Counts:
        """Count the photos of an inbox."""
        with translated(self.path):
            row = self._db.execute(
                "SELECT sum(waiting), sum(done), sum(failed) FROM folder WHERE inbox = ?", (self._inbox_id(inbox),)
            ).fetchone()
        return Counts(*(number or 0 for number in row))

    def oldest_waiting(self, inbox: bytes) -> float | None:
        """When, by the wall clock, the photo of an inbox was first seen that waits longest."""
        with translated(self.path):
            row = self._db.execute(
                "SELECT min(photo.first_seen) FROM photo JOIN folder ON folder.id = photo.folder"
                f" WHERE photo.phase = 0 AND {OPEN} AND folder.inbox = ?",
                (self._inbox_id(inbox),),
            ).fetchone()
        return None if row[0] is None else float(row[0])

    def photos(self, inbox: bytes, phase: Phase, limit: int = -1) -> Iterator[tuple[PhotoId, PhotoRecord]]:
        """List the photos of an inbox that wait or failed (not meant for those that are done)."""
        condition = f"photo.phase = {int(phase)}"
        yield from self._list(inbox, condition if phase is Phase.DONE else f"{condition} AND {OPEN}", limit)

    def leased(self, inbox: bytes) -> Iterator[tuple[PhotoId, PhotoRecord]]:
        """List the photos whose attempt was begun and never answered."""
        yield from self._list(inbox, "photo.leased = 1", -1)

    def _list(self, inbox: bytes, condition: str, limit: int) -> Iterator[tuple[PhotoId, PhotoRecord]]:
        fields = ", ".join("photo." + field for field in FIELDS.split(", "))
        with translated(self.path):
            for path, name, *row in self._db.execute(
                f"SELECT folder.path, photo.name, {fields} FROM photo JOIN folder ON folder.id = photo.folder"
                f" WHERE {condition} AND folder.inbox = ? LIMIT ?",
                (self._inbox_id(inbox), limit),
            ):
                yield PhotoId(inbox, (path + b"/" if path else b"") + name), self._decode(tuple(row))

    def superseded(self, inbox: bytes, wanted: Iterable[str]) -> dict[str, int]:
        """Count, for each rendition that is on the books and no longer wanted, the photos that have it."""
        wanted = set(wanted)
        counts: dict[str, int] = {}
        with translated(self.path):
            for made, photos in self._db.execute(
                "SELECT made, photos FROM recipes WHERE inbox = ? AND photos > 0", (self._inbox_id(inbox),)
            ):
                for name in json.loads(made):
                    if name not in wanted:
                        counts[name] = counts.get(name, 0) + photos
        return counts

    def inboxes(self) -> list[bytes]:
        """List every inbox that the file has ever known."""
        with translated(self.path):
            return [bytes(path) for (path,) in self._db.execute("SELECT path FROM inbox ORDER BY id")]

    def report(self, inbox: bytes) -> dict[str, object]:
        """Give what the daemon last reported of an inbox."""
        with translated(self.path):
            row = self._db.execute("SELECT report FROM inbox WHERE path = ?", (inbox,)).fetchone()
        return dict(json.loads(row[0])) if row else {}

    def identity(self, inbox: bytes) -> tuple[int, int] | None:
        """Give the identity (st_dev, st_ino) that the inbox had when it was last scanned whole."""
        with translated(self.path):
            row = self._db.execute("SELECT dev, ino FROM inbox WHERE path = ?", (inbox,)).fetchone()
        return (row[0], row[1]) if row and row[0] is not None else None

    def meta(self, key: str) -> object:
        """Give a single value that is kept for the file as a whole; None: there is none."""
        with translated(self.path):
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _inbox_id(self, inbox: bytes) -> int:
        """Give the inbox's number; -1, which matches nothing: it is not known."""
        row = self._db.execute("SELECT id FROM inbox WHERE path = ?", (inbox,)).fetchone()
        return int(row[0]) if row else -1

    def _decode(self, row: tuple[Any, ...]) -> PhotoRecord:
        size, mtime_ns, phase, recipes, made, at, attempts, leased, reason, first_seen, origin, digest, away = row
        return PhotoRecord(
            stamp=FileSignature(size, int(mtime_ns)),
            phase=Phase(phase),
            recipes=self.recipes_of(recipes),
            made=decode_made(made),
            at=at,
            attempts=attempts,
            reason=reason,
            leased=bool(leased),
            first_seen=first_seen,
            origin=origin,
            digest=digest or b"",
            away=away,
        )
