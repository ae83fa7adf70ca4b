"""Writing the state file: one thread of one process, a transaction a time."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self

from watcher.core.history import HistoryEntry
from watcher.core.naming import key_stem
from watcher.core.records import Phase, PhotoRecord, RenditionRecord
from watcher.core.types import PhotoId
from watcher.errors import StateError
from watcher.store import commands as requests
from watcher.store import history
from watcher.store.contents import meeting
from watcher.store.pages import PageReader
from watcher.store.reading import FIELDS, OPEN
from watcher.store.rows import decode_made, fits
from watcher.store.schema import (
    BUSY_SECONDS,
    StateCorruptError,
    StateGoneError,
    check_sound,
    migrate,
    put_aside,
    translated,
)

_UPSERT = f"""INSERT INTO photo (folder, stem, name, {FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns, phase = excluded.phase,
    recipes = excluded.recipes, made = excluded.made, at = excluded.at, attempts = excluded.attempts,
    leased = excluded.leased, reason = excluded.reason, digest = excluded.digest, away = excluded.away"""

_DELETE = """DELETE FROM photo WHERE folder = (SELECT id FROM folder WHERE inbox = ? AND path = ?)
    AND stem = ? AND name = ?"""
_MET = "SELECT id, name, made FROM ghost WHERE inbox = ? AND folder = ? AND "
_LAY = "DELETE FROM ghost WHERE inbox = ? AND folder = ? AND "
# Photos that have left are remembered for a day at least, and as long as there are no more than this.
_FORGET = """DELETE FROM ghost WHERE id <= (SELECT max(id) FROM ghost) - 100000
    AND gone < strftime('%s', 'now') - 86400"""


class State(PageReader):
    """The state file, open for writing."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        super().__init__(path, connection)
        self.set_aside: str | None = None  # where a damaged predecessor lies
        self._inbox_ids: dict[bytes, int] = {}
        self._recipes_ids: dict[tuple[int, str], int] = {}
        self._durable = False
        self._identity = _identity(path)

    @classmethod
    def open(cls, path: str, *, damaged: bool = False) -> Self:
        """Open for writing, made or migrated where needed; a damaged file is set aside and a new one begun.

        `damaged` says that the file was found to be so in use, whatever it looks like now.
        """
        set_aside = put_aside(path) if damaged and os.path.exists(path) else None
        try:
            state = cls._open(path)
        except StateCorruptError:
            set_aside = put_aside(path)
            state = cls._open(path)
        state.set_aside = set_aside
        return state

    @classmethod
    def _open(cls, path: str) -> Self:
        try:
            os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StateError(
                f"the state file {path} can't be opened for writing: {error.strerror}; "
                "make its folder writable, or name another place with --state"
            ) from error
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

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        if _identity(self.path) != self._identity:
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
        *,
        durable: bool = False,
    ) -> None:
        """Put photos on the books, or take them off (None), in one transaction.

        With them their history, and the removal of the requests that are `answered` by that.
        """
        with self._transaction(durable=durable) as db:
            folders: dict[tuple[bytes, bytes], int] = {}
            left = False
            for photo, known in rows:
                key, name = (photo.inbox, photo.folder), photo.name
                if known is None:
                    db.execute(_DELETE, (self._inbox_id(photo.inbox), photo.folder, key_stem(name), name))
                    left = self.ghosts = True
                    continue
                if key not in folders:
                    folders[key] = self._folder_id(photo.inbox, photo.folder)
                db.execute(_UPSERT, (folders[key], key_stem(name), name, *self._encode(photo.inbox, known)))
                if known.phase is not Phase.DONE:
                    self.ghosts = self.ghosts or None  # what it was until now may be one: see the triggers
                elif self._any_ghosts():
                    self._lay_replaced(db, photo, known)
            if left:
                db.execute(_FORGET)
            history.add(db, ((self._inbox_id(note.photo.inbox), note.photo.path, *note[1:]) for note in notes))
            requests.remove(db, answered)

    def _lay_replaced(self, db: sqlite3.Connection, photo: PhotoId, known: PhotoRecord) -> None:
        """Forget photos that have left and whose outputs were replaced by those of this one.

        As WebP `a.jpg` and `a.jpeg` have one name, as JPEG two: what may have been replaced is lent to nobody any more.
        """
        where, values = meeting(photo.name)
        found = db.execute(_MET + where, (self._inbox_id(photo.inbox), photo.folder, *values)).fetchall()
        mine = _places(photo.name, known.made)
        for number, name, made in found:
            if mine & _places(bytes(name), decode_made(made)):
                db.execute("DELETE FROM ghost WHERE id = ?", (number,))
            else:
                db.execute("UPDATE ghost SET recipes = ? WHERE id = ?", (self._recipes_id(photo.inbox, {}), number))

    def forget_folder(self, inbox: bytes, folder: bytes) -> None:
        """Take a folder and all below it off the books; empty: the whole inbox."""
        self.ghosts = True
        with self._transaction() as db:
            below = (self._inbox_id(inbox), folder, folder + b"/", folder + b"0")  # "0" follows "/"
            condition = "inbox = ? AND (path = ? OR (path >= ? AND path < ?))" if folder else "inbox = ?"
            arguments = below if folder else below[:1]
            some = "away IS NULL AND " if folder else ""  # what is away went with our doing, and stays known
            db.execute(f"DELETE FROM photo WHERE {some}folder IN (SELECT id FROM folder WHERE {condition})", arguments)
            db.execute(f"DELETE FROM folder WHERE {condition} AND done = 0", arguments)
            if folder:
                db.execute(_FORGET)
            else:  # what was made of it is left behind with the output folder that it had
                db.execute("DELETE FROM ghost WHERE inbox = ?", arguments)

    def forget_ghosts(self, photos: Iterable[PhotoId]) -> None:
        """Forget what photos that have left had: their renditions are removed."""
        with self._transaction() as db:
            rows = [(self._inbox_id(photo.inbox), photo.folder, key_stem(photo.name), photo.name) for photo in photos]
            db.executemany(_LAY + "stem = ? AND name = ?", rows)

    def reopen_failed(self, inbox: bytes) -> int:
        """Let all photos of an inbox that failed wait to be tried again, as if for the first time; how many."""
        with self._transaction() as db:
            failed = f"photo.phase = {int(Phase.FAILED)} AND {OPEN}"
            where = f"{failed} AND folder IN (SELECT id FROM folder WHERE inbox = ?)"
            values = Phase.WAITING, self._inbox_id(inbox)
            return db.execute(f"UPDATE photo SET phase = ?, attempts = 0 WHERE {where}", values).rowcount

    def set_report(self, reports: Mapping[bytes, Mapping[str, object]]) -> None:
        """Say for each inbox what only the daemon knows, for `status`."""
        with self._transaction() as db:
            for inbox, report in reports.items():
                self._inbox_id(inbox)
                db.execute("UPDATE inbox SET report = ? WHERE path = ?", (json.dumps(report), inbox))

    def set_identity(self, inbox: bytes, root: tuple[int, int]) -> None:
        """Remember an inbox's identity (st_dev, st_ino)."""
        with self._transaction() as db:
            self._inbox_id(inbox)
            db.execute("UPDATE inbox SET dev = ?, ino = ? WHERE path = ?", (*root, inbox))

    def set_meta(self, values: Mapping[str, object]) -> None:
        """Keep single values for the file as a whole."""
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))

    def _inbox_id(self, inbox: bytes) -> int:
        number = self._inbox_ids.get(inbox) or super()._inbox_id(inbox)
        if number < 0 and self._db.in_transaction:
            (number,) = self._db.execute("INSERT INTO inbox (path) VALUES (?) RETURNING id", (inbox,)).fetchone()
        if number > 0:
            self._inbox_ids[inbox] = number
        return number

    def _folder_id(self, inbox: bytes, folder: bytes) -> int:
        key = (self._inbox_id(inbox), folder)
        row = self._db.execute("SELECT id FROM folder WHERE inbox = ? AND path = ?", key).fetchone()
        if row is None:
            row = self._db.execute("INSERT INTO folder (inbox, path) VALUES (?, ?) RETURNING id", key).fetchone()
        return int(row[0])

    def _recipes_id(self, inbox: bytes, recipes: Mapping[str, str]) -> int:
        key = (self._inbox_id(inbox), json.dumps(recipes, sort_keys=True))
        number = self._recipes_ids.get(key)
        if number is None:
            row = self._db.execute("SELECT id FROM recipes WHERE inbox = ? AND made = ?", key).fetchone()
            if row is None:
                row = self._db.execute("INSERT INTO recipes (inbox, made) VALUES (?, ?) RETURNING id", key).fetchone()
            number = self._recipes_ids[key] = int(row[0])
        return number

    def _encode(self, inbox: bytes, known: PhotoRecord) -> tuple[object, ...]:
        made = {
            name: [*fact[:3], *([os.fsdecode(fact.name)] if fact.name is not None else [])]
            for name, fact in known.made.items()
        }
        return (
            known.stamp.size,
            fits(known.stamp.mtime_ns),
            int(known.phase),
            self._recipes_id(inbox, known.recipes),
            json.dumps(made, separators=(",", ":")),
            known.at,
            known.attempts,
            int(known.leased),
            known.reason.encode("utf-8", "backslashreplace").decode(),  # it may quote a name that is not UTF-8
            known.first_seen,
            known.origin,
            known.digest or None,
            known.away,
        )


def _places(name: bytes, made: Mapping[str, RenditionRecord]) -> set[tuple[str, bytes]]:
    """Give what the renditions of photo `name` are called: rendition, file name."""
    return {(rendition, fact.name or name) for rendition, fact in made.items()}


def _identity(path: str) -> tuple[int, int]:
    """Tell which file lies there; nobody's number where it is gone."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return 0, 0
    return found.st_dev, found.st_ino
