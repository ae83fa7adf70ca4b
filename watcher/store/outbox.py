"""What hooks have yet to be told of: written in the transaction of the photos that it is about.

Rules:
- An entry that has a `batch` is a part of that batch, and is delivered with the entry that ends it.
- A batch that was cut off by the daemon's end ends with what it had (`adopt`).
- What waits for hooks of another config, with inboxes that this one does not have, stays as it is.
- What was delivered or given up is deleted, and is an entry in the history of each photo.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence

from watcher.core.hooks import Adopted, Answered, HookId, HookStatus, Outgoing, document, shown_target
from watcher.core.types import PhotoId
from watcher.store import history
from watcher.store.faults import translated
from watcher.text import iso

_INTO = "INSERT INTO outbox (hook, part, what, parts, at, inbox, output, path, item)"
_INSERT = f"{_INTO} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_HOOK = 'INSERT INTO hook ("on", target, inboxes) VALUES (?, ?, ?) RETURNING id'
_CUT_OFF = f"""{_INTO}
    SELECT hook, '', 'batch', part, max(at), inbox, output, x'', '' FROM outbox AS one
    WHERE part <> '' AND NOT EXISTS
        (SELECT 1 FROM outbox WHERE hook = one.hook AND part = '' AND parts = one.part)
    GROUP BY hook, part ORDER BY min(id)"""


def adopt(db: sqlite3.Connection, hooks: Sequence[HookId], inboxes: Sequence[bytes], *, fresh: bool) -> Adopted:
    """Take on the hooks of a config, and drop what waited for those that are no more.

    Within a transaction. `inboxes`: all of the config. `fresh`: the daemon has just started, so that no batch is open.
    """
    if fresh:
        db.execute(_CUT_OFF)
    known = {number: HookId(*hook) for number, *hook in db.execute('SELECT id, "on", target, inboxes FROM hook')}
    numbers: dict[HookId, int] = {hook: number for number, hook in known.items() if hook in hooks}
    left = dict(_own_part(db, number, hook, inboxes) for number, hook in known.items() if hook not in hooks)
    for hook in hooks:
        if hook in numbers:
            continue
        same = next((n for n, old in left.items() if (old.on, old.inboxes) == (hook.on, hook.inboxes)), None)
        if same is None:
            numbers[hook] = int(db.execute(_ADD_HOOK, hook).fetchone()[0])
        else:
            del left[same]
            db.execute("UPDATE hook SET target = ? WHERE id = ?", (hook.target, same))
            numbers[hook] = same
    lost = []
    for number, hook in left.items():
        (waiting,) = db.execute("SELECT waiting FROM hook WHERE id = ?", (number,)).fetchone()
        lost += [(hook, waiting)] if waiting else []
        db.execute("DELETE FROM hook WHERE id = ?", (number,))
    return [numbers[hook] for hook in hooks], lost


def _own_part(db: sqlite3.Connection, number: int, hook: HookId, inboxes: Sequence[bytes]) -> tuple[int, HookId]:
    """Return the number under which a hook has what waits for it of these inboxes alone, and the hook."""
    own = f"hook = ? AND inbox IN ({', '.join('?' for _ in inboxes)})"
    if not db.execute(
        f"SELECT 1 FROM outbox WHERE hook = ? AND NOT ({own}) LIMIT 1", (number, number, *inboxes)
    ).fetchone():
        return number, hook
    other = int(db.execute(_ADD_HOOK, hook).fetchone()[0])
    db.execute(f"UPDATE outbox SET hook = ? WHERE {own}", (other, number, *inboxes))
    count = "(SELECT count(*) FROM outbox WHERE outbox.hook = hook.id AND part = '')"
    db.execute(f"UPDATE hook SET waiting = {count} WHERE id IN (?, ?)", (number, other))
    return other, hook


def write(
    db: sqlite3.Connection, entries: Iterable[Outgoing | Answered], inbox_id: Callable[[bytes], int]
) -> list[history.Row]:
    """Add entries, and delete those that were answered, within a transaction; return what photos' histories get."""
    notes: list[history.Row] = []
    for entry in entries:
        if isinstance(entry, Answered):
            notes += _answered(db, entry, inbox_id)
        else:
            part, parts = ("", entry.batch) if entry.what == "batch" else (entry.batch, "")
            values = (entry.hook, part, entry.what, parts, entry.at, entry.inbox, entry.output, entry.path, entry.item)
            db.execute(_INSERT, values)
    return notes


def _answered(db: sqlite3.Connection, answer: Answered, inbox_id: Callable[[bytes], int]) -> list[history.Row]:
    error = answer.error.encode("utf-8", "backslashreplace").decode()
    db.execute("UPDATE hook SET last_error = ?, failed = failed + ? WHERE id = ?", (error, answer.gave_up, answer.hook))
    if error and not answer.gave_up:
        return []
    row = db.execute(
        "SELECT parts, target FROM outbox JOIN hook ON hook.id = hook WHERE outbox.id = ?", (answer.number,)
    ).fetchone()
    if row is None:
        return []
    parts, target = row
    detail = {"to": shown_target(target), **({"reason": error} if error else {})}
    where, values = ("hook = ? AND part = ?", (answer.hook, parts)) if parts else ("id = ?", (answer.number,))
    rows = db.execute(f"SELECT inbox, path FROM outbox WHERE {where} ORDER BY id", values).fetchall()
    found = [(inbox_id(bytes(inbox)), bytes(path)) for inbox, path in rows]
    if parts:
        db.execute("DELETE FROM outbox WHERE hook = ? AND part = ?", (answer.hook, parts))
    db.execute("DELETE FROM outbox WHERE id = ?", (answer.number,))
    return [(inbox, path, answer.at, "hook", detail) for inbox, path in found]


class Outbox:
    """The outbox of a state file, to read."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self._path = path
        self._db = connection

    def first(self, hook: int, after: int) -> tuple[int, float] | None:
        """Return the number of the entry that a hook is told of next, and since when it waits; None: there is none."""
        query = "SELECT id, at FROM outbox WHERE hook = ? AND part = '' AND id > ? ORDER BY id LIMIT 1"
        with translated(self._path):
            row: tuple[int, float] | None = self._db.execute(query, (hook, after)).fetchone()
        return row

    def document(self, number: int) -> bytes | None:
        """Return the document of an entry; None: there is no such entry."""
        query = "SELECT hook, what, parts, at, inbox, output, item, key FROM outbox WHERE id = ?"
        with translated(self._path):
            row = self._db.execute(query, (number,)).fetchone()
            if row is None:
                return None
            hook, what, parts, at, inbox, output, item, key = row
            items: Iterable[tuple[str, str]] = [(what, item)]
            if what == "batch":
                query = "SELECT what, item FROM outbox WHERE hook = ? AND part = ? ORDER BY id"
                items = self._db.execute(query, (hook, parts))
            return document(what, key, iso(at), (bytes(inbox), bytes(output)), items)

    def of_photo(self, photo: PhotoId) -> list[tuple[float, dict[str, object]]]:
        """Return since when hooks have yet to be told of a photo, which, and why their last try failed."""
        query = """SELECT outbox.at, target, last_error FROM outbox JOIN hook ON hook.id = outbox.hook
            WHERE inbox = ? AND path = ? ORDER BY outbox.id"""
        with translated(self._path):
            rows = self._db.execute(query, (photo.inbox, photo.path)).fetchall()
        return [
            (at, {"to": shown_target(target), "waits": True, **({"error": error} if error else {})})
            for at, target, error in rows
        ]

    def statuses(self) -> dict[HookId, HookStatus]:
        """Return the status of all hooks."""
        query = 'SELECT "on", target, inboxes, waiting, failed, last_error FROM hook'
        with translated(self._path):
            rows = self._db.execute(query).fetchall()
        return {
            HookId(on, target, inboxes): HookStatus(on, shown_target(target), waiting, failed, error)
            for on, target, inboxes, waiting, failed, error in rows
        }
