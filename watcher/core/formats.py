"""The formats of renditions and of photos, each in one row of a table.

An output format consists of its name in `Format`, its row in `OUTPUTS` and its case in `render/encode`. An input format
consists of its row in `INPUTS` and its module in `render/decoders`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Literal, NamedTuple

Format = Literal["jpeg", "webp", "avif", "png"]

# JPEG's qualities. The tables below have the qualities of other formats that look the same, and what each takes. They
# are made by `python -m benchmarks.alike` (docs/benchmarks.md, "WebP and AVIF"), with the settings of
# `render/encode`.
_QUALITIES = (1, 20, 45, 60, 75, 85, 92, 100)
_SIDES = (240, 480, 1024, 2048)  # pixels of the longer side, of pictures of 3:2

_PerSide = tuple[tuple[float, ...], ...]


class OutputFormat(NamedTuple):
    """The properties of one output format."""

    extension: bytes
    media_type: str
    pillow: str  # Pillow's name
    max_side: int  # pixels
    bytes_per_pixel: _PerSide  # by `_SIDES`, then by `_QUALITIES` without the first
    detail_power: float  # bytes grow with this power of those of a small JPEG, from photo to photo
    qualities: tuple[int, ...] = _QUALITIES  # those that look like `_QUALITIES` of JPEG
    max_pixels: int = 1 << 40  # width times height: the limit of common decoders, where the format allows more
    has_iptc: bool = False  # it can store IPTC records
    version: int = 0  # raise it when the encoder settings change: every rendition of the format is then made again


_DETAIL_GROWTH = 0.24  # of the power, with each step of e in size
# fmt: off
_JPEG: _PerSide = (
    (0.092, 0.132, 0.155, 0.194, 0.250, 0.435, 1.388),
    (0.058, 0.091, 0.109, 0.141, 0.188, 0.341, 1.192),
    (0.044, 0.070, 0.085, 0.112, 0.153, 0.279, 1.009),
    (0.037, 0.058, 0.070, 0.093, 0.128, 0.231, 0.818),
)
_WEBP: _PerSide = (
    (0.061, 0.099, 0.117, 0.159, 0.227, 0.446, 0.446),
    (0.036, 0.066, 0.079, 0.113, 0.169, 0.360, 0.365),
    (0.025, 0.047, 0.058, 0.084, 0.129, 0.280, 0.308),
    (0.020, 0.037, 0.045, 0.066, 0.101, 0.229, 0.253),
)
_AVIF: _PerSide = (
    (0.048, 0.078, 0.099, 0.128, 0.171, 0.321, 0.419),
    (0.025, 0.048, 0.064, 0.087, 0.122, 0.244, 0.330),
    (0.017, 0.034, 0.047, 0.066, 0.095, 0.193, 0.282),
    (0.014, 0.028, 0.038, 0.053, 0.076, 0.154, 0.226),
)
_PNG: _PerSide = tuple((each,) * 7 for each in (1.69, 1.54, 1.39, 1.20))
# fmt: on

OUTPUTS: Mapping[Format, OutputFormat] = {
    "jpeg": OutputFormat(b".jpg", "image/jpeg", "JPEG", 65_500, _JPEG, 1.0, has_iptc=True),
    "webp": OutputFormat(
        b".webp", "image/webp", "WEBP", 16_383, _WEBP, 1.42, (1, 20, 48, 63, 79, 88, 100, 100), version=1
    ),
    "avif": OutputFormat(
        b".avif", "image/avif", "AVIF", 32_768, _AVIF, 1.27, (1, 24, 44, 52, 61, 72, 88, 100), 1 << 28, version=2
    ),
    "png": OutputFormat(b".png", "image/png", "PNG", 1_000_000, _PNG, 0.66),
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
    return round(_between(_QUALITIES, OUTPUTS[form].qualities, quality))


def expected_bytes(form: Format, quality: int, pixels: float, detail: float = 1) -> float:
    """Return about how many bytes a photo of so many pixels takes; quality on JPEG's scale.

    `detail` is what the photo takes as a JPEG of 480 pixels over what is usual. It counts for more in large pictures.
    """
    row = OUTPUTS[form]
    logs = [math.log(_between(_QUALITIES[1:], known, quality)) for known in row.bytes_per_pixel]
    sides = [math.log(side) for side in _SIDES]
    side = min(max(math.log(1.5 * max(pixels, 1)) / 2, sides[0]), sides[-1])
    power = row.detail_power + _DETAIL_GROWTH * (side - math.log(480))
    return pixels * math.exp(_between(sides, logs, side)) * math.pow(detail, power)


def _between(knots: Sequence[float], values: Sequence[float], at: float) -> float:
    """Return the value at a place between two knots; at the ends, that of the end."""
    for (low, least), (high, most) in pairwise(zip(knots, values, strict=True)):
        if at <= high:
            return least + max(0, at - low) / (high - low) * (most - least)
    return values[-1]
