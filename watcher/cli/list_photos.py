"""`list`: what was made of each photo, from the state file, a line a photo: for site generators and scripts."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from watcher.app.commands import check_access
from watcher.app.locate import KnownInbox, is_comparable, of_config
from watcher.app.settings import Source
from watcher.core.formats import Format, format_of_path
from watcher.core.naming import called
from watcher.core.output_paths import recorded_paths
from watcher.core.recipe import rendition_of
from watcher.core.records import Phase, PhotoRecord, RenditionRecord, fingerprint_in
from watcher.core.types import PhotoId
from watcher.errors import EXIT_OK
from watcher.store import Queries
from watcher.text import iso, moment, printable, shown, size, utf8_text


class Listed(NamedTuple):
    """One rendition of a photo that is done."""

    name: str
    format: Format
    path: bytes  # absolute
    fact: RenditionRecord


def list_photos(pair: tuple[str, str] | None, config_file: str | None, state_file: str | None, *, as_json: bool) -> int:
    """Print what was made of each photo that is done; `as_json`: one JSON object a line."""
    source = Source(pair, config_file, state_file)
    config, _ = source.read()
    state = source.state_path(config)
    check_access(state)
    reader = Queries.open_to_read(state)
    if reader is None:
        print(f"nothing is recorded in the state file {printable(state)} yet: nothing to list", file=sys.stderr)
        return EXIT_OK
    with reader:
        for item in of_config(config, state):
            if is_comparable(reader, item):
                for line in _lines(reader, item, as_json=as_json):
                    print(line)
    return EXIT_OK


def _lines(reader: Queries, watched: KnownInbox, *, as_json: bool) -> Iterator[str]:
    for folder in reader.each_folder(watched.inbox):
        for page in reader.pages(watched.inbox, folder):
            for photo, known in page:
                if known.phase is Phase.DONE and (made := list(_renditions(watched, photo, known))):
                    yield json.dumps(_mapping(photo, known, made)) if as_json else _text(photo, known, made)


def _renditions(watched: KnownInbox, photo: PhotoId, known: PhotoRecord) -> Iterator[Listed]:
    """Yield the renditions that the config has, in its order."""
    for rendition, recipe in (watched.recipes or {}).items():
        fact = known.made.get(rendition)
        if fact is None or not fact.size or watched.output is None:
            continue
        same = fingerprint_in(known.recipes.get(rendition)) == recipe.fingerprint
        outputs = recorded_paths(photo.path, rendition, fact, known.recipes, watched.recipes)
        paths = [watched.output + b"/" + output for output in outputs]
        # Made by an earlier recipe, in a format that is not recorded: of the names that it may have, one exists.
        path = paths[0] if len(paths) == 1 else next(filter(os.path.lexists, paths), paths[0])
        yield Listed(rendition_of(rendition), recipe.format if same else format_of_path(path), path, fact)


def _modified(known: PhotoRecord) -> str | None:
    try:
        return iso(known.stamp.mtime_ns // 10**9)
    except (ValueError, OverflowError, OSError):  # after the year 9999, or before the first
        return None


def _date(known: PhotoRecord) -> str:
    try:
        return moment(known.stamp.mtime_ns / 1e9, time.time())
    except (ValueError, OverflowError, OSError):  # the same
        return "no usable date"


def _mapping(photo: PhotoId, known: PhotoRecord, made: list[Listed]) -> Mapping[str, object]:
    return {
        "path": utf8_text(called(photo.absolute)),
        "size": known.stamp.size,
        "modified": _modified(known),
        "renditions": [
            {
                "name": item.name,
                "format": item.format,
                "path": utf8_text(item.path),
                "width": item.fact.width,
                "height": item.fact.height,
                "bytes": item.fact.size,
            }
            for item in made
        ],
    }


def _text(photo: PhotoId, known: PhotoRecord, made: list[Listed]) -> str:
    """Return a photo and its renditions as people read them."""
    lines = [f"{shown(called(photo.absolute))}  ({size(known.stamp.size)}, {_date(known)})"]
    lines += [
        f"    {shown(item.name)}: {item.fact.width} \u00d7 {item.fact.height} {item.format}, {size(item.fact.size)},"
        f" {shown(item.path)}"
        for item in made
    ]
    return "\n".join(lines)
