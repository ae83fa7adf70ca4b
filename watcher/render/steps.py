"""What is done to each rendition between resizing and encoding, step by step.

A step returns the picture itself where the recipe asks for nothing, and draws on a copy otherwise: smaller renditions
are made from the larger ones, and stay clean.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageColor

from watcher.core.types import Recipe
from watcher.render.geometry import frame, offset

Step = Callable[[Image.Image, Recipe], Image.Image]


def flatten(image: Image.Image, recipe: Recipe) -> Image.Image:
    """Put the background under a picture (LA or RGBA) that lets it through."""
    if "A" not in image.getbands():
        return image
    opaque = image.convert("L" if image.mode == "LA" else "RGB")
    canvas = _canvas(opaque, image.size, recipe.background)
    canvas.paste(opaque, mask=image.getchannel("A"))
    return canvas


def pad(image: Image.Image, recipe: Recipe) -> Image.Image:
    """Place a picture in the frame that `contain` asks for."""
    size = frame(recipe)
    if size is None or size == image.size:
        return image
    canvas = _canvas(image, size, recipe.background)
    left, top = offset(recipe.position)
    canvas.paste(image, (int((size[0] - image.width) * left), int((size[1] - image.height) * top)))
    return canvas


STEPS: tuple[Step, ...] = (flatten, pad)  # in this order


def extra_bytes(recipe: Recipe, size: tuple[int, int]) -> int:
    """Return the memory that steps and encoding take at their peak for a rendition of `size`, beyond the usual."""
    pixels = size[0] * size[1]
    return (4 * pixels if frame(recipe) else 0) + (2 * pixels if recipe.max_kb else 0)  # files, until one is chosen


def _canvas(image: Image.Image, size: tuple[int, int], colour: str) -> Image.Image:
    """Return a picture of one colour: grey for a grey picture on grey, so that it stays grey."""
    red, green, blue = ImageColor.getrgb(colour)[:3]
    grey = image.mode == "L" and red == green == blue
    return Image.new("L", size, red) if grey else Image.new("RGB", size, (red, green, blue))
