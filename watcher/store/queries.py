"""Reading the state file: beside a running daemon, or without one."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

from watcher.core.history import HistoryEntry, took
from watcher.core.hooks import HookStatus
from watcher.core.naming import called, key_stem, stem_of, stems_above
from watcher.core.records import ListedPhoto, Phase, PhotoRecord, RenditionRecord
from watcher.core.status import Counts, InboxStatus
from watcher.core.types import FileSignature, PhotoId, Request
from watcher.errors import StateError
from watcher.store import commands, history, schema
from watcher.store.faults import BUSY_SECONDS, StateBusyError, translated, unwritable
from watcher.store.lists import ListQueries
from watcher.store.reader import FOLDER, marks
from watcher.store.records import FIELDS, OPEN, PHOTOS, decode_made, fits

PAGE = 1000  # photos
_MOST_AWAY = 8  # photos of one name whose originals were taken away, and that are looked at
_LAST = 2**62  # above any entry's number

_Version = tuple[int, int, int, bool]


def _version(path: str) -> _Version | None:
    """Return what tells whether anything was written to a state file, with whether its log is there; None: no file."""
    try:
        seen = os.stat(path)
    except OSError:
        return None
    return seen.st_ino, seen.st_size, seen.st_mtime_ns, os.path.exists(os.path.realpath(path) + "-wal")


class _Traceless(sqlite3.Connection):
    """A connection that makes no files and takes no locks (`immutable`), and that ends once another program writes."""

    _path = ""
    _found: _Version | None = None

    def take(self, path: str, found: _Version) -> None:
        """Have the file be `found` from now on."""
        self._path, self._found = path, found

    def execute(self, *query: Any) -> sqlite3.Cursor:  # noqa: ANN401  # what it takes is SQLite's business
        if self._found is not None and _version(self._path) != self._found:
            self._path = ""  # for good
            raise sqlite3.OperationalError("another program has begun to write to it")
        return super().execute(*query)


class Queries(ListQueries):
    """The open state file. A context manager; every method may raise StateBusyError or StateCorruptError."""

    @classmethod
    def open_to_read(cls, path: str) -> Self | None:
        """Open beside a daemon, or without one; None: there is no state file yet. Nothing is changed on disk."""
        found = _version(path)
        if found is None:
            return None
        if os.path.isdir(path):
            raise StateError(f"the state file {path} is a folder; name a file, or its place in that folder")
        uri = "file:" + quote(os.fsencode(path)) + "?mode=ro"
        # without a trace, also in a folder where no -shm file can be made; what SQLite makes has the file's mode
        alone = not found[-1] and unwritable(path) != ""
        for query in ("&immutable=1",) if alone else ("", "&immutable=1"):
            connection = sqlite3.connect(
                uri + query, uri=True, isolation_level=None, timeout=BUSY_SECONDS, factory=_Traceless
            )
            try:
                with translated(path):
                    if query:
                        connection.take(path, found)
                    scripts = schema.pending(connection, path)
                    if schema.is_empty(connection):
                        connection.close()
                        return None
                    reader = cls(path, schema.up_to_date(connection, scripts) if scripts else connection)
                    reader.current = not scripts
                    return reader
            except StateBusyError:
                connection.close()
                if query:
                    raise
            except BaseException:
                connection.close()
                raise
        raise AssertionError  # the second round returns or raises

    # ---- one photo ----

    def known(self, photo: PhotoId) -> PhotoRecord | None:
        """Return what is known of one photo."""
        row = self._row(
            f"SELECT {FIELDS} FROM photo WHERE folder = {FOLDER} AND stem = ? AND name = ?",
            (self._inbox_id(photo.inbox), photo.folder, key_stem(photo.name), photo.name),
        )
        return self._decode(row) if row else None

    def notes(self, photo: PhotoId) -> list[HistoryEntry]:
        """Return a photo's history as far as it is kept, the oldest entry first; also of one that is forgotten."""
        inbox = self._inbox_id(photo.inbox)
        with translated(self.path):
            return [HistoryEntry(photo, *row) for row in history.of_photo(self._db, inbox, photo.path)]

    def copied_to(self, photo: PhotoId) -> PhotoId | None:
        """Return the photo of the same inbox that got the renditions of this one last; None: that is not known."""
        inbox = self._inbox_id(photo.inbox)
        with translated(self.path):
            path = history.copied_to(self._db, inbox, photo.absolute)
        return None if path is None else PhotoId(photo.inbox, path)

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
        place, between = self._aside(photo)
        rows = self._rows(
            f"SELECT photo.name, {FIELDS} FROM photo INDEXED BY {index} WHERE folder = {FOLDER} AND stem = ?"
            f" AND away IS NOT NULL{condition} AND name > ? AND name < ? ORDER BY at DESC LIMIT {_MOST_AWAY}",
            (*place, *values, *between),
        )
        return [(PhotoId.inside(photo.inbox, photo.folder, name), self._decode(row)) for name, *row in rows]

    def _aside(self, photo: PhotoId) -> tuple[tuple[object, ...], tuple[bytes, bytes]]:
        """Return where the keys lie of photos whose originals were taken away: inbox, folder, stem; between which."""
        low = photo.name + b"\0"
        return (self._inbox_id(photo.inbox), photo.folder, key_stem(low)), (low, photo.name + b"\1")

    def name_conflicts(self, photo: PhotoId) -> dict[bytes, Mapping[str, RenditionRecord]]:
        """Return the photos whose outputs could meet this one's (see `naming.could_meet`), itself left out.

        Of those with one name whose originals were taken away the last one stands for all.
        """
        name, stem = photo.name, stem_of(photo.name)
        above = stems_above(stem)
        found = self._row(
            "SELECT id, away FROM folder WHERE inbox = ? AND path = ?", (self._inbox_id(photo.inbox), photo.folder)
        )
        if found is None:
            return {}
        folder, away = found
        rows = self._rows(
            f"SELECT name, made FROM photo WHERE folder = ? AND stem IN ({marks(above)}) AND name <> ? UNION ALL"
            " SELECT name, made FROM photo WHERE folder = ? AND stem >= ? AND stem < ?",  # "/" follows "."
            (folder, *above, name, folder, stem + b".", stem + b"/"),
        )
        if away:
            ranges = [(b"\0" + each, b"\0" + each + b"\0") for each in above]
            for low, high in (*ranges, (b"\0" + stem + b".", b"\0" + stem + b"/")):
                rows += self._last_of_each(folder, low, high)
        return {bytes(other): decode_made(made) for other, made in rows}

    def _last_of_each(self, folder: int, low: bytes, high: bytes) -> Iterator[tuple[bytes, str]]:
        """Yield of each name the last photo whose original was taken away, from stem to stem; skip the others."""
        end = high, b""
        while row := self._row(
            "SELECT stem, name, made FROM photo WHERE folder = ? AND (stem, name) >= (?, ?) AND (stem, name) < (?, ?)"
            " ORDER BY stem DESC, name DESC LIMIT 1",
            (folder, low, b"", *end),
        ):
            stem, name, made = row
            yield name, made
            end = stem, called(name) + b"\0"

    # ---- many photos ----

    def photos(self, inbox: bytes, phase: Phase, limit: int = -1) -> Iterator[tuple[PhotoId, PhotoRecord]]:
        """List the photos of an inbox that wait or failed (not meant for those that are done)."""
        condition = f"photo.phase = {int(phase)}" + ("" if phase is Phase.DONE else f" AND {OPEN}")
        query = f"{PHOTOS} WHERE {condition} AND folder.inbox = ? LIMIT ?"
        for _, folder, name, *row in self._each(query, (self._inbox_id(inbox), limit)):
            yield PhotoId.inside(inbox, folder, name), self._decode(row)

    def pages(self, inbox: bytes, folder: bytes) -> Iterator[list[tuple[PhotoId, PhotoRecord]]]:
        """Yield all photos of one folder in pages, none of which keeps a transaction open.

        What changes meanwhile may be in either form.
        """
        found = self._row("SELECT id FROM folder WHERE inbox = ? AND path = ?", (self._inbox_id(inbox), folder))
        number, after = (found[0] if found else -1), (b"", b"")
        while True:
            rows = self._rows(
                f"SELECT stem, name, {FIELDS} FROM photo WHERE folder = ? AND (stem, name) > (?, ?)"
                f" ORDER BY stem, name LIMIT {PAGE}",
                (number, *after),
            )
            if rows:
                yield [(PhotoId.inside(inbox, folder, name), self._decode(row)) for _, name, *row in rows]
            if len(rows) < PAGE:
                return
            after = rows[-1][0], rows[-1][1]

    def left(self, inbox: bytes, folder: bytes) -> Iterator[tuple[bytes, Mapping[str, RenditionRecord]]]:
        """Yield the photos that have left a folder, and what was made of them, as far as it is kept."""
        query = "SELECT name, made FROM tombstone WHERE inbox = ? AND folder = ?"
        for name, made in self._rows(query, (self._inbox_id(inbox), folder)):
            yield bytes(name), decode_made(made)

    def newest(self, inboxes: Sequence[bytes], before: int | None, limit: int) -> list[ListedPhoto]:
        """List photos that were made, the last one first, as far as their history is kept.

        `before`: the cursor of the last one of the list so far. Fewer than `limit`: the list ends there.
        """
        found: list[ListedPhoto] = []
        paths = {self._inbox_id(inbox): inbox for inbox in inboxes}
        for number, inbox, path, at, detail in self._each(
            "SELECT id, inbox, path, at, detail FROM event"
            f" WHERE what = 'made' AND id < ? AND inbox IN ({marks(paths)}) ORDER BY id DESC",
            (_LAST if before is None else before, *paths),
        ):
            photo = PhotoId(paths[inbox], bytes(path))
            for key, known in ((photo, self.known(photo)), *self.taken_away(photo, at=at)):
                if known is not None and known.phase is Phase.DONE and known.at == at:  # else it was made once more
                    found.append(ListedPhoto(key, known, number, took(json.loads(detail))))
            if len(found) == limit:
                break
        return found

    # ---- inboxes and folders ----

    def inboxes(self) -> list[bytes]:
        """List every inbox that the file has ever known."""
        return [bytes(path) for (path,) in self._rows("SELECT path FROM inbox ORDER BY id")]

    def report(self, inbox: bytes) -> InboxStatus | None:
        """Return what the daemon last reported of an inbox; None: nothing yet."""
        row = self._row("SELECT report FROM inbox WHERE path = ?", (inbox,))
        return InboxStatus.decode(inbox, json.loads(row[0])) if row else None

    def identity(self, inbox: bytes) -> tuple[int, int] | None:
        """Return the identity (st_dev, st_ino) that the inbox had when it was last scanned completely."""
        row = self._row("SELECT dev, ino FROM inbox WHERE path = ?", (inbox,))
        return (row[0], row[1]) if row and row[0] is not None else None

    def unsure(self, inbox: bytes) -> bool:
        """Return whether a photo of an inbox that is not there may be on a volume that is away."""
        return bool((self._row("SELECT unsure FROM inbox WHERE path = ?", (inbox,)) or (False,))[0])

    def meta(self, key: str) -> object:
        """Return a value that is kept for the file as a whole; None: there is none."""
        row = self._row("SELECT value FROM meta WHERE key = ?", (key,))
        return row[0] if row else None

    def hooks(self) -> list[HookStatus]:
        """List the status of each hook."""
        return list(self.outbox.statuses().values())

    def requests(self, limit: int = -1) -> list[tuple[int, Request]]:
        """List what people ask of the daemon, with numbers, the oldest first."""
        with translated(self.path):
            return commands.waiting(self._db, limit)

    def folders(self, inbox: bytes, *, away: bool = True) -> list[bytes]:
        """List the folders of an inbox in which photos are known; unless `away`, more than originals taken away."""
        some = "waiting + done + failed > " + ("0" if away else "away")
        rows = self._rows(f"SELECT path FROM folder WHERE inbox = ? AND {some}", (self._inbox_id(inbox),))
        return [bytes(path) for (path,) in rows]

    def each_folder(self, inbox: bytes) -> Iterator[bytes]:
        """Yield the folders of an inbox in the order of their paths, read in pages as `pages` does."""
        after, compared = b"", ">="
        while True:
            rows = self._rows(
                f"SELECT path FROM folder WHERE inbox = ? AND path {compared} ? ORDER BY path LIMIT {PAGE}",
                (self._inbox_id(inbox), after),
            )
            yield from (bytes(path) for (path,) in rows)
            if len(rows) < PAGE:
                return
            after, compared = bytes(rows[-1][0]), ">"

    def counts(self, inbox: bytes) -> Counts:
        """Count the photos of an inbox."""
        return self._count("inbox = ?", (self._inbox_id(inbox),))

    def counts_below(self, folder: PhotoId) -> Counts:
        """Count the photos of a folder and of those in it."""
        prefix = folder.path + b"/"
        return self._count(
            "inbox = ? AND (path = ? OR substr(path, 1, ?) = ?)",
            (self._inbox_id(folder.inbox), folder.path, len(prefix), prefix),
        )

    def _count(self, condition: str, values: tuple[object, ...]) -> Counts:
        row = self._row(f"SELECT sum(waiting), sum(done), sum(failed) FROM folder WHERE {condition}", values)
        return Counts(*(number or 0 for number in row or ()))

    def oldest_waiting(self, inbox: bytes) -> float | None:
        """Return when, by the wall clock, the photo of an inbox was first seen that waits longest."""
        row = self._row(
            "SELECT min(photo.first_seen) FROM photo JOIN folder ON folder.id = photo.folder"
            f" WHERE photo.phase = 0 AND {OPEN} AND folder.inbox = ?",
            (self._inbox_id(inbox),),
        )
        return None if row is None or row[0] is None else float(row[0])

    def superseded(self, inbox: bytes, wanted: Iterable[str]) -> dict[str, int]:
        """Count, for each rendition that was made and is no longer wanted, the photos that have it."""
        wanted = set(wanted)
        counts: dict[str, int] = {}
        query = "SELECT made, photos FROM recipes WHERE inbox = ? AND photos > 0"
        for made, photos in self._rows(query, (self._inbox_id(inbox),)):
            for name in json.loads(made):
                if name not in wanted:
                    counts[name] = counts.get(name, 0) + photos
        return counts


def stems_that_meet(name: bytes) -> tuple[str, tuple[bytes, ...]]:
    """Return a condition on `stem` for photos whose outputs could meet those of `name`, and its values."""
    stem = stem_of(name)
    above = stems_above(stem)
    return f"(stem IN ({marks(above)}) OR (stem >= ? AND stem < ?))", (*above, stem + b".", stem + b"/")  # "/" is next
