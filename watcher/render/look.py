"""A look at pictures that are not to be made now: how much there is to see in one, and whether two look the same."""

from __future__ import annotations

import io
import os
from typing import NamedTuple

from PIL import Image, ImageChops

from watcher.core.formats import expected_bytes
from watcher.fs.openat import open_file
from watcher.render.decoders import describe

_MOST_PIXELS = 60_000_000  # a larger photo would take long
_CELL = 8  # pixels: the smallest spot that is looked at, one block of a JPEG
_MOST = 12  # of 255, the mean difference of a spot; other resizers and encoders differ by 1 to 3, damage by 30 and more
_SIDE, _QUALITY = 480, 80  # of the JPEG that shows how much there is to see


class Look(NamedTuple):
    """What a forecast needs to know of a photo."""

    width: int  # stored pixels
    height: int
    orientation: int
    detail: float  # see `expected_bytes`


def look_at(inbox: bytes, path: bytes) -> Look | None:
    """Look at a photo; None if it can't be read, or takes too long."""
    try:
        with open(open_file(inbox, path), "rb") as file:
            photo = describe(file.read())
        if photo.refusal() or photo.width * photo.height > _MOST_PIXELS:
            return None
        scale = next((scale for scale in photo.scales if max(photo.width, photo.height) >= 2 * scale * _SIDE), 1)
        image = photo.decode(scale).image
    except Exception:  # noqa: BLE001  # it serves an estimate; what is wrong with a photo is said when it is made
        return None
    return Look(photo.width, photo.height, photo.metadata.exif.orientation, detail(image))


def detail(image: Image.Image) -> float:
    """Return how many bytes a small JPEG of a picture takes, over those that are usual."""
    small = image.convert("RGB")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    return len(buffer.getvalue()) / expected_bytes("jpeg", _QUALITY, small.width * small.height)


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
