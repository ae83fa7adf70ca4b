"""PSNR and SSIM of ten untouched photos: `python -m benchmarks.quality DIR`; ours, sharp's and pyvips's.

The reference is a full decode shrunk by LANCZOS, not encoded. DIR is the folder of `photos.py`: its benchmark sets are
noisy and would hide a difference, so the packages' own photographs are taken. All are encoded at JPEG 85, 4:2:0.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks import peers, photos
from benchmarks.common import THREE, Place, adopt_orphans, machine, table, timed
from benchmarks.metrics import Reference
from benchmarks.peers import OURS, SHARP_EQUAL

SIZES = (2048, 1024, 600, 320)
PHOTOS = 10


def untouched(folder: Path) -> list[Path]:
    """Give ten photos, spread over the packages, that are large enough and carry no colour profile of their own."""
    found = []
    for path in photos.originals(folder):
        with Image.open(path) as image:
            if image.mode == "RGB" and max(image.size) >= 1.4 * SIZES[0] and "icc_profile" not in image.info:
                found.append(path)
    if len(found) < PHOTOS:
        raise SystemExit(f"only {len(found)} photos fit below {folder}/debs")
    return [found[round(i * (len(found) - 1) / (PHOTOS - 1))] for i in range(PHOTOS)]


def make(scratch: Path, files: Sequence[Path], sizes: Sequence[int]) -> dict[str, Path]:
    """Have everybody make `sizes`; the output folders by name."""
    listing = scratch / "list.txt"
    listing.write_text("".join(f"{path}\n" for path in files))
    outputs = {}
    label = "-".join(map(str, sizes))
    place = Place(scratch / f"ours-{label}", files[0].parent)
    place.configure(sizes)
    runs = {OURS: (place.output, place.command("once"))}
    for number, peer in enumerate(peers.installed()):
        if peer.name in {SHARP_EQUAL, "sharp, default", "pyvips"}:
            output = scratch / f"peer{number}-{label}"
            for size in sizes:
                (output / f"w{size}").mkdir(parents=True)
            runs[peer.name] = output, peer.command(listing, output, sizes)
    for name, (output, command) in runs.items():
        log = scratch / "run.log"
        if timed(command, log).code:
            raise SystemExit(f"{name}:\n{log.read_text(errors='replace')[-2000:]}")
        outputs[name] = output
    return outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    photos.build(arguments.photos)
    adopt_orphans()
    print(machine() + "; " + peers.versions() + "\n")
    with tempfile.TemporaryDirectory(prefix="watcher-bench-") as folder:
        scratch = Path(folder)
        (scratch / "inbox").mkdir()
        files = []
        for number, path in enumerate(untouched(arguments.photos)):
            files.append(scratch / "inbox" / f"{number}_{path.stem}.jpg")
            files[-1].write_bytes(path.read_bytes())
        # each size alone, which decodes as small as it may; and three at once, made from each other
        runs = [(size, make(scratch, files, (size,))) for size in SIZES]
        three = make(scratch, files, THREE)
        references = {path: Reference(path) for path in files}
        rows = []
        together = [(size, three, "of three") for size in THREE]
        for size, outputs, how in [*((size, outputs, "alone") for size, outputs in runs), *together]:
            for name, output in outputs.items():
                values = [reference.compare(output / f"w{size}" / path.name) for path, reference in references.items()]
                decibel, likeness = zip(*values, strict=True)
                middle = f"{statistics.median(decibel):.2f}", f"{statistics.mean(decibel):.2f}", f"{min(decibel):.2f}"
                rows.append([f"{size} {how}", name, *middle, f"{statistics.mean(likeness):.5f}"])
        print(table(["size", "", "PSNR median", "mean", "least", "SSIM mean"], rows))


if __name__ == "__main__":
    main()
