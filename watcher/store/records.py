"""Rows of the state file as values, and back.

The columns of `photo` are made from the fields of `PhotoRecord`. A field of a type that SQLite has needs no code here;
the others have a line in `_ENCODE` and `_DECODE`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from watcher.core.records import ContentRecord, Phase, PhotoRecord, RenditionRecord
from watcher.core.types import FileSignature, PhotoId
from watcher.text import utf8_bytes, utf8_text

_INT64 = 2**63


def fits(mtime_ns: int) -> int | bytes:
    """Return a time as the state file keeps it: as digits where it takes more than 64 bits."""
    return mtime_ns if -_INT64 <= mtime_ns < _INT64 else b"%d" % mtime_ns


def encode_made(made: Mapping[str, RenditionRecord]) -> str:
    """Return the column `made`."""
    rows = {}
    for rendition, fact in made.items():
        rest = [fact.name and utf8_text(fact.name), fact.digest.hex(), fact.layout]
        while rest and not rest[-1]:
            del rest[-1]
        rows[rendition] = [*fact[:3], *rest]
    return json.dumps(rows, separators=(",", ":"))


def decode_made(text: str) -> dict[str, RenditionRecord]:
    """Read the column `made`."""
    return {rendition: _rendition(*fact) for rendition, fact in json.loads(text).items()}


def _rendition(
    width: int, height: int, size: int, name: str | None = None, digest: str = "", layout: str = ""
) -> RenditionRecord:
    file = None if name is None else utf8_bytes(name)
    return RenditionRecord(width, height, size, file, bytes.fromhex(digest), layout)


_ENCODE: Mapping[str, Callable[[Any], object]] = {
    "phase": int,
    "made": encode_made,
    "leased": int,
    "nested": int,
    "reason": lambda text: text.encode("utf-8", "backslashreplace").decode(),  # it may quote a name that is not UTF-8
    "digest": lambda digest: digest or None,
}
_DECODE: Mapping[str, Callable[[Any], object]] = {
    "phase": Phase,
    "made": decode_made,
    "leased": bool,
    "nested": bool,
    "digest": lambda digest: digest or b"",
}
_REST = [field.name for field in fields(PhotoRecord) if field.name != "stamp"]  # a stamp has two columns
_COLUMNS = ("size", "mtime_ns", *_REST)
_get_rest = attrgetter(*_REST)
_WRITERS = [(_COLUMNS.index(name), write) for name, write in _ENCODE.items()]
_READERS = [(_COLUMNS.index(name), read) for name, read in _DECODE.items()]
_RECIPES = _COLUMNS.index("recipes")
_OF_THE_FIRST_TIME = {"first_seen", "origin"}  # not overwritten

FIELDS = ", ".join(f"photo.{column}" for column in _COLUMNS)
OPEN = "photo.phase <> 1"  # says nothing new, but without it SQLite does not see that the index photo_open will do
PHOTOS = f"SELECT folder.inbox, folder.path, photo.name, {FIELDS} FROM photo JOIN folder ON folder.id = photo.folder"
UPSERT = (
    f"INSERT INTO photo (folder, stem, name, {', '.join(_COLUMNS)}) VALUES (?, ?, ?{', ?' * len(_COLUMNS)})"
    " ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS if column not in _OF_THE_FIRST_TIME)
)


def encode(known: PhotoRecord, recipes: int) -> list[object]:
    """Return the values of a photo's columns."""
    row = [known.stamp.size, fits(known.stamp.mtime_ns), *_get_rest(known)]
    for place, write in _WRITERS:
        row[place] = write(row[place])
    row[_RECIPES] = recipes
    return row


def decode(row: Sequence[Any], recipes_of: Callable[[int], Mapping[str, str]]) -> PhotoRecord:
    """Read the columns `FIELDS`."""
    values = list(row)
    for place, read in _READERS:
        values[place] = read(values[place])
    values[_RECIPES] = recipes_of(values[_RECIPES])
    return PhotoRecord(FileSignature(values[0], int(values[1])), *values[2:])


# The columns of a `ContentRecord` whose photo is there; those of a tombstone are listed in `store`.
CONTENT = (
    "inbox.path, folder.path, photo.name, photo.size, photo.mtime_ns, photo.digest, photo.recipes, photo.made,"
    " photo.at, 0, 0"
)


def decode_content(row: Sequence[Any], recipes_of: Callable[[int], Mapping[str, str]]) -> ContentRecord:
    """Read the columns `CONTENT`."""
    inbox, folder, name, size, mtime_ns, digest, recipes, made, at, gone, lately = row
    photo = PhotoId.inside(inbox, folder, name)
    stamp = FileSignature(size, int(mtime_ns))
    return ContentRecord(photo, stamp, digest, recipes_of(recipes), decode_made(made), at, bool(gone), bool(lately))
