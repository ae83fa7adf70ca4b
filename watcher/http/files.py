"""Renditions that the page can show: only what the state file names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from watcher.core.formats import OUTPUTS
from watcher.core.output_paths import recorded_paths
from watcher.core.records import PhotoRecord, RenditionRecord
from watcher.core.types import PhotoId
from watcher.http.ports import Shown

_LEAST_WIDTH = 200  # pixels of a picture in the contact sheet
_CHUNK = 1 << 18  # bytes


class Rendition(NamedTuple):
    """One rendition that can be shown."""

    name: str
    fact: RenditionRecord
    path: bytes  # relative to the output folder
    media: str


def renditions(photo: PhotoId, known: PhotoRecord, shown: Shown) -> list[Rendition]:
    """List what is made of a photo, the smallest first; what the config no longer knows is left out."""
    found = []
    for name, fact in known.made.items():
        recipe = shown.wanted.get(name)
        if recipe is None or not fact.width or name not in known.recipes:
            continue
        path = recorded_paths(photo.path, name, fact, {name: recipe.fingerprint}, shown.wanted)[0]
        found.append(Rendition(name, fact, path, OUTPUTS[recipe.format].media_type))
    return sorted(found, key=lambda item: item.fact.width * item.fact.height)


def small(made: list[Rendition]) -> Rendition | None:
    """Choose the rendition for the contact sheet: the smallest that is wide enough, or the largest there is."""
    return next((item for item in made if item.fact.width >= _LEAST_WIDTH), made[-1] if made else None)


def chunks(file: int) -> Iterator[bytes]:
    """Read an open file to its end in pieces, and close it."""
    try:
        while piece := os.read(file, _CHUNK):
            yield piece
    finally:
        os.close(file)
