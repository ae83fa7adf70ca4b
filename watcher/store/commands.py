"""What people ask of the daemon: rows that any process may add to the state file, and only the daemon removes.

Rules:
- A request is durable before the daemon is told of it: a daemon that ends first leaves it to the next one.
- A program that asks changes nothing else in the state file, and never its schema.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from urllib.parse import quote

from watcher.core.types import Request
from watcher.errors import StateError
from watcher.store.faults import BUSY_SECONDS, translated
from watcher.store.schema import pending


def ask(path: str, requests: Iterable[Request]) -> None:
    """Add requests to the state file at `path`, durable. Raise StateError where that can't be done."""
    uri = "file:" + quote(os.fsencode(path)) + "?mode=rw"
    with translated(path), closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)) as db:
        if pending(db, path):
            raise StateError(f"the state file {path} is of an older version; restart the daemon that uses it")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        db.executemany(
            "INSERT INTO request (at, what, inbox, path, renditions) VALUES (?, ?, ?, ?, ?)",
            [(time.time(), item.what, item.inbox, item.path, json.dumps(item.renditions)) for item in requests],
        )
        db.execute("COMMIT")


def waiting(db: sqlite3.Connection, limit: int) -> list[tuple[int, Request]]:
    """List requests with their numbers, the oldest first."""
    rows = db.execute("SELECT id, what, inbox, path, renditions FROM request ORDER BY id LIMIT ?", (limit,))
    return [
        (number, Request(what, bytes(inbox), None if path is None else bytes(path), tuple(json.loads(names))))
        for number, what, inbox, path, names in rows
    ]


def remove(db: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Remove requests that were dealt with."""
    db.executemany("DELETE FROM request WHERE id = ?", [(number,) for number in numbers])
