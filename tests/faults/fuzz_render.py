"""Render mutated photos in this process: `python -m tests.faults.fuzz_render SEED PHOTOS SECONDS FOLDER [KINDS]`.

KINDS is a format, or `others`: all but JPEG. Ends after that many photos or seconds, whichever comes first. Prints
what came of them as JSON. Each photo lies in `FOLDER/inbox/x.jpg` while it is tried, so that it is still there when it
takes this process down.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import resource
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

from tests import photos, pictures
from watcher.core.formats import Format
from watcher.core.recipe import Metadata, Recipe
from watcher.core.types import Done, Failed, Job, NeedsMoreMemory, PhotoId, Rendering, Unready
from watcher.render import render, warm
from watcher.render.decoders import describe

LONGEST = 20.0  # seconds that one photo may take on a machine that is busy with other things
MEMORY = 2 << 30  # bytes of address space, as a worker's is limited too
POLICIES: tuple[Metadata, ...] = ("none", "safe", "all")
FORMATS: tuple[Format, ...] = ("jpeg", "jpeg", "webp", "png", "avif")
MARKERS = (0xC0, 0xC1, 0xC2, 0xC4, 0xD0, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE, 0x00, 0xFF)
ODD = (b"\0", b"\xff", b"\x7f\xff", b"\x80\0", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xd9", b"\xff\xda")


def seeds() -> list[bytes]:
    """Give small photos of every kind."""
    return [
        photos.plain(96, 64),
        photos.talkative(6),
        photos.progressive(),
        photos.cmyk(),
        photos.ycck(),
        photos.grey(),
        photos.mpo(),
        photos.with_profile("adobe"),
        photos.with_profile("grey"),
        photos.dcf_adobe_rgb(),
        photos.looping_exif(),
        photos.broken_exif(),
        photos.with_trailer(),
        photos.jpeg(photos.scene(64, 64), restart_marker_blocks=1),
        photos.jpeg(photos.scene(120, 80), subsampling=0, optimize=True),
    ]


def other_seeds() -> list[bytes]:
    """Give small pictures in every format but JPEG that can be read here."""
    small, flat = photos.scene(64, 48), photos.scene(40, 30).quantize(16)
    block = {"exif": photos.oriented_block(6), "icc_profile": photos.icc("p3")}
    found = [
        pictures.encoded("PNG", small, **block),
        pictures.encoded("PNG", flat),
        pictures.interlaced_png(small),
        pictures.deep_png(small.convert("L")),
        pictures.encoded("WEBP", small, **block),
        pictures.encoded("WEBP", pictures.clear(64, 48), lossless=True),
        pictures.encoded("TIFF", small),
        pictures.encoded("TIFF", small, compression="tiff_lzw", icc_profile=photos.icc("p3")),
        pictures.encoded("TIFF", small.convert("CMYK"), compression="jpeg"),
        pictures.tiled_tiff(small),
        pictures.encoded("AVIF", small, **block),
        pictures.encoded("AVIF", pictures.clear(64, 48)),
    ]
    if pictures.HEIC:
        found += [
            pictures.encoded("HEIF", small, **block),
            pictures.encoded("HEIF", photos.scene(128, 96), tile_size=64),
            pictures.encoded("HEIF", pictures.clear(64, 48)),
        ]
    return found


def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Change a photo in up to a few ways; most often in its header, where parsers are."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 8, 30))):
        at = chance.randrange(len(out)) if chance.random() < 0.3 else chance.randrange(min(len(out), 1500))
        match chance.randrange(9):
            case 0 | 1:
                out[at] = chance.randrange(256)
            case 2:
                out[at] ^= 1 << chance.randrange(8)
            case 3:
                odd = chance.choice(ODD)
                out[at : at + len(odd)] = odd
            case 4:
                del out[at : at + chance.choice((1, 2, 16, 500))]
            case 5:
                out[at:at] = out[at : at + chance.choice((1, 4, 64, 2000))]
            case 6:
                out[at:at] = bytes((0xFF, chance.choice(MARKERS)))
            case 7:
                start = chance.randrange(len(other))
                out[at:at] = other[start : start + chance.choice((4, 64, 2000))]
            case _:
                _mutate_length(out, chance)
        if len(out) < 4:
            return bytes(out) + b"\0"
    return bytes(out)


def sealed(data: bytes) -> bytes:
    """Return a PNG whose chunks match their checksums again, so that its decoder gets to see what was changed."""
    out, at = bytearray(data), len(pictures.PNG)
    while at + 12 <= len(out) and (end := at + 8 + int.from_bytes(out[at : at + 4], "big")) + 4 <= len(out):
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(out)


def _mutate_length(out: bytearray, chance: random.Random) -> None:
    """Change the length of some segment, or the size of the picture."""
    markers = [at for at in range(min(len(out) - 4, 4000)) if out[at] == 0xFF and out[at + 1] in MARKERS[:-2]]
    if markers:
        at = chance.choice(markers) + chance.choice((2, 2, 5, 7))
        out[at : at + 2] = chance.choice((0, 1, 2, 3, 17, 255, 4000, 65_535)).to_bytes(2, "big")


def job(folder: Path, number: int, chance: random.Random) -> Job:
    renderings = []
    for name, (width, height), fit in (("a", (90, 60), "inside"), ("b", (40, 40), "cover")):
        shape = FORMATS[0] if number % 10 else chance.choice(FORMATS)
        recipe = Recipe(width, height, fit, shape, 85, chance.choice(POLICIES), "0123456789abcdef")  # type: ignore[arg-type]  # a literal
        renderings.append(Rendering(name, recipe, f"{name}/x.{shape}".encode()))
    if number % 5 == 0:  # as it is, where nothing is wrong with it
        whole = Recipe(700, 700, "inside", "jpeg", 85, chance.choice(POLICIES), "0123456789abcdef", small="copy")
        renderings.append(Rendering("c", whole, b"c/x.jpeg"))
    photo = PhotoId(os.fsencode(folder / "inbox"), b"x.jpg")
    output = os.fsencode(folder / "output")
    return Job(number, photo, output, tuple(renderings), max_pixels=20_000_000, adopt=chance.random() < 0.2)


def main(seed: int, count: int, seconds: float, folder: Path, kinds: str = "jpeg") -> None:
    """Try photos until there were enough of them, or the time is over."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warm()
    chance = random.Random(seed)
    samples = seeds() if kinds == "jpeg" else [s for s in other_seeds() if kinds in {"others", describe(s).kind}]
    (folder / "inbox").mkdir(parents=True)
    found: Counter[str] = Counter()
    unexpected: dict[str, int] = {}
    slowest = 0.0
    deadline = time.monotonic() + seconds
    number = 0
    while number < count and time.monotonic() < deadline:
        number += 1
        photo = folder / "inbox" / "x.jpg"
        data = mutate(chance.choice(samples), chance.choice(samples), chance)
        photo.write_bytes(sealed(data) if data.startswith(pictures.PNG) and number % 4 else data)
        os.utime(photo, (1, 1))
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        began = time.monotonic()
        outcome = render(job(folder, number, chance))
        slowest = max(slowest, time.monotonic() - began)
        faulthandler.cancel_dump_traceback_later()
        assert isinstance(outcome, Done | Failed | Unready | NeedsMoreMemory), outcome
        found[type(outcome).__name__] += 1
        if isinstance(outcome, Failed):
            assert outcome.reason.isprintable(), outcome
            if outcome.reason.startswith(("it can't be made", "it can't be opened")):
                unexpected.setdefault(outcome.reason, number)
        if isinstance(outcome, Done):
            outputs = {item.name: folder / "output" / os.fsdecode(item.output) for item in outcome.made}
            assert all(path.stat().st_size for path in outputs.values())
            if "c" in outputs:
                assert describe(outputs["c"].read_bytes()).decode(1).ended
    left = [str(path) for path in (folder / "output").rglob(".*")]
    open_files = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    told = {"tried": number, "found": found, "unexpected": unexpected, "slowest": slowest}
    print(json.dumps({**told, "left": left, "open_files": open_files}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]), *sys.argv[5:])
