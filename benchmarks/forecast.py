"""How well `once --dry-run` foretells bytes, and the tables for that: `python -m benchmarks.forecast DIR ROWS`.

DIR is the folder of `photos.py`. What is measured is added to the file ROWS, and what is there is not measured again.
From twenty photos, encoded whole, come the tables of `core/formats`: what a format takes over a JPEG of quality 85, and
how that grows with what the JPEG takes for a pixel. With `--check` the other photos show how well those
tables, once they are in `core/formats`, foretell what is made of them, at sizes and qualities in between, too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import photos
from benchmarks.common import machine, table
from watcher.core.formats import FORECAST_QUALITIES, REFERENCE, TYPICAL_DENSITY, Format, expected_bytes
from watcher.core.recipe import Recipe
from watcher.render.encode import encode
from watcher.render.metadata import Kept

FORMATS: tuple[Format, ...] = ("jpeg", "webp", "avif", "png")
SIZES = (320, 1280)
CHECKED = (60, 80, 92), (320, 640, 1280, 2048)  # qualities and sizes
PHOTOS = 20
Plan = tuple[Sequence[str], Sequence[int], Sequence[int]]  # photos, qualities, sizes


class Row(NamedTuple):
    """What one photo takes in one format."""

    photo: str  # below DIR
    size: int  # pixels of the longer side
    format: Format
    quality: int  # on JPEG's scale
    pixels: int
    bytes: int


class Pair(NamedTuple):
    """What one photo takes in a format, and as a JPEG of quality `REFERENCE`."""

    size: int
    pixels: int
    bytes: int
    as_jpeg: int


def measure(folder: Path, plan: Plan, known: Container[tuple[str, int, str, int]]) -> Iterator[Row]:
    """Encode each photo whole at each size and quality, as the program does; a PNG has just one quality."""
    names, qualities, sizes = plan
    for name in names:
        cases = [*itertools.product(sizes, FORMATS[:-1], qualities)]
        cases += [(size, *other) for size in sizes for other in (("jpeg", REFERENCE), ("png", 0))]
        cases = sorted(set(cases), reverse=True)
        wanted = [case for case in cases if (name, *case) not in known]
        images = photos.shrunk(folder / name, sizes) if wanted else {}
        for size, form, quality in wanted:
            image = images[size]
            data = encode(image, Recipe(size, size, "inside", form, quality or REFERENCE, "none", ""), Kept())
            yield Row(name, size, form, quality, image.width * image.height, len(data))


def pairs(rows: Sequence[Row], form: Format, quality: int, names: set[str]) -> list[Pair]:
    """Return what photos take in a format beside what they take as JPEG."""
    jpegs = {(row.photo, row.size): row.bytes for row in rows if (row.format, row.quality) == ("jpeg", REFERENCE)}
    return [
        Pair(row.size, row.pixels, row.bytes, jpegs[row.photo, row.size])
        for row in rows
        if row.format == form and row.quality == (quality if form != "png" else 0) and row.photo in names
        if (row.photo, row.size) in jpegs
    ]


def fit(those: Sequence[Pair]) -> tuple[float, float]:
    """Return what a format takes over JPEG at `TYPICAL_DENSITY`, and the power with which that grows.

    The power is that of least squares; the ratio makes the bytes per pixel of all together right.
    """
    across = [math.log(pair.as_jpeg / pair.pixels / TYPICAL_DENSITY) for pair in those]
    power = statistics.linear_regression(across, [math.log(pair.bytes / pair.as_jpeg) for pair in those]).slope
    expected = sum(pair.as_jpeg / pair.pixels * math.exp(power * at) for pair, at in zip(those, across, strict=True))
    return sum(pair.bytes / pair.pixels for pair in those) / expected, power


def tables(rows: Sequence[Row], names: set[str]) -> None:
    """Print the tables of `core/formats`."""
    for form in FORMATS:
        fits = [fit(pairs(rows, form, quality, names)) for quality in FORECAST_QUALITIES]
        for title, values in zip(("over_jpeg", "density_power"), zip(*fits, strict=True), strict=True):
            print(f"{form}: {title}=({', '.join(f'{value:.2f}' for value in values)})")


def check(rows: Sequence[Row], names: set[str]) -> None:
    """Print what is forecast of photos over what was made of them."""
    lines: list[list[object]] = []
    for form, quality in (*itertools.product(FORMATS[1:-1], CHECKED[0]), ("png", 0)):
        those = pairs(rows, form, quality, names)
        cells = []
        for size in CHECKED[1]:
            made = [pair for pair in those if pair.size == size]
            expected = [expected_bytes(form, quality, pair.pixels, pair.as_jpeg) for pair in made]
            each = [abs(one / pair.bytes - 1) for one, pair in zip(expected, made, strict=True)]
            total = sum(expected) / sum(pair.bytes for pair in made) - 1
            cells.append(f"{total:+.0%} ({statistics.median(each):.0%})")
        lines.append([form, quality, *cells])
    print("Forecast over made, of all together, and the median error of one:\n")
    print(table(["", "quality", *map(str, CHECKED[1])], lines), "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="DIR")
    parser.add_argument("rows", type=Path, metavar="ROWS")
    parser.add_argument("--check", action="store_true", help="encode other photos, and compare")
    arguments = parser.parse_args()
    photos.build(arguments.photos)
    names = [str(path.relative_to(arguments.photos)) for path in photos.untouched(arguments.photos)]
    arguments.rows.touch()
    rows = [Row(*json.loads(line)) for line in arguments.rows.read_text().splitlines()]
    known = {row[:4] for row in rows}
    chosen, others = names[:PHOTOS], names[PHOTOS:]
    with arguments.rows.open("a") as file:
        plan: Plan = (others, *CHECKED) if arguments.check else (chosen, FORECAST_QUALITIES, SIZES)
        for row in measure(arguments.photos, plan, known):
            print(json.dumps(row), file=file, flush=True)
            rows.append(row)
    print(f"{machine()}\n")
    if arguments.check:
        check(rows, set(others))
    else:
        tables(rows, set(chosen))


if __name__ == "__main__":
    main()
