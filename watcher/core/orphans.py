"""Outputs that no photo needs any more.

They are of photos that are gone, of renditions that the config no longer has, or replaced under other paths.

Rules:
- Only a place that is on record, if the file there has the recorded content (`watcher.fs.prune` compares it).
- Never a place that another photo has, or may get.
- Never an output of a photo whose original was archived (`after`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from watcher.core.naming import with_names
from watcher.core.output_paths import recorded_paths
from watcher.core.recipe import Recipe
from watcher.core.records import PhotoRecord, RenditionRecord, fingerprint_in
from watcher.core.types import PhotoId
from watcher.core.volumes import Holder

_DAY = 86400.0


class LeftPhoto(NamedTuple):
    """What is recorded of a photo that is gone, and whether it is certain that it is."""

    recipes: Mapping[str, str]  # rendition → fingerprint of the recipe that made it
    made: Mapping[str, RenditionRecord]
    unsure: bool = False  # it left when its inbox was another folder, or empty: it may be on a volume that is away
    nested: bool = False  # it was on a volume that is mounted below the inbox


class Place(NamedTuple):
    """A place in the output tree, and the files that may be removed from it."""

    rendition: str
    output: bytes  # relative to the output folder
    contents: frozenset[tuple[int, bytes]]  # size in bytes and digest; empty: its content is not recorded


@dataclass(frozen=True, slots=True)
class Orphan:
    """The outputs of one photo that are to be removed, and what must be true for that."""

    photo: PhotoId
    output_root: bytes  # absolute
    places: tuple[Place, ...]
    gone: bool  # the photo must not be there; False: only what it no longer needs
    root: tuple[int, int] | None = None  # (st_dev, st_ino) that the inbox must have; None: any, where none is gone
    nested: bool = False  # the photo was on a volume that is mounted below the inbox
    archives: bool = False  # originals of the inbox are archived: one that is gone may be, though nothing is recorded
    holder: Holder | None = None  # the owner that the output tree must have; None: any


class Removals(NamedTuple):
    """How many photos of an inbox have lost their outputs within a day, as the state file keeps it."""

    since: float = 0.0  # wall clock: when the day began
    photos: int = 0

    def at(self, wall: float) -> Removals:
        """Return the same on the day of `wall`; a clock that was set back begins no new day."""
        return self if wall < self.since + _DAY else Removals(wall, 0)

    def allows(self, more: int, present: int, most: str) -> bool:
        """Return whether the outputs of so many more photos may go. `present`: the photos that are still there.

        `most`: the share of all photos that may lose their outputs in a day, such as "10%".
        """
        return (self.photos + more) * 100 <= float(most.removesuffix("%")) * (present + more + self.photos)


def that_stay(photo: PhotoId, known: PhotoRecord, wanted: Mapping[str, Recipe]) -> dict[str, RenditionRecord]:
    """Return the records of the wanted renditions of a photo, those that are current with their outputs' names."""
    named = with_names(known.made, known.recipes, photo.name, wanted)
    return {
        name: named[name] if fingerprint_in(known.recipes.get(name)) == wanted[name].fingerprint else fact
        for name, fact in known.made.items()
        if name in wanted
    }


def replaced_of(left: Sequence[LeftPhoto], renditions: Container[str]) -> list[LeftPhoto]:
    """Return what earlier photos of a name had of these renditions; nothing if one may be on a volume that is away."""
    if any(version.unsure for version in left):
        return []
    return [
        version._replace(made={name: fact for name, fact in version.made.items() if name in renditions})
        for version in left
    ]


def places_of(
    photo: PhotoId,
    left: Iterable[LeftPhoto],
    wanted: Mapping[str, Recipe],
    taken: Iterable[bytes],
    same_name: Callable[[bytes], bytes],
) -> tuple[Place, ...]:
    """Return where the outputs of a photo may be, by what is recorded of it, `taken` places left out.

    `same_name` returns a path as the output's file system compares it.
    """
    others = set(map(same_name, taken))
    found: dict[tuple[str, bytes], set[tuple[int, bytes]]] = defaultdict(set)
    for version in left:
        for rendition, fact in version.made.items():
            for output in recorded_paths(photo.path, rendition, fact, version.recipes, wanted):
                if fact.size and same_name(output) not in others:
                    found[rendition, output] |= {(fact.size, fact.digest)} if fact.digest else set()
    return tuple(Place(*place, frozenset(contents)) for place, contents in found.items())
