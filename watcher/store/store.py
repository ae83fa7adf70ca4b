"""The state file as the daemon has it: what only the daemon asks, and writing, a transaction at a time."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from watcher.core.history import HistoryEntry
from watcher.core.hooks import Adopted, Answered, HookId, Outgoing
from watcher.core.naming import key_stem, number_of
from watcher.core.records import ContentRecord, Phase, PhotoRecord, ScanRow
from watcher.core.status import InboxStatus
from watcher.core.types import PhotoId
from watcher.errors import StateError
from watcher.store import commands, history, outbox, tombstones
from watcher.store.faults import (
    BUSY_SECONDS,
    StateCorruptError,
    StateGoneError,
    check_sound,
    identity,
    put_aside,
    translated,
    unwritable,
)
from watcher.store.queries import Queries, stems_that_meet
from watcher.store.records import CONTENT, FIELDS, OPEN, UPSERT, decode_content, decode_made, encode, fits
from watcher.store.schema import migrate

_HERE = "stem >= x'01'"  # the stem of a photo whose original was taken away begins with a zero, see `naming.key_stem`
_WHOLE_FOLDER = 4  # a listing is compared with its whole folder while that is at most this much larger
_MOST_ALIKE = 32  # photos of one size that are looked at: among many padded files the right one may be missed
_MOST_CONTENTS = 8  # of those
_LATELY = 3600  # seconds
_LEFT = (
    "SELECT inbox.path, folder, name, size, mtime_ns, digest, recipes, made, at, 1,"
    f" gone > strftime('%s', 'now') - {_LATELY}, strftime('%s', 'now') - gone"
    " FROM tombstone JOIN inbox ON inbox.id = tombstone.inbox WHERE digest IS NOT NULL"
)
_DELETE = """DELETE FROM photo WHERE folder = (SELECT id FROM folder WHERE inbox = ? AND path = ?)
    AND stem = ? AND name = ?"""
# Photos that have left are remembered for a day at least, and as long as there are no more than this.
_FORGET = """DELETE FROM tombstone WHERE id <= (SELECT max(id) FROM tombstone) - 100000
    AND gone < strftime('%s', 'now') - 86400"""

_NOT_OPENED = "the state file {} can't be opened for writing: {}, or name another place with --state"


class Store(Queries):
    """The state file, open for writing."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        super().__init__(path, connection)
        self.set_aside: str | None = None  # where a damaged predecessor lies
        self._recipes_ids: dict[tuple[int, str], int] = {}
        self._tombstones: bool | None = None  # whether there are any; None: not known
        self._durable = False
        self._identity = identity(path)

    @classmethod
    def open(cls, path: str, *, damaged: bool = False) -> Self:
        """Open for writing; make or migrate the file where needed, set a damaged one aside and begin a new one.

        `damaged` says that the file was found to be so in use, whatever it looks like now.
        """
        set_aside = put_aside(path) if damaged and os.path.exists(path) else None
        try:
            store = cls._open(path)
        except StateCorruptError:
            set_aside = put_aside(path)
            store = cls._open(path)
        store.set_aside = set_aside
        return store

    @classmethod
    def _open(cls, path: str) -> Self:
        try:
            os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            why = unwritable(path) or f"{error.strerror}; make its folder writable"
            raise StateError(_NOT_OPENED.format(path, why)) from error
        if why := unwritable(path):
            raise StateError(_NOT_OPENED.format(path, why))
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            with translated(path):
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
                migrate(connection, path)
                check_sound(connection, path)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection)

    # ---- what a scan compares ----

    def scan_rows(self, inbox: bytes, folder: bytes, names: Sequence[bytes]) -> tuple[dict[bytes, ScanRow], int]:
        """Return what is known of `names` in one folder, and how many photos are known there in all."""
        found = self._row(
            "SELECT id, waiting + done + failed - away FROM folder WHERE inbox = ? AND path = ?",
            (self._inbox_id(inbox), folder),
        )
        if found is None:
            return {}, 0
        number, total = found
        select = "SELECT name, size, mtime_ns, phase, recipes, leased, attempts, at FROM photo WHERE folder = ? AND "
        with translated(self.path):
            if total <= _WHOLE_FOLDER * len(names) + 100:
                rows = self._db.execute(select + _HERE, (number,)).fetchall()
            else:
                keys = ((number, key_stem(name), name) for name in names)
                found_rows = (self._db.execute(f"{select}stem = ? AND name = ?", key).fetchone() for key in keys)
                rows = [row for row in found_rows if row is not None]
        return {name: ScanRow(size, int(mtime_ns), *rest) for name, size, mtime_ns, *rest in rows}, total

    def names(self, inbox: bytes, folder: bytes) -> Iterator[bytes]:
        """Yield the photos known in one folder, those whose originals were taken away left out."""
        query = (
            f"SELECT name FROM photo WHERE folder = (SELECT id FROM folder WHERE inbox = ? AND path = ?) AND {_HERE}"
        )
        return (bytes(name) for (name,) in self._each(query, (self._inbox_id(inbox), folder)))

    # ---- originals that were taken away ----

    def any_away(self, inbox: bytes) -> bool:
        """Return whether originals of an inbox were taken away, and their photos are still known."""
        row = self._row("SELECT total(away) > 0 FROM folder WHERE inbox = ?", (self._inbox_id(inbox),))
        return bool(row and row[0])

    def last_aside(self, photo: PhotoId) -> int:
        """Return the highest number of a key of those that had this name; 0: there are none."""
        place, between = self._aside(photo)
        row = self._row(
            "SELECT max(name) FROM photo WHERE folder = (SELECT id FROM folder WHERE inbox = ? AND path = ?)"
            " AND stem = ? AND name > ? AND name < ?",
            (*place, *between),
        )
        return number_of(row[0]) if row and row[0] is not None else 0

    # ---- what was made of which content, whether its photo is still there or not ----

    def alike(self, size: int, mtime_ns: int = 0) -> list[ContentRecord]:
        """Return what was made of photos with so many bytes, still there or not; first those that are as old."""
        rows = self._rows(
            f"SELECT {CONTENT} FROM"
            f" (SELECT folder, stem FROM alike WHERE size = ? AND stem >= x'01' LIMIT {_MOST_ALIKE}) AS some"
            " JOIN photo ON photo.folder = some.folder AND photo.stem = some.stem"
            " JOIN folder ON folder.id = photo.folder JOIN inbox ON inbox.id = folder.inbox"
            " WHERE photo.size = ? AND phase = 1 AND leased = 0 AND digest IS NOT NULL"
            f" ORDER BY photo.mtime_ns <> ? LIMIT {_MOST_CONTENTS}",
            (size, size, fits(mtime_ns)),
        )
        rows += self._away_alike(size, mtime_ns)
        found = [decode_content(row, self.recipes_of) for row in rows]
        if self.any_gone():
            order = f"ORDER BY mtime_ns <> ?, tombstone.id DESC LIMIT {_MOST_CONTENTS}"
            found += (content for content, _ in self._left(f"size = ? {order}", (size, fits(mtime_ns))))
        return found

    def _away_alike(self, size: int, mtime_ns: int) -> list[Any]:
        """Return those whose originals were taken away, the newest of each name: there may be very many."""
        found: list[Any] = []
        stems = self._rows(
            f"SELECT folder, stem FROM alike WHERE size = ? AND stem < x'01' LIMIT {_MOST_ALIKE}", (size,)
        )
        for condition, values in ((" AND photo.mtime_ns = ?", (fits(mtime_ns),)), ("", ())):
            for stem in stems:
                found += self._rows(
                    f"SELECT {CONTENT} FROM photo INDEXED BY photo_looks"
                    " JOIN folder ON folder.id = photo.folder JOIN inbox ON inbox.id = folder.inbox"
                    f" WHERE photo.folder = ? AND stem = ? AND size = ?{condition} AND photo.away IS NOT NULL"
                    " AND phase = 1 AND leased = 0 AND digest IS NOT NULL"
                    f" ORDER BY photo.mtime_ns DESC, photo.at DESC LIMIT {_MOST_CONTENTS}",
                    (*stem, size, *values),
                )
            if found:
                break
        return found[:_MOST_CONTENTS]

    def any_gone(self) -> bool:
        """Return whether photos are remembered that have left."""
        if self._tombstones is None:
            self._tombstones = self._row("SELECT 1 FROM tombstone LIMIT 1") is not None
        return self._tombstones

    def lately_gone(self, most: int) -> list[tuple[ContentRecord, float]]:
        """Return photos that have left within the last hour, and how many seconds ago; the latest, at most so many."""
        return self._left(f"gone > strftime('%s', 'now') - {_LATELY} ORDER BY tombstone.id DESC LIMIT ?", (most,))

    def left_by(self, photo: PhotoId) -> list[ContentRecord]:
        """Return what photos of this name were before they left or changed, as far as renditions of it may remain."""
        key = self._inbox_id(photo.inbox), photo.folder, key_stem(photo.name), photo.name
        found = self._left("tombstone.inbox = ? AND folder = ? AND stem = ? AND name = ?", key)
        return [content for content, _ in found]

    def _left(self, condition: str, values: tuple[object, ...]) -> list[tuple[ContentRecord, float]]:
        """Return photos that have left, and how many seconds ago."""
        rows = self._rows(f"{_LEFT} AND {condition}", values)
        return [(decode_content(row, self.recipes_of), float(seconds)) for *row, seconds in rows]

    def known_below(self, inbox: bytes, folder: bytes) -> list[tuple[PhotoId, PhotoRecord]]:
        """Return the photos of a folder and all below it that are still there."""
        rows = self._rows(
            f"SELECT path, name, {FIELDS} FROM photo JOIN folder ON folder.id = photo.folder"
            " WHERE inbox = ? AND (path = ? OR (path >= ? AND path < ?)) AND photo.away IS NULL",
            (self._inbox_id(inbox), folder, folder + b"/", folder + b"0"),  # "0" follows "/"
        )
        return [(PhotoId(inbox, path + b"/" + name), self._decode(row)) for path, name, *row in rows]

    def left_renditions(self, photo: PhotoId) -> set[str]:
        """Return of which renditions an output of this photo could lie there as that of another one, which has left."""
        if not self.any_gone():
            return set()
        condition, values = stems_that_meet(photo.name)
        query = f"SELECT made FROM tombstone WHERE inbox = ? AND folder = ? AND {condition}"
        found = self._rows(query, (self._inbox_id(photo.inbox), photo.folder, *values))
        return {rendition for (made,) in found for rendition in decode_made(made)}

    # ---- writing ----

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        if identity(self.path) != self._identity:
            raise StateGoneError(f"the state file {self.path} was removed or replaced while it was in use")
        with translated(self.path):
            if durable != self._durable:
                self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._inbox_ids.clear()
                self._recipes_ids.clear()
                raise

    def write(
        self,
        rows: Iterable[tuple[PhotoId, PhotoRecord | None]],
        notes: Iterable[HistoryEntry] = (),
        answered: Sequence[int] = (),
        hooks: Iterable[Outgoing | Answered] = (),
        *,
        durable: bool = False,
    ) -> None:
        """Record photos, or forget them (None), in one transaction.

        With them their history, what hooks are to be told of, and the removal of the requests that are `answered`.
        """
        with self._transaction(durable=durable) as db:
            folders: dict[tuple[bytes, bytes], int] = {}
            left = False
            for photo, known in rows:
                key, name = (photo.inbox, photo.folder), photo.name
                if known is None:
                    db.execute(_DELETE, (self._inbox_id(photo.inbox), photo.folder, key_stem(name), name))
                    left = self._tombstones = True
                    continue
                if key not in folders:
                    folders[key] = self._number_of("folder", "path", (self._inbox_id(photo.inbox), photo.folder))
                if known.phase is Phase.DONE and self.any_gone():
                    none = self._recipes_id(photo.inbox, {})
                    tombstones.forget_replaced(db, self._inbox_id(photo.inbox), folders[key], photo, known, none)
                recipes = self._recipes_id(photo.inbox, known.recipes)
                db.execute(UPSERT, (folders[key], key_stem(name), name, *encode(known, recipes)))
                if known.phase is not Phase.DONE:
                    self._tombstones = self._tombstones or None  # a trigger may have made one of what it was until now
            if left:
                db.execute(_FORGET)
            noted = ((self._inbox_id(note.photo.inbox), note.photo.path, *note[1:]) for note in notes)
            history.add(db, [*noted, *outbox.write(db, hooks, self._inbox_id)])
            commands.remove(db, answered)

    def forget_folder(self, inbox: bytes, folder: bytes) -> None:
        """Forget a folder and all below it; empty: the whole inbox."""
        self._tombstones = True
        with self._transaction() as db:
            below = (self._inbox_id(inbox), folder, folder + b"/", folder + b"0")  # "0" follows "/"
            condition = "inbox = ? AND (path = ? OR (path >= ? AND path < ?))" if folder else "inbox = ?"
            arguments = below if folder else below[:1]
            some = "away IS NULL AND " if folder else ""  # what we took away ourselves stays known
            db.execute(f"DELETE FROM photo WHERE {some}folder IN (SELECT id FROM folder WHERE {condition})", arguments)
            db.execute(f"DELETE FROM folder WHERE {condition} AND done = 0", arguments)
            if folder:
                db.execute(_FORGET)
            else:  # what was made of it is left behind with the output folder that it had
                db.execute("DELETE FROM tombstone WHERE inbox = ?", arguments)

    def forget_tombstones(self, photos: Iterable[PhotoId]) -> None:
        """Forget what photos that have left had: their renditions are removed."""
        with self._transaction() as db:
            rows = [(self._inbox_id(photo.inbox), photo.folder, key_stem(photo.name), photo.name) for photo in photos]
            db.executemany("DELETE FROM tombstone WHERE inbox = ? AND folder = ? AND stem = ? AND name = ?", rows)

    def forget_moved(self, moved: Iterable[tuple[ContentRecord, Collection[str]]]) -> None:
        """Forget these renditions of photos that have another name now: they are removed. The others are orphans."""
        with self._transaction() as db:
            tombstones.forget_moved(db, ((self._inbox_id(each[0].photo.inbox), *each) for each in moved))

    def reopen_failed(self, inbox: bytes) -> int:
        """Mark all failed photos of an inbox to be tried again, as if for the first time; return how many."""
        with self._transaction() as db:
            failed = f"photo.phase = {int(Phase.FAILED)} AND {OPEN}"
            where = f"{failed} AND folder IN (SELECT id FROM folder WHERE inbox = ?)"
            values = Phase.WAITING, self._inbox_id(inbox)
            return db.execute(f"UPDATE photo SET phase = ?, attempts = 0 WHERE {where}", values).rowcount

    def adopt_hooks(self, hooks: Sequence[HookId], inboxes: Sequence[bytes], *, fresh: bool) -> Adopted:
        """Take on the hooks of the config; see `outbox.adopt`."""
        with self._transaction() as db:
            return outbox.adopt(db, hooks, inboxes, fresh=fresh)

    def set_reports(self, reports: Iterable[InboxStatus]) -> None:
        """Record for each inbox what only the daemon knows, for `status`."""
        self._update_inboxes("report = ?", {report.path: (json.dumps(report.encode()),) for report in reports})

    def set_identity(self, inbox: bytes, root: tuple[int, int]) -> None:
        """Record an inbox's identity (st_dev, st_ino); unless it is the first, it is unsure what a missing photo is."""
        self._update_inboxes("unsure = unsure OR dev IS NOT NULL, dev = ?, ino = ?", {inbox: root})

    def set_unsure(self, inbox: bytes, unsure: bool) -> None:
        """Record whether a photo of an inbox that is not there may be on a volume that is away."""
        self._update_inboxes("unsure = ?", {inbox: (unsure,)})

    def _update_inboxes(self, change: str, values: Mapping[bytes, tuple[object, ...]]) -> None:
        with self._transaction() as db:
            rows = [(*each, self._inbox_id(inbox)) for inbox, each in values.items()]
            db.executemany(f"UPDATE inbox SET {change} WHERE id = ?", rows)

    def set_meta(self, values: Mapping[str, object]) -> None:
        """Record values for the file as a whole."""
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))

    def _new_inbox(self, inbox: bytes) -> tuple[int] | None:
        if not self._db.in_transaction:
            return None
        row: tuple[int] = self._db.execute("INSERT INTO inbox (path) VALUES (?) RETURNING id", (inbox,)).fetchone()
        return row

    def _recipes_id(self, inbox: bytes, recipes: Mapping[str, str]) -> int:
        key = (self._inbox_id(inbox), json.dumps(recipes, sort_keys=True))
        if key not in self._recipes_ids:
            self._recipes_ids[key] = self._number_of("recipes", "made", key)
        return self._recipes_ids[key]

    def _number_of(self, table: str, column: str, key: tuple[int, object]) -> int:
        """Return the number of an inbox's row; insert it where there is none."""
        row = self._db.execute(f"SELECT id FROM {table} WHERE inbox = ? AND {column} = ?", key).fetchone()
        if row is None:
            insert = f"INSERT INTO {table} (inbox, {column}) VALUES (?, ?) RETURNING id"
            row = self._db.execute(insert, key).fetchone()
        return int(row[0])
