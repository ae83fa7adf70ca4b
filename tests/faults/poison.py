"""Photos that take long, and putting them into an inbox."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from PIL import Image

from tests import photos
from watcher.render.decoders.jpeg.markers import MAX_SCANS


def lengthy(path: Path, scans: int = MAX_SCANS) -> Path:
    """Write a file of some 900 KB, or less with fewer scans, that is within every limit and takes seconds to decode.

    It is flat, and its last scan, which goes over each coefficient, comes as often as it takes to have as many as
    `scans`: the most that may be take 4 s on a CPU of 2020.
    """
    data = photos.jpeg(Image.new("L", (12_000, 12_000)), progressive=True)
    scan, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    again = data[data.rindex(b"\xff\xc4", 0, scan) : end]
    path.write_bytes(data[:end] + again * (scans - data.count(b"\xff\xda")) + data[end:])
    return path


def drop(poison: Path, inbox: Path, count: int) -> list[Path]:
    """Put copies of a poison photo into the inbox: whole from the first moment, and too old to be doubted."""
    paths = []
    for number in range(count):
        copy = inbox.parent / "poison.part"
        shutil.copy(poison, copy)
        os.utime(copy, (1, 1))
        paths.append(inbox / f"{poison.stem}{number:03}.jpg")
        copy.rename(paths[-1])
    return paths
