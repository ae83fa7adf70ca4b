"""What the program adds to its renders: `python -m benchmarks.overhead DIR [--rounds 5]`.

Against `watcher once` stands the bare pool: two processes that call `watcher.render` for half of the photos each, with
nobody who hands out work, nothing on record and no fsync. Both make few photos and many in turn, and the difference is
taken: so starting up does not count. What is left between them is dispatch, transfer, durability, state and log.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import photos
from benchmarks.bench_render import recipes
from benchmarks.common import (
    QUIET,
    THREE,
    Cost,
    Place,
    adopt_orphans,
    compile_as_installed,
    machine,
    pause_in_quiet,
    spread,
    table,
    timed,
)
from benchmarks.throughput import copies
from watcher.core.types import Done, Job, PhotoId

CASES = {"A three": ("A", THREE, 120), "B one": ("B", (600,), 2400), "B three": ("B", THREE, 1200)}
WORKERS = 2
PART = 4  # the few are a fourth of the many
GOALS = {"A three": 5.0, "B one": 8.0, "B three": 5.0}  # percent


def bare(inbox: Path, output: Path, sizes: Sequence[int], count: int) -> None:
    """Render the first `count` photos of a folder, and do nothing else."""
    names = sorted(os.listdir(os.fsencode(inbox)))[:count]
    processes = [
        multiprocessing.get_context("fork").Process(target=_half, args=(inbox, output, sizes, names[number::WORKERS]))
        for number in range(WORKERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(process.exitcode)


def _half(inbox: Path, output: Path, sizes: Sequence[int], names: Sequence[bytes]) -> None:
    from watcher.render import render, warm  # noqa: PLC0415 - heavy, and for these processes alone

    os.fsync = lambda fd: None  # noqa: ARG005 - its name is part of the signature
    if sys.platform == "linux":
        os.posix_fadvise = lambda *_: None
    warm()
    for number, name in enumerate(names):
        photo = PhotoId(os.fsencode(inbox), name)
        outcome = render(Job(number, photo, os.fsencode(output), recipes(tuple(sizes), name)))
        if not isinstance(outcome, Done):
            raise SystemExit(f"{name!r}: {outcome}")


class Bench:
    """One case: few photos and many, ours and the bare pool's."""

    def __init__(self, scratch: Path, files: Sequence[Path], sizes: Sequence[int]) -> None:
        self._scratch = scratch
        self._sizes = sizes
        self._folders = {len(files): files[0].parent, len(files) // PART: scratch / "few"}
        (scratch / "few").mkdir()
        for path in files[: len(files) // PART]:
            os.link(path, scratch / "few" / path.name)
        self._runs = 0

    def each(self, *, ours: bool) -> tuple[float, float]:
        """Give the seconds, and the seconds of CPU, that a photo more takes."""
        (many, full), (few, part) = [(count, self._run(count, ours=ours)) for count in self._folders]
        return (full.seconds - part.seconds) / (many - few), (full.cpu - part.cpu) / (many - few)

    def _run(self, count: int, *, ours: bool) -> Cost:
        self._runs += 1
        place = Place(self._scratch / f"run{self._runs}", self._folders[count])
        place.configure(self._sizes, workers=WORKERS)
        sizes = ",".join(map(str, self._sizes))
        module = [sys.executable, "-m", "benchmarks.overhead", "--bare"]
        command = place.command("once") if ours else [*module, str(place.inbox), str(place.output), sizes, str(count)]
        os.sync()
        log = self._scratch / "run.log"
        cost = timed(command, log)
        if cost.code:
            raise SystemExit(log.read_text(errors="replace")[-2000:])
        if cost.others > 2 * QUIET:  # the kernel's own writing counts as others'
            pause_in_quiet(2.0)
            return self._run(count, ours=ours)
        return cost


def main() -> None:
    if sys.argv[1:2] == ["--bare"]:
        inbox, output, wanted, number = sys.argv[2:]
        bare(Path(inbox), Path(output), [int(size) for size in wanted.split(",")], int(number))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be given again")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the photos, for trying out")
    parser.add_argument("--scratch", type=Path)
    arguments = parser.parse_args()
    photos.build(arguments.photos)
    adopt_orphans()
    compile_as_installed()
    rows = []
    with tempfile.TemporaryDirectory(prefix="watcher-bench-", dir=arguments.scratch) as folder:
        for case in arguments.case or CASES:
            letter, sizes, count = CASES[case]
            scratch = Path(folder) / case
            scratch.mkdir()
            files = copies(arguments.photos / f"set{letter}", scratch / "inbox", max(8, int(count * arguments.scale)))
            bench = Bench(scratch, files, sizes)
            pairs = [(bench.each(ours=True), bench.each(ours=False)) for _ in range(arguments.rounds)]
            cells = [
                spread([1000 * side[what] for side in sides]) for what in (0, 1) for sides in zip(*pairs, strict=True)
            ]
            added = [spread([100 * (us[what] / pool[what] - 1) for us, pool in pairs], 1) for what in (0, 1)]
            goal = GOALS[case]
            met = "met" if statistics.median(100 * (us[0] / pool[0] - 1) for us, pool in pairs) <= goal else "MISSED"
            rows.append([case, cells[0], cells[1], f"{added[0]} ({goal:g}: {met})", cells[2], cells[3], added[1]])
    print(machine() + f"; {arguments.rounds} rounds, {WORKERS} workers\n")
    head = ["ms a photo", "watcher once", "bare pool", "added, % (goal)", "its CPU", "bare", "added, %"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
