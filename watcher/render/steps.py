"""What is done to each rendition between resizing and encoding, step by step.

A step returns the picture itself where the recipe asks for nothing, and draws on a copy otherwise: smaller renditions
are made from the larger ones, and stay clean.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from functools import lru_cache

from PIL import Image, ImageChops, ImageColor, ImageFilter

from watcher.core.formats import OUTPUTS
from watcher.core.recipe import Recipe, Sharpening, Watermark
from watcher.fs.faults import bad_photo, short
from watcher.render.geometry import frame, offset
from watcher.text import shown

Step = Callable[[Image.Image, Recipe], Image.Image]

_OPAQUE = {"LA": "L", "RGBA": "RGB"}

# How much of the difference to the eight neighbours' weighted mean is added. A kernel of 3 by 3 reaches one pixel, so
# that what it adds along an edge is no halo but contrast: at an edge between two flat parts at most a quarter of this
# share of the step, 18 % at "standard". Chosen by eye on camera photos at 1024 px: "low" is sharp's mild default, at
# "high" noise begins to show. 53 ms at 2048 px, on a busy core on
# which the photo takes 100 (24 MP); an unsharp mask of the same effect takes three times as long.
_AMOUNTS: Mapping[Sharpening, float] = {"none": 0.0, "low": 0.35, "standard": 0.7, "high": 1.4}


def flatten(image: Image.Image, recipe: Recipe) -> Image.Image:
    """Put the background under a picture with an alpha channel where its format keeps none, or it gets a frame."""
    if image.mode not in _OPAQUE or (OUTPUTS[recipe.format].has_alpha and not frame(recipe)):
        return image
    opaque = image.convert(_OPAQUE[image.mode])
    canvas = _canvas(opaque, image.size, recipe.background)
    canvas.paste(opaque, mask=image.getchannel("A"))
    return canvas


def sharpen(image: Image.Image, recipe: Recipe) -> Image.Image:
    """Bring back the contrast of the finest detail, which resizing takes."""
    share = _AMOUNTS[recipe.sharpen] / 16
    if not share or min(image.size) < 3:  # noqa: PLR2004 - the kernel's side
        return image
    side, corner = -2 * share, -share
    kernel = (corner, side, corner, side, 1 + 12 * share, side, corner, side, corner)
    out = image.filter(ImageFilter.Kernel((3, 3), kernel, scale=1))
    if image.mode in _OPAQUE:
        out.putalpha(image.getchannel("A"))
    return out


def pad(image: Image.Image, recipe: Recipe) -> Image.Image:
    """Place a picture in the frame that `contain` asks for."""
    size = frame(recipe)
    if size is None or size == image.size:
        return image
    canvas = _canvas(image, size, recipe.background)
    left, top = offset(recipe.position)
    canvas.paste(image, (int((size[0] - image.width) * left), int((size[1] - image.height) * top)))
    return canvas


def watermark(image: Image.Image, recipe: Recipe) -> Image.Image:
    """Draw the watermark; it becomes smaller than asked for where it would not fit between the margins."""
    mark = recipe.watermark
    if mark is None:
        return image
    margin = round(image.width * mark.margin)
    space = max(1, image.width - 2 * margin), max(1, image.height - 2 * margin)
    width, height = mark.size
    scale = min(image.width * mark.share / width, space[0] / width, space[1] / height)
    picture, alpha = _drawn(mark, (max(1, round(width * scale)), max(1, round(height * scale))))
    left, top = (
        margin + int((whole - drawn) * share)
        for whole, drawn, share in zip(space, picture.size, offset(mark.position), strict=True)
    )
    if image.mode in _OPAQUE:
        drawn, canvas = picture.convert("RGBA"), image.convert("RGBA")
        drawn.putalpha(alpha)
        canvas.alpha_composite(drawn, (left, top))
        return canvas.convert("LA") if (image.mode, picture.mode) == ("LA", "L") else canvas
    canvas = image.convert("RGB") if picture.mode == "RGB" else image.copy()
    canvas.paste(picture, (left, top), alpha)
    return canvas


STEPS: tuple[Step, ...] = (flatten, sharpen, pad, watermark)  # in this order


def changes(recipe: Recipe) -> bool:
    """Return whether a step changes a picture that has its size already, is opaque and gets no frame."""
    return recipe.sharpen != "none" or recipe.watermark is not None


def extra_bytes(recipe: Recipe, size: tuple[int, int]) -> int:
    """Return the memory that steps and encoding take at their peak for a rendition of `size`, beyond the usual."""
    pixels = size[0] * size[1]
    copies = (recipe.sharpen != "none") + (frame(recipe) is not None) + (recipe.watermark is not None)
    mark = 8 * math.prod(recipe.watermark.size) if recipe.watermark else 0  # once when it is opened
    return 4 * pixels * copies + mark + (2 * pixels if recipe.max_kb else 0)  # files, until one is chosen


def _canvas(image: Image.Image, size: tuple[int, int], colour: str) -> Image.Image:
    """Return a picture of one colour: grey for a grey picture on grey, so that it stays grey."""
    red, green, blue = ImageColor.getrgb(colour)[:3]
    grey = image.mode == "L" and red == green == blue
    return Image.new("L", size, red) if grey else Image.new("RGB", size, (red, green, blue))


@lru_cache(maxsize=4)
def _drawn(mark: Watermark, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """Return a watermark as it is drawn, grey (L) if it has no colour, and how opaque each of its pixels is."""
    try:
        with Image.open(io.BytesIO(mark.content), formats=("PNG",)) as opened:
            picture = opened.convert("RGBA").resize(size, Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError) as error:
        raise bad_photo(f"the watermark {shown(mark.path)} can't be decoded: {short(error)}") from error
    red, green, blue, _ = picture.convert("RGBa").split()  # where nothing shows, no colour does
    coloured = ImageChops.difference(red, green).getbbox() or ImageChops.difference(green, blue).getbbox()
    alpha = picture.getchannel("A").point([round(value * mark.opacity) for value in range(256)])
    return picture.convert("RGB" if coloured else "L"), alpha
