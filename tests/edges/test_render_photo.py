"""Right pixels, right sizes, right colour, right metadata, from every kind of photo."""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import ExifTags, Image, ImageCms, IptcImagePlugin

from tests import photos
from tests.rendering import corners, job, made, recipe
from watcher.core.formats import Format, quality_of
from watcher.core.recipe import Metadata, Recipe
from watcher.core.types import Done
from watcher.render import describe, render, resize, warm

UPRIGHT = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_applied_and_the_tag_reset(tmp_path: Path, orientation: int) -> None:
    (inside, thumb) = made(tmp_path, photos.oriented(orientation), recipe(), recipe(100, 100, "cover", metadata="all"))
    assert inside.size == (300, 200)
    assert corners(inside) == UPRIGHT
    assert thumb.size == (100, 100)
    assert inside.getexif().get(0x0112, 1) == 1
    assert thumb.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize(
    "kind", ["plain", "progressive", "cmyk", "ycck", "mpo", "with_trailer", "broken_exif", "looping_exif"]
)
def test_a_whole_photo_of_any_kind_becomes_an_rgb_rendition_with_the_srgb_profile(tmp_path: Path, kind: str) -> None:
    (image,) = made(tmp_path, getattr(photos, kind)(), recipe())
    assert (image.mode, image.size, image.format) == ("RGB", (300, 200), "JPEG")
    assert corners(image) == UPRIGHT
    profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_greyscale_stays_greyscale_with_a_grey_profile(tmp_path: Path) -> None:
    jpeg, png = made(tmp_path, photos.grey(), recipe(), recipe(form="png"))
    assert (jpeg.mode, png.mode) == ("L", "L")
    assert jpeg.info["icc_profile"][16:20] == png.info["icc_profile"][16:20] == b"GRAY"


def test_a_grey_profile_is_honoured(tmp_path: Path) -> None:
    flat = Image.new("L", (64, 64), 128)
    (image,) = made(tmp_path, photos.jpeg(flat, icc_profile=photos.icc("grey")), recipe())
    # 128 at gamma 1.8 is a luminance of 0.289, which sRGB writes as 147
    assert image.mode == "L"
    assert abs(image.getpixel((9, 9)) - 147) <= 2  # type: ignore[operator]  # L gives a number


@pytest.mark.parametrize("profile", ["adobe", "p3"])
def test_wide_gamut_is_converted_to_srgb_as_littlecms_does_at_full_size(tmp_path: Path, profile: str) -> None:
    colour = (200, 125, 60)
    flat = Image.new("RGB", (64, 64), colour)
    data = photos.jpeg(flat, quality=100, subsampling=0, icc_profile=photos.icc(profile))
    (image,) = made(tmp_path, data, recipe(quality=100))
    reference = ImageCms.profileToProfile(
        flat,
        ImageCms.ImageCmsProfile(io.BytesIO(photos.icc(profile))),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert reference is not None
    got, wanted = image.getpixel((20, 20)), reference.getpixel((20, 20))
    assert all(abs(a - b) <= 2 for a, b in zip(got, wanted, strict=True))  # type: ignore[arg-type]  # RGB gives tuples
    assert got != colour


def test_colour_is_converted_once_where_one_rendition_keeps_the_decoded_pixels(tmp_path: Path) -> None:
    data = photos.with_profile("adobe")
    (alone,) = made(tmp_path, data, recipe(450, 450, quality=100))
    whole, beside = made(tmp_path, data, recipe(600, 600, quality=100), recipe(450, 450, quality=100))
    assert whole.size == (600, 400)
    assert resize.psnr(beside, alone) > 40


def test_adobe_rgb_without_a_profile_is_known_by_its_interoperability_index(tmp_path: Path) -> None:
    (plain,) = made(tmp_path, photos.plain(), recipe(metadata="none"))
    (by_index,) = made(tmp_path, photos.dcf_adobe_rgb(), recipe(metadata="none"))
    (by_profile,) = made(tmp_path, photos.with_profile("adobe"), recipe(metadata="none"))
    assert resize.psnr(by_index, by_profile) > 45
    assert resize.psnr(by_index, plain) < 40


@pytest.mark.parametrize("profile", ["srgb", "broken"])
def test_an_srgb_or_broken_profile_leaves_every_pixel_as_it_is(tmp_path: Path, profile: str) -> None:
    (plain,) = made(tmp_path, photos.plain(), recipe())
    (image,) = made(tmp_path, photos.with_profile(profile), recipe())
    assert image.tobytes() == plain.tobytes()


@pytest.mark.parametrize(
    ("photo", "wanted", "size"),
    [
        ((6000, 4000), recipe(1024, 1024), (1024, 683)),
        ((6000, 4000), recipe(2048, 2048), (2048, 1365)),
        ((600, 400), recipe(None, 100), (150, 100)),
        ((600, 400), recipe(2000, 2000), (600, 400)),
        ((600, 400), recipe(320, 320, "cover"), (320, 320)),
        ((600, 400), recipe(500, 500, "cover"), (400, 400)),
        ((600, 400), recipe(1000, 500, "cover"), (600, 300)),
        ((600, 400), recipe(200, None, "cover"), (200, 133)),
        ((601, 3), recipe(10, 10), (10, 1)),
    ],
)
def test_sizes_come_from_the_originals_exact_ratio_and_never_enlarge(
    tmp_path: Path, photo: tuple[int, int], wanted: Recipe, size: tuple[int, int]
) -> None:
    (image,) = made(tmp_path, photos.jpeg(Image.new("RGB", photo)), wanted)
    assert image.size == size


def test_a_rendition_made_alone_has_the_bytes_that_it_has_beside_the_others(tmp_path: Path) -> None:
    """Which pictures it is made from depends on what the photo shall have, not on what of it is missing just now."""
    recipes = (recipe(1600, 1600), recipe(800, 800), recipe(300, 300), recipe(120, 120, "cover"))
    work = job(tmp_path, photos.jpeg(photos.scene(2400, 1600)), *recipes)
    first = render(work)
    assert isinstance(first, Done)
    outputs = [tmp_path / "out" / os.fsdecode(item.output) for item in work.renderings]
    before = [path.read_bytes() for path in outputs]
    for number, path in enumerate(outputs):
        path.unlink()
        current = frozenset(item.name for item in work.renderings) - {work.renderings[number].name}
        again = render(replace(work, number=number + 2, done=first.stamp, current=current))
        assert isinstance(again, Done)
        assert [item.name for item in again.made] == [work.renderings[number].name]
        assert path.read_bytes() == before[number], recipes[number]


def test_a_step_that_draws_on_one_rendition_leaves_those_made_from_it_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = photos.jpeg(photos.scene(2000, 1500))
    _, plain = made(tmp_path, data, recipe(800, 800), recipe(200, 200))

    def blacken(image: Image.Image, wanted: Recipe) -> Image.Image:
        if wanted.width != 800:
            return image
        image = image.copy()
        image.paste((0, 0, 0), (0, 0, image.width, image.height))
        return image

    monkeypatch.setattr("watcher.render.pipeline.STEPS", (blacken,))
    (tmp_path / "stepped").mkdir()
    black, small = made(tmp_path / "stepped", data, recipe(800, 800), recipe(200, 200))
    assert black.convert("RGB").getextrema() == ((0, 0), (0, 0), (0, 0))
    assert small.tobytes() == plain.tobytes()


def test_smaller_renditions_are_as_good_as_if_made_from_a_full_decode(tmp_path: Path) -> None:
    data = photos.jpeg(photos.scene(3001, 2003), quality=95)
    images = made(
        tmp_path, data, *(recipe(s, s, quality=100) for s in (1001, 500, 160)), recipe(150, 150, "cover", quality=100)
    )
    full = Image.open(io.BytesIO(data))
    for image in images[:3]:
        assert resize.psnr(image, full.resize(image.size, Image.Resampling.LANCZOS)) > 38
    square = full.resize((150, 150), Image.Resampling.LANCZOS, box=(499, 0, 2502, 2003))
    assert resize.psnr(images[3], square) > 38


@pytest.mark.parametrize("form", ["jpeg", "webp", "avif", "png"])
def test_every_format_is_written_with_profile_metadata_and_the_same_bytes_each_time(
    tmp_path: Path, form: Format
) -> None:
    wanted = job(tmp_path, photos.talkative(6), recipe(form=form), recipe(form=form, metadata="all"))
    files = [tmp_path / "out" / f"r{i}" / f"a.{form}" for i in (0, 1)]
    assert isinstance(render(wanted), Done)
    first = [f.read_bytes() for f in files]
    assert isinstance(render(wanted), Done)
    assert [f.read_bytes() for f in files] == first
    for file in files:
        with Image.open(file) as image:
            assert image.format == form.upper()
            assert image.size == (300, 200)
            assert corners(image) == UPRIGHT
            assert image.info["icc_profile"]
            assert image.getexif()[0x8298] == "(c) Ann Artist"
            assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("form", ["jpeg", "webp", "avif", "png"])
def test_safe_metadata_holds_no_place_number_owner_thumbnail_or_maker_note(tmp_path: Path, form: Format) -> None:
    made(tmp_path, photos.talkative(), recipe(form=form))
    data = (tmp_path / "out" / "r0" / f"a.{form}").read_bytes()
    for secret in (*photos.SECRETS, b"Berlin", b"xmpmeta"):
        assert secret not in data
    assert data.count(b"\xff\xd8\xff") == (1 if form == "jpeg" else 0)
    with Image.open(io.BytesIO(data)) as image:
        exif = image.getexif()
        assert not exif.get_ifd(0x8825)
        assert exif[0x013B] == "Ann Artist"
        assert exif.get_ifd(0x8769)[0xA434] == "Acme 50mm"
        assert exif.get_ifd(0x8769)[0xA002] == 300
        assert not exif.get_ifd(ExifTags.IFD.IFD1)


def test_safe_moves_author_and_copyright_from_iptc_and_xmp_into_exif(tmp_path: Path) -> None:
    only_iptc = photos.spliced(photos.plain(), photos.iptc_segment(photos.iptc_record()))
    (image,) = made(tmp_path, only_iptc, recipe())
    assert image.getexif()[0x8298] == "(c) IPTC"
    # EXIF texts are UTF-8 here; Pillow reads them as latin-1
    assert image.getexif()[0x013B].encode("latin-1").decode() == "Åsa Author"
    only_xmp = photos.spliced(
        photos.plain(), photos.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + photos.xmp_packet())
    )
    (image,) = made(tmp_path, only_xmp, recipe())
    assert image.getexif()[0x8298] == "(c) Xenia & Co"


def test_blanks_that_a_camera_fills_in_are_no_author_and_no_copyright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x013B], exif[0x8298] = " " * 20, "\0" * 20
    long = photos.iptc_record().replace(b"\0\x08(c) IPTC", b"\x2e\xe8" + b"(c) IPTC" * 1501)  # more than is kept
    photo = photos.spliced(
        photos.plain(), photos.segment(0xE1, b"Exif\0\0" + exif.tobytes()), photos.iptc_segment(long)
    )
    (image,) = made(tmp_path, photo, recipe())
    assert image.getexif()[0x8298].startswith("(c) IPTC(c) IPTC")
    assert image.getexif()[0x013B].encode("latin-1").decode() == "\u00c5sa Author"


def test_all_metadata_keeps_exif_iptc_and_xmp_and_sets_right_what_no_longer_holds(tmp_path: Path) -> None:
    (image,) = made(tmp_path, photos.talkative(6), recipe(metadata="all"))
    exif = image.getexif()
    assert exif[0x0112] == 1
    assert exif.get_ifd(0x8825)[1] == "N"
    detail = exif.get_ifd(0x8769)
    assert (detail[0xA002], detail[0xA003]) == (300, 200)
    assert detail[0xA431] == "SERIAL-4711"
    assert detail[0x927C].startswith(b"MAKERNOTE")
    assert not exif.get_ifd(ExifTags.IFD.IFD1)  # the thumbnail would lie on its side
    assert b'tiff:Orientation="1"' in image.info["xmp"]
    iptc = IptcImagePlugin.getiptcinfo(image)
    assert iptc is not None
    assert iptc[(2, 90)] == b"Berlin"


def test_all_metadata_keeps_the_thumbnail_of_an_upright_photo(tmp_path: Path) -> None:
    (image,) = made(tmp_path, photos.talkative(1), recipe(metadata="all"))
    assert image.getexif().get_ifd(ExifTags.IFD.IFD1)[0x0202] > 100


def test_no_metadata_means_the_profile_alone(tmp_path: Path) -> None:
    made(tmp_path, photos.talkative(), recipe(metadata="none"))
    data = (tmp_path / "out" / "r0" / "a.jpeg").read_bytes()
    assert b"Exif" not in data
    assert b"Artist" not in data
    assert b"ICC_PROFILE" in data


@pytest.mark.parametrize("policy", ["safe", "all"])
def test_exif_over_64_kb_is_cut_to_what_fits(tmp_path: Path, policy: Metadata) -> None:
    (image,) = made(tmp_path, photos.long_exif(), recipe(metadata=policy))
    assert corners(image) == UPRIGHT
    assert image.getexif()[0x8298] == "(c) Ann Artist"
    assert image.getexif()[0x0112] == 1


def test_a_metadata_bomb_costs_neither_the_photo_nor_time(tmp_path: Path) -> None:
    wanted = job(tmp_path, photos.metadata_bomb(), recipe(metadata="all"))
    outcome = render(wanted)
    assert isinstance(outcome, Done)
    assert outcome.seconds < 2
    assert outcome.made[0].size < 100_000


def test_the_resizer_in_use_passed_its_self_test_or_the_log_says_why_not() -> None:
    log = warm()
    assert [event for event, _ in log] == ([] if resize.resizer()[0].startswith("cykooz") else ["resizer.fallback"])
    assert re.match(r"cykooz-resizer [\d.]+ \(\w+\)|Pillow", describe()["resizer"])
    assert {"pillow", "libjpeg", "webp", "avif"} <= describe().keys()


def test_a_native_decoder_that_can_be_loaded_and_is_not_used_is_told_by_the_worker_and_by_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("watcher.render.native.name", lambda: "pillow")
    monkeypatch.setattr("watcher.render.native.reason", lambda: "its self-test failed")
    monkeypatch.setattr("watcher.render.library.load", lambda: (object(), "built with gcc 12"))
    assert ("decoder.fallback", "Pillow decodes: its self-test failed") in warm()
    assert describe()["decoder"] == "pillow (its self-test failed)"
    monkeypatch.setattr("watcher.render.library.load", lambda: (None, "no library was built"))
    assert "decoder.fallback" not in dict(warm())


def test_a_resizer_that_errs_or_raises_is_replaced_by_pillow() -> None:
    def shifted(image: Image.Image, size: tuple[int, int], box: resize.Box) -> Image.Image:
        return resize.pillow(image, size, (0, 0, box[2], box[3]))

    def raising(image: Image.Image, size: tuple[int, int], box: resize.Box) -> Image.Image:
        raise ValueError(image, size, box)

    assert resize.judge(resize.pillow, "same") == (resize.pillow, "same", "")
    for wrong in (shifted, raising):
        chosen, name, why = resize.judge(wrong, "wrong")
        assert (chosen, name) == (resize.pillow, "Pillow")
        assert "wrong" in why


def test_jpegs_quality_scale_is_mapped_without_a_step_back() -> None:
    forms: tuple[Format, ...] = ("webp", "avif")
    for form in forms:
        mapped = [quality_of(form, q) for q in range(1, 101)]
        assert mapped == sorted(mapped)
        assert (mapped[0], mapped[-1]) == (1, 100)
    assert quality_of("jpeg", 85) == 85


def test_a_rendition_too_long_for_its_format_says_so(tmp_path: Path) -> None:
    data = photos.jpeg(Image.new("L", (17_000, 8)))
    outcome = render(job(tmp_path, data, replace(recipe(form="webp"), width=20_000, height=None)))
    assert "webp holds at most 16383" in str(outcome)


# ---- what other programs show without a complaint ----


def _short_segments() -> dict[str, bytes]:
    """Give photos with segments that no decoder needs, and that are too short or have no length."""
    data = photos.plain()
    body = data[4 + int.from_bytes(data[4:6], "big") :]
    return {
        "short JFIF": b"\xff\xd8\xff\xe0\0\7JFIF\0" + body,
        "JFIF without a length": b"\xff\xd8\xff\xe0\0\0" + body,
        "short Adobe": photos.spliced(data, b"\xff\xee\0\7Adobe"),
        "comment without a length": data[:20] + b"\xff\xfe\0\0" + data[20:],
        "maker's segment without a length": data[:20] + b"\xff\xe5\0\1" + data[20:],
        "empty EXIF": photos.spliced(data, photos.segment(0xE1, b"")),
        "short ICC": photos.spliced(data, photos.segment(0xE2, b"ICC_PROFILE\0")),
        "short MPF": photos.spliced(data, photos.segment(0xE2, b"MPF\0")),
        "short IPTC": photos.spliced(data, photos.segment(0xED, b"Photoshop 3.0\0008BIM\4")),
    }


def _odd_but_whole() -> dict[str, bytes]:
    data, progressive = photos.plain(), photos.progressive()
    table = progressive.rindex(b"\xff\xc4")
    restarts = photos.jpeg(restart_marker_blocks=5)
    return {
        "separate scans": photos.separate_scans(),
        "separate scans with restarts": photos.separate_scans(restart_marker_blocks=4),
        "a film behind": data + photos.film(),
        "a film behind a progressive one": progressive + photos.film(),
        "a film behind separate scans": photos.separate_scans() + photos.film(),
        "a panorama without an end": data[:-2] + b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_Data" + photos.film(),
        "a film and no end": data[:-2] + photos.film(),
        "a film with zeros and no end": data[:-2] + photos.film()[:24] + bytes(90_000) + photos.film(),
        "a film and no end, progressive": progressive[:-2] + photos.film(),
        "a film and no end, grey": photos.grey()[:-2] + photos.film(),
        "another photo and no end": data[:-2] + photos.plain(80, 60),
        "its height behind it": photos.line_count_behind(data),
        "its height behind it, with restarts": photos.line_count_behind(restarts),
        "no Huffman tables": photos.without_segment(0xC4, data),
        "no JFIF": photos.without_segment(0xE0, data),
        "restart interval 0": data.replace(b"\xff\xda", photos.segment(0xDD, b"\0\0") + b"\xff\xda", 1),
        "restart interval beyond it": data.replace(b"\xff\xda", photos.segment(0xDD, b"\xff\xff") + b"\xff\xda", 1),
        "a restart marker too many": restarts[:-2] + b"\xff\xd5" + restarts[-2:],
        "fill bytes before markers": re.sub(
            rb"\xff([\xc4\xda\xd0-\xd9])", lambda m: b"\xff\xff\xff" + m[1], restarts[2:]
        ),
        "a comment between scans": progressive[:table]
        + photos.segment(0xFE, b"\xff\xda \xff\xd9 here")
        + progressive[table:],
        "two beginnings": b"\xff\xd8" + data,
        "two photos": data + photos.plain(80, 60),
        "a thumbnail in JFXX": data[:20] + photos.segment(0xE0, b"JFXX\0\x10" + photos.plain(40, 30)) + data[20:],
        **{
            f"Adobe's transform {n}": photos.spliced(data, photos.segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes((n,))))
            for n in (0, 1, 2, 9)
        },
        "extended": data.replace(b"\xff\xc0", b"\xff\xc1", 1),
        "quality 1": photos.jpeg(quality=1),
        "one pixel": photos.jpeg(Image.new("RGB", (1, 1))),
        "Samsung's trailer": data + b"\0\0\1\x0a\x0e\0\0\0Image_UTC_Data1577836800000SEFH" + bytes(20) + b"SEFT",
    }


@pytest.mark.parametrize("name", [*_odd_but_whole(), *_short_segments()])
def test_what_other_programs_show_without_a_complaint_is_made(tmp_path: Path, name: str) -> None:
    data = (_odd_but_whole() | _short_segments())[name]
    data = data if data.startswith(b"\xff\xd8") else b"\xff\xd8" + data
    (image,) = made(tmp_path, data, recipe(60, 60))
    if name not in {"one pixel", "quality 1", "Adobe's transform 0", "a film and no end, grey"}:
        assert corners(image) == [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]


def test_an_arithmetic_coded_photo_is_made(tmp_path: Path) -> None:
    (image,) = made(tmp_path, photos.arithmetic(), recipe(60, 60))
    assert corners(image) == [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
