"""A picture becomes a file's bytes: fixed settings per format, so that equal pictures give equal bytes.

JPEG, measured at 2048 px, quality 85 (one core of an EPYC): baseline 4:2:0 takes 5.1 ms, 4:4:4 8.2 ms and 21 % more
bytes; `optimize` costs 4 to 5 % of a photo's whole time (23 % for small photos), `progressive` 15 %
(44 %): both off. From quality 90 up the chroma is kept whole, where its loss would be the largest one left.
WebP: method 6 (230 ms per megapixel, method 4 100 ms, for 5 % fewer bytes that look alike).
AVIF: speed 6 (760 ms per megapixel on a busy core, speed 8 200 ms, for 14 % fewer bytes), and libavif's own tuning
(others take 4 to 20 % more); one thread, because every core has its own worker. Pillow has neither sharp YUV for WebP
nor more than 8 bits for AVIF. PNG: level 1 (199 ms; level 6 takes 731 ms for 5 % fewer bytes).
Changed settings need a higher `version` in `core/formats`, or renditions made before would count as current.
"""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image, PngImagePlugin

from watcher.core.formats import OUTPUTS, Format, quality_of
from watcher.core.recipe import Recipe, most_bytes
from watcher.render import icc
from watcher.render.decoders.jpeg.markers import Header, parse
from watcher.render.decoders.jpeg.segments import segments
from watcher.render.metadata import Kept

WHOLE_CHROMA = 90  # the JPEG quality from which chroma is not subsampled
LARGE = 4_000_000  # pixels, from which AVIF takes the faster way: `retry.timeout_seconds` holds for the largest, too
LOWEST = 40  # the JPEG quality that `max_kb` lowers to; below it blocks show


def encode(image: Image.Image, recipe: Recipe, kept: Kept) -> bytes:
    """Encode `image` (L, RGB, LA or RGBA) as `recipe` says, with the sRGB profile (or its grey sister) and `kept`.

    The best quality whose file is no larger than `max_kb` is found by bisection, in up to seven steps; where even the
    lowest makes a larger one, its file is returned.
    """
    data = _encoded(image, recipe.format, recipe.quality, kept)
    most = most_bytes(recipe.max_kb)
    if len(data) <= most:
        return data
    fitting, low, high = b"", LOWEST, recipe.quality - 1
    while low <= high:
        quality = (low + high) // 2
        data = _encoded(image, recipe.format, quality, kept)
        if len(data) <= most:
            fitting, low = data, quality + 1
        else:
            high = quality - 1
    return fitting or data  # where none fits, the last one is the lowest


def _encoded(image: Image.Image, form: Format, wanted: int, kept: Kept) -> bytes:
    """Encode `image` at a quality on JPEG's scale."""
    quality = quality_of(form, wanted)
    match form:
        case "jpeg":
            return _jpeg(image, quality, segments(kept, icc.SGREY if image.mode == "L" else icc.SRGB))
        case "png":
            return _png(image, kept)
        case "webp":
            # WebP knows no greyscale: what is written is RGB, or RGBA
            return _saved(image, form, kept, icc_profile=icc.SRGB, quality=quality, method=6)
        case "avif":
            # a grey picture has one plane: browsers refuse three planes with a profile for one
            chroma = "4:0:0" if image.mode == "L" else "4:4:4" if wanted >= WHOLE_CHROMA else "4:2:0"
            profile = icc.SGREY if image.mode == "L" else icc.SRGB
            speed = 6 if image.width * image.height <= LARGE else 8
            settings = {"quality": quality, "speed": speed, "subsampling": chroma, "max_threads": 1}
            return _saved(image, form, kept, icc_profile=profile, **settings)


def _jpeg(image: Image.Image, quality: int, behind: bytes) -> bytes:
    """Encode, and put the segments behind the encoder's own first one (JFIF), where readers look for them."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0 if quality >= WHOLE_CHROMA else 2)
    with buffer.getbuffer() as plain:
        seam = 4 + int.from_bytes(plain[4:6], "big") if bytes(plain[2:4]) == b"\xff\xe0" else 2
        return b"".join((plain[:seam], behind, plain[seam:]))


def _png(image: Image.Image, kept: Kept) -> bytes:
    info = PngImagePlugin.PngInfo()
    if kept.xmp:
        info.add_itxt("XML:com.adobe.xmp", kept.xmp.decode("utf-8", "replace"))
    profile = icc.SGREY if image.mode in {"L", "LA"} else icc.SRGB
    return _saved(image, "png", Kept(kept.exif), icc_profile=profile, compress_level=1, pnginfo=info)


class _Block(Image.Exif):
    """An EXIF block that is written as it is.

    Of bytes, Pillow's AVIF writer takes the orientation out and writes the rest anew: maker notes move, and texts lose
    every letter that is not ASCII. Of an `Exif` it asks just for its bytes.
    """

    def __init__(self, block: bytes) -> None:
        super().__init__()
        self._block = block

    def __bool__(self) -> bool:
        return bool(self._block)

    def __contains__(self, tag: object) -> bool:
        return False  # no orientation is to be taken out: it is 1

    def tobytes(self, offset: int = 8) -> bytes:  # noqa: ARG002 - as Pillow has it
        """Return the block."""
        return self._block


def _saved(image: Image.Image, form: Format, kept: Kept, **settings: object) -> bytes:
    buffer = io.BytesIO()
    there = {"exif": _Block(kept.exif), "xmp": kept.xmp}
    image.save(buffer, OUTPUTS[form].pillow, **{name: value for name, value in there.items() if value}, **settings)
    return buffer.getvalue()


@lru_cache(maxsize=32)
def signature(quality: int, components: int) -> Header:
    """Return the header that our JPEGs of this quality have: quantisation tables and sampling, to know them again."""
    image = Image.new("L" if components == 1 else "RGB", (8, 8))
    return parse(_jpeg(image, quality, b""))
