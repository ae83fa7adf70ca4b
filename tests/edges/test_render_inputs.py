"""Photos in other formats than JPEG: right pixels and metadata, nothing half-written, no bombs."""

from __future__ import annotations

import itertools
import os
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageFile

from tests import photos, pictures
from tests.rendering import corners, opened
from watcher.core.formats import Format
from watcher.core.recipe import Metadata, Recipe
from watcher.core.types import (
    Done,
    Evidence,
    Failed,
    FailureKind,
    Job,
    NeedsMoreMemory,
    Outcome,
    PhotoId,
    Rendering,
    Unready,
)
from watcher.render import render, resize

UPRIGHT = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]


def recipe(form: Format = "jpeg", metadata: Metadata = "safe", side: int = 150) -> Recipe:
    return Recipe(side, side, "inside", form, 90, metadata, "0123456789abcdef")


def tried(
    folder: Path, data: bytes, *recipes: Recipe, name: str = "a.jpg", memory: int = 0, most: int = 200_000_000
) -> Outcome:
    """Render a photo as it lies there for a long time already."""
    photo = folder / "in" / name
    photo.parent.mkdir(exist_ok=True)
    photo.write_bytes(data)
    os.utime(photo, (1_700_000_000, 1_700_000_000))
    wanted = recipes or (recipe(),)
    renderings = tuple(Rendering(f"r{i}", r, b"r%d/a.%b" % (i, r.format.encode())) for i, r in enumerate(wanted))
    key = PhotoId(os.fsencode(folder / "in"), os.fsencode(name))
    found = Evidence(listed=True)
    return render(
        Job(1, key, os.fsencode(folder / "out"), renderings, evidence=found, max_pixels=most, memory_bytes=memory)
    )


def made(folder: Path, data: bytes, *recipes: Recipe) -> list[ImageFile.ImageFile]:
    return opened(folder, tried(folder, data, *recipes))


# ---- pixels ----

SCENE = photos.scene(300, 200)
KINDS = {
    "png": pictures.encoded("PNG"),
    "png, 16 bits": pictures.deep_png(SCENE),
    "png, interlaced": pictures.interlaced_png(SCENE),
    "png, opaque alpha": pictures.encoded("PNG", SCENE.convert("RGBA")),
    "png, palette": pictures.encoded("PNG", SCENE.quantize(64)),
    "png, animated": pictures.encoded(
        "PNG", SCENE, save_all=True, append_images=[Image.new("RGB", SCENE.size)], default_image=False
    ),
    "webp": pictures.encoded("WEBP", SCENE, quality=100),
    "webp, lossless": pictures.encoded("WEBP", SCENE, lossless=True),
    "webp, opaque alpha": pictures.encoded("WEBP", SCENE.convert("RGBA"), lossless=True, exact=True),
    "webp, animated": pictures.encoded(
        "WEBP", SCENE, save_all=True, append_images=[Image.new("RGB", SCENE.size)], lossless=True
    ),
    "tiff": pictures.encoded("TIFF", SCENE),
    "tiff, lzw": pictures.encoded("TIFF", SCENE, compression="tiff_lzw"),
    "tiff, deflate": pictures.encoded("TIFF", SCENE, compression="tiff_adobe_deflate"),
    "tiff, packbits": pictures.encoded("TIFF", SCENE, compression="packbits"),
    "tiff, jpeg": pictures.encoded("TIFF", SCENE, compression="jpeg", quality=98),
    "tiff, several pages": pictures.encoded(
        "TIFF", SCENE, save_all=True, append_images=[Image.new("RGB", (2000, 9)), Image.new("L", (7, 7))]
    ),
    "tiff, palette": pictures.encoded("TIFF", SCENE.quantize(64)),
    "tiff, big": pictures.encoded("TIFF", SCENE, big_tiff=True),
    "tiff, tiles": pictures.tiled_tiff(SCENE),
    "tiff, 16 bits": pictures.deep_tiff(SCENE),
    "tiff, Lab": pictures.encoded("TIFF", pictures.lab(SCENE)),
    "tiff, opaque alpha": pictures.encoded("TIFF", SCENE.convert("RGBA")),
    "avif": pictures.encoded("AVIF", SCENE, quality=100, subsampling="4:4:4", speed=8),
    "avif, animated": pictures.encoded(
        "AVIF",
        SCENE,
        save_all=True,
        append_images=[Image.new("RGB", SCENE.size)],
        quality=100,
        subsampling="4:4:4",
        speed=8,
    ),
}
if pictures.HEIC:
    fine = {"quality": 100, "chroma": 444}
    KINDS |= {
        "heic": pictures.encoded("HEIF", SCENE, **fine),
        "heic, grid": pictures.encoded("HEIF", SCENE, tile_size=64, **fine),
        "heic, 10 bits": pictures.deep_heic(SCENE),
        "heic, several pictures": pictures.encoded(
            "HEIF", Image.new("RGB", (64, 64)), save_all=True, append_images=[SCENE], primary_index=1, **fine
        ),
        "heic, opaque alpha": pictures.encoded("HEIF", SCENE.convert("RGBA"), **fine),
        "heic, thumbnails": pictures.encoded("HEIF", SCENE, thumbnails=[64], **fine),
    }
GREY = {
    "png": pictures.encoded("PNG", SCENE.convert("L")),
    "png, 16 bits": pictures.deep_png(SCENE.convert("L")),
    "png, opaque alpha": pictures.encoded("PNG", SCENE.convert("LA")),
    "tiff": pictures.encoded("TIFF", SCENE.convert("L")),
    "tiff, 16 bits": pictures.deep_tiff(SCENE.convert("L")),
    "avif": pictures.encoded("AVIF", SCENE.convert("L"), quality=100, speed=8),
}
if pictures.HEIC:
    GREY["heic, 10 bits"] = pictures.encoded("HEIF", pictures.deep_grey(SCENE), quality=100)
    GREY["heic"] = pictures.encoded("HEIF", SCENE.convert("L"), quality=100)
CLEAR = {
    "png": pictures.encoded("PNG", pictures.clear(300, 200)),
    "png, palette": pictures.encoded("PNG", pictures.clear(300, 200).quantize(64)),
    "webp": pictures.encoded("WEBP", pictures.clear(300, 200), quality=90),
    "webp, lossless": pictures.encoded("WEBP", pictures.clear(300, 200), lossless=True, exact=True),
    "tiff": pictures.encoded("TIFF", pictures.clear(300, 200)),
    "avif": pictures.encoded("AVIF", pictures.clear(300, 200), quality=90, speed=8),
}


if pictures.HEIC:
    CLEAR["heic"] = pictures.encoded("HEIF", pictures.clear(300, 200), quality=90, chroma=444)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_in_any_kind_of_any_format_becomes_what_a_jpeg_of_it_becomes(tmp_path: Path, kind: str) -> None:
    (image,) = made(tmp_path, KINDS[kind], recipe("png"))
    assert (image.mode, image.size) == ("RGB", (150, 100))
    assert corners(image) == UPRIGHT
    reference = SCENE.resize((150, 100), Image.Resampling.LANCZOS)
    assert resize.psnr(image, reference) > (25 if "palette" in kind else 34 if kind in {"webp", "tiff, Lab"} else 45)


@pytest.mark.parametrize("kind", GREY)
def test_greyscale_stays_greyscale_and_16_bits_keep_their_upper_8(tmp_path: Path, kind: str) -> None:
    jpeg, png = made(tmp_path, GREY[kind], recipe(), recipe("png"))
    assert (jpeg.mode, png.mode) == ("L", "L")
    assert png.info["icc_profile"][16:20] == b"GRAY"
    assert resize.psnr(png, SCENE.convert("L").resize((150, 100), Image.Resampling.LANCZOS)) > 45


def test_a_picture_of_one_bit_is_grey(tmp_path: Path) -> None:
    (image,) = made(tmp_path, pictures.encoded("PNG", SCENE.convert("1")))
    assert image.mode == "L"


@pytest.mark.parametrize("kind", CLEAR)
def test_transparency_is_kept_but_in_a_jpeg_where_it_shows_white(tmp_path: Path, kind: str) -> None:
    jpeg, *others = made(tmp_path, CLEAR[kind], recipe(), recipe("png"), recipe("webp"), recipe("avif"))
    assert jpeg.mode == "RGB"
    assert min(jpeg.getpixel((75, 50))) > 250  # type: ignore[arg-type]  # RGB gives tuples
    for image in others:
        assert image.mode == "RGBA", image.format
        assert image.getpixel((75, 50))[3] == 0  # type: ignore[index]  # RGBA gives tuples
        assert image.getpixel((15, 10))[3] == 255  # type: ignore[index]  # the same
    edges = [jpeg.getpixel((x, 50)) for x in range(52, 60)]
    assert all(pixel[1] <= max(pixel[0], pixel[2]) + 60 for pixel in edges), "what is transparent lends no colour"  # type: ignore[index]


def test_a_tiff_in_cmyk_is_converted_by_its_profile_or_without_one(tmp_path: Path) -> None:
    (image,) = made(tmp_path, pictures.encoded("TIFF", SCENE.convert("CMYK")), recipe("png"))
    assert (image.mode, corners(image)) == ("RGB", UPRIGHT)


def test_cmyk_without_a_profile_is_what_its_inks_leave_of_white_as_browsers_show_it(tmp_path: Path) -> None:
    inks = [(0, 0, 0, 0), (255, 0, 0, 0), (0, 128, 0, 0), (20, 40, 200, 60), (255, 255, 255, 0), (9, 8, 7, 255)]
    shape = {258: (3, (8,) * 4), 259: (3, (1,)), 262: (3, (5,)), 277: (3, (4,)), 278: (4, (1,)), 279: (4, (24,))}
    data = pictures.tiff(len(inks), 1, {**shape, 273: (4, (0,))}, [bytes(itertools.chain(*inks))])
    (image,) = made(tmp_path, data, recipe("png"))
    for x, (*colours, black) in enumerate(inks):
        truth = [(255 - colour) * (255 - black) / 255 for colour in colours]
        assert image.getpixel((x, 0)) == pytest.approx(truth, abs=1), inks[x]


def lab_tiff(values: list[tuple[int, int, int]], bits: int = 8) -> bytes:
    """Write a TIFF in Lab of one row; L from 0 to 255, a and b from -128 to 127."""
    row = b"".join(bytes(bits // 8 - 1) + bytes((value % 256,)) for value in itertools.chain(*values))
    rest = {259: (3, (1,)), 262: (3, (8,)), 277: (3, (3,)), 278: (4, (1,)), 279: (4, (len(row),))}
    return pictures.tiff(len(values), 1, {258: (3, (bits,) * 3), **rest, 273: (4, (0,))}, [row])


def from_lab(lightness: float, a: float, b: float) -> list[float]:
    """Compute the colour of Lab with the white of D50 in sRGB, as CIE 15 and IEC 61966-2-1 define them, by Bradford."""
    at = (lightness + 16) / 116
    x, y, z = (
        white * (f**3 if f > 6 / 29 else 3 * (6 / 29) ** 2 * (f - 4 / 29))
        for white, f in ((0.9642, at + a / 500), (1.0, at), (0.8249, at - b / 200))
    )
    linear = (
        3.1338561 * x - 1.6168667 * y - 0.4906146 * z,
        -0.9787684 * x + 1.9161415 * y + 0.0334540 * z,
        0.0719453 * x - 0.2289914 * y + 1.4052427 * z,
    )
    return [255 * (12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055) for c in linear]


def test_a_tiff_in_lab_has_the_white_of_d50_and_its_colours_are_as_computed(tmp_path: Path) -> None:
    values = [(255, 0, 0), (128, 0, 0), (140, 60, 40), (150, -50, 40), (90, 15, -60), (200, 10, 70), (60, 30, -10)]
    (image,) = made(tmp_path, lab_tiff(values), recipe("png"))
    for x, (lightness, a, b) in enumerate(values):
        assert image.getpixel((x, 0)) == pytest.approx(from_lab(lightness / 2.55, a, b), abs=1), values[x]


def test_a_tiff_in_lab_of_16_bits_fails_and_says_so(tmp_path: Path) -> None:
    outcome = tried(tmp_path, lab_tiff([(128, 0, 0)], 16))
    assert isinstance(outcome, Failed)
    assert "its pixels are of a kind that is not read: Lab, 16 bits a channel" in outcome.reason


def test_a_tiff_of_numbers_that_are_no_picture_fails_with_a_reason(tmp_path: Path) -> None:
    outcome = tried(tmp_path, pictures.encoded("TIFF", Image.new("F", (9, 9))))
    assert isinstance(outcome, Failed)
    assert "its pixels are of a kind (F) that no photo has" in outcome.reason


def test_grey_with_transparency_stays_grey_where_the_format_can(tmp_path: Path) -> None:
    data = pictures.encoded("PNG", pictures.clear(300, 200).convert("LA"))
    jpeg, png, webp, avif = made(tmp_path, data, recipe(), recipe("png"), recipe("webp"), recipe("avif"))
    assert (jpeg.mode, png.mode, webp.mode, avif.mode) == ("L", "LA", "RGBA", "RGBA")
    assert jpeg.getpixel((75, 50)) == 255
    assert png.getpixel((75, 50))[1] == 0  # type: ignore[index]  # LA gives tuples


# ---- metadata ----


def annotated(orientation: int) -> dict[str, bytes]:
    """Encode the scene with all that a camera writes, stored as the orientation says."""
    exif, xmp = photos.exif_block(orientation), photos.xmp_packet(orientation)
    stored = photos.stored(SCENE, orientation)
    text = pictures.chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp))
    png = pictures.encoded("PNG", stored, exif=exif, icc_profile=photos.icc("p3"))
    raw = exif.hex("\n", 36).encode()
    by_imagemagick = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n%b\n" % (len(exif), raw))
    profile = photos.icc("p3")
    bare = pictures.encoded("PNG", stored, icc_profile=profile)
    tiff = Image.Exif()
    tiff.load(exif)
    tiff[700] = xmp
    carried = {"exif": exif, "icc_profile": profile, "xmp": xmp}
    heic = {"heic": pictures.encoded("HEIF", stored, quality=100, chroma=444, **carried)} if pictures.HEIC else {}
    return heic | {
        "png": pictures.with_chunks(png, text),
        "png, by ImageMagick": pictures.with_chunks(bare, pictures.chunk(b"zTXt", by_imagemagick), text),
        "webp": pictures.encoded("WEBP", stored, quality=100, **carried),
        "tiff": pictures.encoded("TIFF", stored, exif=tiff, icc_profile=profile),
        "avif": pictures.encoded("AVIF", stored, quality=100, subsampling="4:4:4", speed=8, **carried),
    }


TURNED = {orientation: annotated(orientation) for orientation in range(1, 9)}
ANNOTATED = list(TURNED[1])


@pytest.mark.parametrize("kind", ANNOTATED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_applied_once_and_reset(tmp_path: Path, kind: str, orientation: int) -> None:
    jpeg, png = made(tmp_path, TURNED[orientation][kind], recipe(), recipe("png", "all"))
    for image in (jpeg, png):
        assert image.size == (150, 100)
        assert corners(image) == UPRIGHT
        assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("kind", ANNOTATED)
@pytest.mark.parametrize("form", ["jpeg", "webp", "avif", "png"])
def test_metadata_is_kept_as_the_recipe_says_from_every_format(tmp_path: Path, kind: str, form: Format) -> None:
    data = TURNED[6][kind]
    none, safe, everything = made(tmp_path, data, *(recipe(form, policy) for policy in ("none", "safe", "all")))
    written = [(tmp_path / "out" / f"r{i}" / f"a.{form}").read_bytes() for i in range(3)]
    assert not none.getexif()
    assert not any(secret in written[0] + written[1] for secret in photos.SECRETS)
    exif = safe.getexif()
    assert exif[0x013B] == "Ann Artist"
    assert 0x8825 not in exif
    kept = everything.getexif()
    assert 0x8825 in kept
    assert b"Xenia" in written[2]


@pytest.mark.parametrize("kind", ANNOTATED)
def test_a_wide_profile_is_converted_to_srgb(tmp_path: Path, kind: str) -> None:
    (image,) = made(tmp_path, TURNED[1][kind], recipe("png"))
    jpeg = photos.jpeg(SCENE, quality=100, subsampling=0, icc_profile=photos.icc("p3"))
    (reference,) = made(tmp_path, jpeg, recipe("png"))
    assert resize.psnr(image, reference) > 35


@pytest.mark.parametrize("kind", [kind for kind in ("heic", "avif") if kind in KINDS])
def test_colour_codes_that_say_display_p3_are_converted_to_srgb(tmp_path: Path, kind: str) -> None:
    srgb, p3 = (b"colrnclx" + primaries.to_bytes(2, "big") + b"\0\x0d" for primaries in (1, 12))
    assert srgb in KINDS[kind]
    (image,) = made(tmp_path, KINDS[kind].replace(srgb, p3), recipe("png"))
    (as_srgb,) = made(tmp_path, KINDS[kind], recipe("png"))
    jpeg = photos.jpeg(SCENE, quality=100, subsampling=0, icc_profile=photos.icc("p3"))
    (reference,) = made(tmp_path, jpeg, recipe("png"))
    assert resize.psnr(image, reference) > 30 > resize.psnr(as_srgb, reference) + 3  # its curve is a plain gamma


@pytest.mark.skipif(not pictures.HEIC, reason="the extra heic is not installed")
def test_an_orientation_that_only_exif_says_is_not_applied_to_a_heic(tmp_path: Path) -> None:
    said, other = (b"\x01\x12\0\3\0\0\0\1" + orientation.to_bytes(2, "big") for orientation in (1, 6))
    data = pictures.encoded("HEIF", SCENE, exif=photos.exif_block(1), quality=100, chroma=444)
    assert said in data
    (image,) = made(tmp_path, data.replace(said, other), recipe(metadata="all"))
    assert image.size == (150, 100)
    assert corners(image) == UPRIGHT
    assert image.getexif().get(0x0112, 1) == 1


# ---- nothing half-written ----

SMALL = photos.scene(120, 80)
WHOLE = {
    "png": pictures.encoded("PNG", SMALL),
    "webp": pictures.encoded("WEBP", SMALL),
    "webp, EXIF": pictures.encoded("WEBP", SMALL, lossless=True, exif=photos.oriented_block(6)),
    "tiff, lzw": pictures.encoded("TIFF", SMALL, compression="tiff_lzw"),
    "tiff, several pages": pictures.encoded("TIFF", SMALL, save_all=True, append_images=[SMALL], compression="jpeg")[
        :-1
    ],
    "avif": pictures.encoded("AVIF", SMALL, xmp=photos.xmp_packet()),
    "avif, animated": pictures.encoded("AVIF", SMALL, save_all=True, append_images=[SMALL.rotate(180)]),
}
if pictures.HEIC:
    WHOLE["heic"] = pictures.encoded("HEIF", SMALL, exif=photos.oriented_block(3))
    WHOLE["heic, grid"] = pictures.encoded("HEIF", SMALL, tile_size=64)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_ends_early_is_never_published_wherever_it_ends(tmp_path: Path, kind: str) -> None:
    data = WHOLE[kind]
    for end in (*range(20, 64), *range(64, len(data) - 16, 211), *range(len(data) - 16, len(data))):
        outcome = tried(tmp_path, data[:end])
        assert isinstance(outcome, Unready), (end, outcome)
        assert outcome.reason.startswith("truncated: "), outcome
    assert isinstance(tried(tmp_path, data), Done)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_whose_copy_has_only_reserved_its_space_is_never_published(tmp_path: Path, kind: str) -> None:
    data = WHOLE[kind]
    for end in range(64, len(data) - 64, 211):
        outcome = tried(tmp_path, data[:end] + bytes(len(data) - end))
        assert isinstance(outcome, Unready), (end, outcome)


def test_a_damaged_png_fails_with_the_place(tmp_path: Path) -> None:
    data = bytearray(WHOLE["png"])
    at = data.index(b"IDAT") + 200
    data[at] ^= 1
    outcome = tried(tmp_path, bytes(data))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.PHOTO
    assert outcome.reason.startswith("damaged"), outcome
    assert f"its chunk IDAT at byte {data.index(b'IDAT') - 4} does not match its checksum" in outcome.reason


def test_a_hole_in_a_png_fails_as_damaged(tmp_path: Path) -> None:
    data = bytearray(pictures.encoded("PNG", photos.scene(600, 400), compress_level=1))
    data[4096:8192] = bytes(4096)
    outcome = tried(tmp_path, bytes(data))
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("damaged")


def test_a_damaged_text_and_what_follows_the_end_are_no_reason_to_refuse_a_png(tmp_path: Path) -> None:
    text = bytearray(pictures.chunk(b"tEXt", b"Comment\0hello"))
    text[-1] ^= 255
    data = pictures.with_chunks(pictures.encoded("PNG"), bytes(text)) + b"behind"
    assert isinstance(tried(tmp_path, data), Done)


def test_a_damaged_tiff_fails_and_its_library_writes_nothing_into_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(WHOLE["tiff, lzw"])
    at = len(data) // 2
    data[at : at + 400] = b"\xff" * 400
    outcome = tried(tmp_path, bytes(data))
    assert isinstance(outcome, Failed)
    assert "can't be decoded" in outcome.reason
    assert capfd.readouterr().err == ""


# ---- bombs ----


@pytest.mark.parametrize("kind", pictures.BOMBS)
def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path: Path, kind: str) -> None:
    outcome = tried(tmp_path, pictures.BOMBS[kind](16_000, 16_000))
    assert isinstance(outcome, Failed), outcome
    assert "16000 \u00d7 16000 is 256 megapixels, max_megapixels allows 200" in outcome.reason
    heavy = tried(tmp_path, pictures.BOMBS[kind](9000, 9000), memory=1 << 20)
    assert isinstance(heavy, NeedsMoreMemory), heavy
    assert heavy.memory_bytes > 4 * 9000**2


LIMITS = [
    ("avif", (20_000, 20_000), "20000 \u00d7 20000 is 400.0 megapixels, of an AVIF at most 268.4 can be decoded"),
    ("avif", (40_000, 100), "40000 \u00d7 100, of an AVIF at most 32768 pixels a side can be decoded"),
    ("heic", (40_000, 40_000), "40000 \u00d7 40000 is 1600.0 megapixels, of a HEIC at most 1073.7 can be decoded"),
]


@pytest.mark.parametrize(("kind", "size", "reason"), [limit for limit in LIMITS if limit[0] in pictures.BOMBS])
def test_what_is_larger_than_a_decoder_takes_is_refused_with_its_limit(
    tmp_path: Path, kind: str, size: tuple[int, int], reason: str
) -> None:
    outcome = tried(tmp_path, pictures.BOMBS[kind](*size), most=4_300_000_000)
    assert isinstance(outcome, Failed), outcome
    assert reason in outcome.reason


def test_a_tiff_with_tiles_much_larger_than_its_picture_is_refused(tmp_path: Path) -> None:
    outcome = tried(tmp_path, pictures.tiled_tiff(photos.scene(20, 20), 3000))
    assert isinstance(outcome, Failed)
    assert "its tiles are larger than its picture" in outcome.reason


def test_a_compressed_text_or_profile_that_unpacks_to_very_much_is_passed_over(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(30 << 20))
    chunks = (
        pictures.chunk(b"iCCP", b"x\0\0" + bomb),
        pictures.chunk(b"zTXt", b"Comment\0\0" + bomb),
        pictures.chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb),
        pictures.chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb),
    )
    assert isinstance(tried(tmp_path, pictures.with_chunks(pictures.encoded("PNG"), *chunks)), Done)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pictures.png(0, 5, 8, 2, b""), "header makes no sense"),
        (pictures.png(5, 5, 5, 2, b""), "header makes no sense"),
        (pictures.png(5, 5, 8, 2, b"\0"), "can't be decoded"),
        (pictures.PNG + b"\1" * 60, "header does not match its checksum"),
    ],
)
def test_a_png_that_is_none_fails_with_a_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    outcome = tried(tmp_path, data)
    assert isinstance(outcome, Failed), outcome
    assert reason in outcome.reason
