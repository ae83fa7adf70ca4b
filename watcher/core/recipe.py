"""A recipe: everything that decides a rendition's bytes, given the photo."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from watcher.core.formats import OUTPUTS, Format

Fit = Literal["inside", "cover", "contain"]
Metadata = Literal["none", "safe", "all"]
Position = Literal[
    "centre", "north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"
]  # as people see the picture
Small = Literal["encode", "copy"]  # what becomes of a JPEG that is as it should be already
Sharpening = Literal["none", "low", "standard", "high"]


@dataclass(frozen=True, slots=True)
class Watermark:
    """A picture that is drawn on a rendition. Its file's content travels with each job: it is the same for all."""

    digest: str  # of the content
    position: Position
    share: float  # its width, as a share of the rendition's
    margin: float  # to the edges, as such a share too
    opacity: float
    path: str = field(compare=False)  # absolute
    content: bytes = field(compare=False, repr=False)  # a PNG file
    size: tuple[int, int] = field(compare=False)  # pixels

    def __str__(self) -> str:
        """Return what a person wants to know of it."""
        return f"{self.path} ({self.position}, {self.share:.0%} wide, opacity {self.opacity:.0%})"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a rendition's bytes, given the photo."""

    width: int | None  # pixels; None: unbounded. At least one of width and height is given
    height: int | None
    fit: Fit
    format: Format
    quality: int  # on JPEG's scale, 1 to 100
    metadata: Metadata
    fingerprint: str  # 16 hex digits over all other fields and the version of the encoder settings
    position: Position = "centre"  # which part `cover` keeps, where `contain` places the picture
    background: str = "#ffffff"  # what `contain` pads with, and what lies under a photo that loses its alpha channel
    sharpen: Sharpening = "none"
    watermark: Watermark | None = None
    small: Small = "encode"
    max_kb: int = 0  # the quality is lowered until the file is no larger; 0: no limit
    layout: str = ""  # the template of its outputs' paths, in no fingerprint; empty: the default


# ---- a rendition in several formats ----
#
# Inside, each of its formats is a rendition of its own, with a key such as `web/avif`: no name has a `/`. The JPEG has
# the name itself as its key, as a rendition in one format has: where `format` becomes a list, it stays as it is. The
# order of the list makes no difference.


def keys_of(name: str, formats: Sequence[Format]) -> dict[str, Format]:
    """Return the key of each format of a rendition."""
    return {name if form == "jpeg" or len(formats) == 1 else f"{name}/{form}": form for form in formats}


def rendition_of(key: str) -> str:
    """Return the name that a rendition has in the config, by its key."""
    return key.partition("/")[0]


def format_of_key(key: str) -> Format | None:
    """Return the format that a key names; None: it names none."""
    return next((form for form in OUTPUTS if key.partition("/")[2] == form), None)


def names_of(keys: Iterable[str]) -> list[str]:
    """Return the names that renditions have in the config, each once."""
    return list(dict.fromkeys(map(rendition_of, keys)))


def label_of(key: str, wanted: Iterable[str] = ()) -> str:
    """Return a key as people read it: `web`, `web (avif)`; one without a format may be left of a wanted rendition."""
    form = format_of_key(key) or ("another format" if any(each.startswith(f"{key}/") for each in wanted) else "")
    return f"{rendition_of(key)} ({form})" if form else key


def most_bytes(max_kb: int) -> float:
    """Return the size that a file should not exceed."""
    return max_kb * 1000 or math.inf
