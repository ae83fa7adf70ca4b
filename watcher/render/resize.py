"""The one seam to a resizer: LANCZOS by SIMD where `cykooz-resizer` is installed and proves itself, else by Pillow.

cykooz works in place on Pillow's own pixels (RGB is stored as four bytes there, the fourth 255 on both sides), with
the same filter: 50 dB and more apart from Pillow, at a fifth of its time (6000 by 4000 decoded at 1/2, to 2048: 9 ms
instead of 44).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from PIL import Image, ImageChops, ImageStat

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the source
_Resize = Callable[[Image.Image, tuple[int, int], Box], Image.Image]
_ENOUGH_DB = 45.0  # the two differ by rounding alone: 50 dB and more on photos


def resize(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """Return the part `box` of `image` (mode L, RGB, CMYK, LA or RGBA) as a new picture of `size`."""
    if image.mode in {"LA", "RGBA"}:
        return pillow(image, size, box)  # each colour counts as much as it is opaque
    return _chosen()[0](image, size, box)


def resizer() -> tuple[str, str]:
    """Return the name of the resizer in use, and why it is not the fast one (empty if it is)."""
    _, name, why = _chosen()
    return name, why


def pillow(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """Resize by Pillow: the reference."""
    return image.resize(size, Image.Resampling.LANCZOS, box)


@lru_cache(maxsize=1)
def _chosen() -> tuple[_Resize, str, str]:
    """Pick the resizer, once per process; the self-test takes a few milliseconds."""
    try:
        fast, name = _cykooz()
    except ImportError:
        return pillow, "Pillow", "cykooz-resizer is not installed"
    except Exception as error:  # noqa: BLE001 - whatever is wrong with an optional part, photos are still made
        return pillow, "Pillow", f"cykooz-resizer can't be used: {type(error).__name__}: {error}"
    return judge(fast, name)


def judge(fast: _Resize, name: str) -> tuple[_Resize, str, str]:
    """Hold `fast` against Pillow on known pictures: itself if it agrees, else Pillow and why."""
    try:
        for image in _samples():
            for size, box in (((67, 41), (0, 0, *image.size)), ((40, 40), (20.25, 3.5, 120.75, 104.0))):
                decibel = psnr(fast(image, size, box), pillow(image, size, box))
                if decibel < _ENOUGH_DB:
                    why = f"{name} differs from Pillow's LANCZOS: {decibel:.0f} dB on mode {image.mode}"
                    return pillow, "Pillow", why
    except Exception as error:  # noqa: BLE001 - a resizer that raises is as wrong as one that errs
        return pillow, "Pillow", f"{name} failed its self-test: {type(error).__name__}: {error}"
    return fast, name, ""


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Return the peak signal-to-noise ratio of two pictures in dB; infinite if they are equal."""
    squares = ImageStat.Stat(ImageChops.difference(one, other)).sum2
    error = sum(squares) / (len(squares) * one.width * one.height)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _samples() -> list[Image.Image]:
    """Make a gradient and something like a photo (soft shapes, hard edges, texture), in every mode that is resized."""
    gradient = Image.linear_gradient("L").resize((160, 107), Image.Resampling.BILINEAR)
    rings = Image.radial_gradient("L").resize((160, 107), Image.Resampling.BILINEAR).point(lambda v: (v * 5) % 256)
    texture = Image.frombytes("L", (160, 107), bytes((i * i // 7 + i * 13) % 256 for i in range(160 * 107)))
    photo = Image.merge(
        "RGB", (gradient, Image.blend(rings, texture, 0.2), gradient.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    )
    return [gradient, photo, Image.merge("CMYK", (*photo.split(), rings))]


def _cykooz() -> tuple[_Resize, str]:
    from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer  # type: ignore[import-untyped]  # ships no types  # noqa: PLC0415 - has no wheel on some platforms

    name = f"cykooz-resizer ({Resizer().cpu_extensions.name})"
    lanczos = ResizeAlg.convolution(FilterType.lanczos3)

    def fast(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
        left, top, right, bottom = box
        options = ResizeOptions(lanczos, use_alpha=False, crop_box=CropBox(left, top, right - left, bottom - top))
        out = Image.new(image.mode, size)
        # a new one each time (0.4 µs): it keeps its buffer, which after one huge photo would stay for the worker's life
        Resizer().resize_pil(image, out, options)
        return out

    return fast, name
