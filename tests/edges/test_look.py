"""A look at a photo for a forecast: its size and its detail, and nothing of what can't be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from tests import photos
from watcher.render.look import detail, look_at


def test_a_photo_has_its_stored_size_and_its_orientation(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photos.oriented(6))
    look = look_at(os.fsencode(tmp_path), b"a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert look is not None
        assert (look.width, look.height, look.orientation) == (*image.size, 6)


@pytest.mark.parametrize("data", [b"", b"no photo", photos.plain(600, 400)[:3000]])
def test_what_cannot_be_read_is_passed_over(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    assert look_at(os.fsencode(tmp_path), b"a.jpg") is None
    assert look_at(os.fsencode(tmp_path), b"gone.jpg") is None


def test_a_picture_with_more_to_see_has_more_detail() -> None:
    noise, plain = Image.effect_noise((600, 400), 80), Image.new("L", (600, 400), 128)
    assert detail(noise) > 2 * detail(photos.scene(600, 400)) > 2 * detail(plain) > 0
