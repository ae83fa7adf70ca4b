"""What the state file records for a photo, and whether the photo needs work.

A photo is current if it has the signature that it had when its renditions were made, and every wanted rendition was
made by the wanted recipe. Renditions that are no longer wanted stay recorded and on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, assert_never

from watcher.core.recipe import Recipe
from watcher.core.types import FileSignature, PhotoId


class Phase(IntEnum):
    """The phase of a photo in the state file."""

    WAITING = 0
    DONE = 1
    FAILED = 2


class RenditionRecord(NamedTuple):
    """What the state file records for one rendition."""

    width: int
    height: int
    size: int  # bytes
    name: bytes | None = None  # the output's file name where it is not the natural one
    digest: bytes = b""  # of the output's bytes, the first 8; empty: not known
    layout: str = ""  # the template of its path, see `watcher.core.layout`; empty: the default


@dataclass(frozen=True, slots=True)
class PhotoRecord:
    """What the state file records for one photo."""

    stamp: FileSignature  # inode 0
    phase: Phase
    recipes: Mapping[str, str]  # rendition → `key_of` the recipe that made it
    made: Mapping[str, RenditionRecord]
    at: float  # wall clock: since when it is done or failed; while it waits: when it last changed
    attempts: int = 0
    reason: str = ""
    leased: bool = False  # an attempt was begun, and its result is not recorded
    first_seen: float = 0.0
    origin: str = ""
    digest: bytes = b""  # of the content that the renditions were made from; empty: not read completely yet
    away: bytes | None = None  # where the original was moved when all was made; empty: it was deleted
    nested: bool = False  # it was on a volume that is mounted below the inbox

    def content(self, photo: PhotoId) -> ContentRecord:
        """Return the content that the renditions of `photo` were made from."""
        return ContentRecord(photo, self.stamp, self.digest, self.recipes, self.made, self.at)


@dataclass(frozen=True, slots=True)
class ContentRecord:
    """Renditions on disk, and the content that they were made from."""

    photo: PhotoId  # the photo that they belong to
    stamp: FileSignature  # inode 0
    digest: bytes
    recipes: Mapping[str, str]  # rendition → `key_of` the recipe that made it
    made: Mapping[str, RenditionRecord]
    at: float  # wall clock: when they were made
    gone: bool = False  # the photo is no longer in its inbox, or has changed; the renditions remain
    lately: bool = False  # it was removed within the last hour


class ScanRow(NamedTuple):
    """The little that a scan compares."""

    size: int
    mtime_ns: int
    phase: int
    recipes: int  # their number in the state file
    leased: int
    attempts: int
    at: float


class ListedPhoto(NamedTuple):
    """A photo in a list on the status page."""

    photo: PhotoId
    known: PhotoRecord
    cursor: int = 0  # where the list continues after it
    took: float | None = None  # seconds from when it was found until it was made


def is_current(made_by: Mapping[str, str], wanted: Mapping[str, Recipe]) -> bool:
    """Return whether every wanted rendition was made by the wanted recipe, and has its place."""
    return all(made_by.get(name) == key_of(recipe) for name, recipe in wanted.items())


def key_of(recipe: Recipe) -> str:
    """Return what is recorded of a recipe: the fingerprint, and the layout unless it is the default."""
    return f"{recipe.fingerprint}:{recipe.layout}" if recipe.layout else recipe.fingerprint


def fingerprint_in(key: str | None) -> str:
    """Return the fingerprint that is a part of a recorded key; empty: there is none."""
    return (key or "").partition(":")[0]


def written_since(failed_at: float, changed_ns: int, now: float) -> bool:
    """Return whether a file was written or dated after it failed; `changed_ns`: its ctime.

    Its size and date may still be the same: many a client sets the date itself. A ctime ahead of our clock is a
    server's, and proves nothing yet.
    """
    return failed_at < changed_ns / 1e9 <= now


def needs_work(known: PhotoRecord | None, seen: FileSignature, wanted: Mapping[str, Recipe]) -> bool:
    """Return whether a photo with the signature `seen` has to be tried now."""
    if known is None or not known.stamp.same_content(seen):
        return True
    match known.phase:
        case Phase.DONE:
            return not is_current(known.recipes, wanted)
        case Phase.FAILED:
            return False
        case Phase.WAITING:
            return True
        case _ as unreachable:
            assert_never(unreachable)
