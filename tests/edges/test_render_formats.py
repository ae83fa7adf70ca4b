"""Every format as other programs open it: which way up, in which colours, with which words, up to which size."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests import photos
from watcher.core.formats import Format, too_large
from watcher.core.recipe import Metadata, Recipe
from watcher.core.types import Done, Job, PhotoId, Rendering
from watcher.render import icc, render
from watcher.render.encode import encode
from watcher.render.metadata import Kept

FORMATS: tuple[Format, ...] = ("jpeg", "webp", "avif", "png")
LEVELS: tuple[Metadata, ...] = ("none", "safe", "all")
ENDINGS = {"jpeg": "jpg"}
WIDTH, HEIGHT = 60, 40  # of the renditions
COLOURS = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
SPOTS = [(x, y) for y in (HEIGHT // 10, HEIGHT * 9 // 10) for x in (WIDTH // 10, WIDTH * 9 // 10)]  # near each corner
GREYS = [(0, 0, 0), (1, 1, 1), (0, 0, 0), (1, 1, 1)]
NAME = "© Bjørn Müller 山田"


def recipe(form: Format, metadata: Metadata = "all") -> Recipe:
    return Recipe(WIDTH, HEIGHT, "inside", form, 90, metadata, "f")


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("form", FORMATS)
def test_exif_and_xmp_arrive_byte_for_byte(form: Format, mode: str) -> None:
    exif, packet = photos.exif_block()[6:].replace(b"Ann Artist", "Ån Artist".encode()[:10]), photos.xmp_packet()
    data = encode(photos.scene(WIDTH, HEIGHT).convert(mode), recipe(form), Kept(exif, packet))
    assert exif in data
    assert packet in data
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == (icc.SRGB if mode == "RGB" or form == "webp" else icc.SGREY)
        assert image.mode == ("RGB" if form == "webp" else mode)


@pytest.mark.parametrize(
    ("form", "width", "height", "reason"),
    [
        ("jpeg", 65_500, 9, ""),
        ("jpeg", 65_501, 9, "would be 65501 pixels long, jpeg holds at most 65500"),
        ("webp", 9, 16_383, ""),
        ("webp", 9, 16_384, "would be 16384 pixels long, webp holds at most 16383"),
        ("avif", 32_768, 9, ""),
        ("avif", 32_769, 9, "would be 32769 pixels long, avif holds at most 32768"),
        ("avif", 16_384, 16_384, ""),
        ("avif", 16_384, 16_385, "would have 268 megapixels, avif holds at most 268"),
        ("png", 65_535, 65_535, ""),
    ],
)
def test_a_format_holds_what_its_usual_readers_take(form: Format, width: int, height: int, reason: str) -> None:
    assert too_large(form, width, height) == reason


# ---- as others open them ----


def photo(orientation: int, mode: str) -> bytes:
    image = photos.scene(2 * WIDTH, 2 * HEIGHT).convert(mode)
    turn = photos._STORED.get(orientation)
    block = photos.exif_block(orientation).replace(b"Ann Artist", b"\0" * 10)  # the names come from IPTC
    record = b"\x1c\x01\x5a\0\x03\x1b%G" + b"".join(
        b"\x1c\x02" + bytes((dataset,)) + len(NAME.encode()).to_bytes(2, "big") + NAME.encode() for dataset in (80, 116)
    )
    segments = (photos.segment(0xE1, block), photos.iptc_segment(record))
    packet = photos.segment(
        0xE1, b"http://ns.adobe.com/xap/1.0/\0" + photos.xmp_packet(orientation).replace(b"dc:", b"x:")
    )
    return photos.spliced(photos.jpeg(image if turn is None else image.transpose(turn)), *segments, packet)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, tuple[str, Format, Metadata]]:
    """Make every format at every level of every orientation, grey and coloured; give what each file is."""
    folder = tmp_path_factory.mktemp("formats")
    made = {}
    for mode, orientation in itertools.product(("L", "RGB"), range(1, 9)):
        name = f"{mode}{orientation}"
        (folder / f"{name}.jpg").write_bytes(photo(orientation, mode))
        wanted = [
            Rendering(
                f"{form}-{level}", recipe(form, level), f"{form}-{level}/{name}.{ENDINGS.get(form, form)}".encode()
            )
            for form, level in itertools.product(FORMATS, LEVELS)
        ]
        source = PhotoId(os.fsencode(folder), f"{name}.jpg".encode())
        assert isinstance(render(Job(1, source, os.fsencode(folder), tuple(wanted))), Done)
        for one in wanted:
            made[folder / os.fsdecode(one.output)] = (mode, one.recipe.format, one.recipe.metadata)
    return made


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    rgb = image.convert("RGB")
    return [tuple(round(c / 255) for c in rgb.getpixel(at)) for at in SPOTS]  # type: ignore[union-attr]  # RGB gives tuples


DECODERS: dict[str, tuple[Callable[[Path, Path], list[str]], Format]] = {
    "avifdec": (lambda path, to: ["avifdec", str(path), str(to)], "avif"),
    "dwebp": (lambda path, to: ["dwebp", "-quiet", str(path), "-o", str(to)], "webp"),
    "djpeg": (lambda path, to: ["djpeg", "-outfile", str(to), str(path)], "jpeg"),
}


def of_all(outputs: dict[Path, tuple[str, Format, Metadata]]) -> list[tuple[Path, str, Format]]:
    """Give the files of the level that says most of which way up it is."""
    return [(path, mode, form) for path, (mode, form, level) in outputs.items() if level == "all"]


@pytest.mark.slow  # a process for each of 16 files
@pytest.mark.parametrize("tool", DECODERS)
def test_the_formats_own_decoders_see_every_rendition_upright(
    tool: str, outputs: dict[Path, tuple[str, Format, Metadata]], tmp_path: Path
) -> None:
    if not shutil.which(tool):
        pytest.skip(f"needs {tool}")
    command, its = DECODERS[tool]
    for path, mode, form in of_all(outputs):
        if form == its:
            to = tmp_path / ("out.ppm" if tool == "djpeg" else "out.png")
            subprocess.run(command(path, to), check=True, capture_output=True)
            with Image.open(to) as image:
                assert image.size == (WIDTH, HEIGHT), path
                assert corners(image) == (GREYS if mode == "L" else COLOURS), path


@pytest.mark.slow  # opens 64 files
@pytest.mark.skipif(not shutil.which("vips"), reason="needs vips")
def test_libvips_sees_every_rendition_upright(
    outputs: dict[Path, tuple[str, Format, Metadata]], tmp_path: Path
) -> None:
    for number, (mode, form) in enumerate(itertools.product(("L", "RGB"), FORMATS)):
        paths = [str(path) for path, *kind in of_all(outputs) if kind == [mode, form]]
        joined = tmp_path / f"{number}.ppm"
        subprocess.run(
            ["vips", "arrayjoin", " ".join(paths), str(joined), "--across", "1"], check=True, capture_output=True
        )
        with Image.open(joined) as image:
            assert image.size == (WIDTH, HEIGHT * len(paths)) == (WIDTH, HEIGHT * 8), (mode, form)
            for row in range(len(paths)):
                seen = image.crop((0, row * HEIGHT, WIDTH, (row + 1) * HEIGHT))
                assert corners(seen) == (GREYS if mode == "L" else COLOURS), paths[row]


@pytest.mark.slow  # starts a browser
def test_chromium_shows_every_rendition_upright(outputs: dict[Path, tuple[str, Format, Metadata]]) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    pytest.importorskip("playwright", reason="the browser's driver is not installed: pip install playwright")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # not everywhere

    look = """files => Promise.all(files.map(async ([kind, data, spots]) => {
        const image = new Image();
        image.src = `data:image/${kind};base64,${data}`;
        try { await image.decode(); } catch { return ['not shown', []]; }
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        const at = ([x, y]) => [...context.getImageData(x, y, 1, 1).data].slice(0, 3).map(c => Math.round(c / 255));
        return [`${canvas.width} x ${canvas.height}`, spots.map(at)];
    }))"""
    files = of_all(outputs)
    asked = [(form, base64.b64encode(path.read_bytes()).decode(), SPOTS) for path, _, form in files]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])  # root has none
        answers = browser.new_page().evaluate(look, asked)
        browser.close()
    for (path, mode, _), (size, seen) in zip(files, answers, strict=True):
        assert size == f"{WIDTH} x {HEIGHT}", path
        assert [tuple(colour) for colour in seen] == (GREYS if mode == "L" else COLOURS), path


@pytest.mark.slow  # 192 files: 5 s
@pytest.mark.skipif(not shutil.which("exiftool"), reason="needs exiftool")
def test_exiftool_reads_from_every_rendition_what_its_level_says(
    outputs: dict[Path, tuple[str, Format, Metadata]],
) -> None:
    names = ("Orientation", "Artist", "Copyright", "GPSLatitude", "SerialNumber", "ColorSpaceData", "ExifImageWidth")
    more = ("ImageWidth", "ImageHeight", "Rotation", "By-line", "Warning", "Error", "MakerNoteUnknownText", "XMP:all")
    command = ["exiftool", "-j", "-n", "-a", "-G0", *(f"-{name}" for name in (*names, *more)), *map(str, outputs)]
    read = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
    assert len(read) == len(outputs)
    for one in read:
        path = Path(one.pop("SourceFile"))
        mode, form, level = outputs[path]
        told = {key.partition(":")[2]: value for key, value in one.items()}
        assert not [key for key in one if key.endswith(("Warning", "Error"))], (path, one)
        assert (told["ImageWidth"], told["ImageHeight"]) == (WIDTH, HEIGHT), path
        assert told["ColorSpaceData"] == ("GRAY" if mode == "L" and form != "webp" else "RGB "), path
        assert told.get("Orientation", 1) == 1, path
        assert told.get("Rotation", 0) == 0, path
        author = told.get("By-line") if (form, level) == ("jpeg", "all") else told.get("Artist")
        assert author == (None if level == "none" else NAME), path
        assert ("GPSLatitude" in told) == (level == "all"), path
        assert ("SerialNumber" in told) == (level == "all"), path
        assert told.get("ExifImageWidth") == (None if level == "none" else WIDTH), path
