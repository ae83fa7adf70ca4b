"""Which picture stands in for the original when a smaller rendition is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests import photos, rendering
from watcher.core.formats import Format
from watcher.core.recipe import Recipe
from watcher.render import picture
from watcher.render.geometry import Region, target
from watcher.render.picture import Picture
from watcher.render.resize import resize


def made(width: int, height: int, longest: int) -> Picture:
    """A rendition of a photo of that size; its pixels play no part."""
    goal = target(Recipe(longest, longest, "inside", "jpeg", 85, "none", "0" * 16), width, height, 1)
    return Picture(Image.new("L", (1, 1)), Region(0, 0, width, height), goal.width, goal.height)


@pytest.mark.parametrize(("width", "height"), [(6000, 4000), (4000, 6000), (5999, 4001), (4032, 3024), (5184, 3456)])
def test_half_the_size_is_made_from_the_larger_rendition_however_both_were_rounded(width: int, height: int) -> None:
    goal = target(Recipe(1024, 1024, "inside", "jpeg", 85, "none", "0" * 16), width, height, 1)
    assert made(width, height, 2048).serves(goal)


def test_a_rendition_of_less_than_twice_the_size_does_not_stand_in_for_the_original() -> None:
    goal = target(Recipe(1024, 1024, "inside", "jpeg", 85, "none", "0" * 16), 6000, 4000, 1)
    assert not made(6000, 4000, 2000).serves(goal)


def test_formats_of_one_size_are_encoded_from_pixels_that_were_resized_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resized = []

    def counted(image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> Image.Image:
        resized.append(size)
        return resize(image, size, box)

    monkeypatch.setattr(picture, "resize", counted)
    forms: tuple[Format, ...] = ("avif", "webp", "jpeg", "png")
    found = rendering.made(tmp_path, photos.jpeg(photos.scene(900, 600)), *(rendering.recipe(form=f) for f in forms))
    assert [(image.format, image.size) for image in found] == [(form.upper(), (300, 200)) for form in forms]
    assert resized == [(300, 200)]
