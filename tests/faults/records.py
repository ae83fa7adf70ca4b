"""What the state file and the output tree say, less what differs from run to run.

What is waited for is read from here: to ask `watcher status` over and over would take the CPU from what is tested.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tests.e2e.harness import Place, reported, tree

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


class Standing(NamedTuple):
    """How an inbox stands."""

    reachable: bool
    done: int
    failed: int
    waiting: int


def standing(place: Place) -> Standing:
    """Read how the inbox stands while a daemon runs; what waits is what it has told last."""
    inbox = os.fsencode(place.inbox)
    with closing(sqlite3.connect(f"file:{place.state}?mode=ro", uri=True)) as db:
        done, failed = db.execute(
            "SELECT total(done), total(failed) FROM folder WHERE inbox = (SELECT id FROM inbox WHERE path = ?)",
            (inbox,),
        ).fetchone()
    told = reported(place)
    return Standing(told.get("reachable", False), int(done), int(failed), told.get("waiting", -1))


def told(place: Place) -> Standing:
    """Ask `watcher status` for the same."""
    found = place.status()["inboxes"][0]
    return Standing(found["reachable"], found["done"], found["failed"], found["waiting"])


def failures(place: Place) -> dict[str, tuple[str, int]]:
    """Give reason and attempts of every photo that has failed, by its file name."""
    with closing(sqlite3.connect(f"file:{place.state}?mode=ro", uri=True)) as db:
        found = db.execute("SELECT name, reason, attempts FROM photo WHERE phase = 2").fetchall()
    return {name.decode(): (reason, attempts) for name, reason, attempts in found}
