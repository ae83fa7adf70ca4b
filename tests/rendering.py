"""Photos rendered by one call in this process, and a look at what came of them."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image, ImageFile

from watcher.core.formats import Format
from watcher.core.recipe import Fit, Metadata, Recipe
from watcher.core.types import Done, Evidence, Job, Outcome, PhotoId, Rendering
from watcher.render import render


def recipe(
    width: int | None = 300,
    height: int | None = 300,
    fit: Fit = "inside",
    form: Format = "jpeg",
    *,
    quality: int = 90,
    metadata: Metadata = "safe",
) -> Recipe:
    return Recipe(
        width, height, fit, form, quality, metadata, f"{abs(hash((width, height, fit, form, quality))):016x}"[:16]
    )


def job(folder: Path, data: bytes, *recipes: Recipe) -> Job:
    """Return the job of a photo that a scan finds, and that has been there for long."""
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "a.jpg").write_bytes(data)
    os.utime(folder / "in" / "a.jpg", ns=(1_700_000_000_123_456_789,) * 2)
    renderings = tuple(Rendering(f"r{i}", r, b"r%d/a.%b" % (i, r.format.encode())) for i, r in enumerate(recipes))
    photo = PhotoId(os.fsencode(folder / "in"), b"a.jpg")
    return Job(1, photo, os.fsencode(folder / "out"), renderings, evidence=Evidence(listed=True))


def made(folder: Path, data: bytes, *recipes: Recipe) -> list[ImageFile.ImageFile]:
    return opened(folder, render(job(folder, data, *recipes)))


def opened(folder: Path, outcome: Outcome) -> list[ImageFile.ImageFile]:
    """Return the renditions of a photo that was made, each with the size that its outcome has."""
    assert isinstance(outcome, Done), outcome
    images = [Image.open(folder / "out" / os.fsdecode(m.output)) for m in outcome.made]
    for image, one in zip(images, outcome.made, strict=True):
        image.load()
        assert image.size == (one.width, one.height)
    return images


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """Give each corner's colour, rounded to whether a channel is on."""
    w, h = image.size
    rgb = image.convert("RGB")
    spots = ((w // 10, h // 10), (w * 9 // 10, h // 10), (w // 10, h * 9 // 10), (w * 9 // 10, h * 9 // 10))
    return [tuple(round(c / 255) for c in rgb.getpixel(at)) for at in spots]  # type: ignore[union-attr]  # RGB gives tuples
