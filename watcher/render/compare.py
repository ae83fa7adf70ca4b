"""Whether two pictures look the same: other library versions give other bytes, with no visible difference."""

from __future__ import annotations

import os

from PIL import Image, ImageChops

_CELL = 8  # pixels: the smallest spot that is looked at, one block of a JPEG
_MOST = 12  # of 255, the mean difference of a spot; other resizers and encoders differ by 1 to 3, damage by 30 and more


def alike(one: bytes, other: bytes) -> bool:
    """Return whether the pictures at two paths look the same, spot by spot; False where one can't be decoded."""
    try:
        with Image.open(os.fsdecode(one)) as first, Image.open(os.fsdecode(other)) as second:
            if first.size != second.size or first.mode != second.mode:
                return False
            difference = ImageChops.difference(first.convert("RGB"), second.convert("RGB"))
    except (OSError, SyntaxError, ValueError):
        return False
    spots = difference.reduce((min(_CELL, difference.width), min(_CELL, difference.height)))
    return max(high for _, high in spots.getextrema()) <= _MOST  # type: ignore[misc]  # RGB: a pair for each channel
