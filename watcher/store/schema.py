"""The state file's schema, its migrations, and what can be wrong with the file as a whole."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from watcher.core.naming import NUMBER_DIGITS
from watcher.errors import EXIT_CONFIG, StateError, WatcherError

APPLICATION = 0x77617463  # "watc", in the header of every state file
BUSY_SECONDS = 5.0  # how long another program may hold the file before we say so

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,
    dev INTEGER, ino INTEGER,          -- the folder's identity when it was last scanned
    report TEXT NOT NULL DEFAULT '{}'  -- what only a running daemon knows, for `status`
);
CREATE TABLE recipes (
    id INTEGER PRIMARY KEY,
    inbox INTEGER NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    made TEXT NOT NULL,                -- rendition -> fingerprint
    photos INTEGER NOT NULL DEFAULT 0, -- kept by triggers
    UNIQUE (inbox, made)
);
CREATE TABLE folder (
    id INTEGER PRIMARY KEY,
    inbox INTEGER NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    path BLOB NOT NULL,
    waiting INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (inbox, path)
);
CREATE TABLE photo (
    folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
    stem BLOB NOT NULL, name BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,         -- digits as a BLOB where it takes more than 64 bits: after the year 2262
    phase INTEGER NOT NULL,            -- plan.Phase
    recipes INTEGER NOT NULL REFERENCES recipes (id),
    made TEXT NOT NULL,                -- rendition -> [width, height, bytes, name if not the natural one]
    at REAL NOT NULL, attempts INTEGER NOT NULL, leased INTEGER NOT NULL, reason TEXT NOT NULL,
    first_seen REAL NOT NULL, origin TEXT NOT NULL,
    PRIMARY KEY (folder, stem, name)
) WITHOUT ROWID;
CREATE INDEX photo_open ON photo (phase, folder) WHERE phase <> 1;
CREATE INDEX photo_leased ON photo (folder) WHERE leased = 1;
CREATE TRIGGER photo_insert AFTER INSERT ON photo BEGIN
    UPDATE folder SET waiting = waiting + (NEW.phase = 0), done = done + (NEW.phase = 1),
        failed = failed + (NEW.phase = 2) WHERE id = NEW.folder;
    UPDATE recipes SET photos = photos + 1 WHERE id = NEW.recipes;
END;
CREATE TRIGGER photo_delete AFTER DELETE ON photo BEGIN
    UPDATE folder SET waiting = waiting - (OLD.phase = 0), done = done - (OLD.phase = 1),
        failed = failed - (OLD.phase = 2) WHERE id = OLD.folder;
    UPDATE recipes SET photos = photos - 1 WHERE id = OLD.recipes;
END;
CREATE TRIGGER photo_phase AFTER UPDATE OF phase ON photo WHEN NEW.phase <> OLD.phase BEGIN
    UPDATE folder SET
        waiting = waiting + (NEW.phase = 0) - (OLD.phase = 0), done = done + (NEW.phase = 1) - (OLD.phase = 1),
        failed = failed + (NEW.phase = 2) - (OLD.phase = 2) WHERE id = NEW.folder;
END;
CREATE TRIGGER photo_recipes AFTER UPDATE OF recipes ON photo WHEN NEW.recipes <> OLD.recipes BEGIN
    UPDATE recipes SET photos = photos - 1 WHERE id = OLD.recipes;
    UPDATE recipes SET photos = photos + 1 WHERE id = NEW.recipes;
END;
"""
# What was made of which content: of photos on the books, and of those that have left. `alike` finds the photos of one
# size: an index on `photo` itself would hold both stem and name of each, and take half as much again.
_CONTENT = """
ALTER TABLE photo ADD COLUMN digest BLOB;  -- of the content that the renditions were made from
CREATE TABLE alike (
    size INTEGER NOT NULL, folder INTEGER NOT NULL, stem BLOB NOT NULL,
    PRIMARY KEY (size, folder, stem)
) WITHOUT ROWID;
CREATE TABLE ghost (                       -- a photo that was done and has left; its renditions have stayed
    id INTEGER PRIMARY KEY,
    inbox INTEGER NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    folder BLOB NOT NULL, stem BLOB NOT NULL, name BLOB NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    recipes INTEGER NOT NULL, made TEXT NOT NULL, digest BLOB,
    gone INTEGER NOT NULL                  -- seconds of the wall clock
);
CREATE INDEX ghost_size ON ghost (size);
CREATE INDEX ghost_place ON ghost (inbox, folder, stem);
CREATE TRIGGER photo_alike AFTER INSERT ON photo WHEN NEW.digest IS NOT NULL BEGIN
    INSERT INTO alike SELECT NEW.size, NEW.folder, NEW.stem
        WHERE NOT EXISTS (SELECT 1 FROM alike WHERE size = NEW.size AND folder = NEW.folder AND stem = NEW.stem);
END;
CREATE TRIGGER photo_content AFTER UPDATE OF size, digest ON photo
    WHEN NEW.size <> OLD.size OR (NEW.digest IS NULL) <> (OLD.digest IS NULL) BEGIN
    DELETE FROM alike WHERE size = OLD.size AND folder = OLD.folder AND stem = OLD.stem AND NOT EXISTS (
        SELECT 1 FROM photo WHERE folder = OLD.folder AND stem = OLD.stem AND size = OLD.size AND digest IS NOT NULL);
    INSERT INTO alike SELECT NEW.size, NEW.folder, NEW.stem WHERE NEW.digest IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM alike WHERE size = NEW.size AND folder = NEW.folder AND stem = NEW.stem);
END;
CREATE TRIGGER photo_unlike AFTER DELETE ON photo WHEN OLD.digest IS NOT NULL BEGIN
    DELETE FROM alike WHERE size = OLD.size AND folder = OLD.folder AND stem = OLD.stem AND NOT EXISTS (
        SELECT 1 FROM photo WHERE folder = OLD.folder AND stem = OLD.stem AND size = OLD.size AND digest IS NOT NULL);
END;
CREATE TRIGGER photo_gone AFTER DELETE ON photo WHEN OLD.phase = 1 BEGIN
    INSERT INTO ghost (inbox, folder, stem, name, size, mtime_ns, recipes, made, digest, gone)
        SELECT inbox, path, OLD.stem, OLD.name, OLD.size, OLD.mtime_ns, OLD.recipes, OLD.made, OLD.digest,
            CAST(strftime('%s', 'now') AS INTEGER) FROM folder WHERE id = OLD.folder;
END;
"""
_ASKED_AND_TOLD = """
CREATE TABLE event (                   -- see `history`
    id INTEGER PRIMARY KEY,            -- in the order of writing; the lowest are the first to go
    inbox INTEGER NOT NULL, path BLOB NOT NULL,
    at REAL NOT NULL, what TEXT NOT NULL,
    detail TEXT NOT NULL               -- JSON
);
CREATE INDEX event_photo ON event (inbox, path);
CREATE TABLE request (                 -- see `requests`
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    what TEXT NOT NULL,
    inbox BLOB NOT NULL,
    path BLOB,                         -- NULL: every photo of the inbox that it may be about
    renditions TEXT NOT NULL           -- JSON: the names of those that are meant
);
"""

# Photos whose originals were taken away when they were done. Each has a key that no file can have (see `plan.aside`),
# so that another photo may have its name.
_AWAY = """
ALTER TABLE photo ADD COLUMN away BLOB;  -- where the original went; empty: it was deleted
ALTER TABLE folder ADD COLUMN away INTEGER NOT NULL DEFAULT 0;  -- how many, of those that are done
CREATE TRIGGER photo_taken AFTER INSERT ON photo WHEN NEW.away IS NOT NULL BEGIN
    UPDATE folder SET away = away + 1 WHERE id = NEW.folder;
END;
CREATE TRIGGER photo_returned AFTER DELETE ON photo WHEN OLD.away IS NOT NULL BEGIN
    UPDATE folder SET away = away - 1 WHERE id = OLD.folder;
END;
"""
# A device that gives every photo one name leaves thousands of them: what is asked of a name must not read them all. So
# they have a stem of their own, out of the way of all that is asked of stems, a number of as many digits each, and an
# index by what they looked like, and by when they were made.
_APART = f"""
PRAGMA application_id = {APPLICATION};
INSERT OR IGNORE INTO alike SELECT DISTINCT size, folder, CAST(x'00' || stem AS BLOB) FROM photo
    WHERE away IS NOT NULL AND digest IS NOT NULL;
UPDATE photo SET stem = CAST(x'00' || stem AS BLOB), name = CAST(substr(name, 1, instr(name, x'00'))
    || printf('%0{NUMBER_DIGITS}d', CAST(CAST(substr(name, instr(name, x'00') + 1) AS TEXT) AS INTEGER)) AS BLOB)
    WHERE away IS NOT NULL;
DELETE FROM alike WHERE NOT EXISTS (SELECT 1 FROM photo WHERE photo.folder = alike.folder AND photo.stem = alike.stem
    AND photo.size = alike.size AND photo.digest IS NOT NULL);
CREATE INDEX photo_looks ON photo (folder, stem, size, mtime_ns, at) WHERE away IS NOT NULL;
DROP TRIGGER photo_gone;
CREATE TRIGGER photo_gone AFTER DELETE ON photo WHEN OLD.phase = 1 AND OLD.away IS NULL BEGIN
    INSERT INTO ghost (inbox, folder, stem, name, size, mtime_ns, recipes, made, digest, gone)
        SELECT inbox, path, OLD.stem, OLD.name, OLD.size, OLD.mtime_ns, OLD.recipes, OLD.made, OLD.digest,
            CAST(strftime('%s', 'now') AS INTEGER) FROM folder WHERE id = OLD.folder;
END;
CREATE INDEX photo_made ON photo (folder, stem, at) WHERE away IS NOT NULL;
"""
# What a photo was until a new version came that could not be made yet has left too: its renditions stay until others
# take their places, and go if it is found under another name and this one is free.
_REPLACED = """
ALTER TABLE ghost ADD COLUMN at REAL NOT NULL DEFAULT 0;  -- when its renditions were made
DROP TRIGGER photo_gone;
CREATE TRIGGER photo_gone AFTER DELETE ON photo WHEN OLD.phase = 1 AND OLD.away IS NULL BEGIN
    INSERT INTO ghost (inbox, folder, stem, name, size, mtime_ns, recipes, made, digest, at, gone)
        SELECT inbox, path, OLD.stem, OLD.name, OLD.size, OLD.mtime_ns, OLD.recipes, OLD.made, OLD.digest, OLD.at,
            CAST(strftime('%s', 'now') AS INTEGER) FROM folder WHERE id = OLD.folder;
END;
CREATE TRIGGER photo_replaced AFTER UPDATE OF phase ON photo
    WHEN OLD.phase = 1 AND NEW.phase <> 1 AND OLD.away IS NULL BEGIN
    INSERT INTO ghost (inbox, folder, stem, name, size, mtime_ns, recipes, made, digest, at, gone)
        SELECT inbox, path, OLD.stem, OLD.name, OLD.size, OLD.mtime_ns, OLD.recipes, OLD.made, OLD.digest, OLD.at,
            CAST(strftime('%s', 'now') AS INTEGER) FROM folder WHERE id = OLD.folder;
END;
CREATE TRIGGER photo_never_made AFTER DELETE ON photo WHEN OLD.phase <> 1 BEGIN
    UPDATE ghost SET gone = CAST(strftime('%s', 'now') AS INTEGER) WHERE stem = OLD.stem AND name = OLD.name
        AND (inbox, folder) = (SELECT inbox, path FROM folder WHERE id = OLD.folder);
END;
"""
MIGRATIONS: tuple[str, ...] = (_SCHEMA, _CONTENT, _ASKED_AND_TOLD, _AWAY, _APART, _REPLACED)


class StateBusyError(StateError):
    """The state file can't be written just now (locked, no room, I/O error): keep what you have and try later."""


class StateCorruptError(WatcherError):
    """SQLite says that the file is no database or a damaged one. No StateError: waiting does not help."""

    exit_code = EXIT_CONFIG


class StateGoneError(StateCorruptError):
    """Somebody removed or replaced the file while it was open: what is written to it is lost."""


_REMEDIES = {
    "locked": "close the other program that uses it",
    "full": "make room on its disk",
}


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn what SQLite raises into what the daemon can act on."""
    try:
        yield
    except sqlite3.OperationalError as error:
        remedies = (remedy for fault, remedy in _REMEDIES.items() if fault in str(error))
        remedy = next(remedies, "see that its disk is sound and can be written")
        raise StateBusyError(f"the state file {path} can't be used just now: {error}; {remedy}") from error
    except sqlite3.DatabaseError as error:
        raise StateCorruptError(_damaged(path, str(error))) from error


def _damaged(path: str, fault: str) -> str:
    return (
        f"the state file {path} is damaged: {fault}; `watcher run` and `watcher once` set it aside and begin a new one"
    )


def check_sound(connection: sqlite3.Connection, path: str) -> None:
    """Raise StateCorruptError where SQLite finds the file damaged."""
    fault = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if fault != "ok":
        raise StateCorruptError(_damaged(path, fault))


def refuse_newer(version: int, path: str) -> None:
    """Raise StateError where the file was written by a newer version of this program."""
    if version > len(MIGRATIONS):
        raise StateError(
            f"the state file {path} was written by a newer version of watcher (its schema is {version}, this version "
            f"knows up to {len(MIGRATIONS)}); upgrade watcher, or name another state file with --state"
        )


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the schema up to date, a copy of the older file (`PATH.vN`) kept first."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    refuse_newer(version, path)
    if 0 < version < len(MIGRATIONS):
        kept = f"{path}.v{version}"
        os.close(os.open(kept, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(kept)) as copy:
            connection.backup(copy)
    _apply(connection, version)


def up_to_date(connection: sqlite3.Connection, version: int) -> sqlite3.Connection:
    """Give what an older file holds as this version would have it, in memory: readers change nothing on disk."""
    if version == len(MIGRATIONS):
        return connection
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with closing(connection):
        connection.backup(copy)
    _apply(copy, version)
    return copy


def _apply(connection: sqlite3.Connection, version: int) -> None:
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        # executescript commits first, so the script itself carries the transaction
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


def put_aside(path: str) -> str:
    """Rename a damaged file, and what belongs to it, out of the way; the new name."""
    stem = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    target, number = stem, 1
    while os.path.exists(target):
        number += 1
        target = f"{stem}.{number}"
    for suffix in ("-wal", "-shm", ""):
        if os.path.exists(path + suffix):
            os.rename(path + suffix, target + suffix)
    return target
