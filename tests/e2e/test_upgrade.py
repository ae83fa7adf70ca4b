"""An older version's state file, and a newer one's."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.e2e.harness import Place, fill
from watcher.store.schema import MIGRATIONS

OLD = Path(__file__).with_name("state_preview.sql").read_text()
PREVIEW = 5  # its version
RENDITIONS = {"web": {"width": 300, "height": 300}}  # that the old file's photos have


def old_state(place: Place) -> list[tuple[object, ...]]:
    """Make the state file of a version before the first release, with this place's photos; return its photos."""
    place.configure(RENDITIONS)
    fill(place.inbox, 2)
    (place.inbox / "bad.jpg").write_bytes(b"no photo")
    with closing(sqlite3.connect(place.state)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(OLD)
        root = place.inbox.stat()
        found = (os.fsencode(place.inbox), root.st_dev, root.st_ino)
        db.execute("UPDATE inbox SET path = ?, dev = ?, ino = ?", found)
        (report,) = db.execute("SELECT report FROM inbox").fetchone()
        report = json.dumps({**json.loads(report), "output": str(place.output)})
        db.execute("UPDATE inbox SET report = ?", (report,))
        for path in place.inbox.iterdir():
            stamp = (path.stat().st_size, path.stat().st_mtime_ns, os.fsencode(path.name))
            db.execute("UPDATE photo SET size = ?, mtime_ns = ? WHERE name = ?", stamp)
        return photos_of(db)


def photos_of(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    # without the reason: what has failed is tried again, as other formats can be read now
    return db.execute("SELECT name, size, mtime_ns, phase, made FROM photo ORDER BY name").fetchall()


def version_of(path: str | Path) -> tuple[int, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        return version, photos_of(db)


def test_a_state_file_from_before_the_first_release_is_brought_over_and_a_copy_is_kept_of_it(place: Place) -> None:
    before = old_state(place)
    assert version_of(place.state) == (PREVIEW, before)
    assert place.status()["inboxes"][0]["done"] == 3, "status reads it as it is"
    assert version_of(place.state) == (PREVIEW, before)
    done = place.once()
    assert "nothing made" in done.out, "what the older version has made is known"
    assert version_of(place.state) == (len(MIGRATIONS), before)
    kept = Path(f"{place.state}.v{PREVIEW}")
    assert version_of(kept) == (PREVIEW, before)
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_newer_state_file_is_refused_and_left_as_it_is(place: Place) -> None:
    old_state(place)
    with closing(sqlite3.connect(place.state)) as db:
        db.execute("PRAGMA user_version = 99")
    before = place.state.read_bytes()
    for command in ("run", "once", "status"):
        done = place.watcher(command, "--config", place.config)
        assert done.code == 78, done
        assert "a newer version of watcher" in done.err
        assert "Traceback" not in done.err
    assert place.state.read_bytes() == before
