"""What a Dask cluster adds to each photo: `python -m benchmarks.cluster [--photos 4000] [--workers 1 2 4 8]`.

Photos of one pixel: rendering them is next to nothing, so what is left is the way there and back. Scheduler and workers
run on this machine, over TCP on the loopback; they, the daemon and the renders share its CPUs, so photos a second say
little here. What a process spends on a photo says more: its reciprocal is what it could do with a CPU of its own.
`--paper` measures what the next bottlenecks are computed from (see docs/cluster.md).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from PIL import Image

from benchmarks.common import Daemon, Place, cpu_seconds, descendants, machine, pause_in_quiet, place, rss, table
from tests import photos as pictures
from tests.cluster.cluster import Cluster
from watcher.core.records import Phase, PhotoRecord, RenditionRecord
from watcher.core.types import FileSignature, PhotoId
from watcher.store import Store

SIZE = 16  # pixels; a photo of one pixel stays one
PER_FOLDER = 500
GOAL_MS = 5.0  # of the daemon's CPU for a photo
GOAL_RATE = 500.0  # photos a second
FSYNCS = 300


def crowd(folder: Path, count: int) -> None:
    """Fill a folder with photos of one pixel, each of another content."""
    whole = pictures.jpeg(Image.new("RGB", (1, 1), "teal"))
    for number in range(count):
        if number % PER_FOLDER == 0:
            below = folder / f"{number // PER_FOLDER:04}"
            below.mkdir(parents=True)
        data = pictures.spliced(whole, pictures.segment(0xFE, b"%d" % number))
        (below / f"IMG_{number:07}.jpg").write_bytes(data)


class Party:
    """The processes whose CPU time is counted, by their part."""

    def __init__(self, daemon: Daemon, cluster: Cluster | None) -> None:
        self._parts = {"daemon": [daemon.pid], "scheduler": [], "workers": daemon.workers()}
        if cluster is not None:
            family = [pid for member in cluster.members for pid in (member.pid, *descendants(member.pid))]
            self._parts |= {"scheduler": [cluster.scheduler.pid], "workers": family}

    def used(self) -> dict[str, float]:
        """Give the seconds of CPU that each part has used so far."""
        return {part: sum(map(cpu_seconds, pids)) for part, pids in self._parts.items()}


@contextmanager
def executor(where: Place, workers: int) -> Iterator[Cluster | None]:
    """Give a cluster of that many worker processes, and write the config for it; 0: two workers at home."""
    where.configure([SIZE])
    with ExitStack() as stack:
        cluster = None
        if workers:
            cluster = stack.enter_context(Cluster(where.root, os.environ))
            for _ in range(workers):
                cluster.worker()
            cluster.scheduler.wait_for(workers)
            keys = {"kind": "dask", "address": cluster.scheduler.address}
            lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
            where.config.write_text(where.config.read_text() + "\n".join(["[executor]", *lines]) + "\n")
        yield cluster


def measure(workers: int, count: int, *, wait: bool) -> list[object]:
    """Have a crowd of photos made, and tell what a photo took."""
    with place() as where, executor(where, workers) as cluster, Daemon(where) as daemon:
        daemon.wait_for("scan.done")
        crowd(where.root / "warm", 100)
        (where.root / "warm").rename(where.inbox / "warm")
        until_made(daemon, 100)
        crowd(where.root / "crowd", count)
        if wait:
            pause_in_quiet(1.0)
        party = Party(daemon, cluster)
        before, began = party.used(), time.perf_counter()
        (where.root / "crowd").rename(where.inbox / "crowd")
        until_made(daemon, 100 + count)
        seconds = time.perf_counter() - began
        spent = {part: 1000 * (used - before[part]) / count for part, used in party.used().items()}
        memory = rss(daemon.pid)
    rate = count / seconds
    ours = spent["daemon"]
    verdict = "" if not workers else " met" if ours <= GOAL_MS else " MISSED"
    could = 1000 / ours
    fed = "" if not workers else " met" if could >= GOAL_RATE else " MISSED"
    named = f"{workers} in the cluster" if workers else "2 at home"
    cells = [f"{ours:.2f}{verdict}", f"{spent['scheduler']:.2f}", f"{spent['workers']:.2f}"]
    return [named, f"{rate:.0f}", *cells, f"{could:.0f}{fed}", f"{memory:.0f}"]


def until_made(daemon: Daemon, count: int) -> None:
    """Wait until that many photos are on record as made."""
    give_up = time.monotonic() + 600
    while (made := sum(int(line["files"]) for line in daemon.events("batch.done"))) < count:
        if daemon.process.poll() is not None or time.monotonic() > give_up:
            raise SystemExit(f"{made} of {count} photos were made:\n{daemon.events('photo.failed')[:3]}")
        time.sleep(0.05)


# ---- what the next bottlenecks are computed from ----


def paper() -> list[list[object]]:
    """Measure what a photo costs where all of them meet: files, directory entries, rows."""
    with tempfile.TemporaryDirectory(prefix="watcher-bench-") as name:
        folder = Path(name)
        crowd(folder / "crowd", 20_000)
        scanned = _seconds(lambda: _scan(folder / "crowd")) / 20_000
        made = _seconds(lambda: _publish(folder, FSYNCS)) / FSYNCS
        rows, size = _rows(folder / "state.db", 100_000)
    found = {
        "a file listed and looked at": scanned,
        "a rendition of 45 KB: create, write, fsync, rename, fsync of the folder": made,
        "a row of the state file, 64 at a time": rows,
    }
    lines: list[list[object]] = [[what, f"{1e6 * took:.1f} us", f"{1 / took:,.0f} /s"] for what, took in found.items()]
    return [*lines, ["the same, on disk", f"{size:.0f} bytes", ""]]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _scan(folder: Path) -> int:
    return sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(folder) for name in names)


def _publish(folder: Path, count: int) -> int:
    part = folder / ".part"
    for number in range(count):
        with part.open("wb") as file:
            file.write(bytes(45_000))
            os.fsync(file.fileno())
        part.rename(folder / f"{number}.jpg")
        directory = os.open(folder, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
    return count


def _rows(path: Path, count: int) -> tuple[float, float]:
    """Give the seconds and the bytes that a row takes."""
    inbox = b"/srv/photos/inbox"
    names = ("web", "thumb")
    facts = {name: RenditionRecord(2048, 1365, 400_000) for name in names}
    known = PhotoRecord(
        FileSignature(4_000_000, 10**18), Phase.DONE, dict.fromkeys(names, "0" * 16), facts, 1e9, digest=bytes(32)
    )
    with Store.open(str(path)) as state:
        began = time.perf_counter()
        for start in range(0, count, 64):
            numbers = range(start, min(start + 64, count))
            state.write([(PhotoId(inbox, b"%04d/IMG_%07d.jpg" % (n // 500, n)), known) for n in numbers])
        seconds = time.perf_counter() - began
    return seconds / count, sum(p.stat().st_size for p in path.parent.glob("state.db*")) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=4000)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2, 4, 8], help="0: two at home")
    parser.add_argument("--noisy", action="store_true", help="don't wait for the machine to be quiet, for trying out")
    parser.add_argument("--paper", action="store_true", help="what a photo costs in files, rows and directory entries")
    arguments = parser.parse_args()
    print(machine() + "\n", flush=True)
    if arguments.paper:
        print(table(["what", "takes", "that is"], paper()))
        return
    rows = []
    for workers in arguments.workers:
        rows.append(measure(workers, arguments.photos, wait=not arguments.noisy))
        print(rows[-1], flush=True)
    head = [
        "worker processes",
        "photos/s here",
        f"daemon, ms of CPU a photo (goal {GOAL_MS:g})",
        "scheduler",
        "workers",
    ]
    head += [f"photos/s that the daemon could feed (goal {GOAL_RATE:g})", "daemon MB"]
    print("\n" + table(head, rows))


if __name__ == "__main__":
    main()
