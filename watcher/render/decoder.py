"""Pillow's JPEG decoder, handed all bytes at once: its own reader copies every block twice, 1 % of a photo's time.

The calls are those of Pillow's `load`, which its manual does not tell of. So a self-test once a process holds them
against `load`; where they differ or are gone, and for each photo that does not come out whole, `load` has its way.
"""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image
from PIL.ImageFile import ImageFile


def load(image: ImageFile, head: bytes, scan: memoryview) -> None:
    """Decode an image that was opened and not loaded yet, as `image.load()` does, and raise what that raises.

    Its file is `head` (all before the first scan's data) and `scan`.
    """
    if not (at_once() and _decode(image, head, scan)):
        image.load()


def _decode(image: ImageFile, head: bytes, scan: memoryview) -> bool:
    """Decode all at once; False, and nothing done that counts, for what is truncated or broken."""
    (tile,) = image.tile
    image.load_prepare()
    decoder = Image._getdecoder(image.mode, tile.codec_name, tile.args, image.decoderconfig)  # noqa: SLF001 - see above
    try:
        decoder.setimage(image.im, tile.extents)
        used, error = decoder.decode(head)
        if used == len(head):
            used, error = decoder.decode(scan)
    finally:
        decoder.cleanup()
    if used >= 0 or error < 0:
        return False
    image.tile, image.fp = [], None  # it is loaded, and lets go of its file
    return True


@lru_cache(maxsize=1)
def at_once() -> bool:
    """Tell whether this Pillow's decoder can be used so; found out once a process, in a millisecond."""
    try:
        gradient = Image.linear_gradient("L")
        picture = Image.merge("RGB", (gradient, gradient.transpose(Image.Transpose.ROTATE_90), gradient))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG")
        data = buffer.getvalue()
        seam = data.index(b"\xff\xda") + 14  # a scan's header of three components
        for size in ((256, 256), (64, 64)):
            one, other = _opened(data, size), _opened(data, size)
            if not _decode(one, data[:seam], memoryview(data)[seam:]):
                return False
            other.load()
            if one.tobytes() != other.tobytes():
                return False
        return not _decode(_opened(data, size), data[:seam], memoryview(data)[seam:-99])
    except Exception:  # noqa: BLE001 - whatever is different in this Pillow, photos are decoded its own way
        return False


def _opened(data: bytes, size: tuple[int, int]) -> ImageFile:
    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    image.draft("RGB", size)
    return image
