"""Photos per second, ours and everybody's: `python -m benchmarks.throughput DIR [--rounds 5] [--json FILE]`.

DIR holds the photos of `photos.py`; what is missing is built first. In each round every program makes the same
renditions of the same photos, in turn, so that a slow minute of the machine meets all of them. The ratio to a peer is
taken within the round; the table gives median, least and most over the rounds. Ours is the whole program: `watcher
once` with a fresh state file, outputs fsynced and recorded; no peer does either.

Photos are copies, each with a comment of its own, so that nobody can profit from equal content. Slow programs get
fewer of them. Before each run the disk's queue is emptied; the photos are in the page cache. A run in which others
kept more than a fifth of a CPU busy is repeated. Nothing is removed before the end (see `_empty`): for the same reason,
don't start this within five minutes of removing many files.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from PIL import Image

from benchmarks import peers, photos
from benchmarks.common import (
    QUIET,
    THREE,
    Place,
    adopt_orphans,
    compile_as_installed,
    machine,
    memory_of_children,
    pause_in_quiet,
    spread,
    table,
    timed,
)
from benchmarks.metrics import Reference
from benchmarks.peers import FLOOR, OURS, SHARP_EQUAL, Peer

CASES = {
    "A one": ("A", (600,), 540),  # set, sizes, photos: so many that starting takes less than 3 % of our time
    "A three": ("A", THREE, 360),
    "B one": ("B", (600,), 5600),
    "B three": ("B", THREE, 2000),
}
GOALS = {  # the least ratio of us to each
    SHARP_EQUAL: (1.9, 1.8, 2.3, 1.75),
    "sharp, default": (1.7, 1.8, 1.9, 1.75),
    "pyvips": (1.8, 1.7, 2.2, 1.5),
    "article, pool of 2": (3.7, 7.5, 3.3, 3.0),
    FLOOR: (1.5, 1.0, 0.9, 0.72),
}
SAMPLE = 6  # photos for memory and quality
NEAR_DB = 0.3  # renditions that differ less are of equal quality


@dataclass
class Result:
    """What one program came to in one case."""

    rate: list[float] = field(default_factory=list)  # photos/s, a value per round
    cpu: list[float] = field(default_factory=list)  # seconds of CPU per photo
    ratio: list[float] = field(default_factory=list)  # our rate over this one's, same round
    memory: float = 0.0  # MB, peak of all its processes together
    psnr: float = 0.0  # dB, median over the sample
    sizes_agree: bool = True


class Bench:
    """One case: its photos, its programs, its figures."""

    def __init__(self, scratch: Path, sizes: Sequence[int], files: Sequence[Path], workers: int) -> None:
        self.sizes = sizes
        self.files = files
        self.workers = workers
        self.scratch = scratch
        self.results: dict[str, Result] = defaultdict(Result)
        self.noise = QUIET * 2  # the kernel's own writing counts as others'
        self.disturbed = 0
        self._runs = 0
        self._counts: dict[str, int] = {}

    def count(self, peer: Peer) -> int:
        """How many photos a peer gets: all, or as many as it makes in its time, found out once."""
        if peer.name not in self._counts:
            few = min(len(self.files), 4 * self.workers)
            rate = few / self.run(peer, few)[0]
            self._counts[peer.name] = min(len(self.files), max(few, int(rate * peer.seconds)))
            if peer.seconds >= Peer.seconds:  # a fast one gets the same photos as we do
                self._counts[peer.name] = len(self.files)
        return self._counts[peer.name]

    def run(self, peer: Peer | None, count: int, *, keep: bool = False) -> tuple[float, float]:
        """Run a program (None: ours) over the first `count` photos; seconds, and seconds of CPU."""
        self._runs += 1
        place = Place(self.scratch / f"run{self._runs}", None if peer else self._folder(count))
        if peer is None:
            place.configure(self.sizes, workers=self.workers)
            command, env = place.command("once"), {}
        else:
            for size in self.sizes:
                (place.output / f"w{size}").mkdir(parents=True)
            listing = self.scratch / "list.txt"
            listing.write_text("".join(f"{path}\n" for path in self.files[:count]))
            command, env = peer.command(listing, place.output, self.sizes), dict(peer.env)
        os.sync()
        cost = timed(command, self.scratch / "run.log", env)
        if cost.others > self.noise and not keep:
            self.disturbed += 1
            pause_in_quiet(2.0)
            return self.run(peer, count)
        for size in self.sizes:
            made = len(os.listdir(place.output / f"w{size}"))
            if cost.code or made != count:
                log = (self.scratch / "run.log").read_text(errors="replace")[-2000:]
                raise SystemExit(f"{peer.name if peer else OURS}: exit {cost.code}, {made} of {count} made\n{log}")
        if not keep:
            _empty(place.output)
        return cost.seconds, cost.cpu

    def round(self, chosen: Sequence[Peer], number: int) -> None:
        """Let everybody run once, another one first in each round."""
        order = [None, *chosen]
        first = number % len(order)
        rates: dict[str, float] = {}
        for peer in order[first:] + order[:first]:
            name = peer.name if peer else OURS
            count = self.count(peer) if peer else len(self.files)
            seconds, cpu = self.run(peer, count)
            rates[name] = count / seconds
            self.results[name].rate.append(rates[name])
            self.results[name].cpu.append(cpu / count)
        for name, rate in rates.items():
            self.results[name].ratio.append(rates[OURS] / rate)

    def look(self, chosen: Sequence[Peer]) -> None:
        """Measure memory and quality on a few photos, in runs of their own."""
        references = {path: Reference(path) for path in self.files[:SAMPLE]}
        sizes: dict[str, list[tuple[int, int]]] = {}
        for peer in (None, *chosen):
            name = peer.name if peer else OURS
            with memory_of_children() as peak:
                self.run(peer, SAMPLE, keep=True)
            made = [
                self.scratch / f"run{self._runs}" / "output" / f"w{size}" / path.name
                for size in self.sizes
                for path in references
            ]
            made = [path if path.exists() else path.with_suffix(".jpg") for path in made]
            values = [references[self._source(path)].compare(path)[0] for path in made]
            sizes[name] = [_size(path) for path in made]
            result = self.results[name]
            result.memory, result.psnr = peak[0], statistics.median(values)
            result.sizes_agree = all(map(_near, sizes[name], sizes[OURS]))

    def _source(self, made: Path) -> Path:
        return next(path for path in self.files if path.stem == made.stem)

    def _folder(self, count: int) -> Path:
        """Give a folder with the first `count` photos only."""
        if count == len(self.files):
            return self.files[0].parent
        folder = self.scratch / f"first-{count}"
        if not folder.exists():
            folder.mkdir()
            for path in self.files[:count]:
                os.link(path, folder / path.name)
        return folder


def _size(path: Path) -> tuple[int, int]:
    """Give a picture's shorter and longer side: some peers leave photos lying on their side."""
    with Image.open(path) as image:
        return min(image.size), max(image.size)


def _near(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether two sizes are the same but for rounding."""
    return all(abs(a - b) <= 1 for a, b in zip(one, other, strict=True))


def _empty(folder: Path) -> None:
    """Give room back without removing a file.

    ext4 does not use an inode again that was freed in the last one to five minutes, and searches around all of these
    for every file that is made: thousands of removed outputs would cost whoever runs next up to a fifth of his time.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)


def copies(source: Path, target: Path, count: int) -> list[Path]:
    """Copy photos, over and over until there are `count`, each with a comment of its own."""
    target.mkdir()
    originals = sorted(path for path in source.iterdir() if path.suffix.lower() in {".jpg", ".jpeg"})
    made = []
    for number in range(count):
        original = originals[number % len(originals)]
        # of another length for each copy: photos of equal size may be the same, and are looked at closer
        comment = b"copy %06d" % number + b"." * (number // len(originals))
        data = original.read_bytes()
        path = target / f"{number:05}_{original.name}"
        path.write_bytes(b"".join((data[:2], b"\xff\xfe", (2 + len(comment)).to_bytes(2, "big"), comment, data[2:])))
        made.append(path)
    return made


def report(case: str, results: dict[str, Result]) -> str:
    """Lay out one case."""
    rows = []
    ours = results[OURS]
    column = list(CASES).index(case)
    for name, result in sorted(results.items(), key=lambda item: -statistics.median(item[1].rate)):
        goal = GOALS[name][column] if name in GOALS else None
        ratio = "" if name == OURS else spread(result.ratio)
        verdict = "" if goal is None else f"{goal} " + ("met" if statistics.median(result.ratio) >= goal else "MISSED")
        quality = f"{result.psnr:.1f}" if name != FLOOR else "(cropped)"
        if name != FLOOR and result.psnr < ours.psnr - NEAR_DB:
            quality += f" ({result.psnr - ours.psnr:.1f})"
        if not result.sizes_agree:
            quality += ", other sizes"
        cells = [name, spread(result.rate, 1), f"{1000 * statistics.median(result.cpu):.1f}", f"{result.memory:.0f}"]
        rows.append([*cells, quality, ratio, verdict])
    head = ["", f"{case}: photos/s", "CPU ms a photo", "peak MB", "PSNR dB", "us over it", "goal"]
    return table(head, rows)


def measure(case: str, scratch: Path, arguments: argparse.Namespace, chosen: Sequence[Peer]) -> dict[str, Result]:
    """Run one case."""
    letter, sizes, count = CASES[case]
    count = max(SAMPLE, int(count * arguments.scale))
    scratch.mkdir()
    files = copies(arguments.photos / f"set{letter}", scratch / "inbox", count)
    bench = Bench(scratch, sizes, files, arguments.workers)
    for number in range(arguments.rounds):
        bench.round(chosen, number)
        rate = bench.results[OURS].rate[-1]
        print(f"{case}, round {number + 1}: {rate:.1f} photos/s, {bench.disturbed} repeated", file=sys.stderr)
    bench.look(chosen)
    for path in files:
        os.truncate(path, 0)
    return dict(bench.results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be given again")
    parser.add_argument("--peer", action="append", help="only peers whose name contains this; may be given again")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the photos, for trying out")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scratch", type=Path, help="where to make copies and outputs (12 GB)")
    parser.add_argument("--json", type=Path, help="write all figures there")
    arguments = parser.parse_args()
    photos.build(arguments.photos)
    adopt_orphans()
    compile_as_installed()
    chosen = [p for p in peers.installed() if not arguments.peer or any(part in p.name for part in arguments.peer)]
    print(f"{machine()}; {peers.versions()}; {arguments.rounds} rounds, {arguments.workers} workers\n", flush=True)
    figures = {}
    with tempfile.TemporaryDirectory(prefix="watcher-bench-", dir=arguments.scratch) as folder:
        for number, case in enumerate(arguments.case or CASES):
            results = measure(case, Path(folder) / f"case{number}", arguments, chosen)
            print(report(case, results), end="\n\n", flush=True)
            figures[case] = {name: asdict(result) for name, result in results.items()}
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"machine": machine(), "peers": peers.versions(), "cases": figures}, indent=1)
        )


if __name__ == "__main__":
    if not shutil.which("sync"):
        sys.exit("this bench needs a Unix")
    main()
