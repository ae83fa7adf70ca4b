"""Renditions that the page can show: only what the state file names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from watcher.core.formats import OUTPUTS, Format
from watcher.core.output_paths import recorded_paths
from watcher.core.recipe import names_of, rendition_of
from watcher.core.records import PhotoRecord, RenditionRecord
from watcher.core.types import PhotoId
from watcher.http.ports import Shown

_LEAST_WIDTH = 200  # pixels of a picture in the contact sheet
_CHUNK = 1 << 18  # bytes


class Rendition(NamedTuple):
    """One rendition that can be shown; one in several formats in the first of `OUTPUTS`."""

    name: str
    fact: RenditionRecord
    path: bytes  # relative to the output folder
    media: str
    also: tuple[Format, ...] = ()  # the other formats that it was made in


def renditions(photo: PhotoId, known: PhotoRecord, shown: Shown) -> list[Rendition]:
    """List what is made of a photo, the smallest first; what the config no longer knows is left out."""
    found: dict[str, Rendition] = {}
    wanted = [(name, shown.wanted[name], fact) for name, fact in known.made.items() if name in shown.wanted]
    for key, recipe, fact in sorted(wanted, key=lambda item: list(OUTPUTS).index(item[1].format)):
        name = rendition_of(key)
        if not fact.width or key not in known.recipes:
            continue
        if name in found:
            found[name] = found[name]._replace(also=(*found[name].also, recipe.format))
        else:
            path = recorded_paths(photo.path, key, fact, {key: recipe.fingerprint}, shown.wanted)[0]
            found[name] = Rendition(name, fact, path, OUTPUTS[recipe.format].media_type)
    in_order = [found[name] for name in names_of(known.made) if name in found]
    return sorted(in_order, key=lambda item: item.fact.width * item.fact.height)


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
