"""Bytes of WebP and AVIF against JPEG at an equal SSIMULACRA 2 score: `python -m benchmarks.alike DIR ROWS`.

DIR is the folder of `photos.py`. What is measured is added to the file ROWS, and what is there is not measured again.
From ROWS come the tables of docs/benchmarks.md and the qualities of `core/formats` that look like JPEG's.

Needs `pip install ssimulacra2 opencv-python-headless`, and 20 minutes of one core; `--minutes` ends it earlier.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
from PIL import Image

from benchmarks import photos
from benchmarks.common import machine, table
from benchmarks.likeness import Likeness
from watcher.core.formats import Format
from watcher.render import icc
from watcher.render.encode import WHOLE_CHROMA

SIZES = (2048, 1024, 480, 240)  # pixels of the longer side
JPEG = (20, 45, 60, 75, 85, 92, 100)
COMPARED = (60, 75, 85, 92)
PHOTOS = 20
WINDOW = 384  # pixels a side of the middle that is encoded and compared; whole ones would take hours


class Encoder(NamedTuple):
    """One way to encode, and the qualities to try, on its own scale."""

    name: str
    format: str
    qualities: Sequence[int]
    settings: Mapping[str, Any]

    def encode(self, image: Image.Image, quality: int) -> bytes:
        """Encode as the program does."""
        buffer = io.BytesIO()
        chroma = {"subsampling": 0 if quality >= 90 else 2} if self.format == "JPEG" else {}
        image.save(buffer, self.format, quality=quality, icc_profile=icc.SRGB, **chroma, **self.settings)
        return buffer.getvalue()


_AVIF = {"subsampling": "4:2:0", "max_threads": 1}
ENCODERS = (
    Encoder("jpeg", "JPEG", JPEG, {}),
    Encoder("webp", "WEBP", (5, 45, 68, 82, 92, 100), {"method": 6}),
    Encoder("avif", "AVIF", (20, 42, 58, 78), {**_AVIF, "speed": 6}),
    Encoder("avif 4:4:4", "AVIF", (80, 94), {**_AVIF, "speed": 6, "subsampling": "4:4:4"}),
)
_TRIED = (40, 62, 80)
TRIED = (  # with --tune, beside the others
    *(Encoder(f"webp, method {number}", "WEBP", (62, 80, 96), {"method": number}) for number in (4, 6)),
    *(Encoder(f"avif, speed {speed}", "AVIF", _TRIED, {**_AVIF, "speed": speed}) for speed in (9, 8, 7, 6)),
    *(
        Encoder(f"avif, tune {tune}", "AVIF", _TRIED, {**_AVIF, "speed": 8, "advanced": {"tune": tune}})
        for tune in ("ssim", "psnr")
    ),
    Encoder("avif, all chroma", "AVIF", _TRIED, {**_AVIF, "speed": 8, "subsampling": "4:4:4"}),
    Encoder("avif 4:4:4", "AVIF", (100,), {**_AVIF, "speed": 6, "subsampling": "4:4:4"}),
)


class Row(NamedTuple):
    """What one encoder made of the middle of one photo."""

    photo: str
    size: int  # pixels of the longer side
    pixels: int
    encoder: str
    quality: int
    bytes: int
    score: float
    milliseconds: float  # of CPU time


def measure(
    paths: Sequence[Path], sizes: Sequence[int], encoders: Sequence[Encoder], known: set[tuple[str, int, str, int]]
) -> Iterator[Row]:
    """Encode the middle of each photo at each size and quality, and compare."""
    for path in paths:
        wanted = [
            (size, encoder, quality)
            for size, encoder in itertools.product(sizes, encoders)
            for quality in encoder.qualities
            if (path.name, size, encoder.name, quality) not in known
        ]
        images = photos.shrunk(path, sizes) if wanted else {}
        for size, those in itertools.groupby(wanted, lambda item: item[0]):
            image = images[size]
            left, top = max(0, (image.width - WINDOW) // 2), max(0, (image.height - WINDOW) // 2)
            middle = image.crop((left, top, min(image.width, left + WINDOW), min(image.height, top + WINDOW)))
            likeness = Likeness(middle)
            for _, encoder, quality in those:
                began = time.process_time()
                data = encoder.encode(middle, quality)
                took = (time.process_time() - began) * 1000
                with Image.open(io.BytesIO(data)) as made:
                    score = likeness.score(made)
                pixels = middle.width * middle.height
                yield Row(path.name, size, pixels, encoder.name, quality, len(data), round(score, 3), round(took, 2))


class Curve:
    """What one encoder makes of one photo at one size, between the qualities that were measured."""

    def __init__(self, rows: Sequence[Row]) -> None:
        rows = sorted(rows, key=lambda row: row.quality)
        self.qualities = [row.quality for row in rows]
        self.scores = np.maximum.accumulate([row.score for row in rows])
        self.logs = np.log([row.bytes for row in rows])

    def quality(self, score: float) -> float:
        """Return the quality that reaches a score; at the ends of what was measured that of the end."""
        return float(np.interp(score, self.scores, self.qualities))

    def bytes(self, quality: float) -> float:
        """Return the bytes at a quality."""
        return float(np.exp(np.interp(quality, self.qualities, self.logs)))


def curves(rows: Sequence[Row]) -> dict[tuple[str, str, int], Curve]:
    """Return the curves by encoder, photo and size."""
    found: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        found.setdefault((row.encoder, row.photo, row.size), []).append(row)
    return {key: Curve(those) for key, those in found.items()}


class Equal(NamedTuple):
    """Where an encoder reaches the scores of JPEG at one quality."""

    qualities: list[float]  # one per photo and size
    ratio: float  # bytes over JPEG's, of all together
    ratios: list[float]  # one per photo and size
    missed: int  # photos and sizes at which its best quality does not reach the score


def equal(rows: Sequence[Row], encoder: str, jpeg: int, size: int | None = None) -> Equal:
    """Compare an encoder with JPEG at a quality of JPEG's, at one size or at all."""
    known = curves(rows)
    qualities, pairs, missed = [], [], 0
    for row in rows:
        curve = known.get((encoder, row.photo, row.size))
        if row.encoder == "jpeg" and row.quality == jpeg and curve and size in {None, row.size}:
            qualities.append(curve.quality(row.score))
            missed += row.score > curve.scores[-1]
            pairs.append((curve.bytes(qualities[-1]), row.bytes))
    there, those = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    return Equal(qualities, there / those if those else 0.0, [one / other for one, other in pairs], missed)


def report(rows: Sequence[Row]) -> None:
    """Print the tables of docs/benchmarks.md."""
    forms: tuple[Format, ...] = ("webp", "avif")
    lines: list[list[object]] = []
    for quality in JPEG[:-1]:
        score = statistics.median(row.score for row in rows if (row.encoder, row.quality) == ("jpeg", quality))
        cells: list[object] = []
        for form in forms:
            found = equal(rows, _name(form, quality), quality)
            low, middle, high = np.percentile(found.qualities, (25, 50, 75))
            least, most = np.percentile(found.ratios, (25, 75))
            cells += [f"{middle:.0f} ({low:.0f} to {high:.0f})", f"{found.ratio:.2f} ({least:.2f} to {most:.2f})"]
            cells += [found.missed]
        lines.append([quality, f"{score:.0f}", *cells])
    columns: list[str] = list(itertools.chain(*((form, "bytes", "missed") for form in forms)))
    print(
        "Quality at an equal score (median, and the middle half), and bytes over JPEG's (all, and the middle half):\n"
    )
    print(table(["JPEG", "score", *columns], lines), "\n")
    lines = []
    for form, quality in itertools.product(forms, COMPARED):
        ratios = [equal(rows, _name(form, quality), quality, size).ratio for size in sorted(SIZES)]
        lines.append([form, quality, *(f"{ratio:.2f}" for ratio in ratios)])
    print("Bytes over JPEG's at an equal score, by size:\n")
    print(table(["", "quality", *map(str, sorted(SIZES))], lines), "\n")


def costs(rows: Sequence[Row]) -> None:
    """Print what each encoder costs, and its bytes over JPEG's at an equal score."""
    lines: list[list[object]] = []
    for name in dict.fromkeys(row.encoder for row in rows):
        those = [row for row in rows if row.encoder == name]
        each = 1e6 * sum(row.milliseconds for row in those) / sum(row.pixels for row in those)
        photos_there = {(row.photo, row.size) for row in those}
        shared = [row for row in rows if (row.photo, row.size) in photos_there]
        lines.append([name, f"{each:.0f}", *(f"{equal(shared, name, quality).ratio:.3f}" for quality in (60, 75, 85))])
    print(table(["", "ms of CPU time per megapixel", "bytes at 60", "75", "85"], lines), "\n")


def tables(rows: Sequence[Row]) -> None:
    """Print the qualities of `core/formats`."""
    forms: tuple[Format, ...] = ("webp", "avif")
    for form in forms:
        found = [equal(rows, _name(form, quality), quality).qualities for quality in JPEG[:-1]]
        mapped = [*(round(statistics.median(those)) for those in found), 100]
        print(f"{form}: qualities (1, {', '.join(map(str, mapped))})")


def _name(form: Format, quality: int) -> str:
    return "avif 4:4:4" if form == "avif" and quality >= WHOLE_CHROMA else form


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="DIR")
    parser.add_argument("rows", type=Path, metavar="ROWS")
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--tune", action="store_true", help="try other settings of the encoders, too, at 1024 px")
    parser.add_argument("--photos", type=int, default=PHOTOS, dest="count")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    photos.build(arguments.photos)
    paths = photos.untouched(arguments.photos)
    arguments.rows.touch()
    rows = [Row(*json.loads(line)) for line in arguments.rows.read_text().splitlines()]
    known = {(row.photo, row.size, row.encoder, row.quality) for row in rows}
    encoders, sizes = ((ENCODERS[0], *TRIED), (1024,)) if arguments.tune else (ENCODERS, SIZES)
    with arguments.rows.open("a") as file:
        for row in measure(paths[: arguments.count], sizes, encoders, known):
            print(json.dumps(row), file=file, flush=True)
            rows.append(row)
            if time.monotonic() > end:
                break
    print(f"{machine()}; Pillow {PIL.__version__}; {len({row.photo for row in rows})} photos\n")
    costs(rows)
    if not arguments.tune:
        report(rows)
        tables(rows)


if __name__ == "__main__":
    main()
