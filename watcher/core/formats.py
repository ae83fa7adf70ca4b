"""The formats of renditions and of photos, each in one row of a table.

An output format consists of its name in `Format`, its row in `OUTPUTS` and its case in `render/encode`. An input format
consists of its row in `INPUTS` and its module in `render/decoders`.
"""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Literal, NamedTuple

Format = Literal["jpeg", "webp", "avif", "png"]

# JPEG's qualities, at which the tables below have a value: those of other formats that look the same, which
# `python -m benchmarks.alike` makes, and what each takes over JPEG, which `python -m benchmarks.forecast` makes
# (docs/benchmarks.md), both with the settings of `render/encode`.
_QUALITIES = (1, 20, 45, 60, 75, 85, 92, 100)
FORECAST_QUALITIES = (20, 45, 60, 75, 85, 90, 92, 100)  # at 90 chroma becomes whole
REFERENCE = 85  # the quality of a JPEG that shows what other formats would take
TYPICAL_DENSITY = 0.125  # bytes per pixel: what such a JPEG of 1000 to 2000 pixels takes

_Table = tuple[float, ...]  # by `FORECAST_QUALITIES`


class OutputFormat(NamedTuple):
    """The properties of one output format."""

    extension: bytes
    media_type: str
    pillow: str  # Pillow's name
    max_side: int  # pixels
    over_jpeg: _Table  # bytes over those of a JPEG of quality `REFERENCE` that takes `TYPICAL_DENSITY`
    density_power: _Table  # that ratio grows with this power of the JPEG's bytes per pixel
    qualities: tuple[int, ...] = _QUALITIES  # those that look like `_QUALITIES` of JPEG
    max_pixels: int = 1 << 40  # width times height: the limit of common decoders, where the format allows more
    has_alpha: bool = True  # it can store how transparent a pixel is
    has_iptc: bool = False  # it can store IPTC records
    lossless: bool = False  # it has no quality
    version: int = 0  # raise it when the encoder settings change: every rendition of the format is then made again


OUTPUTS: Mapping[Format, OutputFormat] = {
    "jpeg": OutputFormat(
        b".jpg",
        "image/jpeg",
        "JPEG",
        65_500,
        (0.34, 0.50, 0.58, 0.74, 1.00, 1.66, 1.86, 6.83),
        (-0.15, -0.04, 0.00, 0.02, 0.00, -0.06, -0.07, -0.24),
        has_alpha=False,
        has_iptc=True,
    ),
    "webp": OutputFormat(
        b".webp",
        "image/webp",
        "WEBP",
        16_383,
        (0.19, 0.28, 0.34, 0.45, 0.70, 1.47, 1.87, 1.87),
        (0.30, 0.40, 0.43, 0.44, 0.38, 0.16, 0.06, 0.06),
        (1, 20, 48, 63, 79, 88, 100, 100),
        version=1,
    ),
    "avif": OutputFormat(
        b".avif",
        "image/avif",
        "AVIF",
        32_768,
        (0.12, 0.22, 0.29, 0.38, 0.55, 0.80, 1.10, 5.64),
        (0.14, 0.26, 0.33, 0.37, 0.38, 0.31, 0.22, -0.22),
        (1, 24, 44, 52, 61, 72, 88, 100),
        1 << 28,
        version=2,
    ),
    "png": OutputFormat(b".png", "image/png", "PNG", 1_000_000, (9.97,) * 8, (-0.44,) * 8, lossless=True),
}


class InputFormat(NamedTuple):
    """The properties of one input format."""

    label: str  # "it is …"
    extensions: tuple[str, ...]
    included: bool = False  # files with these extensions are photos where `include` is left out
    extra: str = ""  # what `pip` has to install to read it, as in photo-watcher[heic]; empty: nothing
    module: str = ""  # and the module that comes with that


INPUTS: Mapping[str, InputFormat] = {
    "jpeg": InputFormat("a JPEG", (".jpg", ".jpeg"), included=True),
    "png": InputFormat("a PNG", (".png",)),
    "webp": InputFormat("a WebP", (".webp",)),
    "tiff": InputFormat("a TIFF", (".tif", ".tiff")),
    "avif": InputFormat("an AVIF", (".avif",)),
    "heic": InputFormat("a HEIC", (".heic", ".heif", ".hif"), included=True, extra="heic", module="pillow_heif"),
}


def to_install(extra: str) -> str:
    """Return the command that installs an extra for this Python: a shell may find the pip of another one.

    An environment that `uv tool install` made has no pip.
    """
    python = shlex.quote(sys.executable)
    pip = f"{python} -m pip install" if find_spec("pip") else f"uv pip install --python {python}"
    return f"{pip} 'photo-watcher[{extra}]'"


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
        return f"can't be read here: {to_install(INPUTS[form].extra)}"
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


def format_of_path(path: bytes) -> Format:
    """Return the format that an output's path shows; a JPEG may have the name of its photo."""
    found: list[Format] = [name for name, fmt in OUTPUTS.items() if path.lower().endswith(fmt.extension)]
    return found[0] if found else "jpeg"


def expected_bytes(form: Format, quality: int, pixels: float, as_jpeg: float) -> float:
    """Return about how many bytes a picture takes that takes `as_jpeg` as a JPEG of quality `REFERENCE`.

    `quality` is on JPEG's scale. The more there is to see in a picture, the less do the newer formats save.
    """
    row = OUTPUTS[form]
    ratio = _between(FORECAST_QUALITIES, [math.log(each) for each in row.over_jpeg], quality)
    power = _between(FORECAST_QUALITIES, row.density_power, quality)
    return as_jpeg * math.exp(ratio + power * math.log(as_jpeg / pixels / TYPICAL_DENSITY))


def _between(knots: Sequence[float], values: Sequence[float], at: float) -> float:
    """Return the value at a place between two knots; at the ends, that of the end."""
    for (low, least), (high, most) in pairwise(zip(knots, values, strict=True)):
        if at <= high:
            return least + max(0, at - low) / (high - low) * (most - least)
    return values[-1]
