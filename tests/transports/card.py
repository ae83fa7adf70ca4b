"""The photos that take every road, each marked so that its renditions tell which version of it they were made of.

The mark is a strip of coloured bands down the middle, and the same number as EXIF copyright, which renditions keep.
A rendition of half a photo lacks bands, one of a mixture has the bands of another version, or another's copyright.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from PIL import Image, ImageChops

from tests import pictures

_PICTURES = sorted((Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg"))
_BANDS = 8
_COLOURS = (
    *((20, 20, 20), (235, 235, 235), (220, 30, 30), (30, 200, 30)),
    *((40, 40, 220), (225, 220, 30), (215, 40, 215), (30, 205, 210)),
)
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "JPEG": {"quality": 92},
    "PNG": {"compress_level": 1},
    "TIFF": {"compression": "tiff_lzw"},
    "HEIF": {"quality": 80, "enc_params": {"preset": "ultrafast"}},
}
FORMATS = ("PNG", "TIFF", *(("HEIF",) if pictures.HEIC else ()))  # by their names in Pillow, JPEG apart
_NEAR = 60  # of 255 in each channel: what JPEG and scaling may change, and less than the way to grey
_COPYRIGHT = 0x8298


@dataclass(frozen=True)
class Version:
    """One version of a photo, by what its renditions show."""

    copyright: str
    bands: tuple[int, ...]  # colours from top to bottom

    def flipped(self) -> Version:
        """Give what an editor makes of it that turns it upside down."""
        return replace(self, bands=self.bands[::-1])


def version(number: int) -> Version:
    """Give a version that no other number gives, even upside down: it begins dark, and ends bright."""
    inner = random.Random(number).choices(range(len(_COLOURS)), k=_BANDS - 2)  # the number itself tells it apart
    return Version(f"photo {number}", (0, *inner, 1))


def shown_by(file: Path | IO[bytes]) -> Version | None:
    """Tell which version a picture shows; None: it does not decode, or shows none from the first to the last row."""
    try:
        with Image.open(file) as opened:
            written = str(opened.getexif().get(_COPYRIGHT, ""))
            image = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, UserWarning):  # the last one of the EXIF of a half, in tests
        return None
    bands = tuple(_colour(image, band) for band in range(_BANDS))
    return None if -1 in bands else Version(written, bands)


def _colour(image: Image.Image, band: int) -> int:
    """Give the number of a band's colour; -1: it has none of them throughout."""
    parts = (0.2, 0.5, 0.8) if band < _BANDS - 1 else (0.2, 0.5, 0.8, 1.0)  # to the last row
    found = set()
    for part in parts:
        row = min(int((band + part) * image.height / _BANDS), image.height - 1)
        pixel = image.getpixel((image.width // 2, row))
        assert isinstance(pixel, tuple)
        near = (i for i, c in enumerate(_COLOURS) if all(abs(a - b) < _NEAR for a, b in zip(c, pixel, strict=True)))
        found.add(next(near, -1))
    return found.pop() if len(found) == 1 else -1


@dataclass(frozen=True)
class Photo:
    """A file to send, and the version that it holds."""

    source: Path
    version: Version


@dataclass(frozen=True)
class Size:
    """How many photos there are, and how large; the specials are large ones."""

    singles: int
    in_folder: int
    large: tuple[int, int]  # pixels
    normal: tuple[int, int]
    every: int  # the how manieth is a large one
    # Sizes are multiples of 16 pixels: jpegtran turns whole blocks of them.


FULL = Size(singles=36, in_folder=20, large=(6000, 4000), normal=(1920, 1280), every=6)  # and four specials: 60 photos
SMALL = Size(singles=6, in_folder=6, large=(2400, 1600), normal=(960, 640), every=5)
FEW = Size(singles=3, in_folder=4, large=(1200, 800), normal=(480, 320), every=3)


@dataclass
class Card:
    """A folder of photos, as on a camera's card; names are paths in the inbox."""

    form: str
    folder: Path
    singles: Mapping[str, Photo]
    in_folder: Mapping[str, Photo]  # all below `tree`, which goes to the inbox as TREE
    tree: Path
    old: Photo
    new: Photo
    resumed: Photo
    abandoned: Photo
    one: Photo  # `one` and `other` are sent to the same name at once
    other: Photo


TREE = "100CANON"
OVERWRITTEN, RESUMED, ABANDONED, CONTESTED = "IMG_9001.JPG", "IMG_9002.JPG", "IMG_9003.JPG", "IMG_9004.JPG"


def build(folder: Path, size: Size, form: str = "JPEG") -> Card:
    """Make the photos in an empty folder: two seconds for the full set, half of one for the small.

    All of them are called `.JPG`, whatever `form` is: what a file is, its content says.
    """
    print_on = {True: _Press(size.large, form), False: _Press(size.normal, form)}
    numbers = iter(range(1, 1000))

    def photo(path: Path, *, large: bool) -> Photo:
        number = next(numbers)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(print_on[large].photo(number))
        return Photo(path, version(number))

    def some(count: int, names: Iterator[str]) -> dict[str, Photo]:
        chosen = [next(names) for _ in range(count)]
        return {name: photo(folder / name, large=i % size.every == 0) for i, name in enumerate(chosen)}

    singles = some(size.singles, (f"IMG_{i:04}.JPG" for i in range(1000)))
    places = (TREE, f"{TREE}/Trip 1", f"{TREE}/Trip 1/evening", f"{TREE}/2")
    in_folder = some(size.in_folder, (f"{places[i % 4]}/IMG_{i:04}.jpg" for i in range(1000)))
    names = ("old", "new", "resumed", "abandoned", "one", "other")
    specials = {name: photo(folder / "specials" / f"{name}.jpg", large=True) for name in names}
    return Card(form, folder, singles, in_folder, folder / TREE, **specials)


class _Press:
    """Prints photos of one size: a real picture enlarged, with sensor noise: a third of a byte for a pixel."""

    def __init__(self, size: tuple[int, int], form: str) -> None:
        self._form = form
        noise = Image.effect_noise((1000, 1000), 9)
        sheet = Image.new("L", size)
        for x in range(0, size[0], 1000):
            for y in range(0, size[1], 1000):
                sheet.paste(noise, (x, y))
        self._bases = []
        for path in _PICTURES[:2]:
            with Image.open(path) as opened:
                picture = opened.convert("RGB").resize(size)
            self._bases.append(ImageChops.add(picture, Image.merge("RGB", [sheet] * 3), 1, -128))

    def photo(self, number: int) -> bytes:
        image = self._bases[number % len(self._bases)].copy()
        width, height = image.size
        for band, colour in enumerate(version(number).bands):
            top, bottom = height * band // _BANDS, height * (band + 1) // _BANDS
            image.paste(_COLOURS[colour], (width * 7 // 16, top, width * 9 // 16, bottom))
        exif = Image.Exif()
        exif[_COPYRIGHT] = version(number).copyright
        out = io.BytesIO()
        image.save(out, self._form, exif=exif.tobytes(), **_SETTINGS[self._form])
        return out.getvalue()
