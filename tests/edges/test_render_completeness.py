"""Is a JPEG whole? What its bytes say, what its decoder says, and what is made of that."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from tests import photos
from watcher.render import native
from watcher.render.decoders import describe
from watcher.render.decoders.base import NotWholeError
from watcher.render.decoders.jpeg.markers import parse
from watcher.render.native import State

BLOCK = 4096
PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "life.jpg"


@pytest.fixture(params=["native", "pillow"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have what is there decode, and then Pillow alone."""
    if request.param == "pillow":
        monkeypatch.setattr(native, "decode", lambda *_: (None, native.Walk(State.DECLINED)))
        monkeypatch.setattr(native, "walk", lambda *_: native.Walk(State.DECLINED))
    elif native.name() == "pillow":
        pytest.skip("the native decoder is not built here")
    return str(request.param)


def state(data: bytes, scale: int = 1) -> State:
    try:
        describe(data).decode(scale)
    except NotWholeError as error:
        return State.TRUNCATED if error.truncated else State.DAMAGED
    return State.WHOLE


@pytest.mark.parametrize("at", [*range(5000, 5000 + BLOCK, 511), 5001, 19_999])
def test_a_block_of_zeros_is_found_wherever_it_begins_and_one_byte_less_is_none(at: int) -> None:
    head, noise = photos.plain(8, 8)[:-2], bytes(random.Random(7).choices(range(1, 255), k=30_000))
    for length, found in ((BLOCK, True), (BLOCK + 700, True), (BLOCK - 1, False)):
        data = head + noise[:at] + bytes(length) + noise[at + length :]
        assert describe(data).completeness().hole == found
        behind = head + noise[:at] + b"\xff\xd9" + bytes(length) + noise[at + length :]
        assert not describe(behind).completeness().hole, "behind the end of the picture"


# ---- restart markers: counted, whatever decodes ----


def restarts(data: bytes) -> list[int]:
    start = parse(data).scan
    return [at for at in range(start, len(data) - 1) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7]


@pytest.mark.parametrize("settings", [{"restart_marker_rows": 1}, {"restart_marker_blocks": 3}])
@pytest.mark.parametrize("scale", [1, 8])
@pytest.mark.usefixtures("decoder")
def test_a_photo_that_is_cut_right_at_a_restart_marker_is_truncated(settings: dict[str, int], scale: int) -> None:
    data = photos.jpeg(photos.scene(160, 120), **settings)
    assert state(data, scale) is State.WHOLE
    for at in restarts(data):
        for end in (at, at + 1, at + 2):
            assert state(data[:end], scale) is State.TRUNCATED
        assert state(data[:at] + b"\xff\xd9", scale) is State.DAMAGED


@pytest.mark.usefixtures("decoder")
def test_an_interval_that_is_missing_doubled_or_in_another_place_is_damage() -> None:
    data = photos.jpeg(photos.scene(160, 120), restart_marker_blocks=3)
    marks = restarts(data)
    one, two, three = marks[2:5]
    assert state(data[:one] + data[two:]) is State.DAMAGED
    assert state(data[:two] + data[one:]) is State.DAMAGED
    assert state(data[:one] + data[two:three] + data[one:two] + data[three:]) is State.DAMAGED
    assert state(data[: marks[0]] + data[marks[8] :]) is State.DAMAGED, "eight are missing, and the numbers fit"
    assert state(data[: marks[8]] + data[marks[0] :]) is State.DAMAGED, "eight come twice, and the numbers fit"


# ---- what lies between the last block and the end ----


@pytest.mark.parametrize("data", [photos.jpeg(photos.scene(333, 77)), photos.jpeg(photos.scene(80, 60), quality=75)])
@pytest.mark.parametrize("scale", [1, 8])
@pytest.mark.usefixtures("decoder")
def test_every_cut_is_found_to_the_last_byte_of_the_data(data: bytes, scale: int) -> None:
    for end in range(len(data) - 90, len(data) - 2):
        assert state(data[:end], scale) is State.TRUNCATED, len(data) - end
    assert state(data[:-1], scale) is State.WHOLE
    assert state(data[:-2], scale) is State.WHOLE


@pytest.mark.parametrize("padding", [b"\0" * 40, b"\xff" * 100, b"\0"])
@pytest.mark.usefixtures("decoder")
def test_padding_before_the_end_marker_is_no_damage(padding: bytes) -> None:
    data = photos.plain()
    assert state(data[:-2] + padding + data[-2:]) is State.WHOLE


@pytest.mark.usefixtures("decoder")
def test_blocks_that_are_left_over_are_damage() -> None:
    data = photos.plain()
    middle = len(data) // 2
    for length in (100, 1000):
        assert state(data[:middle] + data[middle - length :]) is State.DAMAGED


@pytest.mark.parametrize(
    "name", ["plain", "grey", "progressive", "separate_scans", "cmyk", "arithmetic", "with_trailer", "mpo"]
)
@pytest.mark.usefixtures("decoder")
def test_each_coding_is_told_whole_from_cut_and_from_what_lacks_a_piece(name: str) -> None:
    data = getattr(photos, name)()
    start, end = parse(data).scan, data.find(b"\xff\xd9", parse(data).scan)
    part = (end - start) // 4
    for scale in (1, 4):
        assert state(data, scale) is State.WHOLE
        assert state(data[: end - part], scale) is State.TRUNCATED
        assert state(data[: start + part] + data[start + part + part // 2 :], scale) is not State.WHOLE


@pytest.mark.usefixtures("decoder")
def test_zeros_that_an_arithmetic_encoder_leaves_out_are_not_missed() -> None:
    data = photos.arithmetic_without_its_last_zeros()
    for scale in (1, 4):
        assert state(data, scale) is State.WHOLE
    assert state(data[:-20] + data[-2:]) is State.DAMAGED


@pytest.mark.usefixtures("decoder")
def test_of_flat_pictures_with_tables_of_their_own_zeros_are_no_damage() -> None:
    flat = photos.jpeg(Image.new("RGB", (2000, 2000), "white"), optimize=True)
    assert bytes(1000) in flat
    assert state(flat, 8) is State.WHOLE


@pytest.mark.parametrize("hole", [bytes(600), b"\xff" * 600])
@pytest.mark.usefixtures("decoder")
def test_a_run_of_one_byte_is_damage_and_it_is_said_where(hole: bytes) -> None:
    data = photos.noisy()
    at = int(len(data) * 0.7)
    with pytest.raises(NotWholeError) as caught:
        describe(data[:at] + hole + data[at + len(hole) :]).decode(8)
    assert not caught.value.truncated
    assert 0.65 < caught.value.share < 0.75


@pytest.mark.usefixtures("decoder")
def test_few_zeros_in_a_scan_that_refines_are_damage_even_where_they_decode() -> None:
    """One in a hundred decodes: everything behind it is in its place again by chance."""
    image = Image.open(PHOTO).convert("RGB").resize((560, 330), Image.Resampling.LANCZOS)
    data = photos.jpeg(image, quality=90, progressive=True)
    start = data.rfind(b"\xff\xda") + 100
    assert state(data) is State.WHOLE
    for at in range(start, len(data) - 200, (len(data) - start) // 60):
        assert state(data[:at] + bytes(64) + data[at + 64 :], 8) is not State.WHOLE, at


@pytest.mark.usefixtures("decoder")
def test_zeros_of_a_drawn_pattern_are_no_damage_in_a_scan_that_refines() -> None:
    image = Image.new("RGB", (1200, 900), "white")
    for x in range(0, 1200, 8):
        image.paste((40, 90, 160), (x, 0, x + 4, 900))
    data = photos.jpeg(image, quality=95, progressive=True)
    assert bytes(100) in data
    assert state(data) is State.WHOLE


# ---- cuts and holes at random ----


def cuts(folder: Path, seed: int, count: int, decoder: str, *more: str) -> dict[str, Any]:
    """Run the harness in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.cuts", str(seed), str(count), str(folder), *more],
        cwd=Path(__file__).parents[2],
        env=os.environ | ({"WATCHER_DECODER": "pillow"} if decoder == "pillow" else {}),
        capture_output=True,
        check=True,
    )
    return cast("dict[str, Any]", json.loads(done.stdout))


def check(told: dict[str, Any], count: int) -> None:
    """No cut or hole is published, and of damage only what decodes without a fault, as other programs see it too."""
    assert told["refused"] == []
    assert sum(told["tried"].values()) == count
    published = Counter(harm for harm, _, _ in told["published"])
    assert published["cut"] == published["ones"] == 0
    # Zeros in the bits that refine averages of blocks are what flat parts have: brightness changes by a step.
    assert published["zeros"] <= 0.005 * told["tried"]["zeros"]
    assert published.total() - published["swapped"] <= 0.05 * count, told["published"]
    assert published["swapped"] <= 0.5 * told["tried"]["swapped"]


@pytest.mark.parametrize("name", ["native", "pillow"])
def test_no_random_cut_is_published_and_no_whole_photo_is_refused(tmp_path: Path, name: str) -> None:
    check(cuts(tmp_path, 7, 100, name), 100)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["native", "pillow"])
def test_of_ten_thousand_cuts_none_is_published_and_no_whole_photo_is_refused(tmp_path: Path, name: str) -> None:
    check(cuts(tmp_path, int.from_bytes(os.urandom(4), "big"), 10_000, name, "big"), 10_000)
