"""How fast each input format is: `python -m benchmarks.formats [rounds]`.

One picture of 24 megapixels (12 as HEIC) is made 2048 pixels wide, JPEG 85, on one thread: by `render`, durably, by
libvips through pyvips, by Debian's vipsthumbnail (with libde265, which neither pyvips nor sharp bring), by sharp and by
ImageMagick, as far as these are installed and read the format. Each round has all of them in turn. Printed are the
medians of the CPU time in milliseconds and, behind it, of a program's time over watcher's in the same round. Commands
are measured with their start, which takes ImageMagick and vipsthumbnail 10 to 40 ms. Workers run with
GLIBC_TUNABLES=glibc.malloc.hugetlb=1: set it, too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from benchmarks.common import ROOT, machine, table
from watcher.core.formats import readable
from watcher.core.recipe import Recipe
from watcher.core.types import Done, Job, PhotoId, Rendering
from watcher.render import render, warm

FILES: dict[str, tuple[str, tuple[int, int], dict[str, Any]]] = {
    "a.jpg": ("JPEG", (6000, 4000), {"quality": 92}),
    "a.png": ("PNG", (6000, 4000), {"compress_level": 6}),
    "a.tif": ("TIFF", (6000, 4000), {"compression": "tiff_lzw"}),
    "b.tif": ("TIFF", (6000, 4000), {}),
    "a.webp": ("WEBP", (6000, 4000), {"quality": 90}),
    "a.avif": ("AVIF", (6000, 4000), {"quality": 80, "speed": 9}),
    "a.heic": ("HEIF", (4000, 3000), {"quality": 80, "tile_size": 512}),
}
NAMES = {"a.tif": "TIFF, LZW", "b.tif": "TIFF, not compressed", "a.webp": "WebP", "a.heic": "HEIC, a grid of tiles"}
WEB = Recipe(2048, 2048, "inside", "jpeg", 85, "safe", "0123456789abcdef")
NOISE = 5  # standard deviation: a JPEG of it takes what a camera's takes
ONE_THREAD = {"VIPS_CONCURRENCY": "1", "MAGICK_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "1"}
BY_SHARP = """
const sharp = require(process.argv[1] + '/node_modules/sharp');
sharp.concurrency(1);
sharp.cache(false);
require('node:readline').createInterface({ input: process.stdin }).on('line', async (line) => {
  const [source, target] = JSON.parse(line), before = process.cpuUsage();
  try {
    await sharp(source).autoOrient().resize({ width: 2048, height: 2048, fit: 'inside', withoutEnlargement: true })
      .jpeg({ quality: 85, optimiseCoding: false }).toFile(target);
    const { user, system } = process.cpuUsage(before);
    console.log((user + system) / 1e6);
  } catch (error) { console.log(-1); }
});
"""

Way = Callable[[Path, str], float]  # makes a picture of a folder; returns seconds of CPU time


def picture(size: tuple[int, int]) -> Image.Image:
    """Enlarge a photo, and give it the noise of a sensor."""
    with Image.open(ROOT / "examples" / "photos" / "wine.jpg") as photo:
        large = photo.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    noise = Image.effect_noise(size, NOISE)
    return ImageChops.add(large, Image.merge("RGB", (noise, noise, noise)), 1, -128)


def by_watcher(folder: Path, name: str) -> float:
    shutil.rmtree(folder / "out", ignore_errors=True)
    photo = PhotoId(os.fsencode(folder), name.encode())
    began = time.process_time()
    outcome = render(Job(1, photo, os.fsencode(folder / "out"), (Rendering("web", WEB, b"web/a.jpg"),)))
    assert isinstance(outcome, Done), outcome
    return time.process_time() - began


def by_pyvips(folder: Path, name: str) -> float:
    vips = import_module("pyvips")  # a peer that may not be installed
    began = time.process_time()
    image = vips.Image.thumbnail(str(folder / name), 2048, height=2048, size="down")
    image.jpegsave(str(folder / "vips.jpg"), Q=85)
    return time.process_time() - began


def by_command(*command: str) -> Way:
    """Return what makes a picture with a program; `{}` in its arguments is the picture."""

    def make(folder: Path, name: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        parts = [part.replace("{}", str(folder / name)) for part in command]
        subprocess.run(parts, check=True, capture_output=True, cwd=folder)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return make


@contextmanager
def sharp() -> Iterator[Way]:
    """Run sharp in one process of Node, as it is run in practice."""
    command = ["node", "-e", BY_SHARP, os.environ.get("SHARP_HOME", "")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:

        def make(folder: Path, name: str) -> float:
            assert node.stdin is not None
            assert node.stdout is not None
            print(json.dumps([str(folder / name), str(folder / "sharp.jpg")]), file=node.stdin, flush=True)
            seconds = float(node.stdout.readline())
            if seconds < 0:
                raise RuntimeError("sharp can't read it")
            return seconds

        yield make
        assert node.stdin is not None
        node.stdin.close()


def measured(ways: Sequence[Way], folder: Path, name: str, rounds: int) -> list[str]:
    """Return a cell for each way, the first of which is watcher's; a dash where it can't be done."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds + 1):  # the first one is left out
        for way, own in zip(ways, times, strict=True):
            try:
                own.append(way(folder, name))
            except Exception:
                if way is by_watcher:
                    raise
                own.append(0.0)
    ours, *others = (own[1:] for own in times)
    cells = [f"{1000 * statistics.median(ours):.0f}"]
    for theirs in others:
        ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        cells.append(f"{1000 * statistics.median(theirs):.0f} ({ratio:.2f})" if min(theirs) else "-")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    rounds = parser.parse_args().rounds
    os.environ.update(ONE_THREAD)
    warm()
    if "heic" in readable():
        import pillow_heif  # noqa: PLC0415 - an extra

        pillow_heif.register_heif_opener()
    vips = by_command("vipsthumbnail", "{}", "-s", "2048x2048>", "-o", "thumbnail.jpg[Q=85]")
    convert = shutil.which("convert-im6.q16") or "convert"
    magick = by_command(convert, "{}[0]", "-resize", "2048x2048>", "-quality", "85", "magick.jpg")
    rows = []
    with tempfile.TemporaryDirectory() as scratch, sharp() as by_sharp:
        folder = Path(scratch)
        for name, (form, size, settings) in FILES.items():
            if form == "HEIF" and "heic" not in readable():
                continue
            picture(size).save(folder / name, form, **settings)
            os.utime(folder / name, (1, 1))
            cells = measured([by_watcher, by_pyvips, vips, by_sharp, magick], folder, name, rounds)
            megabytes = (folder / name).stat().st_size / 1e6
            rows.append([NAMES.get(name, form), f"{size[0] * size[1] / 1e6:.0f}", f"{megabytes:.1f}", *cells])
            print(*rows[-1], sep="; ", file=sys.stderr, flush=True)
    head = ("format", "megapixels", "file, MB", "watcher", "pyvips", "vipsthumbnail", "sharp", "ImageMagick")
    print(f"{table(head, rows)}\n\n{machine()}")


if __name__ == "__main__":
    main()
