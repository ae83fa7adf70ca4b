"""Whether two pictures look the same: what `verify --deep` falls back on where bytes differ."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from tests import photos
from watcher.render import alike


def saved(path: Path, image: Image.Image, **how: object) -> bytes:
    image.save(path, **how)  # type: ignore[arg-type]  # as the format takes them
    return os.fsencode(path)


def test_another_encoder_makes_the_same_picture(tmp_path: Path) -> None:
    scene = photos.scene(300, 200)
    one = saved(tmp_path / "one.jpg", scene, quality=85)
    assert alike(one, one)
    assert alike(one, saved(tmp_path / "other.jpg", scene, quality=80, subsampling=2))
    grey = scene.convert("L")
    assert alike(saved(tmp_path / "grey.jpg", grey), saved(tmp_path / "grey2.jpg", grey, quality=90))


@pytest.mark.parametrize("spot", [(0, 0, 12, 12), (100, 90, 130, 110), (0, 150, 300, 200)])
def test_a_spot_that_differs_makes_another_picture(tmp_path: Path, spot: tuple[int, int, int, int]) -> None:
    scene = photos.scene(300, 200)
    one = saved(tmp_path / "one.jpg", scene, quality=85)
    red, green, blue = scene.crop(spot).resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]  # RGB
    scene.paste((red ^ 0x60, green ^ 0x60, blue ^ 0x60), spot)
    assert not alike(one, saved(tmp_path / "other.jpg", scene, quality=85))


def test_another_size_or_none_at_all_is_another_picture(tmp_path: Path) -> None:
    scene = photos.scene(300, 200)
    one = saved(tmp_path / "one.jpg", scene)
    assert not alike(one, saved(tmp_path / "small.jpg", scene.resize((299, 200))))
    assert not alike(one, saved(tmp_path / "grey.jpg", scene.convert("L")))
    (tmp_path / "none.jpg").write_bytes(b"no picture")
    assert not alike(one, os.fsencode(tmp_path / "none.jpg"))
    assert not alike(one, os.fsencode(tmp_path / "nowhere.jpg"))
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(Path(os.fsdecode(one)).read_bytes()[:-2000])
    assert not alike(one, os.fsencode(cut))
