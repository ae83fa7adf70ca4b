"""Where each rendition's pixels come from: sizes, crops and the decoder's scale, computed from the original.

All is reckoned in the photo's own pixels before orientation ("stored" space); only what the recipe asks for is in the
oriented space that people see. Sizes come from exact ratios of the original, so that a rendition never drifts by a
pixel because it was made from a larger one (6000 by 4000 at 1024 is 683 high, not 682).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from watcher.core.recipe import Position, Recipe

# Decoded over target, at least. What a scaled decode costs against a full one, after JPEG 85, over 47 distinct
# untouched pictures at 1/2 and 1/4 (RGB, dB; two disjoint halves): at 1.2 median 0.15 to 0.22, worst 2.9; at 1.4
# median 0.07 to 0.11, worst 1.8, one in five above 0.3; at 2.0 median 0.02 to 0.03, worst 0.7. 1.4 keeps 1/2 for 6000
# to 2048; 2.0 would decode that in full, for 21 ms more of decoding alone.
MARGIN = 1.4
TURNED = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the photo in stored pixels; edges may lie between pixels."""

    left: float
    top: float
    width: float
    height: float

    def holds(self, other: Region) -> bool:
        """Return whether `other` lies within, but for rounding."""
        slack = 1e-6
        return (
            self.left <= other.left + slack
            and self.top <= other.top + slack
            and self.left + self.width >= other.left + other.width - slack
            and self.top + self.height >= other.top + other.height - slack
        )


@dataclass(frozen=True, slots=True)
class Target:
    """One rendition: which part of the photo, and how many pixels it becomes (both in stored space)."""

    region: Region
    width: int
    height: int

    @property
    def factor(self) -> float:
        """Return how many of the photo's pixels make one of the rendition's, on the tighter axis; at least 1."""
        return min(self.region.width / self.width, self.region.height / self.height)


@lru_cache(maxsize=64)  # one photo's is asked for several times, and many photos have the same size
def target(recipe: Recipe, width: int, height: int, orientation: int) -> Target:
    """Work out what `recipe` makes of a photo of `width` by `height` stored pixels.

    `cover` crops to the part that `position` names. Where the photo is smaller than the box on any side it is cropped
    to the box's shape and keeps its pixels as they are: it is never enlarged. What `contain` pads with is no part of
    this (see `frame`).
    """
    box_width, box_height = recipe.width, recipe.height
    if orientation in TURNED:
        box_width, box_height = box_height, box_width
    if recipe.fit == "cover" and box_width is not None and box_height is not None:
        return _cover(box_width, box_height, width, height, _stored(offset(recipe.position), orientation))
    ratio = min(Fraction(1), *(Fraction(b, s) for b, s in ((box_width, width), (box_height, height)) if b is not None))
    return Target(Region(0, 0, width, height), max(1, round(width * ratio)), max(1, round(height * ratio)))


def frame(recipe: Recipe) -> tuple[int, int] | None:
    """Return the size in pixels that a rendition is padded to; None: it is not."""
    if recipe.fit != "contain" or recipe.width is None or recipe.height is None:
        return None
    return recipe.width, recipe.height


def seen_size(recipe: Recipe, width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return the size in pixels, as people see it, of the rendition of a photo of `width` by `height` stored pixels."""
    goal = target(recipe, width, height, orientation)
    return frame(recipe) or ((goal.height, goal.width) if orientation in TURNED else (goal.width, goal.height))


def offset(position: Position) -> tuple[Fraction, Fraction]:
    """Return which share of the space that is left lies to the left of the picture, and above it."""
    half = Fraction(1, 2)
    return (
        Fraction("east" in position) if position.endswith(("east", "west")) else half,
        Fraction("south" in position) if position.startswith(("north", "south")) else half,
    )


def _stored(share: tuple[Fraction, Fraction], orientation: int) -> tuple[Fraction, Fraction]:
    """Turn what `offset` returns from what people see to the photo's stored pixels."""
    left, top = reversed(share) if orientation in TURNED else share
    return 1 - left if orientation in {2, 3, 7, 8} else left, 1 - top if orientation in {3, 4, 6, 7} else top


def _cover(box_width: int, box_height: int, width: int, height: int, share: tuple[Fraction, Fraction]) -> Target:
    crop_width = min(Fraction(width), Fraction(height * box_width, box_height))
    crop_height = min(Fraction(height), Fraction(width * box_height, box_width))
    if crop_width < box_width:
        w, h = max(1, round(crop_width)), max(1, round(crop_height))
        return Target(Region(int((width - w) * share[0]), int((height - h) * share[1]), w, h), w, h)
    left, top = (width - crop_width) * share[0], (height - crop_height) * share[1]
    return Target(Region(float(left), float(top), float(crop_width), float(crop_height)), box_width, box_height)


def scale(targets: list[Target], scales: Iterable[int]) -> int:
    """Choose what the decoder divides by: the largest of `scales` that leaves `MARGIN` over every target; 1: none."""
    tightest = min(t.factor for t in targets)
    return next((s for s in scales if tightest / s >= MARGIN), 1)
