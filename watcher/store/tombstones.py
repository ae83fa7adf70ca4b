"""What is no longer on record of photos that have left: others have replaced it, or it was removed."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping

from watcher.core.naming import called, key_stem
from watcher.core.records import ContentRecord, PhotoRecord, RenditionRecord
from watcher.core.types import PhotoId
from watcher.store.queries import stems_that_meet
from watcher.store.records import decode_made, encode_made


def forget_replaced(
    db: sqlite3.Connection, inbox: int, folder: int, photo: PhotoId, known: PhotoRecord, none: int
) -> None:
    """Forget the outputs of photos that have left which this one's have replaced; the others stay on record.

    What the present row has, which is about to be replaced, has been dealt with (see `Done.old_stays`). As WebP `a.jpg`
    and `a.jpeg` have one name, as JPEG two: what may have been replaced is reused no more (`none` is the number of no
    recipes). What is left of one with the same name has not moved: it is needed no more.
    """
    condition, values = stems_that_meet(photo.name)
    found = db.execute(
        f"SELECT id, name, made, digest FROM tombstone WHERE inbox = ? AND folder = ? AND {condition}",
        (inbox, photo.folder, *values),
    ).fetchall()
    row = "SELECT made FROM photo WHERE folder = ? AND stem = ? AND name = ?"
    before = db.execute(row, (folder, key_stem(photo.name), photo.name)).fetchone() if found else None
    mine = {*_files(photo.name, known.made).values()}
    mine |= {*_files(photo.name, decode_made(before[0])).values()} if before else set()
    for number, name, made, digest in found:
        same = called(photo.name) == name != photo.name and digest == known.digest  # its original was archived
        theirs = _files(bytes(name), decode_made(made))
        _reduce(db, number, made, () if same else {key for key, file in theirs.items() if file not in mine})
        keeps = None if name == photo.name else digest
        db.execute("UPDATE tombstone SET recipes = ?, digest = ? WHERE id = ?", (none, keeps, number))


def forget_moved(db: sqlite3.Connection, moved: Iterable[tuple[int, ContentRecord, Collection[str]]]) -> None:
    """Forget renditions of photos that have another name now, since they are removed; `moved`: each with its inbox.

    What is left of them has not moved: it is needed no more, and goes only when a user asks.
    """
    for inbox, content, renditions in moved:
        photo = content.photo
        rows = db.execute(
            "SELECT id, made FROM tombstone WHERE inbox = ? AND folder = ? AND stem = ? AND name = ? AND digest = ?",
            (inbox, photo.folder, key_stem(photo.name), photo.name, content.digest),
        ).fetchall()
        for number, made in rows:
            _reduce(db, number, made, decode_made(made).keys() - set(renditions))
            db.execute("UPDATE tombstone SET digest = NULL WHERE id = ?", (number,))


def _files(name: bytes, made: Mapping[str, RenditionRecord]) -> dict[str, tuple[str, str, bytes]]:
    """Return what the renditions of photo `name` are called: rendition, layout with the size in it, file name."""
    return {
        rendition: (
            rendition,
            fact.layout.replace("{width}", str(fact.width)).replace("{height}", str(fact.height)),
            fact.name or name,
        )
        for rendition, fact in made.items()
    }


def _reduce(db: sqlite3.Connection, number: int, made: str, stay: Collection[str]) -> None:
    """Leave only these renditions in a tombstone; without an output among them it goes."""
    left = {rendition: fact for rendition, fact in decode_made(made).items() if rendition in stay and fact.size}
    if left:
        db.execute("UPDATE tombstone SET made = ? WHERE id = ?", (encode_made(left), number))
    else:
        db.execute("DELETE FROM tombstone WHERE id = ?", (number,))
