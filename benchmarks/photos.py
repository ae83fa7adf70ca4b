"""Build the benchmark photos: `python -m benchmarks.photos DIR` (two minutes, 0.7 GB; needs apt-get and dpkg).

Real photographs from Debian packages, brought to camera size with light sensor noise, so that file sizes and the time
of entropy decoding are those of a camera's own files.

    DIR/setA   60 x 6000 x 4000, 4:2:0, quality 92, 6 to 10 MB, EXIF; every fourth is turned (orientation 6 or 8)
    DIR/setB   400 x 1920 x 1080, 4:2:0, quality 85
    DIR/setC   1 x 11648 x 8736 (102 megapixels), quality 92
    DIR/debs   the unpacked packages: untouched photos, for measuring quality
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

PACKAGES = (
    "desktop-base",
    "gnome-backgrounds",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
    "mate-backgrounds",
    "plasma-workspace-wallpapers",
    "sway-backgrounds",
    "ukui-wallpapers",
)
# parts of the paths of photographs: most of what lies in these packages is drawn
SOURCES = (
    *("Kleiber_by", "Elephants_5640x3172", "Infinite-Sea", "seeding_by", "Dragonfly_by", "sunset_by", "Bridge_by"),
    *("Wine_by", "rhythm.jpg", "2004default", "string.jpg", "firstgeneration", "picosdeeuropa", "life_by"),
    *("aitzgorri", "friends_by", "greentock", "free_by", "nature/Wood", "Picture_0B", "Path/contents", "OneStandsOut"),
    *("TwoWings", "ColorfulCups", "EveningGlow", "FallenLeaf", "ColdRipple", "BytheWater", "Kite/contents"),
    *("LadyBird", "YellowFlower", "Garden", "Aqua", "Storm", "Autumn/contents", "RainDrops", "analogpattern"),
    "umang_by",
)
_LEAST = 300  # pixels of the longer side of an untouched photo
COUNTS = {"A": 60, "B": 400, "C": 1}
Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Task = tuple[Path, int, Path]  # folder, number, source


def originals(folder: Path) -> list[Path]:
    """Give the untouched photographs below DIR/debs, the largest version of each."""
    files = [p for p in folder.glob("debs/x-*/**/*") if p.suffix.lower() in {".jpg", ".jpeg"} and not p.is_symlink()]
    matching = ([p for p in files if part in str(p)] for part in SOURCES)
    return [max(found, key=lambda p: (p.stat().st_size, str(p))) for found in matching if found]


def untouched(folder: Path) -> list[Path]:
    """Return the photos that are large enough and have no colour profile of their own."""
    found = []
    for path in originals(folder):
        with Image.open(path) as image:
            if image.mode == "RGB" and max(image.size) >= _LEAST and "icc_profile" not in image.info:
                found.append(path)
    return found


def shrunk(path: Path, sizes: Sequence[int]) -> dict[int, Image.Image]:
    """Return a photo at each size as it is before it is encoded, the smaller ones made from the largest."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    found = {}
    for size in sorted(sizes, reverse=True):
        image.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=None)
        found[size] = image.copy()
    return found


def build(folder: Path) -> None:
    """Make the sets that are not there yet."""
    if all(len(list((folder / f"set{name}").glob("*.*"))) >= count for name, count in COUNTS.items()):
        return
    _unpack(folder / "debs")
    for name in COUNTS:
        (folder / f"set{name}").mkdir(exist_ok=True)
    sources = originals(folder)
    jobs: tuple[tuple[Callable[[Task], None], Iterable[Task]], ...] = (
        (_camera, ((folder, i, sources[i % len(sources)]) for i in range(COUNTS["A"]))),
        (_screen, ((folder, i, sources[i * 7 % len(sources)]) for i in range(COUNTS["B"]))),
    )
    with ProcessPoolExecutor() as executor:
        for work, tasks in jobs:
            list(executor.map(work, tasks))
    _huge(folder)


def _unpack(debs: Path) -> None:
    debs.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        target = debs / f"x-{package}"
        if not target.is_dir():
            subprocess.run(["apt-get", "download", package], cwd=debs, check=True)
            subprocess.run(["dpkg", "-x", next(debs.glob(f"{package}_*.deb")), target], check=True)


def _camera(task: Task) -> None:
    """Make one of set A: noise is raised or lowered until the file has a camera file's size."""
    folder, number, source = task
    random = np.random.default_rng(1000 + number)
    with Image.open(source) as opened:
        image = opened.convert("RGB")
    if number % 2:
        image = ImageOps.mirror(image)
    part = 1.0 if image.width * image.height > 8e6 else 0.9
    pixels = np.asarray(_crop(image, random, (6000, 4000), part))
    wanted = random.uniform(6.0e6, 10.0e6)  # bytes
    low, high, noise, data = 0.3, 9.0, 2.0, b""
    for _ in range(5):
        data = _encode(_noisy(pixels, noise, np.random.default_rng(number)), 92, _exif(number))
        if abs(len(data) - wanted) < 0.06 * wanted:
            break
        low, high = (low, noise) if len(data) > wanted else (noise, high)
        noise = (low + high) / 2
    (folder / "setA" / f"IMG_{number:04}.JPG").write_bytes(data)


def _screen(task: Task) -> None:
    """Make one of set B."""
    folder, number, source = task
    random = np.random.default_rng(5000 + number)
    with Image.open(source) as opened:
        image = opened.convert("RGB")
    pixels = np.asarray(_crop(image, random, (1920, 1080), random.uniform(0.55, 1.0)))
    data = _encode(_noisy(pixels, random.uniform(1.0, 3.0), random), 85, _exif(2 * number))
    (folder / "setB" / f"web_{number:04}.jpg").write_bytes(data)


def _huge(folder: Path) -> None:
    """Make set C out of four of set A."""
    width, height = 11648, 8736
    image = Image.new("RGB", (width, height))
    for place, path in enumerate(sorted((folder / "setA").iterdir())[3:25:7]):
        with Image.open(path) as opened:
            part = opened.convert("RGB").resize((width // 2, height // 2), Image.Resampling.LANCZOS)
        image.paste(part, (place % 2 * (width // 2), place // 2 * (height // 2)))
    data = _encode(_noisy(np.asarray(image), 1.5, np.random.default_rng(7)), 92, _exif(0))
    (folder / "setC" / "GFX100.JPG").write_bytes(data)


def _exif(number: int) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "Canon EOS 6D Mark II"  # maker, model
    exif[0x0112] = (1, 6, 1, 8)[number % 4] if number % 2 else 1  # orientation
    exif[0x0132] = f"2023:06:{1 + number % 28:02} 12:00:00"  # date
    details = exif.get_ifd(0x8769)
    details[0x9003], details[0x8827] = exif[0x0132], 400  # date of exposure, ISO
    return exif.tobytes()


def _noisy(pixels: Pixels, strength: float, random: np.random.Generator) -> Pixels:
    """Add slightly correlated luma noise, as after demosaicing."""
    noise = random.standard_normal(pixels.shape[:2], dtype=np.float32)
    noise = (noise + 0.35 * (np.roll(noise, 1, 0) + np.roll(noise, 1, 1))) * strength
    noisy: Pixels = np.clip(pixels.astype(np.float32) + noise[..., None], 0, 255).astype(np.uint8)
    return noisy


def _encode(pixels: Pixels, quality: int, exif: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0", exif=exif)
    return buffer.getvalue()


def _crop(image: Image.Image, random: np.random.Generator, size: tuple[int, int], part: float) -> Image.Image:
    ratio = size[0] / size[1]
    width, height = min(image.width, image.height * ratio) * part, min(image.height, image.width / ratio) * part
    left, top = random.uniform(0, image.width - width), random.uniform(0, image.height - height)
    return image.resize(size, Image.Resampling.LANCZOS, box=(left, top, left + width, top + height))


Image.MAX_IMAGE_PIXELS = None

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="DIR", type=Path)
    target = parser.parse_args().folder.resolve()
    build(target)
    for name in COUNTS:
        sizes = sorted(p.stat().st_size for p in (target / f"set{name}").iterdir())
        print(f"set{name}: {len(sizes)} photos, median {sizes[len(sizes) // 2] / 1e6:.2f} MB, {os.fspath(target)}")
