"""A look at a photo that is not to be made now: its size, and how much there is to see in it."""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image

from watcher.core.formats import expected_bytes
from watcher.fs.openat import open_file
from watcher.render.decoders import describe

_MOST_PIXELS = 60_000_000  # a larger photo would take long
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
