"""Hold the native decoder against Pillow on mutated photos: `python -m tests.faults.fuzz_native SEED PHOTOS SECONDS`.

Whatever it takes must be Pillow's to the last bit. Ends after that many photos or seconds, whichever comes first, and
prints what came of them as JSON.
"""

from __future__ import annotations

import faulthandler
import json
import random
import sys
import time
from collections import Counter

from PIL import Image

from tests import photos
from tests.faults import fuzz_render
from watcher.render import native
from watcher.render.decoders.base import EndsEarlyError, UndecodableError
from watcher.render.decoders.jpeg.markers import SOI, Header, Stream, parse
from watcher.render.native import State

SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


def seeds(chance: random.Random) -> list[bytes]:
    """Give small ordinary photos, some others, and some large enough for the tables that walks use."""
    found = [photos.plain(96, 64), photos.progressive(), photos.grey(), photos.with_trailer()]
    for number in range(24):
        size = (chance.randrange(1, 90), chance.randrange(1, 90))
        rough = Image.frombytes("RGB", size, chance.randbytes(size[0] * size[1] * 3))
        image = Image.blend(photos.scene(80, 80).resize(size), rough, chance.choice((0.0, 0.05, 0.4)))
        found.append(
            photos.jpeg(
                image.convert(chance.choice(("RGB", "RGB", "RGB", "L"))),
                quality=chance.randrange(1, 101),
                optimize=chance.random() < 0.5,
                progressive=number % 6 == 0,
                restart_marker_blocks=chance.choice((0, 0, 1, 4)),
                subsampling=chance.choice(SAMPLINGS),
            )
        )
    return found


def damage(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Change a photo, in its header as a parser's enemy, or in its data as a bad copy."""
    if chance.random() < 0.4:
        return fuzz_render.mutate(data, other, chance)
    start = data.find(b"\xff\xda") + 2
    at, size = chance.randrange(start, len(data)), chance.choice((1, 1, 2, 5, 40))
    match chance.randrange(7):
        case 0:
            return data[:at] + chance.randbytes(size) + data[at + size :]
        case 1:
            return data[:at] + data[at + size :]
        case 2:
            return data[:at] + bytes(size) + data[at + size :]
        case 3:
            return data[:at] + data[start : start + size] + data[at:]
        case 4:
            return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]
        case 5:
            return data[:at] + other[other.find(b"\xff\xda") + 14 :]
        case _:
            return data[:at] + chance.choice((b"", b"\xff\xd9", bytes(600), b"\xff\xd0", b"\xff"))


def by_pillow(data: bytes, header: Header, scale: int) -> tuple[str, tuple[int, int], bytes] | str:
    """Give Pillow's picture, or its complaint."""
    try:
        image = Image.open(Stream(header, data), formats=("JPEG",))  # type: ignore[arg-type]  # has what Pillow asks for
        image.draft(image.mode, (max(1, header.width // scale), max(1, header.height // scale)))
        return image.mode, image.size, image.tobytes()
    except Exception as error:  # noqa: BLE001 - it is compared
        return f"{type(error).__name__}: {error}"


def differs(data: bytes, scale: int) -> str:
    """Give what is wrong about what the native decoder makes of `data`, or else what it made."""
    try:
        header = parse(data)
    except (UndecodableError, EndsEarlyError):
        native.decode(data, scale)
        native.walk(data)
        return "no header"
    head = SOI + bytes(header.tables)
    picture, met = native.decode(data, scale, head, header.scan)
    walked = native.walk(data, head, header.scan)
    if not (0 <= met.share <= 1 and 0 <= walked.share <= 1):
        return f"WRONG: shares of {met.share} and {walked.share}"
    if picture is None:
        if met.state is State.WHOLE:
            return "WRONG: whole, and no picture"
        if met.state is not State.DECLINED and walked.state is State.WHOLE:
            return f"WRONG: whole to a walk, {met} to the decoder"
        return f"walk {walked.state.value}"
    if met.state is not State.WHOLE or walked != met:
        return f"WRONG: a picture, and {met} to the decoder, {walked} to a walk"
    if header.width < scale or header.height < scale:
        return "too small for Pillow's draft"
    if (picture.mode, picture.size, picture.tobytes()) != by_pillow(data, header, scale):
        return "WRONG: another picture than Pillow's"
    return "equal"


def run(seed: int, count: int, seconds: float) -> tuple[Counter[str], list[str]]:
    """Try mutated photos; gives what came of them, and as hexadecimal digits those that are wrong."""
    chance = random.Random(seed)
    known, found, wrong = seeds(chance), Counter[str](), []
    until = time.monotonic() + seconds
    for _ in range(count):
        if time.monotonic() > until:
            break
        data = damage(chance.choice(known), chance.choice(known), chance)
        scale = chance.choice(native.SCALES)
        what = differs(data, scale)
        found[what] += 1
        if what.startswith("WRONG"):
            wrong.append(f"1/{scale} {what}: {data.hex()}")
    return found, wrong


if __name__ == "__main__":
    faulthandler.enable()
    told, faults = run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    print(json.dumps({"tried": told.total(), "found": told, "wrong": faults[:5]}))
