"""The formats of renditions and of photos, each in one row of a table.

An output format consists of its name in `Format`, its row in `OUTPUTS` and its case in `render/encode`. An input format
consists of its row in `INPUTS` and its module in `render/decoders`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Literal, NamedTuple

Format = Literal["jpeg", "webp", "avif", "png"]

# JPEG qualities; the table has the qualities of other formats that look the same: medians of equal SSIM (luma, windows
# of 8 by 8) over 14 distinct untouched pictures at 800 px, with libwebp 1.6 and libavif 1.4.2 as configured in
# `render/encode`. Pictures differ: the equivalent of JPEG 85 is between 81 and 100 in WebP, and between 67 and 86 in
# AVIF. WebP's highest quality is reached at JPEG 95. Bytes relative to the JPEG's at 85: WebP 1.0, AVIF 0.73.
_JPEG_QUALITIES = (1, 10, 30, 50, 60, 70, 80, 85, 90, 95, 100)


class OutputFormat(NamedTuple):
    """The properties of one output format."""

    extension: bytes
    media_type: str
    pillow: str  # Pillow's name
    max_side: int  # pixels
    bytes_per_pixel: float  # at quality 85, measured over 60 camera photos scaled to 2048, 1024 and 320 pixels
    qualities: tuple[int, ...] = _JPEG_QUALITIES  # those that look like `_JPEG_QUALITIES`
    max_pixels: int = 1 << 40  # width times height: the limit of common decoders, where the format allows more
    has_iptc: bool = False  # it can store IPTC records
    version: int = 0  # raise it when the encoder settings change: every rendition of the format is then made again


OUTPUTS: Mapping[Format, OutputFormat] = {
    "jpeg": OutputFormat(b".jpg", "image/jpeg", "JPEG", 65_500, 0.25, has_iptc=True),
    "webp": OutputFormat(b".webp", "image/webp", "WEBP", 16_383, 0.17, (1, 1, 33, 65, 77, 82, 89, 92, 96, 100, 100)),
    "avif": OutputFormat(
        b".avif", "image/avif", "AVIF", 32_768, 0.12, (1, 1, 34, 47, 51, 57, 71, 78, 87, 94, 100), 1 << 28, version=1
    ),
    "png": OutputFormat(b".png", "image/png", "PNG", 1_000_000, 1.7),
}


class InputFormat(NamedTuple):
    """The properties of one input format."""

    label: str  # "it is …"
    extensions: tuple[str, ...]
    included: bool = True  # files with these extensions are photos where `include` is left out
    extra: str = ""  # what `pip` has to install to read it, as in photo-watcher[heic]; empty: nothing
    module: str = ""  # and the module that comes with that


INPUTS: Mapping[str, InputFormat] = {
    "jpeg": InputFormat("a JPEG", (".jpg", ".jpeg")),
    "png": InputFormat("a PNG", (".png",), included=False),
    "webp": InputFormat("a WebP", (".webp",), included=False),
    "tiff": InputFormat("a TIFF", (".tif", ".tiff"), included=False),
    "avif": InputFormat("an AVIF", (".avif",), included=False),
    "heic": InputFormat("a HEIC", (".heic", ".heif", ".hif"), extra="heic", module="pillow_heif"),
}


@cache
def readable() -> tuple[str, ...]:
    """Return the input formats that this installation reads, by name."""
    return tuple(name for name, kind in INPUTS.items() if not kind.module or find_spec(kind.module) is not None)


def why_left_alone(ending: str) -> str:
    """Return why a file with this ending, which `include` does not take, is no photo, and what makes it one."""
    form = next((form for form, kind in INPUTS.items() if ending in kind.extensions), None)
    if form is None:
        return "not a format that is read"
    if form not in readable():
        return f"can't be read here: pip install 'photo-watcher[{INPUTS[form].extra}]'"
    return f'not in `include`: add "*{ending}"'


def misnamed(name: bytes, kind: str) -> str:
    """Return what a photo of this format is, where its name has the extension of another; empty: it has not."""
    low = os.fsdecode(name).lower()
    named = next((form for form, known in INPUTS.items() if low.endswith(known.extensions)), kind)
    return INPUTS[kind].label if named != kind else ""


def too_large(form: Format, width: int, height: int) -> str:
    """Return why a format can't hold a picture of this size, as a clause for the user; empty: it can."""
    longest, pixels = max(width, height), width * height
    limits = OUTPUTS[form]
    if longest > limits.max_side:
        return f"would be {longest} pixels long, {form} holds at most {limits.max_side}"
    if pixels > limits.max_pixels:
        return f"would have {pixels / 1e6:.0f} megapixels, {form} holds at most {limits.max_pixels / 1e6:.0f}"
    return ""


def quality_of(form: Format, quality: int) -> int:
    """Translate a quality on JPEG's scale, 1 to 100, to a format's own."""
    for low, high in pairwise(zip(_JPEG_QUALITIES, OUTPUTS[form].qualities, strict=True)):
        if quality <= high[0]:
            part = (quality - low[0]) / (high[0] - low[0])
            return round(low[1] + part * (high[1] - low[1]))
    return 100
