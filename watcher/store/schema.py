"""The state file's schema, and how an older file is brought up to date."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from watcher.errors import StateError

APPLICATION = 0x77617431  # "wat1", in the header of every state file
_PREVIEW = 0x77617463  # the same of files that were written before the first release
APPLICATIONS = frozenset({APPLICATION, _PREVIEW})

_LEFT = """
    INSERT INTO tombstone (inbox, folder, stem, name, size, mtime_ns, recipes, made, digest, gone, at, nested, unsure)
        SELECT inbox, folder.path, OLD.stem, OLD.name, OLD.size, OLD.mtime_ns, OLD.recipes, OLD.made, OLD.digest,
            CAST(strftime('%s', 'now') AS INTEGER), OLD.at, OLD.nested, inbox.unsure
            FROM folder JOIN inbox ON inbox.id = folder.inbox WHERE folder.id = OLD.folder;
"""
# What a photo was until a new version came that could not be made yet has left too: its renditions stay until others
# take their places, and go if it is found under another name and this one is free.
_TOMBSTONES = f"""
CREATE INDEX tombstone_size ON tombstone (size);
CREATE INDEX tombstone_place ON tombstone (inbox, folder, stem);
CREATE TRIGGER photo_gone AFTER DELETE ON photo WHEN OLD.phase = 1 AND OLD.away IS NULL BEGIN{_LEFT}END;
CREATE TRIGGER photo_replaced AFTER UPDATE OF phase ON photo
    WHEN OLD.phase = 1 AND NEW.phase <> 1 AND OLD.away IS NULL BEGIN{_LEFT}END;
CREATE TRIGGER photo_never_made AFTER DELETE ON photo WHEN OLD.phase <> 1 BEGIN
    UPDATE tombstone SET gone = CAST(strftime('%s', 'now') AS INTEGER) WHERE stem = OLD.stem AND name = OLD.name
        AND (inbox, folder) = (SELECT inbox, path FROM folder WHERE id = OLD.folder);
END;
"""
_HOOKS = """
CREATE TABLE hook (
    id INTEGER PRIMARY KEY,
    "on" TEXT NOT NULL, target TEXT NOT NULL, inboxes TEXT NOT NULL,
    waiting INTEGER NOT NULL DEFAULT 0,  -- kept by triggers
    failed INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT ''
);
CREATE TABLE outbox (                  -- see `outbox`
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order of delivery
    hook INTEGER NOT NULL REFERENCES hook (id) ON DELETE CASCADE,
    part TEXT NOT NULL,                -- the batch that it is a part of; empty: it is delivered itself
    what TEXT NOT NULL,
    parts TEXT NOT NULL,               -- the batch that it ends
    at REAL NOT NULL,
    inbox BLOB NOT NULL, output BLOB NOT NULL, path BLOB NOT NULL,
    item TEXT NOT NULL,                -- JSON
    key TEXT NOT NULL DEFAULT (lower(hex(randomblob(12))))
);
CREATE INDEX outbox_next ON outbox (hook, part, id);
CREATE TRIGGER outbox_insert AFTER INSERT ON outbox WHEN NEW.part = '' BEGIN
    UPDATE hook SET waiting = waiting + 1 WHERE id = NEW.hook;
END;
CREATE TRIGGER outbox_delete AFTER DELETE ON outbox WHEN OLD.part = '' BEGIN
    UPDATE hook SET waiting = waiting - 1 WHERE id = OLD.hook;
END;
"""
# An original that was archived or deleted once its photo was done has a key that no file can have, with a stem apart
# from the others (see `naming.aside`): a device that gives every photo one name leaves thousands of them. `alike` finds
# the photos of one size: an index on `photo` itself would hold stem and name of each, and take half as much again.
_SCHEMA = f"""
PRAGMA application_id = {APPLICATION};
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,
    dev INTEGER, ino INTEGER,          -- the folder's identity when it was last scanned
    report TEXT NOT NULL DEFAULT '{{}}', -- what only a running daemon knows, for `status`
    unsure INTEGER NOT NULL DEFAULT 0  -- a photo that is not there may be on a volume that is away
);
CREATE TABLE recipes (
    id INTEGER PRIMARY KEY,
    inbox INTEGER NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    made TEXT NOT NULL,                -- rendition -> `records.key_of`
    photos INTEGER NOT NULL DEFAULT 0, -- kept by triggers
    UNIQUE (inbox, made)
);
CREATE TABLE folder (
    id INTEGER PRIMARY KEY,
    inbox INTEGER NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    path BLOB NOT NULL,
    waiting INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    away INTEGER NOT NULL DEFAULT 0,   -- of those that are done: how many originals were taken away
    UNIQUE (inbox, path)
);
CREATE TABLE photo (
    folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
    stem BLOB NOT NULL, name BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,         -- digits as a BLOB where it takes more than 64 bits: after the year 2262
    phase INTEGER NOT NULL,            -- records.Phase
    recipes INTEGER NOT NULL REFERENCES recipes (id),
    made TEXT NOT NULL,                -- rendition -> [width, height, bytes, name if not the natural one, digest, …]
    at REAL NOT NULL, attempts INTEGER NOT NULL, leased INTEGER NOT NULL, reason TEXT NOT NULL,
    first_seen REAL NOT NULL, origin TEXT NOT NULL,
    digest BLOB,                       -- of the content that the renditions were made from
    away BLOB,                         -- where the original went; empty: it was deleted
    nested INTEGER NOT NULL DEFAULT 0, -- it was on a volume that is mounted below the inbox
    PRIMARY KEY (folder, stem, name)
) WITHOUT ROWID;
CREATE INDEX photo_open ON photo (phase, folder) WHERE phase <> 1;
CREATE INDEX photo_looks ON photo (folder, stem, size, mtime_ns, at) WHERE away IS NOT NULL;
CREATE INDEX photo_made ON photo (folder, stem, at) WHERE away IS NOT NULL;
CREATE TABLE alike (
    size INTEGER NOT NULL, folder INTEGER NOT NULL, stem BLOB NOT NULL,
    PRIMARY KEY (size, folder, stem)
) WITHOUT ROWID;
CREATE TABLE tombstone (               -- a photo that was done and has left; its renditions have stayed
    id INTEGER PRIMARY KEY,
    inbox INTEGER NOT NULL REFERENCES inbox (id) ON DELETE CASCADE,
    folder BLOB NOT NULL, stem BLOB NOT NULL, name BLOB NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    recipes INTEGER NOT NULL, made TEXT NOT NULL, digest BLOB,
    gone INTEGER NOT NULL,             -- seconds of the wall clock
    at REAL NOT NULL DEFAULT 0,        -- when its renditions were made
    nested INTEGER NOT NULL DEFAULT 0, -- as in `photo`
    unsure INTEGER NOT NULL DEFAULT 0  -- as in `inbox` when it left
);
CREATE TABLE event (                   -- see `history`
    id INTEGER PRIMARY KEY,            -- in the order of writing; the lowest are the first to go
    inbox INTEGER NOT NULL, path BLOB NOT NULL,
    at REAL NOT NULL, what TEXT NOT NULL,
    detail TEXT NOT NULL               -- JSON
);
CREATE INDEX event_photo ON event (inbox, path);
CREATE TABLE request (                 -- see `commands`
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    what TEXT NOT NULL,
    inbox BLOB NOT NULL,
    path BLOB,                         -- NULL: every photo of the inbox that it may be about
    renditions TEXT NOT NULL           -- JSON: the names of those that are meant
);
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
CREATE TRIGGER photo_taken AFTER INSERT ON photo WHEN NEW.away IS NOT NULL BEGIN
    UPDATE folder SET away = away + 1 WHERE id = NEW.folder;
END;
CREATE TRIGGER photo_returned AFTER DELETE ON photo WHEN OLD.away IS NOT NULL BEGIN
    UPDATE folder SET away = away - 1 WHERE id = OLD.folder;
END;
{_TOMBSTONES}{_HOOKS}"""
# Each script makes one version from the one before it; the first makes an empty file one of version 1.
MIGRATIONS: tuple[str, ...] = (_SCHEMA,)

_FROM_SIX = f"""
PRAGMA application_id = {APPLICATION};
DROP INDEX photo_leased;
DROP TRIGGER photo_gone;
DROP TRIGGER IF EXISTS photo_replaced;
DROP TRIGGER IF EXISTS photo_never_made;
DROP INDEX ghost_size;
DROP INDEX ghost_place;
ALTER TABLE ghost RENAME TO tombstone;
ALTER TABLE tombstone ADD COLUMN nested INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tombstone ADD COLUMN unsure INTEGER NOT NULL DEFAULT 0;
ALTER TABLE photo ADD COLUMN nested INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inbox ADD COLUMN unsure INTEGER NOT NULL DEFAULT 0;
{_TOMBSTONES}{_HOOKS}"""
_FROM_PREVIEW = {5: f"ALTER TABLE ghost ADD COLUMN at REAL NOT NULL DEFAULT 0;{_FROM_SIX}", 6: _FROM_SIX}


def pending(connection: sqlite3.Connection, path: str) -> tuple[str, ...]:
    """Return the scripts that bring a file up to date. Raise StateError for a version that is not known."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application == _PREVIEW and version in _FROM_PREVIEW:
        return (_FROM_PREVIEW[version], *MIGRATIONS[1:])
    if application != APPLICATION and 0 < version < min(_FROM_PREVIEW):
        raise StateError(
            f"the state file {path} was written by a test version of watcher that is no longer supported; move it"
            " away: outputs that are up to date are taken over, not made again"
        )
    if version > len(MIGRATIONS):
        raise StateError(
            f"the state file {path} was written by a newer version of watcher (its schema is {version}, this version "
            f"knows up to {len(MIGRATIONS)}); upgrade watcher, or name another state file with --state"
        )
    return MIGRATIONS[version:]


def is_empty(connection: sqlite3.Connection) -> bool:
    """Return whether nothing was ever written to a file."""
    return bool(connection.execute("PRAGMA user_version").fetchone() == (0,))


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring a file up to date; keep a copy of an older one (`PATH.vN`)."""
    scripts = pending(connection, path)
    if scripts and not is_empty(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        kept = f"{path}.v{version}"
        os.close(os.open(kept, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(kept)) as copy:
            connection.backup(copy)
    _apply(connection, scripts)


def up_to_date(connection: sqlite3.Connection, scripts: tuple[str, ...]) -> sqlite3.Connection:
    """Return a migrated copy of an older file in memory: a reader changes nothing on disk."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with closing(connection):
        connection.backup(copy)
    _apply(copy, scripts)
    return copy


def _apply(connection: sqlite3.Connection, scripts: tuple[str, ...]) -> None:
    for number, script in enumerate(scripts, len(MIGRATIONS) - len(scripts) + 1):
        # executescript commits first, so the script itself carries the transaction
        connection.executescript(f"BEGIN IMMEDIATE;\n{script};\nPRAGMA user_version = {number};\nCOMMIT;")
