"""What the state file and the output tree say, less what differs from run to run."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.e2e.harness import tree

Row = tuple[object, ...]

_ROWS = """SELECT folder.path, photo.name, size, mtime_ns, phase, recipes.made, photo.made, attempts, leased, reason
    FROM photo JOIN folder ON folder.id = photo.folder JOIN recipes ON recipes.id = photo.recipes
    ORDER BY folder.path, photo.name"""
_COUNTS = "SELECT path, waiting, done, failed FROM folder ORDER BY path"


def rows(state: Path) -> list[Row]:
    """Give all that is known of every photo but when; the file must be sound."""
    with closing(sqlite3.connect(state)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        return db.execute(_ROWS).fetchall() + db.execute(_COUNTS).fetchall()


def contents(output: Path) -> dict[str, tuple[str, int]]:
    """Give every output's bytes (their hash) and modification time."""
    return {
        name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for name, path in tree(output).items()
    }
