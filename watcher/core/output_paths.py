"""Where the outputs of photos lie in the output tree: the only module that builds such paths or takes them apart.

An output is at `RENDITION/FOLDER/FILE`, relative to the tree: FOLDER is the photo's, `core.naming` chooses FILE.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from watcher.core.formats import OUTPUTS, Format
from watcher.core.naming import called, free_names, natural_name, recorded_names, with_names
from watcher.core.recipe import Recipe
from watcher.core.records import ContentRecord, PhotoRecord, RenditionRecord
from watcher.core.types import PhotoId, Rendering, ReusableRendition

_SPARES = 2  # alternative places of an output, in case a file that is not watcher's is there


class Parts(NamedTuple):
    """An output's path, taken apart."""

    rendition: str
    folder: bytes  # the photo's
    file: bytes


def folder_path(rendition: str, folder: bytes) -> bytes:
    """Return the folder of the outputs of photos in `folder`."""
    return os.fsencode(rendition) + (b"/" + folder if folder else b"")


def output_path(rendition: str, folder: bytes, file: bytes) -> bytes:
    """Return the path of an output."""
    return folder_path(rendition, folder) + b"/" + file


def split(output: bytes) -> Parts:
    """Take the path of an output apart."""
    rendition, _, below = output.partition(b"/")
    folder, _, file = below.rpartition(b"/")
    return Parts(os.fsdecode(rendition), folder, file)


def split_folder(path: bytes) -> tuple[str, bytes]:
    """Take the path of a folder of outputs apart: the rendition, and the photos' folder."""
    rendition, _, folder = path.partition(b"/")
    return os.fsdecode(rendition), folder


def file_of(output: bytes) -> bytes:
    """Return the file name of an output, as `core.naming` chose it."""
    return output.rpartition(b"/")[2]


# ---- where outputs are ----


def recorded_paths(
    photo: bytes,
    rendition: str,
    fact: RenditionRecord,
    recipes: Mapping[str, str] | None = None,
    wanted: Mapping[str, Recipe] | None = None,
) -> list[bytes]:
    """Return where an output of the photo at `photo` may be by its record: several places if its format is unknown.

    `recipes` are the fingerprints that are recorded with it; `wanted` recipes tell the formats.
    """
    folder, _, name = photo.rpartition(b"/")
    recipe = (wanted or {}).get(rendition)
    same = recipe is not None and (recipes or {}).get(rendition) == recipe.fingerprint
    files = recorded_names(called(name), fact, recipe.format if recipe and same else None)
    return [output_path(rendition, folder, file) for file in files]


def settled_paths(
    photo: PhotoId, made: Mapping[str, RenditionRecord], recipes: Mapping[str, str], wanted: Mapping[str, Recipe]
) -> dict[str, bytes]:
    """Return where the outputs of a photo are, by rendition; one of an unknown format has its natural name."""
    named = with_names(made, recipes, photo.name, wanted)
    return {
        rendition: output_path(rendition, photo.folder, fact.name or photo.name) for rendition, fact in named.items()
    }


def taken_paths(
    photo: PhotoId, conflicts: Mapping[bytes, Mapping[str, RenditionRecord]], wanted: Mapping[str, Recipe]
) -> set[bytes]:
    """Return the places that other photos have, by whatever recipe, or may get any time.

    `conflicts`: the photos whose outputs could meet this one's, see `watcher.core.naming.could_meet`.
    """
    taken = set[bytes]()
    for name, made in conflicts.items():
        path = name if b"/" in name or not photo.folder else photo.folder + b"/" + name
        folder, _, file = path.rpartition(b"/")
        for rendition in {*made, *wanted}:
            if rendition in made:
                taken.update(recorded_paths(path, rendition, made[rendition]))
            else:
                natural = natural_name(called(file), wanted[rendition].format)
                taken.add(output_path(rendition, folder, natural))
    return taken


def reusable_of(claim: ContentRecord, wanted: Mapping[str, Format]) -> tuple[ReusableRendition, ...]:
    """Return the renditions of `claim` made by wanted recipes. `wanted`: fingerprint → format."""
    reusable = []
    for rendition, fact in claim.made.items():
        recipe = claim.recipes.get(rendition, "")
        if recipe in wanted and fact.size:
            file = fact.name or natural_name(claim.photo.name, wanted[recipe])
            reusable.append(ReusableRendition(recipe, output_path(rendition, claim.photo.folder, file), fact.size))
    return tuple(reusable)


# ---- where outputs go ----


def renderings(
    path: bytes,
    wanted: Mapping[str, Recipe],
    known: PhotoRecord | None,
    others: Mapping[bytes, Mapping[str, RenditionRecord]],
    *,
    folds_case: bool,
    unseen: bool = False,
) -> tuple[Rendering, ...]:
    """Return the renditions of the photo at `path` (relative to its inbox), with their places in the output tree.

    `unseen`: what is at the places of its outputs is not known, so they get alternative places too.
    """
    folder, _, name = path.rpartition(b"/")
    result = []
    for rendition, recipe in wanted.items():
        fact = known.made.get(rendition) if known else None
        kept = fact.name if fact else None
        names = free_names(name, rendition, recipe.format, others, folds_case=folds_case)
        if kept is None or not kept.endswith(OUTPUTS[recipe.format].extension):
            kept = next(names)
        spares = (
            islice((other for other in names if other != kept), _SPARES) if unseen and not (fact and fact.size) else ()
        )
        output, *more = (output_path(rendition, folder, file) for file in (kept, *spares))
        result.append(Rendering(rendition, recipe, output, tuple(more)))
    return tuple(result)
