"""How fast each input format is: `python benchmarks/formats.py [rounds]`.

One picture of 24 megapixels (12 as HEIC) is made 2048 px wide, JPEG 85, by one process: by `render`, durably, by
libvips through pyvips, and by ImageMagick, as far as these are installed and read the format. Medians, in milliseconds.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from benchmarks.common import ROOT
from watcher.core.formats import readable
from watcher.core.recipe import Recipe
from watcher.core.types import Done, Job, PhotoId, Rendering
from watcher.render import render, warm

FILES: dict[str, tuple[str, tuple[int, int], dict[str, Any]]] = {
    "a.jpg": ("JPEG", (6000, 4000), {"quality": 92}),
    "a.png": ("PNG", (6000, 4000), {"compress_level": 6}),
    "a.tif": ("TIFF", (6000, 4000), {"compression": "tiff_lzw"}),
    "a.webp": ("WEBP", (6000, 4000), {"quality": 90}),
    "a.avif": ("AVIF", (6000, 4000), {"quality": 80, "speed": 9}),
    "a.heic": ("HEIF", (4000, 3000), {"quality": 80, "tile_size": 512}),
}
WEB = Recipe(2048, 2048, "inside", "jpeg", 85, "safe", "0123456789abcdef")


def picture(size: tuple[int, int]) -> Image.Image:
    """Enlarge a photo, and give it the noise of a sensor."""
    with Image.open(ROOT / "examples" / "photos" / "wine.jpg") as photo:
        large = photo.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    noise = Image.effect_noise(size, 12)
    return ImageChops.add(large, Image.merge("RGB", (noise, noise, noise)), 1, -128)


def by_watcher(folder: Path, name: str) -> None:
    photo = PhotoId(os.fsencode(folder), name.encode())
    outcome = render(Job(1, photo, os.fsencode(folder / "out"), (Rendering("web", WEB, b"web/a.jpg"),)))
    assert isinstance(outcome, Done), outcome


def by_vips(folder: Path, name: str) -> None:
    vips = import_module("pyvips")  # a peer that may not be installed
    image = vips.Image.thumbnail(str(folder / name), 2048, height=2048, size="down", export_profile="srgb")
    image.jpegsave(str(folder / "vips.jpg"), Q=85)


def by_imagemagick(folder: Path, name: str) -> None:
    command = ["convert", str(folder / name), "-resize", "2048x2048>", "-quality", "85", str(folder / "magick.jpg")]
    subprocess.run(command, check=True, capture_output=True)


def measured(work: Callable[[Path, str], None], folder: Path, name: str, rounds: int) -> str:
    """Return the median of some rounds, the first one left out; a dash where it can't be done."""
    times = []
    try:
        for _ in range(rounds + 1):
            shutil.rmtree(folder / "out", ignore_errors=True)
            began = time.perf_counter()
            work(folder, name)
            times.append(time.perf_counter() - began)
    except Exception:
        if work is by_watcher:
            raise
        return "-"
    return f"{1000 * statistics.median(times[1:]):.0f}"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    os.environ["VIPS_CONCURRENCY"] = "1"
    warm()
    if "heic" in readable():
        import pillow_heif  # noqa: PLC0415 - an extra

        pillow_heif.register_heif_opener()
    print("| format | megapixels | file, MB | watcher | libvips | ImageMagick |", "| --- " * 6 + "|", sep="\n")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, (form, size, settings) in FILES.items():
            if form == "HEIF" and "heic" not in readable():
                continue
            picture(size).save(folder / name, form, **settings)
            os.utime(folder / name, (1, 1))
            cells = [measured(work, folder, name, rounds) for work in (by_watcher, by_vips, by_imagemagick)]
            megabytes = (folder / name).stat().st_size / 1e6
            print(
                "|", " | ".join([form, f"{size[0] * size[1] / 1e6:.0f}", f"{megabytes:.1f}", *cells]), "|", flush=True
            )


if __name__ == "__main__":
    main()
