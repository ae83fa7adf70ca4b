"""The open state file, and what reading it takes: faults translated, inboxes and recipes looked up once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from watcher.core.records import PhotoRecord
from watcher.store.faults import translated
from watcher.store.outbox import Outbox
from watcher.store.records import decode

FOLDER = "(SELECT id FROM folder WHERE inbox = ? AND path = ?)"


class Reader:
    """The open state file. A context manager; every method may raise StateBusyError or StateCorruptError."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self.current = True  # the file on disk is of this version; otherwise this is a copy in memory
        self.outbox = Outbox(path, connection)
        self._db = connection
        self._recipes: dict[int, Mapping[str, str]] = {}
        self._inbox_ids: dict[bytes, int] = {}

    def close(self) -> None:
        """Close the file; whatever was committed is safe."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def recipes_of(self, number: int) -> Mapping[str, str]:
        """Return the recipes behind `ScanRow.recipes`: rendition → `records.key_of`."""
        if number not in self._recipes:
            row = self._row("SELECT made FROM recipes WHERE id = ?", (number,))
            self._recipes[number] = json.loads(row[0]) if row else {}
        return self._recipes[number]

    def layouts(self, inbox: bytes) -> set[tuple[str, str]]:
        """Return each rendition that was ever made for an inbox, with the layouts that it had."""
        rows = self._rows("SELECT made FROM recipes WHERE inbox = ?", (self._inbox_id(inbox),))
        keys = {item for (made,) in rows for item in json.loads(made).items()}
        return {(rendition, key.partition(":")[2]) for rendition, key in keys}

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with translated(self.path):
            return self._db.execute(query, values).fetchall()

    def _row(self, query: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        with translated(self.path):
            row: tuple[Any, ...] | None = self._db.execute(query, values).fetchone()
            return row

    def _each(self, query: str, values: Sequence[object]) -> Iterator[Any]:
        with translated(self.path):
            yield from self._db.execute(query, values)

    def _decode(self, row: Sequence[Any]) -> PhotoRecord:
        return decode(row, self.recipes_of)

    def _inbox_id(self, inbox: bytes) -> int:
        """Return the inbox's number; -1, which matches nothing: it is not known."""
        number = self._inbox_ids.get(inbox)
        if number is None:
            row = self._row("SELECT id FROM inbox WHERE path = ?", (inbox,)) or self._new_inbox(inbox)
            if row is None:
                return -1
            number = self._inbox_ids[inbox] = int(row[0])
        return number

    def _new_inbox(self, inbox: bytes) -> tuple[int] | None:  # noqa: ARG002  # a reader adds none
        return None


def marks(values: Iterable[object]) -> str:
    """Return the placeholders for so many values."""
    return ", ".join("?" for _ in values)
