"""A look at pictures that are not to be made now: what renditions would take, and whether two look the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from PIL import Image, ImageChops

from watcher.core.formats import REFERENCE, expected_bytes
from watcher.core.recipe import Recipe, most_bytes
from watcher.fs.openat import open_file
from watcher.render.decoders import describe
from watcher.render.decoders.base import Photo
from watcher.render.encode import encode
from watcher.render.geometry import scale, target
from watcher.render.metadata import Kept
from watcher.render.picture import Cascade, Picture, upright
from watcher.render.steps import STEPS

_MOST_PIXELS = 60_000_000  # a larger photo would take long
_CELL = 8  # pixels: the smallest spot that is looked at, one block of a JPEG
_MOST = 12  # of 255, the mean difference of a spot; other resizers and encoders differ by 1 to 3, damage by 30 and more


def weigh(inbox: bytes, path: bytes, recipes: Mapping[str, Recipe]) -> dict[str, float] | None:
    """Return about how many bytes each rendition of a photo takes; None if it can't be read, or takes too long.

    Each is made as a JPEG, which is quick; what another format takes follows from that.
    """
    try:
        with open(open_file(inbox, path), "rb") as file:
            photo = describe(file.read())
        if photo.refusal() or photo.width * photo.height > _MOST_PIXELS:
            return None
        return _weights(photo, recipes)
    except Exception:  # noqa: BLE001  # it serves an estimate; what is wrong with a photo is said when it is made
        return None


def _weights(photo: Photo, recipes: Mapping[str, Recipe]) -> dict[str, float]:
    metadata = photo.metadata
    orientation = metadata.exif.orientation
    targets = {name: target(recipe, photo.width, photo.height, orientation) for name, recipe in recipes.items()}
    goals = list(targets.values())
    step = scale(goals, photo.scales)
    decoded = Picture.whole(photo.decode(step).image, photo.width, photo.height, step)
    cascade = Cascade(decoded, goals, metadata.profile)
    weights: dict[str, float] = {}
    while len(weights) < len(recipes):
        goal, pixels = cascade.next()
        turned = upright(pixels, orientation)
        for name, recipe in recipes.items():
            if targets[name] == goal:
                weights[name] = _weight(photo, turned, recipe)
    return weights


def _weight(photo: Photo, image: Image.Image, recipe: Recipe) -> float:
    exact = recipe.format == "jpeg"
    jpeg = replace(recipe, format="jpeg", quality=recipe.quality if exact else REFERENCE, max_kb=0)
    for step in STEPS:
        image = step(image, jpeg)
    made = len(encode(image, jpeg, Kept()))
    kept = photo.metadata.keep(recipe.metadata, image.size, recipe.format, whole=False)
    expected = made if exact else expected_bytes(recipe.format, recipe.quality, image.width * image.height, made)
    return min(expected + len(kept.exif) + len(kept.xmp) + len(kept.iptc), most_bytes(recipe.max_kb))


def alike(one: bytes, other: bytes) -> bool:
    """Return whether the pictures at two paths look the same, spot by spot; False where one can't be decoded.

    Other library versions give other bytes, with no visible difference.
    """
    try:
        with Image.open(os.fsdecode(one)) as first, Image.open(os.fsdecode(other)) as second:
            if first.size != second.size or first.mode != second.mode:
                return False
            difference = ImageChops.difference(first.convert("RGB"), second.convert("RGB"))
    except (OSError, SyntaxError, ValueError):
        return False
    spots = difference.reduce((min(_CELL, difference.width), min(_CELL, difference.height)))
    return max(high for _, high in spots.getextrema()) <= _MOST  # type: ignore[misc]  # RGB: a pair for each channel
