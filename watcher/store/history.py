"""What happened to each photo, bounded: the newest entries over all photos, and of those only so many for one photo.

Rules:
- Written in the transaction of the result that an entry is about.
- A wait that goes on for the same reason is one entry, counted; a photo that is rewritten every second pushes out
  its own history, not that of other photos.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from watcher.text import utf8_text

KEPT = 100_000  # entries over all photos: 15 MB
KEPT_EACH = 40  # of one photo
_AT_ONCE = 128  # how many are deleted at a time: each time costs as much as writing an entry
REPEATED = ("waiting", "paused", "gone")  # kinds that are counted while their reason stays the same

_INSERT = "INSERT INTO event (inbox, path, at, what, detail) VALUES (?, ?, ?, ?, ?)"
_LATEST = "SELECT id, what, detail FROM event WHERE inbox = ? AND path = ? ORDER BY id DESC LIMIT 1"
_TRIM = """DELETE FROM event WHERE inbox = ?1 AND path = ?2 AND id <=
    (SELECT id FROM event WHERE inbox = ?1 AND path = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)"""

Row = tuple[int, bytes, float, str, Mapping[str, object]]  # the inbox's number, path, at, what, detail


def add(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Write entries, within a transaction, and delete the oldest."""
    first = last = 0
    for inbox, path, at, what, detail in rows:
        if what in REPEATED and _goes_on(db, inbox, path, at, what, detail):
            continue
        last = db.execute(_INSERT, (inbox, path, at, what, _text(detail))).lastrowid or 0
        first = first or last
        db.execute(_TRIM, (inbox, path, KEPT_EACH))
    if last // _AT_ONCE != (first - 1) // _AT_ONCE:
        db.execute("DELETE FROM event WHERE id <= ?", (last - KEPT,))


def _goes_on(
    db: sqlite3.Connection, inbox: int, path: bytes, at: float, what: str, detail: Mapping[str, object]
) -> bool:
    """Count an entry into the latest one of its photo if that says the same; return whether it does."""
    row = db.execute(_LATEST, (inbox, path)).fetchone()
    if row is None or row[1] != what:
        return False
    before = json.loads(row[2])
    if before.get("reason") != detail.get("reason"):
        return False
    merged = {**before, **_only(detail, "next"), "times": before.get("times", 1) + 1, "until": at}
    db.execute("UPDATE event SET detail = ? WHERE id = ?", (_text(merged), row[0]))
    return True


def _only(detail: Mapping[str, object], key: str) -> dict[str, object]:
    return {key: detail[key]} if key in detail else {}


def _text(detail: Mapping[str, object]) -> str:
    # ASCII: a reason may quote a name that is not UTF-8
    return json.dumps(detail, separators=(",", ":"))


def of_photo(db: sqlite3.Connection, inbox: int, path: bytes) -> list[tuple[float, str, dict[str, Any]]]:
    """Return a photo's entries, the oldest first."""
    rows = db.execute("SELECT at, what, detail FROM event WHERE inbox = ? AND path = ? ORDER BY id", (inbox, path))
    return [(at, what, json.loads(detail)) for at, what, detail in rows]


def copied_to(db: sqlite3.Connection, inbox: int, photo: bytes) -> bytes | None:
    """Return the path of the photo that got the renditions of another one (`photo`, absolute) last."""
    name = utf8_text(photo)
    rows = db.execute(
        "SELECT path, detail FROM event WHERE inbox = ? AND what = 'made' AND instr(detail, '\"of\"') ORDER BY id DESC",
        (inbox,),
    )
    return next((bytes(path) for path, detail in rows if json.loads(detail).get("of") == name), None)
