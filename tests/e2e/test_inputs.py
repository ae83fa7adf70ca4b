"""Photos in other formats than JPEG, through the installed command: what an iPhone gives, mixed pictures, halves."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests import photos, pictures
from tests.e2e.harness import Place, until

needs_heic = pytest.mark.skipif(not pictures.HEIC, reason="the extra heic is not installed")


@needs_heic
def test_a_folder_copied_from_an_iphone_is_made_and_its_films_are_told(place: Place) -> None:
    carried = {"icc_profile": photos.icc("p3"), "tile_size": 128, "quality": 90}
    for number, orientation in enumerate((1, 3, 6, 8)):
        stored = photos.stored(photos.scene(), orientation)
        data = pictures.encoded("HEIF", stored, exif=photos.exif_block(orientation), **carried)
        (place.inbox / f"IMG_{number}.HEIC").write_bytes(data)
    (place.inbox / "IMG_9.JPG").write_bytes(photos.jpeg())
    (place.inbox / "IMG_0.JPG").write_bytes(photos.grey())
    for name in ("IMG_0.MOV", "IMG_1.MOV", "IMG_0.AAE"):
        (place.inbox / name).write_bytes(b"no photo")
    done = place.once()
    assert done.code == 0, done
    assert "left alone: 2 .mov, 1 .aae\n" in done.out
    web = {path.name: path for path in (place.output / "web").iterdir() if not path.name.startswith(".")}
    assert {"IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg", "IMG_9.JPG", "IMG_0.JPG"} < web.keys()
    (other,) = web.keys() - {"IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg", "IMG_9.JPG", "IMG_0.JPG"}
    assert other in {"IMG_0.jpg", "IMG_0.HEIC.jpg"}, "as the file system folds case"
    for name in ("IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg", other):
        with Image.open(web[name]) as image:
            assert image.format == "JPEG"
            assert image.width > image.height
            red, green, blue = image.convert("RGB").getpixel((5, 5))  # type: ignore[misc]  # RGB gives tuples
            assert (red > 200, green > 60, blue > 60) == (True, False, False)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.png", pictures.encoded("PNG")),
        ("a.tif", pictures.encoded("TIFF", compression="tiff_lzw")),
        pytest.param("a.heic", pictures.encoded("HEIF") if pictures.HEIC else b"", marks=needs_heic),
    ],
)
def test_a_half_of_any_format_is_never_published(place: Place, name: str, data: bytes) -> None:
    place.configure(inbox={"include": ["*.jpg", "*.png", "*.tif", "*.heic"]})
    photo = place.inbox / name
    with place.run() as daemon:
        daemon.wait_for("watch.started")
        photo.write_bytes(data[: len(data) // 2])
        daemon.wait_for("photo.waiting")
        assert not made(place)
        with photo.open("ab") as file:
            file.write(data[len(data) // 2 :])
        daemon.wait_for("photo.done")
        until(lambda: made(place) == ["a.jpg"], "it is made under its name")
        assert daemon.stop() == 0


def made(place: Place) -> list[str]:
    folder: Path = place.output / "web"
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def test_check_says_which_photos_are_read_here_and_what_include_takes_in_vain(place: Place) -> None:
    place.configure(inbox={"include": ["*.jpg", "*.png", "*.gif"]})
    (place.inbox / "a.mov").write_bytes(b"a film")
    said = place.watcher("check", "--config", place.config).out
    heic = "HEIC" if pictures.HEIC else "HEIC with the extra `heic`"
    assert f"photos: JPEG, PNG, WebP, TIFF, AVIF{',' if pictures.HEIC else ';'} {heic}\n" in said
    assert "`include` takes *.gif: such files can't be read here, and fail\n" in said
    assert f"inbox {place.inbox}: left alone: 1 .mov\n" in said
