"""Cut and damage photos at random, and count what is published: `python -m tests.faults.cuts SEED COUNT FOLDER [big]`.

Twenty photos of all codings, each harmed in its picture's data in one of the ways of `HARMS`, rendered in this process
at each of the decoder's scales. `big`: camera-sized ones too. Prints what came of them as JSON. What was published lies
in `FOLDER/published`.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests import photos
from watcher.core.recipe import Recipe
from watcher.core.types import Done, Failed, Job, PhotoId, Rendering, Unready
from watcher.render import render, warm
from watcher.render.decoders.jpeg.markers import parse

SAMPLES = Path(__file__).parents[2] / "examples" / "photos"
SCALES = {1: 3, 2: 6, 4: 12, 8: 24}  # the decoder's scale, and by how much smaller the rendition is
MANY = 1000  # so many tries are worth a look at each whole photo at each scale first
SETTINGS: tuple[dict[str, object], ...] = (
    {"quality": 90},
    {"quality": 75},
    {"quality": 60, "optimize": True},
    {"quality": 92, "subsampling": "4:4:4"},
    {"quality": 85, "subsampling": "4:2:2"},
    {"quality": 88, "restart_marker_rows": 1},
    {"quality": 88, "restart_marker_blocks": 4},
    {"quality": 85, "restart_marker_blocks": 7, "optimize": True},
    {"quality": 90, "progressive": True},
    {"quality": 80, "progressive": True, "subsampling": "4:4:4"},
)


def whole_photos(*, big: bool) -> list[bytes]:
    """Give twenty photos: parts of real ones, two of them grey, one CMYK."""
    chance = random.Random(20)
    found = []
    originals = [Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*.jpg"))]
    for number in range(20):
        image = originals[number % len(originals)]
        size = chance.randrange(200, 600), chance.randrange(200, 600)
        if big and number >= 16:
            size = (1600, 1200)
        part = min(1.0, chance.uniform(0.3, 1.0))
        width, height = int(image.width * part), int(image.height * part)
        left, top = chance.randrange(image.width - width + 1), chance.randrange(image.height - height + 1)
        image = image.resize(size, Image.Resampling.LANCZOS, box=(left, top, left + width, top + height))
        mode = {7: "CMYK", 10: "L", 15: "L"}.get(number, "RGB")
        found.append(photos.jpeg(image.convert(mode), **SETTINGS[number % len(SETTINGS)]))
    return found


def _length(data: bytes, chance: random.Random) -> int:
    return min(len(data) // 4, chance.choice((64, 512, 4096, 4096, 16384)))


def _hole(data: bytes, at: int, length: int, filling: bytes) -> bytes:
    return data[:at] + filling[:length] + data[at + length :]


def cut(data: bytes, at: int, _length: int, _other: bytes, _chance: random.Random) -> bytes:
    return data[:at]


def zeros(data: bytes, at: int, length: int, _other: bytes, _chance: random.Random) -> bytes:
    return _hole(data, at, length, bytes(length))


def ones(data: bytes, at: int, length: int, _other: bytes, _chance: random.Random) -> bytes:
    return _hole(data, at, length, b"\xff" * length)


def noise(data: bytes, at: int, length: int, _other: bytes, chance: random.Random) -> bytes:
    return _hole(data, at, length, chance.randbytes(length))


def foreign(data: bytes, at: int, length: int, other: bytes, _chance: random.Random) -> bytes:
    return _hole(data, at, length, (other * 2)[at % len(other) :])


def dropped(data: bytes, at: int, length: int, _other: bytes, _chance: random.Random) -> bytes:
    return data[:at] + data[at + length :]


def doubled(data: bytes, at: int, length: int, _other: bytes, _chance: random.Random) -> bytes:
    return data[: at + length] + data[at:]


def swapped(data: bytes, at: int, length: int, _other: bytes, _chance: random.Random) -> bytes:
    one, two = data[at : at + length], data[at + length : at + 2 * length]
    return data[:at] + two + one + data[at + 2 * length :]


Harm = Callable[[bytes, int, int, bytes, random.Random], bytes]
HARMS: tuple[Harm, ...] = (cut, cut, cut, zeros, ones, noise, foreign, dropped, doubled, swapped)


def harmed(data: bytes, other: bytes, chance: random.Random) -> tuple[str, bytes]:
    """Harm a photo in its picture's data, with its end marker left in place unless it is cut."""
    start, end = parse(data).scan, len(data) - 2
    while True:
        harm = chance.choice(HARMS)
        length = _length(data, chance)
        at = chance.randrange(start, end - (0 if harm is cut else 2 * length))
        result = harm(data, at, length, other, chance)
        if result != data:
            return harm.__name__, result


def job(folder: Path, data: bytes, step: int) -> Job:
    """Put the photo there, as one that nobody has touched for long."""
    photo = folder / "inbox" / "a.jpg"
    photo.parent.mkdir(parents=True, exist_ok=True)
    photo.write_bytes(data)
    os.utime(photo, (1, 1))
    header = parse(data)
    size = max(header.width, header.height) // SCALES[step]
    recipe = Recipe(size, size, "inside", "jpeg", 85, "none", "0123456789abcdef")
    renderings = (Rendering("web", recipe, b"web/a.jpg"),)
    return Job(1, PhotoId(os.fsencode(folder / "inbox"), b"a.jpg"), os.fsencode(folder / "output"), renderings)


def main(seed: int, count: int, folder: Path, *, big: bool) -> None:
    warm()
    chance, kinds = random.Random(seed), whole_photos(big=big)
    refused = [
        [number, step, str(outcome)]
        for number, data in enumerate(kinds)
        for step in (SCALES if count >= MANY else [list(SCALES)[number % 4]])
        if not isinstance(outcome := render(job(folder, data, step)), Done)
    ]
    tried: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    published = []
    began = time.monotonic()
    for _ in range(count):
        number, step = chance.randrange(len(kinds)), chance.choice(list(SCALES))
        name, data = harmed(kinds[number], chance.choice(kinds), chance)
        outcome = render(job(folder, data, step))
        tried[name] += 1
        assert isinstance(outcome, Done | Failed | Unready), outcome
        if isinstance(outcome, Done):
            published.append([name, number, step])
            (folder / "published").mkdir(exist_ok=True)
            (folder / "published" / f"{len(published)}-{name}-{number}-{step}.jpg").write_bytes(data)
        else:
            words = outcome.reason.split()
            reasons[type(outcome).__name__ + ": " + " ".join(w for w in words if not w[0].isdigit())] += 1
    seconds = time.monotonic() - began
    print(json.dumps({"tried": tried, "published": published, "refused": refused, "reasons": reasons, "s": seconds}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), big="big" in sys.argv[4:])
