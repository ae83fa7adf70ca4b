"""From a rename into the inbox to the last visible rendition: `python -m benchmarks.latency DIR [-n 20]`.

The daemon is idle, the photos have 24 megapixels (set A of `photos.py`), three renditions. Beside each drop the same
photo is rendered by a warm process that does nothing else (`watcher.render.render`, durable as ever), after the same
pause; what the daemon adds is the difference. Files are looked for every half millisecond.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks import photos
from benchmarks.common import (
    THREE,
    Daemon,
    Place,
    compile_as_installed,
    machine,
    pause_in_quiet,
    percentile,
    place,
    table,
    wait_until_there,
)
from watcher.core.recipe import Recipe
from watcher.core.types import Done, Job, PhotoId, Rendering
from watcher.render import render, warm

PAUSE = 0.3  # seconds between two photos: the daemon has gone to sleep by then
TOLD = (30, 80)  # ms: what the issue allows for the median and the 99th percentile
_WARM_UP = 3  # photos before the first that counts


def job(number: int, photo: Path, output: Path) -> Job:
    """Ask for the three renditions of a photo."""
    renderings = tuple(
        Rendering(
            f"w{size}",
            Recipe(size, size, "inside", "jpeg", 85, "safe", f"{size:016x}"),
            os.fsencode(f"w{size}/{number}-{photo.name}"),
        )
        for size in THREE
    )
    return Job(number, PhotoId(os.fsencode(photo.parent), os.fsencode(photo.name)), os.fsencode(output), renderings)


def bare(pipe: Connection) -> None:
    """Render whatever comes, and answer with the seconds it took; the body of the process beside the daemon."""
    warm()
    while (task := pipe.recv()) is not None:
        began = time.perf_counter()
        outcome = render(task)
        pipe.send(time.perf_counter() - began)
        if not isinstance(outcome, Done):
            raise TypeError(outcome)


class Bench:
    """A daemon and a bare process, and photos for both."""

    def __init__(self, where: Place, sources: list[Path]) -> None:
        self.where = where
        self.staging = where.root / "staging"
        self.bare_output = where.root / "bare"
        self.staging.mkdir()
        self.sources = sources
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=bare, args=(end,), daemon=True)
        self.process.start()

    def drop(self, number: int) -> tuple[float, float]:
        """Move one photo in; seconds until its renditions are there, and until the bare process has made them."""
        source = self.sources[number % len(self.sources)]
        photo = self.staging / f"{number:04}_{source.name}"
        shutil.copy(source, photo)
        outputs = [self.where.output / f"w{size}" / photo.name for size in THREE]
        pause_in_quiet(PAUSE)
        target = self.where.inbox / photo.name
        began = time.perf_counter()
        photo.rename(target)
        seen = wait_until_there(outputs) - began
        pause_in_quiet(PAUSE)
        self.pipe.send(job(number, target, self.bare_output))
        made = float(self.pipe.recv())
        for path in (target, *outputs):
            path.unlink()
        shutil.rmtree(self.bare_output)
        return seen, made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="DIR")
    parser.add_argument("-n", type=int, default=20, help="photos")
    parser.add_argument("--scratch", type=Path, help="where inbox and output are made")
    arguments = parser.parse_args()
    photos.build(arguments.photos)
    compile_as_installed()
    sources = sorted((arguments.photos / "setA").iterdir())
    with place(beside=arguments.scratch) as where:
        where.configure(THREE)
        bench = Bench(where, sources)
        with Daemon(where) as daemon:
            daemon.wait_for("scan.done")
            for number in range(_WARM_UP):
                bench.drop(number)
            values = [bench.drop(number) for number in range(_WARM_UP, _WARM_UP + arguments.n)]
        bench.pipe.send(None)
    seen, made = zip(*values, strict=True)
    added = [1000 * (a - b) for a, b in values]
    rows = [
        [name, *(f"{1000 * f(series):.1f}" for f in (statistics.median, lambda s: percentile(s, 99), max))]
        for name, series in (
            ("rename to last rendition", seen),
            ("bare render", made),
            ("added by the daemon", [a / 1000 for a in added]),
        )
    ]
    print(machine() + f"; {arguments.n} photos\n")
    print(table(["ms", "median", "99th percentile", "most"], rows))
    print(f"\ngoal: at most {TOLD[0]} ms added (median), {TOLD[1]} ms (99th percentile of 200)")


if __name__ == "__main__":
    main()
