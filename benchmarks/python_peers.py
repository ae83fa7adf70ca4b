"""Peers that are Python: `python python_peers.py NAME LIST OUTPUT SIZES`, NAME one of pyvips, pool, serial, floor.

pyvips    two processes, one thread each; the largest size by `thumbnail`, the smaller ones from it
pool      what articles show: a ProcessPoolExecutor of two; per size open, resize by LANCZOS, save
serial    the same in a loop
floor     scaled decode at the smallest scale that is not below the largest size, then encode each size without a
          resize (a crop of that size): what no program on libjpeg-turbo can beat
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path

from PIL import Image

Make = Callable[[Path, tuple[int, ...], str], None]


def pyvips(output: Path, sizes: tuple[int, ...], file: str) -> None:
    vips = import_module("pyvips")  # a peer that may not be installed
    name = os.path.basename(file)
    image = vips.Image.thumbnail(file, sizes[0], height=sizes[0], size="down")
    if len(sizes) > 1:
        image = image.copy_memory()
    for size in sizes:
        one = image if size == sizes[0] else image.thumbnail_image(size, height=size, size="down")
        one.jpegsave(str(output / f"w{size}" / name), Q=85)


def article(output: Path, sizes: tuple[int, ...], file: str) -> None:
    for size in sizes:
        with Image.open(file) as image:
            part = min(1.0, size / max(image.size))
            resized = image.resize((round(image.width * part), round(image.height * part)), Image.Resampling.LANCZOS)
            resized.save(output / f"w{size}" / os.path.basename(file), quality=85)


def floor(output: Path, sizes: tuple[int, ...], file: str) -> None:
    with Image.open(file) as image:
        width, height = image.size
        largest = min(sizes[0], max(width, height))
        scale = next(s for s in (8, 4, 2, 1) if max(width, height) / s >= largest)
        image.draft(image.mode, (width // scale, height // scale))
        for size in sizes:
            part = min(1.0, size / max(width, height))
            cropped = image.crop((0, 0, round(width * part), round(height * part)))
            cropped.save(output / f"w{size}" / os.path.basename(file), "JPEG", quality=85)


MAKERS: dict[str, Make] = {"pyvips": pyvips, "pool": article, "serial": article, "floor": floor}


def main() -> None:
    name, listing, output, wanted = sys.argv[1:5]
    files = Path(listing).read_text().splitlines()
    sizes = tuple(map(int, wanted.split(",")))
    make = partial(MAKERS[name], Path(output), sizes)
    if name == "serial":
        for file in files:
            make(file)
        return
    with ProcessPoolExecutor(2) as executor:
        list(executor.map(make, files, chunksize=1 if name == "pool" else 4))


if __name__ == "__main__":
    main()
