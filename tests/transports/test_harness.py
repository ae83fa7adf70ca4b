"""The harness itself: it sees what a road must never do."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from tests.e2e.harness import until
from tests.transports.card import Card, Photo, shown_by
from tests.transports.local import Copy
from tests.transports.road import Ground, Kind
from tests.transports.row import Row
from tests.transports.travel import travel
from tests.transports.witness import Witness


def rendition(*photos: Photo) -> bytes:
    """Give a rendition of one photo, or of the upper part of one and the lower part of another."""
    first, last = (Image.open(photo.source) for photo in (photos[0], photos[-1]))
    with first, last:
        image, below = first.convert("RGB"), last.convert("RGB")
        image.paste(below.crop((0, below.height // 2, below.width, below.height)), (0, below.height // 2))
        out = io.BytesIO()
        image.resize((256, 171)).save(out, "JPEG", exif=first.getexif().tobytes())
    return out.getvalue()


def greyed(photo: Photo, rows: int) -> bytes:
    """Give a rendition of a photo whose last rows never came."""
    with Image.open(io.BytesIO(rendition(photo))) as image:
        exif = image.getexif().tobytes()
        image.paste((128, 128, 128), (0, image.height - rows, image.width, image.height))
        out = io.BytesIO()
        image.save(out, "JPEG", exif=exif)
    return out.getvalue()


def test_a_rendition_shows_its_version_and_one_of_half_a_photo_or_of_two_shows_none_that_was_sent(card: Card) -> None:
    sent = {card.one.version, card.other.version}
    assert shown_by(io.BytesIO(rendition(card.one))) == card.one.version
    assert shown_by(io.BytesIO(greyed(card.one, 4))) is None
    assert shown_by(io.BytesIO(rendition(card.one)[:-500])) is None
    assert shown_by(io.BytesIO(rendition(card.one, card.other))) not in sent


def test_the_witness_sees_an_output_that_is_replaced_at_once_and_one_in_a_folder_that_is_new(
    card: Card, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    with Witness(output, None) as witness:
        deep = output / "web" / "a" / "b"
        deep.mkdir(parents=True)
        for photo in (card.one, card.other):
            (deep / ".temporary").write_bytes(rendition(photo))
            os.rename(deep / ".temporary", deep / "x.jpg")
        until(lambda: len(witness.appearances) == 2, "both are seen")
    assert [a.version for a in witness.seen("web", "a/b/x.jpg")] == [card.one.version, card.other.version]


@pytest.mark.parametrize(("kind", "most"), [(Kind.RENAMES, 0), (Kind.CLOSES, 0), (Kind.APPEARS, 0), (Kind.REOPENS, 1)])
def test_only_a_road_that_reopens_may_have_a_photo_made_once_more(kind: Kind, most: int) -> None:
    road = type("Some", (Copy,), {"kind": kind})
    assert not Row(road, again={"a.jpg": most}).faults() or most == 0
    assert Row(road, again={"a.jpg": most + 1}).faults()


class Vandal(Copy):
    """Copies, but loses a photo, adds one, and meddles with the outputs."""

    witnesses: ClassVar[list[Witness]] = []

    def put(self, source: Path, name: str) -> None:
        web = self.ground.root / "watcher" / "output" / "web"
        if name == "IMG_0001.JPG":
            return
        super().put(source, name)
        if name == "IMG_0002.JPG":
            super().put(source, f"temporary {name}")
        if name in {"IMG_0003.JPG", "IMG_0004.JPG"}:
            until(lambda: self.witnesses[-1].seen("web", name), "it is made, and was seen")
            half = b"" if name == "IMG_0003.JPG" else (web / name).read_bytes()
            (web / ".meddled").write_bytes(half)
            os.rename(web / ".meddled", web / name)


@pytest.mark.slow
def test_a_road_that_loses_doubles_halves_and_makes_again_is_found_out(
    card: Card, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Known(Witness):
        def __init__(self, output: Path, landing: Path | None) -> None:
            super().__init__(output, landing)
            Vandal.witnesses.append(self)

    monkeypatch.setattr("tests.transports.travel.Witness", Known)
    monkeypatch.setattr("tests.transports.drop._PATIENCE", 5.0)  # nothing else that is lost is waited for
    row = travel(Vandal, card, ground)
    assert row.lost == ["IMG_0001.JPG", "IMG_0003.JPG"], "the first never came, the other one's output is spoilt"
    assert {path.rpartition("/")[2] for path in row.doubled} == {"temporary IMG_0002.JPG"}
    assert row.half == ["web/IMG_0003.JPG"]
    assert row.again == {"IMG_0004.JPG": 1}
    assert len(row.faults()) == 4
