"""The native JPEG decoder: its pixels are Pillow's to the last bit, and what is not whole is never taken for whole."""

from __future__ import annotations

import gc
import io
import random
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests import photos
from watcher.render import native
from watcher.render.decoders.jpeg.markers import parse
from watcher.render.native import State, Walk, decode, walk

pytestmark = pytest.mark.skipif(native.name() == "pillow", reason=f"no native decoder: {native.reason()}")
EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/photos/*.jpg"))
SOS, EOI = b"\xff\xda", b"\xff\xd9"


@pytest.fixture(autouse=True, scope="module")
def _at_every_scale() -> Iterator[None]:
    """Decode at every scale also where that is slow."""
    library, _ = native._chosen()
    with pytest.MonkeyPatch.context() as patch:
        if library:
            patch.setattr(library, "vectors", True)
        yield


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


@settings(deadline=None, max_examples=100, derandomize=True)
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
    header = parse(whole)
    if min(header.width, header.height) >= scale:  # else Pillow decodes at another scale
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
        (photos.plain().replace(b"\3\1\0\2\x11\3\x11", b"\3\2\x11\1\0\3\x11"), "its components are out of order"),
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


REAL = EXAMPLES[0].read_bytes()


def restarting() -> tuple[bytes, list[int]]:
    """Give a photo with restart markers, and where they are."""
    data = photos.jpeg(photos.scene(160, 120), restart_marker_blocks=3)
    return data, [i for i in range(scan_of(data), len(data) - 2) if data[i] == 0xFF and 0xD0 <= data[i + 1] <= 0xD7]


def with_pieces_exchanged() -> bytes:
    data, markers = restarting()
    a, b, c = markers[3:6]
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def without_a_piece() -> bytes:
    data, markers = restarting()
    return data[: markers[2]] + data[markers[3] :]


def cut_at_a_restart_marker() -> bytes:
    data, markers = restarting()
    return data[: markers[4]] + EOI


def with_bytes_put_in(data: bytes, at: int, more: bytes) -> bytes:
    return data[:at] + more + data[at:]


def with_a_picture_inside() -> bytes:
    data = photos.plain()
    return data[: len(data) // 2] + data


DAMAGED = {
    "pieces exchanged": (with_pieces_exchanged(), "a restart marker out of order"),
    "a piece missing": (without_a_piece(), "a restart marker out of order"),
    "cut at a restart marker": (cut_at_a_restart_marker(), "its end marker comes early"),
    "two bytes more": (with_bytes_put_in(photos.plain(), len(photos.plain()) - 2, b"\x12\x34"), "data left over"),
    "much padding": (with_bytes_put_in(photos.plain(), len(photos.plain()) - 2, bytes(100)), "data left over"),
    "a picture inside": (with_a_picture_inside(), "a marker where none belongs"),
    "a picture before the end": (photos.plain()[:-2] + photos.plain(), "a second picture inside it"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_told_with_its_reason(name: str) -> None:
    data, reason = DAMAGED[name]
    met = walk(data)
    assert (met.state, met.reason) == (State.DAMAGED, reason)
    for scale in native.SCALES:
        assert decode(data, scale) == (None, met)


def test_no_hole_in_a_photo_is_taken_for_data() -> None:
    chance = random.Random(3)
    for data in (REAL, photos.jpeg(Image.open(EXAMPLES[1]), quality=85, optimize=True, restart_marker_rows=4)):
        for _ in range(40):
            size = chance.choice((512, 4096, 65536))
            at = chance.randrange(scan_of(data), len(data) - size)
            hole = data[:at] + bytes(size) + data[at + size :]
            assert walk(hole).state is State.DAMAGED, (at, size)
            assert walk(data[:at] + data[at + size :]).state is State.DAMAGED, (at, size)


def test_what_is_taken_out_of_a_progressive_photo_is_missed() -> None:
    """A run of empty blocks that would hide it reaches past the last one."""
    chance = random.Random(5)
    data = photos.jpeg(Image.open(EXAMPLES[1]).reduce(3), quality=88, progressive=True)
    for _ in range(60):
        at = chance.randrange(scan_of(data), len(data) - 600)
        assert walk(data[:at] + data[at + 512 :]).state is not State.WHOLE, at


def test_a_few_bytes_of_padding_before_the_end_marker_are_no_damage() -> None:
    data = photos.plain()
    for padding in (b"\0" * 9, b"\xff" * 5, b"\xff\0\xff"):
        padded = with_bytes_put_in(data, len(data) - 2, padding)
        assert walk(padded) == Walk(State.WHOLE, 1.0)
        assert is_equal(padded, 2)


def test_a_height_that_stands_behind_the_scan_is_found() -> None:
    data = bytearray(photos.plain(96, 64))
    at = data.index(b"\xff\xc0") + 5
    height = bytes(data[at : at + 2])
    data[at : at + 2] = b"\0\0"
    told = bytes(data[:-2]) + b"\xff\xdc\0\4" + height + EOI
    assert walk(told) == Walk(State.DECLINED, reason="its height is not told"), "unless its reader found it"
    header = parse(told)
    head = b"\xff\xd8" + bytes(header.tables)
    assert walk(told, head, header.scan) == Walk(State.WHOLE, 1.0)
    assert walk(told[: len(told) - 200], head, header.scan).state is State.TRUNCATED


@pytest.mark.skipif(shutil.which("jpegtran") is None, reason="jpegtran is not installed")
def test_a_photo_of_several_sequential_scans_is_walked(tmp_path: Path) -> None:
    (tmp_path / "scans").write_text("0;\n1;\n2;\n")
    (tmp_path / "in.jpg").write_bytes(photos.jpeg(photos.scene(123, 77), subsampling="4:2:0"))
    command = ["jpegtran", "-scans", str(tmp_path / "scans"), str(tmp_path / "in.jpg")]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    assert walk(data) == Walk(State.WHOLE, 1.0)
    assert decode(data, 2)[1] == Walk(State.DECLINED, reason="several scans")
    for at in range(scan_of(data), len(data) - 2, 97):
        met = walk(data[:at])
        assert met.state is State.TRUNCATED
        assert met.share < 1
        assert walk(data[:at] + EOI).state in {State.DAMAGED, State.TRUNCATED}, "an end within a table is no end"


def extremes(size: int = 64) -> Iterator[Image.Image]:
    """Give pictures as bright, dark and colourful as 8 bits can be, evenly and with hard edges."""
    colours = ("white", "black", "red", "lime", "blue", "yellow", "cyan", "magenta")
    for colour in colours:
        yield Image.new("RGB", (size, size), colour)
    board = Image.new("RGB", (size, size))
    board.putdata([((x ^ y) & 8 and (255, 255, 255)) or (0, 0, 255) for y in range(size) for x in range(size)])
    yield board


@pytest.mark.parametrize("factor", [1, 2, 3, 31, 68, 145, 203, 204, 226, 255])
def test_coarse_quantisers_make_no_brightness_that_no_picture_has(factor: int) -> None:
    """Rounded up, cut off by a progressive scan, compressed again, or a step further than rounding goes."""
    for image in extremes():
        for progressive in (False, True):
            settings = {"qtables": [[factor] * 64] * 2, "quality": 50, "progressive": progressive, "subsampling": 0}
            data = photos.jpeg(image, **settings)
            for _ in range(3):
                assert walk(data) == Walk(State.WHOLE, 1.0)
                data = photos.jpeg(Image.open(io.BytesIO(data)), **settings)


def test_a_step_further_than_rounding_goes_is_a_brightness_as_encoders_write_it() -> None:
    at_204 = photos.jpeg(
        Image.new("L", (64, 64), "white"), qtables=[[204] * 64], quality=50
    )  # 4.98 steps, rounded to 5
    table = at_204.index(b"\xff\xdb") + 5
    assert walk(at_204[:table] + b"\xff" + at_204[table + 1 :]).state is State.WHOLE  # where 3.98 steps are white
    at_127 = photos.jpeg(
        Image.new("L", (64, 64), "white"), qtables=[[127] * 64], quality=50
    )  # 8 steps: twice white at 254
    table = at_127.index(b"\xff\xdb") + 5
    assert walk(at_127[:table] + b"\xfe" + at_127[table + 1 :]).reason == "a brightness that no picture has"


def test_values_that_no_encoder_writes_are_left_to_pillow() -> None:
    data = photos.jpeg(noise(64, 64), quality=100)
    at = data.index(b"\xff\xdb") + 6  # all of the first table but brightness: too much of that is damage
    wild = data[:at] + b"\xff" * 63 + data[at + 63 :]
    assert walk(wild) == Walk(State.WHOLE, 1.0)
    assert decode(wild, 1)[1].reason == "extreme values"


def test_a_header_that_was_found_already_is_used() -> None:
    data = photos.talkative()
    header = parse(data)
    head = b"\xff\xd8" + bytes(header.tables)
    assert walk(b"?" * header.scan + data[header.scan :], head, header.scan) == Walk(State.WHOLE, 1.0)
    picture, _ = decode(data, 2, head, header.scan)
    assert picture is not None
    assert picture.tobytes() == by_pillow(data, 2).tobytes()
    assert walk(data, head, len(data) + 9).state is State.TRUNCATED


def test_its_pictures_can_be_used_like_any_other() -> None:
    data = photos.plain()
    picture, _ = decode(data, 1)
    assert picture is not None
    theirs = by_pillow(data, 1)
    assert picture.resize((50, 40)).tobytes() == theirs.resize((50, 40)).tobytes()
    assert (
        picture.transpose(Image.Transpose.ROTATE_90).tobytes() == theirs.transpose(Image.Transpose.ROTATE_90).tobytes()
    )
    piece = picture.crop((10, 10, 60, 60))
    copy = picture.copy()
    del picture
    gc.collect()
    assert copy.tobytes() == theirs.tobytes()
    assert piece.tobytes() == theirs.crop((10, 10, 60, 60)).tobytes()
    copy.putpixel((0, 0), (1, 2, 3))


def test_pictures_give_their_memory_back() -> None:
    data = photos.plain(800, 600)
    for _ in range(20):
        decode(data, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200):  # of 2 MB each
        decode(data, 1)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50_000 * (1024 if sys.platform == "darwin" else 1)


def test_without_a_library_everything_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_chosen", lambda: (None, "no library was built"))
    declined = Walk(State.DECLINED, reason="no library was built")
    assert walk(photos.plain()) == declined
    assert decode(photos.plain(), 2) == (None, declined)
    assert (native.name(), native.reason()) == ("pillow", "no library was built")


def test_a_processor_without_vectors_decodes_where_it_is_no_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native._chosen()[0], "vectors", False)
    pictures = [decode(photos.plain(), scale)[0] for scale in (1, 2, 4, 8)]
    assert [picture is not None for picture in pictures] == [False, False, True, True]
    assert walk(photos.plain()).state is State.WHOLE


def test_a_library_that_differs_from_pillow_is_not_used() -> None:
    library, _ = native._chosen()
    assert library is not None
    assert native._agrees(library)

    read = library.read

    class Other:
        def read(self, data: bytes, scale: int) -> tuple[Image.Image | None, Walk]:
            picture, met = read(data, scale)
            return picture and picture.point(lambda value: value ^ 1), met

    assert not native._agrees(Other())  # type: ignore[arg-type]  # it has all that is asked
