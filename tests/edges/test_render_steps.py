"""What is done to a rendition after it is resized, each step by the pictures that come of it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from PIL import Image

from tests import photos
from tests.rendering import corners, job, made, recipe
from watcher.core.formats import Format
from watcher.core.recipe import Fit, Position, Recipe, Watermark
from watcher.core.types import Done, Failed, FailureKind
from watcher.render import render
from watcher.render.content import digest_of
from watcher.render.steps import flatten, sharpen, watermark

RED, GREEN, BLUE, WHITE = (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)


def boxed(width: int, height: int, fit: Fit, **keys: object) -> Recipe:
    return replace(recipe(width, height, fit), **keys)  # type: ignore[arg-type]  # fields of a recipe


# ---- position ----


@pytest.mark.parametrize("orientation", range(1, 9))
def test_cover_keeps_the_part_that_position_names_as_people_see_the_photo(tmp_path: Path, orientation: int) -> None:
    """The scene has a corner in each of four colours; it lies in the file as the orientation says."""
    images = made(
        tmp_path,
        photos.oriented(orientation),
        boxed(100, 200, "cover", position="west"),
        boxed(100, 200, "cover", position="north-east"),
        boxed(300, 100, "cover", position="north"),
        boxed(300, 100, "cover", position="south-west"),
    )
    west, east, north, south = images
    assert [west.size, north.size] == [(100, 200), (300, 100)]
    assert [corners(west)[0], corners(west)[2]] == [RED, BLUE]
    assert [corners(east)[1], corners(east)[3]] == [GREEN, WHITE]
    assert corners(north)[:2] == [RED, GREEN]
    assert corners(south)[2:] == [BLUE, WHITE]


def test_a_photo_smaller_than_cover_s_box_is_cropped_where_position_says(tmp_path: Path) -> None:
    west, east = made(tmp_path, photos.plain(), *(boxed(500, 500, "cover", position=p) for p in ("west", "east")))
    assert west.size == east.size == (400, 400)
    assert (corners(west)[0], corners(east)[1]) == (RED, GREEN)


# ---- contain ----


@pytest.mark.parametrize("position", get_args(Position))
def test_contain_pads_to_exactly_the_size_with_the_background(tmp_path: Path, position: Position) -> None:
    wanted = boxed(300, 300, "contain", position=position, background="#00ff00", quality=100)
    (image,) = made(tmp_path, photos.jpeg(Image.new("RGB", (600, 400), "red")), wanted)
    assert image.size == (300, 300)
    top = 0 if "north" in position else 100 if "south" in position else 50
    column = [image.getpixel((150, y)) for y in range(300)]
    reds = [y for y, colour in enumerate(column) if isinstance(colour, tuple) and colour[0] > 127]
    assert reds == list(range(top, top + 200))


def test_contain_does_not_enlarge_a_small_photo_and_places_it_upright(tmp_path: Path) -> None:
    wanted = boxed(200, 200, "contain", position="south-east", background="#000000")
    (image,) = made(tmp_path, photos.oriented(6, 60, 40), wanted)
    assert image.size == (200, 200)
    assert image.convert("L").point(lambda v: 255 * (v > 60)).getbbox() == (140, 160, 200, 200)


@pytest.mark.parametrize(("background", "mode"), [("#808080", "L"), ("#ff0000", "RGB")])
def test_a_grey_photo_stays_grey_in_a_grey_frame(tmp_path: Path, background: str, mode: str) -> None:
    (image,) = made(tmp_path, photos.grey(), boxed(100, 100, "contain", background=background))
    assert image.mode == mode
    assert image.info["icc_profile"][16:20] == (b"GRAY" if mode == "L" else b"RGB ")


def test_renditions_made_from_a_padded_one_are_not_padded(tmp_path: Path) -> None:
    data = photos.jpeg(photos.scene(2000, 1000))
    (alone,) = made(tmp_path, data, recipe(200, 200, quality=100))
    _, beside = made(tmp_path, data, boxed(500, 500, "contain"), recipe(200, 200, quality=100))
    assert beside.size == alone.size == (200, 100)
    assert corners(beside) == corners(alone)


def test_a_padded_rendition_carries_no_places_or_thumbnail_of_the_whole_photo(tmp_path: Path) -> None:
    made(tmp_path, photos.talkative(), recipe(metadata="all"), recipe(fit="contain", metadata="all"))
    inside, padded = ((tmp_path / "out" / name / "a.jpeg").read_bytes() for name in ("r0", "r1"))
    assert inside.count(b"\xff\xd8\xff") == 2  # the thumbnail
    assert padded.count(b"\xff\xd8\xff") == 1


def test_a_frame_larger_than_its_format_can_hold_is_told_before_decoding(tmp_path: Path) -> None:
    outcome = render(job(tmp_path, photos.plain(), recipe(20_000, 10, "contain", "webp")))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.PHOTO
    assert "20000 pixels long, webp holds at most 16383" in outcome.reason


def test_the_memory_for_a_frame_is_asked_for(tmp_path: Path) -> None:
    work = job(tmp_path, photos.plain(), boxed(5000, 5000, "contain"))
    assert not isinstance(render(replace(work, memory_bytes=50_000_000)), Done)
    assert isinstance(render(replace(work, memory_bytes=150_000_000)), Done)


# ---- sharpen ----


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_sharpening_raises_the_contrast_along_an_edge_by_one_pixel_and_nothing_else(mode: str) -> None:
    image = Image.new(mode, (40, 20), "#404040")
    image.paste("#c0c0c0", (20, 0, 40, 20))
    last = 0
    for amount in ("low", "standard", "high"):
        sharp = sharpen(image, replace(recipe(), sharpen=amount)).getchannel(0)
        row = [cast("int", sharp.getpixel((x, 9))) for x in range(40)]
        assert row[:19] == [0x40] * 19, "flat parts stay as they are"
        assert row[21:] == [0xC0] * 19
        assert 0x40 - row[19] == pytest.approx(row[20] - 0xC0, abs=1)
        assert row[20] - 0xC0 > last
        last = row[20] - 0xC0
        if amount == "standard":
            assert last <= 0.18 * (0xC0 - 0x40), "more than that is a halo"


def test_a_rendition_is_sharpened_within_its_frame_and_smaller_ones_stay_as_they_are(tmp_path: Path) -> None:
    data = photos.jpeg(photos.scene(2000, 1500))
    _, plain = made(tmp_path, data, recipe(800, 800), recipe(200, 200))
    framed, small = made(tmp_path, data, boxed(800, 800, "contain", sharpen="high"), recipe(200, 200))
    assert small.tobytes() == plain.tobytes()
    assert framed.getpixel((400, 90)) == (255, 255, 255)
    keys = {"sharpen": "high", "format": "png", "background": "#ff0000"}
    framed, bare = made(tmp_path, data, boxed(800, 800, "contain", **keys), boxed(800, 800, "inside", **keys))
    assert framed.crop((0, 100, 800, 700)).tobytes() == bare.tobytes(), "the frame's edge is not sharpened"


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (9, 1)])
def test_a_picture_narrower_than_the_kernel_stays_as_it_is(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "red")
    assert sharpen(image, replace(recipe(), sharpen="high")) is image


# ---- watermark ----


def marked(wanted: Recipe, logo: Image.Image, position: Position = "south-east", **keys: float) -> Recipe:
    content = photos.png(logo)
    numbers = {"share": 0.2, "margin": 0.1, "opacity": 1.0, **keys}
    mark = Watermark(digest_of(content).hex(), position, **numbers, path="l.png", content=content, size=logo.size)
    return replace(wanted, watermark=mark, fingerprint=position)


def drawn_at(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Return where a black picture is not black any more."""
    return image.convert("L").point([255 * (value > 90) for value in range(256)]).getbbox()


BLACK = Image.new("RGB", (400, 200))
BADGE = Image.new("RGBA", (40, 20), (255, 0, 0, 255))


@pytest.mark.parametrize("position", get_args(Position))
def test_a_watermark_is_drawn_where_position_says_within_its_margins(position: Position) -> None:
    wanted = marked(recipe(), Image.new("RGBA", (40, 20), "white"), position)
    left = 40 if "west" in position else 280 if "east" in position else 160
    top = 40 if "north" in position else 120 if "south" in position else 80
    assert drawn_at(watermark(BLACK, wanted)) == (left, top, left + 80, top + 40)


def test_opacity_and_the_picture_s_own_transparency_decide_what_shows_through() -> None:
    logo = Image.new("RGBA", (40, 40), (255, 255, 255, 255))
    logo.paste((255, 255, 255, 0), (0, 0, 40, 20))
    drawn = watermark(BLACK, marked(recipe(), logo, "north-west", opacity=0.5))
    assert drawn.getpixel((80, 100)) == (128, 128, 128)
    assert drawn.getpixel((80, 50)) == (0, 0, 0)


@pytest.mark.parametrize(("logo", "size"), [((10, 1000), (100, 100)), ((1000, 10), (300, 40)), ((3, 3), (1, 900))])
def test_a_watermark_that_would_not_fit_is_drawn_smaller(logo: tuple[int, int], size: tuple[int, int]) -> None:
    wanted = marked(recipe(), Image.new("RGBA", logo, "white"), share=1.0)
    drawn = watermark(Image.new("RGB", size), wanted)
    assert drawn.size == size
    box = drawn_at(drawn)
    assert box is not None
    margin = round(size[0] * 0.1)
    assert box[0] >= margin
    assert box[1] >= margin
    assert box[2] <= max(size[0] - margin, box[0] + 1)
    assert box[3] <= max(size[1] - margin, box[1] + 1)


def test_a_watermark_that_only_looks_like_a_png_fails_the_photo_and_is_named(tmp_path: Path) -> None:
    wanted = marked(recipe(), BADGE)
    assert wanted.watermark is not None
    content = wanted.watermark.content.replace(b"IDAT", b"IDAX")
    work = job(
        tmp_path, photos.plain(), replace(wanted, watermark=replace(wanted.watermark, content=content, digest=""))
    )
    outcome = render(work)
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("the watermark l.png can't be decoded: ")


def test_renditions_made_from_a_marked_one_stay_clean_and_its_own_metadata_show_no_unmarked_picture(
    tmp_path: Path,
) -> None:
    data = photos.talkative()
    _, plain = made(tmp_path, data, recipe(300, 300, metadata="all"), recipe(100, 100))
    big, small = made(tmp_path, data, marked(recipe(300, 300, metadata="all"), BADGE), recipe(100, 100))
    assert small.tobytes() == plain.tobytes()
    assert big.getpixel((250, 165)) != plain.getpixel((80, 55))
    assert (tmp_path / "out/r0/a.jpeg").read_bytes().count(b"\xff\xd8\xff") == 1, "no thumbnail"


def test_a_watermark_is_upright_on_a_turned_photo_and_on_the_frame_of_a_padded_one(tmp_path: Path) -> None:
    (turned,) = made(tmp_path, photos.oriented(6), marked(recipe(300, 300), BADGE, "north-west", margin=0.0))
    assert corners(turned.crop((0, 0, 60, 30))) == [RED] * 4
    wanted = marked(boxed(300, 300, "contain", background="#0000ff"), BADGE, "south-west", margin=0.0)
    (padded,) = made(tmp_path, photos.plain(), wanted)
    assert corners(padded.crop((0, 270, 60, 300))) == [RED] * 4


@pytest.mark.parametrize(("colour", "mode"), [("white", "L"), ("red", "RGB")])
def test_a_grey_photo_stays_grey_under_a_grey_watermark(colour: str, mode: str) -> None:
    wanted = marked(recipe(), Image.new("RGBA", (40, 20), colour))
    assert watermark(BLACK.convert("L"), wanted).mode == mode
    assert drawn_at(BLACK) is None, "drawn on a copy"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_a_png_of_any_mode_is_a_watermark(mode: str) -> None:
    logo = Image.new("RGBA", (40, 20), "white").convert(mode)
    assert drawn_at(watermark(BLACK, marked(recipe(), logo))) == (280, 120, 360, 160)


# ---- max_kb ----


def test_the_memory_for_several_tries_is_asked_for(tmp_path: Path) -> None:
    free, bound = recipe(600, 400), replace(recipe(600, 400), max_kb=100)
    least = next(step for step in range(1, 40) if fits(tmp_path, free, step * 100_000))
    assert not fits(tmp_path, bound, least * 100_000)
    assert fits(tmp_path, bound, least * 100_000 + 2 * 600 * 400)


def fits(folder: Path, wanted: Recipe, memory: int) -> bool:
    return isinstance(render(replace(job(folder, photos.plain(), wanted), memory_bytes=memory)), Done)


@pytest.mark.parametrize(("form", "most"), [("jpeg", 6), ("webp", 6), ("avif", 5)])
def test_the_quality_is_lowered_until_the_file_is_no_larger_than_max_kb(
    tmp_path: Path, form: Format, most: int
) -> None:
    wanted = recipe(400, 400, form=form, quality=95)
    free, bound = render_sizes(tmp_path, photos.plain(), wanted, replace(wanted, max_kb=most, fingerprint="2"))
    assert free > 1000 * most >= bound > 2_000


def test_the_lowest_quality_s_file_is_kept_where_even_that_is_larger(tmp_path: Path) -> None:
    wanted = recipe(400, 400)
    floor, below, bound = render_sizes(
        tmp_path,
        photos.plain(),
        replace(wanted, quality=40, fingerprint="1"),
        replace(wanted, quality=30, max_kb=1, fingerprint="2"),
        replace(wanted, max_kb=1, fingerprint="3"),
    )
    assert bound == floor > 1000
    assert below < floor, "a quality below the lowest is not raised"


def render_sizes(folder: Path, data: bytes, *recipes: Recipe) -> list[int]:
    outcome = render(job(folder, data, *recipes))
    assert isinstance(outcome, Done)
    return [item.size for item in outcome.made]


# ---- small ----

COPY = replace(recipe(600, 600, quality=50), small="copy", fingerprint="copy")


def scans(data: bytes) -> bytes:
    """Return the picture's data: all from the first scan's header to the end marker."""
    start = data.index(b"\xff\xda")
    return data[start : data.index(b"\xff\xd9", start) + 2]


def copied(folder: Path, data: bytes, wanted: Recipe = COPY) -> bytes:
    made(folder, data, wanted)
    return (folder / "out/r0/a.jpeg").read_bytes()


@pytest.mark.parametrize("kind", ["plain", "progressive", "grey", "talkative", "mpo", "with_trailer", "srgb"])
def test_a_jpeg_that_fits_keeps_its_picture_byte_for_byte_and_loses_its_metadata(tmp_path: Path, kind: str) -> None:
    data = photos.with_profile("srgb") if kind == "srgb" else getattr(photos, kind)()
    out = copied(tmp_path, data)
    assert scans(out) == scans(data) or kind == "talkative"  # in which a thumbnail's data come first
    with Image.open(io.BytesIO(out)) as after, Image.open(io.BytesIO(data)) as before:
        assert after.tobytes() == before.tobytes()
        assert after.format == "JPEG"
        assert after.info["icc_profile"][16:20] == (b"GRAY" if kind == "grey" else b"RGB ")
    assert out.endswith(b"\xff\xd9"), "nothing follows the picture"
    assert not any(secret in out for secret in photos.SECRETS)


def test_a_copied_jpeg_carries_what_metadata_says(tmp_path: Path) -> None:
    data = photos.talkative()
    everything, nothing = made(tmp_path, data, replace(COPY, metadata="all"), replace(COPY, metadata="none"))
    assert everything.getexif().get_ifd(0x8825)
    assert not nothing.getexif()
    assert everything.tobytes() == nothing.tobytes()


def test_segments_between_scans_and_the_thumbnail_of_jfif_are_metadata_too(tmp_path: Path) -> None:
    data = photos.progressive()
    second = data.index(b"\xff\xc4", data.index(b"\xff\xda"))
    comment = b"\xff\xfe\0\x0asecret \xff"
    spoken = data[:second] + comment + data[second:]
    spoken = spoken[:2] + b"\xff\xe0\0\x13JFIF\0\1\1\0\0\1\0\1\1\1abc" + spoken[20:]
    out = copied(tmp_path, spoken)
    assert scans(out) == scans(data)
    assert b"secret" not in out
    assert b"abc" not in out


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("turned", {}),
        ("adobe", {}),
        ("cmyk", {}),
        ("plain", {"width": 599, "height": None}),
        ("plain", {"fit": "cover", "height": 300}),
        ("plain", {"fit": "contain"}),
        ("plain", {"format": "png"}),
        ("plain", {"sharpen": "low"}),
        ("plain", {"max_kb": 10}),
        ("plain", {"small": "encode"}),
    ],
)
def test_any_other_photo_is_encoded(tmp_path: Path, kind: str, keys: Mapping[str, Any]) -> None:
    data = {
        "turned": photos.oriented(3),
        "adobe": photos.with_profile("adobe"),
        "cmyk": photos.cmyk(),
        "plain": photos.plain(),
    }[kind]
    (image,) = made(tmp_path, data, replace(COPY, **keys))
    out = next((tmp_path / "out" / "r0").iterdir()).read_bytes()
    assert image.format != "JPEG" or scans(out) != scans(data)


def test_smaller_renditions_of_a_copied_photo_have_the_bytes_that_they_have_anyway(tmp_path: Path) -> None:
    _, plain = made(tmp_path, photos.plain(), replace(COPY, small="encode"), recipe(200, 200))
    large, small = made(tmp_path, photos.plain(), COPY, recipe(200, 200))
    assert small.tobytes() == plain.tobytes()
    assert large.size == (600, 400)


# ---- background ----


@pytest.mark.parametrize(
    ("mode", "background", "wanted"),
    [
        ("RGBA", "#0000ff", (0, 0, 255)),
        ("LA", "#404040", 64),
        ("LA", "#0000ff", (0, 0, 255)),
        ("RGBA", "#ffffff", (255, 255, 255)),
    ],
)
def test_the_background_shows_through_a_transparent_picture(mode: str, background: str, wanted: object) -> None:
    image = Image.new(mode, (4, 2), (200, 0) if mode == "LA" else (200, 100, 50, 0))
    image.putpixel((0, 0), (200, 255) if mode == "LA" else (200, 100, 50, 255))
    flat = flatten(image, boxed(9, 9, "inside", background=background))
    assert flat.getpixel((3, 1)) == wanted
    assert flat.convert("RGB").getpixel((0, 0)) == ((200, 200, 200) if mode == "LA" else (200, 100, 50))


def test_a_format_with_an_alpha_channel_keeps_it_but_in_a_frame() -> None:
    image = Image.new("RGBA", (4, 2), (200, 100, 50, 0))
    assert flatten(image, recipe(form="png")) is image
    assert flatten(image, boxed(9, 9, "contain", format="png")).mode == "RGB"


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_stays_so_when_it_is_sharpened_or_marked(mode: str) -> None:
    image = Image.new("RGBA", (40, 20), (40, 40, 40, 0))
    image.paste((200, 200, 200, 255), (20, 0, 40, 20))
    image = image.convert(mode)
    veiled = image.copy()
    veiled.putalpha(image.getchannel("A").point([60] * 128 + [200] * 128))  # an edge that could be sharper
    sharp = sharpen(veiled, replace(recipe(), sharpen="high"))
    assert sharp.getchannel("A").tobytes() == veiled.getchannel("A").tobytes()
    drawn = watermark(image, marked(recipe(), Image.new("RGBA", (4, 2), "white"), "west", margin=0.0, opacity=0.5))
    assert drawn.mode == mode
    assert drawn.convert("RGBA").getpixel((2, 10)) == (255, 255, 255, 128)
    assert drawn.getpixel((2, 2)) == image.getpixel((2, 2))
    assert drawn.getpixel((30, 10)) == image.getpixel((30, 10))
    coloured = watermark(image, marked(recipe(), BADGE, "west", margin=0.0))
    assert coloured.convert("RGBA").getpixel((2, 10)) == (255, 0, 0, 255)
