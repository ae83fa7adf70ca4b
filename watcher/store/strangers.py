"""Whether a file is a state file, sound or damaged: asked before anything is done to it, since a slip can name any."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from urllib.parse import quote

from watcher.core.selection import special
from watcher.errors import StateError
from watcher.store.schema import APPLICATION

_SQLITE = b"SQLite format 3\0"
_HEAD = 100  # bytes of SQLite's header
_TABLES = {"meta", "inbox", "folder", "photo"}


def refuse_stranger(path: str) -> None:
    """Raise StateError where what lies there never was a state file; nothing is changed.

    A damaged file is taken for one by its header, or by the lock file that lies beside every state file in use.
    """
    try:
        found = os.stat(path)
        what = _what(path, found)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(
            f"the state file {path} can't be read: {error.strerror}; let this user read it, or name another"
        ) from error
    if what:
        raise StateError(
            f"{path} is {what}, and no state file of watcher: it is left as it is. Name another file with --state or"
            " `state`; if it is a damaged state file, move it away"
        )


def _what(path: str, found: os.stat_result) -> str:
    """Say what lies there; empty: a state file, or a file that is still empty."""
    if stat.S_ISDIR(found.st_mode):
        return "a folder"
    if reason := special(found.st_mode):
        return reason.removeprefix("it is ").removesuffix(", not a photo")
    if not found.st_size:
        return ""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if int.from_bytes(head[68:72], "big") == APPLICATION or _was_locked(path):
        return ""
    if not head.startswith(_SQLITE):
        return "no database"
    return "" if _has_our_tables(path) else "a database of another program"


def _was_locked(path: str) -> bool:
    """Return whether a watcher has ever held the lock of that state file."""
    try:
        with open(os.path.realpath(path) + ".lock", "rb") as file:
            return file.read(20).split(b"\n")[0].isdigit()
    except OSError:
        return False


def _has_our_tables(path: str) -> bool:
    log = os.path.exists(path + "-wal") and os.path.getsize(path + "-wal") > 0  # what it holds counts
    uri = "file:" + quote(os.fsencode(path)) + ("?mode=ro" if log else "?mode=ro&immutable=1")
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=1.0)) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError:
        return True  # busy, or not to be opened like this: the ordinary way finds out
    except sqlite3.DatabaseError:
        return False
    return not names or names >= _TABLES
