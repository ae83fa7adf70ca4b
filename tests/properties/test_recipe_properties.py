"""What comes of a photo by keys that may contradict each other: `small`, `max_kb`, and the steps before encoding."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests import photos, pictures
from tests.rendering import job
from watcher.core.formats import Format
from watcher.core.recipe import Fit, Metadata, Position, Recipe, Sharpening, Small, Watermark, most_bytes
from watcher.core.types import Done
from watcher.render import render

SIZE = 60, 40
UPRIGHT: Mapping[str, bytes] = {
    "plain": photos.plain(*SIZE),
    "grey": photos.jpeg(photos.scene(*SIZE).convert("L")),
    "progressive": photos.jpeg(photos.scene(*SIZE), progressive=True),
}
PHOTOS: Mapping[str, bytes] = {
    **UPRIGHT,
    "turned": photos.oriented(6, *SIZE),
    "png": pictures.encoded("PNG", pictures.clear(*SIZE)),
    "webp": pictures.encoded("WEBP", photos.scene(*SIZE)),
    "tiff": pictures.encoded("TIFF", photos.scene(*SIZE)),
    "avif": pictures.encoded("AVIF", photos.scene(*SIZE)),
}
LOGO = photos.png(Image.new("RGBA", (4, 2), "red"))
MARK = Watermark("1", "south-east", 0.2, 0.02, 0.6, path="logo.png", content=LOGO, size=(4, 2))


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Draw the recipes that a config can have."""
    form: Format = draw(st.sampled_from(get_args(Format)))
    width, height = draw(st.sampled_from([SIZE, (40, 60), (30, 30), (300, 300)]))
    return Recipe(
        width,
        height,
        draw(st.sampled_from(get_args(Fit))),
        form,
        draw(st.sampled_from([30, 40, 85, 95])),
        draw(st.sampled_from(get_args(Metadata))),
        "fingerprint",
        position=draw(st.sampled_from(get_args(Position))),
        sharpen=draw(st.sampled_from(get_args(Sharpening))),
        watermark=draw(st.sampled_from([None, MARK])),
        small=draw(st.sampled_from(get_args(Small))),
        max_kb=0 if form == "png" else draw(st.sampled_from([0, 1, 2, 100])),
    )


def files(data: bytes, *wanted: Recipe) -> list[bytes]:
    """Return the files that come of a photo."""
    with TemporaryDirectory() as folder:
        outcome = render(job(Path(folder), data, *wanted))
        assert isinstance(outcome, Done), outcome
        return [(Path(folder) / "out" / os.fsdecode(made.output)).read_bytes() for made in outcome.made]


def scans(data: bytes) -> bytes:
    """Return the picture's data of a JPEG that has no thumbnail."""
    return data[data.index(b"\xff\xda") :]


COPIED = Recipe(*SIZE, "inside", "jpeg", 30, "safe", "fingerprint", small="copy")


@given(st.sampled_from([*PHOTOS]), recipes())
@settings(max_examples=20)
@example("plain", COPIED)
@example("plain", replace(COPIED, max_kb=1))
@example("plain", replace(COPIED, watermark=MARK))
@example("grey", replace(COPIED, fit="contain", max_kb=2))
def test_small_copies_what_no_other_key_would_change_and_max_kb_has_the_last_word(kind: str, wanted: Recipe) -> None:
    free = replace(wanted, small="encode", max_kb=0)
    bound = replace(wanted, small="encode")
    lowest = replace(free, quality=min(40, wanted.quality))
    copy = replace(wanted, small="copy", max_kb=0)
    made, made_free, made_bound, made_lowest, made_copy = files(PHOTOS[kind], wanted, free, bound, lowest, copy)
    most = most_bytes(wanted.max_kb)
    if len(made_free) <= most:
        assert made_bound == made_free
    else:
        assert len(made_bound) <= most or made_bound == made_lowest
    box = wanted.width, wanted.height
    whole = box == SIZE or (box == (300, 300) and wanted.fit == "inside")
    changed = wanted.sharpen != "none" or wanted.watermark is not None or wanted.format != "jpeg"
    if kind in UPRIGHT and whole and not changed:
        assert scans(made_copy) == scans(PHOTOS[kind])
        assert made == (made_copy if wanted.small == "copy" and len(made_copy) <= most else made_bound)
    else:
        assert made_copy == made_free
        assert made == made_bound
