"""The native JPEG decoder: its pixels are Pillow's to the last bit, and what is not whole is never taken for whole."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests import photos
from watcher.render import native
from watcher.render.native import State, Walk, decode, walk

pytestmark = pytest.mark.skipif(native.name() == "pillow", reason=f"no native decoder: {native.reason()}")
EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/photos/*.jpg"))
SOS, EOI = b"\xff\xda", b"\xff\xd9"


def by_pillow(data: bytes, scale: int) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    image.draft(None, (max(1, image.width // scale), max(1, image.height // scale)))
    image.load()
    return image


def is_equal(data: bytes, scale: int) -> bool:
    """Tell whether the native decoder takes `data`, and gives what Pillow gives."""
    ours, met = decode(data, scale)
    if ours is None:
        return False
    theirs = by_pillow(data, scale)
    same = (ours.mode, ours.size, ours.tobytes()) == (theirs.mode, theirs.size, theirs.tobytes())
    return same and met == Walk(State.WHOLE, 1.0)


def scan_of(data: bytes) -> int:
    """Give where the data of the first scan begins."""
    at = data.index(SOS)
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def noise(width: int, height: int, mode: str = "RGB", seed: int = 1) -> Image.Image:
    """Blend smooth areas, texture and hard edges."""
    rng = random.Random(seed)
    size = (width, height)
    rough = Image.frombytes(mode, size, rng.randbytes(width * height * len(mode)))
    smooth = photos.scene(80, 80).resize(size).convert(mode)
    return Image.blend(smooth, rough, rng.choice((0.05, 0.3, 1.0)))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("scale", native.SCALES)
def test_a_real_photo_is_pillows_to_the_last_bit(path: Path, scale: int) -> None:
    assert is_equal(path.read_bytes(), scale)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    mode=st.sampled_from(("RGB", "L")),
    sampling=st.sampled_from(("4:4:4", "4:2:2", "4:2:0", "4:4:0")),
    quality=st.integers(1, 100),
    optimised=st.booleans(),
    restarts=st.integers(0, 5),
    exif=st.binary(max_size=30),
    behind=st.binary(max_size=30),
    scale=st.sampled_from(native.SCALES),
    seed=st.integers(0, 1000),
)
def test_any_ordinary_picture_is_pillows_to_the_last_bit(
    width: int,
    height: int,
    mode: str,
    sampling: str,
    quality: int,
    optimised: bool,
    restarts: int,
    exif: bytes,
    behind: bytes,
    scale: int,
    seed: int,
) -> None:
    kind = {"subsampling": sampling} if mode == "RGB" and sampling != "4:4:0" else {}
    image = noise(width, height, mode, seed)
    if sampling == "4:4:0":
        data = photos.jpeg(image, quality=quality, subsampling="4:2:2", optimize=optimised)
        data = upright_sampling(data) if mode == "RGB" else data
    else:
        data = photos.jpeg(
            image, quality=quality, optimize=optimised, restart_marker_blocks=restarts, exif=b"Exif\0\0" + exif, **kind
        )
    whole = data + behind
    if width // scale and height // scale:  # else Pillow decodes at another scale
        met = decode(whole, scale)[1]
        assert is_equal(whole, scale) or (met.state is State.DECLINED and met.reason == "extreme values")
    assert walk(whole) == Walk(State.WHOLE, 1.0)


def upright_sampling(data: bytes) -> bytes:
    """Make 4:4:0 out of 4:2:2: the same blocks read as another picture, twice as high and half as wide."""
    at = data.index(b"\xff\xc0")
    height, width = struct.unpack(">HH", data[at + 5 : at + 9])
    across, down = -(-width // 16), -(-height // 8)
    size = struct.pack(">HH", max(1, down * 16 - height % 16), max(1, across * 8 - width % 8))
    return data[: at + 5] + size + data[at + 9 : at + 11] + b"\x12" + data[at + 12 :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (photos.progressive(), "progressive"),
        (photos.cmyk(), "its channels"),
        (photos.plain().replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc9\x00\x11\x08"), "its coding"),
        (photos.plain().replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c"), "its precision"),
        (photos.jpeg(keep_rgb=True), "its colour space"),
        (b"GIF89a", "not a JPEG"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_ordinary_is_declined(data: bytes, reason: str) -> None:
    assert decode(data, 2) == (None, Walk(State.DECLINED, walk(data).share * 0, reason))


WHOLE = {
    "plain": photos.plain(),
    "grey": photos.grey(),
    "CMYK": photos.cmyk(),
    "progressive": photos.progressive(),
    "progressive grey": photos.grey(progressive=True),
    "restarts": photos.jpeg(restart_marker_blocks=3),
    "restarts in a progressive one": photos.jpeg(progressive=True, restart_marker_rows=1),
    "optimised": photos.jpeg(optimize=True),
    "odd": photos.jpeg(photos.scene(333, 77), subsampling="4:2:2"),
    "trailer": photos.with_trailer(),
    "flat, so that its data is zeros": photos.jpeg(Image.new("RGB", (4000, 3000), "grey"), optimize=True),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_photo_is_told(name: str) -> None:
    assert walk(WHOLE[name]) == Walk(State.WHOLE, 1.0)


@pytest.mark.parametrize("name", ["plain", "grey", "CMYK", "restarts", "optimised", "odd", "progressive"])
def test_a_cut_is_told_wherever_it_is(name: str) -> None:
    data = WHOLE[name]
    end, start = data.rindex(EOI), scan_of(data)
    shares = []
    for at in (*range(start, end, max(1, (end - start) // 40)), end):
        met = walk(data[:at])
        assert met.state is State.TRUNCATED, at
        shares.append(met.share)
        assert walk(data[:at] + bytes(5000)).state is State.TRUNCATED, "and zeros where the rest was to come"
        ended = walk(data[:at] + EOI)
        assert ended.state is State.DAMAGED or at == end or name == "progressive", at
        for scale in native.SCALES:
            assert decode(data[:at], scale)[0] is None
    assert shares[0] < 0.1
    if name != "progressive":
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
