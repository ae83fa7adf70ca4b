"""Where the outputs of photos lie in the output tree, or are to lie.

`core.naming` chooses what an output is called, `core.layout` makes that a path by the rendition's template. What is
recorded of an output holds for the template of that time: until the output is moved, it is where it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from watcher.core.formats import OUTPUTS, Format
from watcher.core.layout import Layout, OldOutput, has_size, layout_of, sized
from watcher.core.naming import called, free_names, natural_name, recorded_names, with_names
from watcher.core.recipe import Recipe, format_of_key
from watcher.core.records import ContentRecord, PhotoRecord, RenditionRecord, fingerprint_in
from watcher.core.types import PhotoId, Rendering, ReusableRendition
from watcher.text import utf8_text

_SPARES = 2  # alternative places of an output, in case a file that is not watcher's is there


Layouts = Collection[tuple[str, str]]  # renditions, each with a template that it has or had


def name_of(output: bytes, rendition: str, recipe: Recipe) -> bytes:
    """Return what `core.naming` calls an output with this path, with or without the size in it."""
    if not recipe.layout:  # the default, which nearly all have: it adds nothing to a file name
        return output.rpartition(b"/")[2]
    parts = layout_of(rendition, recipe.layout).split(sized(output, 1, 1))
    return parts[1] if parts else output.rpartition(b"/")[2]


def folder_path(rendition: str, template: str, folder: bytes) -> bytes:
    """Return the folder of the outputs of photos in `folder`."""
    return layout_of(rendition, template).folder_path(folder)


def top_folders(wanted: Mapping[str, Recipe]) -> list[str]:
    """Return the folders that all outputs of a rendition are in, each once; empty: none but the output folder."""
    return list(dict.fromkeys(utf8_text(layout_of(name, recipe.layout).before) for name, recipe in wanted.items()))


def _layouts_of(path: bytes, layouts: Layouts) -> Iterator[tuple[str, Layout]]:
    """Yield each rendition and layout that a path may be of; the first folder may be any rendition's by the default."""
    first = utf8_text(path.partition(b"/")[0])
    for rendition, template in dict.fromkeys(((first, ""), *layouts)) if first else layouts:
        yield rendition, layout_of(rendition, template)


def photos_of(output: bytes, layouts: Layouts) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield whose output a path may be: the rendition, the photo's folder, and what the output is called."""
    for rendition, layout in _layouts_of(output, layouts):
        if (parts := layout.split(output)) is not None:
            yield rendition, *parts


def photos_folders(path: bytes, layouts: Layouts) -> set[bytes]:
    """Return the folders of photos that may have outputs in the folder `path`."""
    found = {layout.photos_folder(path) for _, layout in _layouts_of(path, layouts)}
    return {folder for folder in found if folder is not None}


# ---- where outputs are ----


def recorded_paths(
    photo: bytes,
    rendition: str,
    fact: RenditionRecord,
    recipes: Mapping[str, str] | None = None,
    wanted: Mapping[str, Recipe] | None = None,
) -> list[bytes]:
    """Return where an output of the photo at `photo` may be by its record: several places if its format is unknown.

    `recipes` are the keys that are recorded with it; `wanted` recipes tell the formats.
    """
    recipe = (wanted or {}).get(rendition)
    same = recipe is not None and fingerprint_in((recipes or {}).get(rendition)) == recipe.fingerprint
    folder, _, name = photo.rpartition(b"/")
    form = recipe.format if recipe and same else format_of_key(rendition)
    names = recorded_names(called(name), fact, form)
    return [_recorded(folder, rendition, fact, each) for each in names]


def _recorded(folder: bytes, rendition: str, fact: RenditionRecord, name: bytes) -> bytes:
    return sized(layout_of(rendition, fact.layout).output_path(folder, name), fact.width, fact.height)


def settled_paths(
    photo: PhotoId, made: Mapping[str, RenditionRecord], recipes: Mapping[str, str], wanted: Mapping[str, Recipe]
) -> dict[str, bytes]:
    """Return where the outputs of a photo are, by rendition; one of an unknown format has its natural name."""
    named = with_names(made, recipes, photo.name, wanted)
    return {
        rendition: _recorded(photo.folder, rendition, fact, fact.name or photo.name)
        for rendition, fact in named.items()
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
            fact, recipe = made.get(rendition), wanted.get(rendition)
            if fact is not None:
                taken.update(recorded_paths(path, rendition, fact))
            if recipe is not None and (fact is None or fact.layout != recipe.layout):
                planned = (fact and fact.name) or natural_name(called(file), recipe.format)
                taken.add(layout_of(rendition, recipe.layout).output_path(folder, planned))
    return taken


def reusable_of(content: ContentRecord, wanted: Mapping[str, Format]) -> tuple[ReusableRendition, ...]:
    """Return the renditions of `content` made by wanted recipes. `wanted`: fingerprint → format."""
    reusable = []
    for rendition, fact in content.made.items():
        recipe = fingerprint_in(content.recipes.get(rendition))
        if recipe in wanted and fact.size:
            name = fact.name or natural_name(content.photo.name, wanted[recipe])
            path = _recorded(content.photo.folder, rendition, fact, name)
            reusable.append(ReusableRendition(recipe, path, fact.size))
    return tuple(reusable)


# ---- where outputs go ----


def renderings(
    path: bytes,
    wanted: Mapping[str, Recipe],
    known: PhotoRecord | None,
    others: Mapping[bytes, Mapping[str, RenditionRecord]],
    *,
    folds_case: bool,
    unseen: Collection[str] = (),
) -> tuple[Rendering, ...]:
    """Return the renditions of the photo at `path` (relative to its inbox), with their places in the output tree.

    `unseen`: of these it is not known what is at their places, so they get alternative places too.
    """
    folder, _, name = path.rpartition(b"/")
    given_up, result = _given_up(path, wanted, known), []
    for rendition, recipe in wanted.items():
        fact = known.made.get(rendition) if known else None
        kept = fact.name if fact else None
        names = free_names(name, rendition, recipe.format, others, folds_case=folds_case)
        if kept is None or not kept.endswith(OUTPUTS[recipe.format].extension):
            kept = next(names)
        is_there = fact is not None and fact.size > 0 and fact.layout == recipe.layout
        layout = layout_of(rendition, recipe.layout)
        place = layout.output_path(folder, kept)
        known_place = (is_there and not has_size(place)) or place in given_up
        spares = (
            islice((other for other in names if other != kept), _SPARES)
            if rendition in unseen and not known_place
            else ()
        )
        more = tuple(layout.output_path(folder, each) for each in spares)
        old = _old_output(path, rendition, recipe, known, place)
        result.append(Rendering(rendition, recipe, place, more, old))
    return tuple(result)


def _given_up(path: bytes, wanted: Mapping[str, Recipe], known: PhotoRecord | None) -> set[bytes]:
    """Return the places of the photo's outputs in renditions that are no longer wanted."""
    made = known.made if known is not None else {}
    old = {rendition: fact for rendition, fact in made.items() if rendition not in wanted and fact.size}
    return {place for rendition, fact in old.items() for place in recorded_paths(path, rendition, fact)}


def _old_output(
    path: bytes, rendition: str, recipe: Recipe, known: PhotoRecord | None, place: bytes
) -> OldOutput | None:
    """Return the output that is where an earlier template placed it, or whose place another size need not have."""
    fact = known.made.get(rendition) if known else None
    if known is None or fact is None or not fact.size or (fact.layout == recipe.layout and not has_size(place)):
        return None
    paths = recorded_paths(path, rendition, fact, known.recipes, {rendition: recipe})
    current = fact.layout != recipe.layout and fingerprint_in(known.recipes.get(rendition)) == recipe.fingerprint
    return OldOutput(tuple(paths), fact.width, fact.height, fact.size, fact.digest, current)
