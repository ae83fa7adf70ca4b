"""Many known photos: `python -m benchmarks.scale [10000 100000 1000000]`.

The inbox is a tree of folders with 500 photos each, hard links to a few tiny ones. The books are filled by `watcher
once` itself; above `--really` (its time is that of a million fsyncs), by writing the rows that it would have written,
without outputs. Then the daemon is started again, and nothing may be decoded.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from benchmarks.common import (
    Daemon,
    Place,
    cpu_seconds,
    machine,
    pause_in_quiet,
    peak_rss,
    place,
    rss,
    table,
    wait_until_there,
)
from watcher.core.records import PhotoRecord
from watcher.core.types import FileSignature, PhotoId
from watcher.store import Store

SIZES = (64, 32)  # pixels: two renditions
PER_FOLDER = 500
DROPS = 11
_LINKS = 50_000  # to one file; ext4 allows 65,000


def tree(inbox: Path, count: int, seeds: Path) -> None:
    """Fill the inbox with hard links."""
    seeds.mkdir()
    for number in range(-(-count // _LINKS)):
        Image.linear_gradient("L").resize((80, 60)).save(seeds / f"{number}.jpg", quality=60 + number % 30)
    for start in range(0, count, PER_FOLDER):
        folder = inbox / f"{start // PER_FOLDER // 100:03}" / f"{start // PER_FOLDER % 100:02}"
        folder.mkdir(parents=True)
        for number in range(start, min(start + PER_FOLDER, count)):
            os.link(seeds / f"{number // _LINKS}.jpg", folder / f"IMG_{number:07}.jpg")


def rows(where: Place, pattern: PhotoRecord) -> Iterator[tuple[PhotoId, PhotoRecord]]:
    """Give what the books would say of every photo of the tree."""
    inbox = os.fsencode(where.inbox)
    for folder, _, names in os.walk(inbox):
        for name in names:
            status = os.stat(os.path.join(folder, name))
            path = os.path.relpath(os.path.join(folder, name), inbox)
            yield PhotoId(inbox, path), replace(pattern, stamp=FileSignature(status.st_size, status.st_mtime_ns))


def fill(where: Place, *, really: bool) -> float:
    """Have every photo on the books as done; the seconds that took."""
    began = time.perf_counter()
    if not really:
        with tempfile.TemporaryDirectory(dir=where.root) as aside:
            shutil.move(where.inbox, Path(aside) / "inbox")
            where.inbox.mkdir()
            shutil.copy(next((where.root / "seeds").iterdir()), where.inbox / "one.jpg")
            where.call("once")
            (where.inbox / "one.jpg").unlink()
            where.inbox.rmdir()
            shutil.move(Path(aside) / "inbox", where.inbox)
        with Store.open(str(where.state)) as state:
            one = PhotoId(os.fsencode(where.inbox), b"one.jpg")
            pattern = state.known(one)
            if pattern is None:
                raise SystemExit("`once` left nothing on the books")
            chunk: list[tuple[PhotoId, PhotoRecord | None]] = [(one, None)]
            for row in rows(where, pattern):
                chunk.append(row)
                if len(chunk) >= 20_000:
                    state.write(chunk)
                    chunk.clear()
            state.write(chunk)
    else:
        where.call("once")
    return time.perf_counter() - began


def drop(where: Place, number: int) -> float:
    """Move one photo in; the seconds until its renditions are there."""
    staged = where.root / f"new{number}.jpg"
    shutil.copy(where.root / "seeds" / "0.jpg", staged)
    outputs = [where.output / f"w{size}" / "000" / "00" / staged.name for size in SIZES]
    pause_in_quiet(0.3)
    began = time.perf_counter()
    staged.rename(where.inbox / "000" / "00" / staged.name)
    return wait_until_there(outputs) - began


def status_seconds(where: Place) -> float:
    values = []
    for _ in range(5):
        pause_in_quiet(0.1)
        began = time.perf_counter()
        where.call("status", "--json")
        values.append(time.perf_counter() - began)
    return statistics.median(values)


def measure(count: int, *, really: bool, scratch: Path | None) -> list[object]:
    """Build a tree, restart over it, and look."""
    with place(beside=scratch) as where:
        where.configure(SIZES)
        tree(where.inbox, count, where.root / "seeds")
        filled = fill(where, really=really)
        with Daemon(where) as daemon:  # once for the caches: "warm" is what is asked for
            daemon.wait_for("scan.done")
        pause_in_quiet(1.0)
        with Daemon(where) as daemon:
            ready = daemon.wait_for("scan.done")
            spent = cpu_seconds(daemon.pid)
            scan = daemon.events("scan.done")[0]
            made = daemon.events("batch.done")
            status = status_seconds(where)
            drops = [drop(where, number) for number in range(DROPS)]
            memory = f"{rss(daemon.pid):.0f} ({peak_rss(daemon.pid):.0f})"
        size = sum(path.stat().st_size for path in where.root.glob("state.db*")) / 1e6
    if made:
        raise SystemExit(f"photos were made again: {made}")
    how = "once" if really else "rows"
    cells = [f"{filled:.0f} s ({how})", f"{ready:.2f} s", f"{spent:.2f} s", f"{scan['seconds']:.2f} s", memory]
    return [f"{count:,}", *cells, f"{size:.1f}", f"{status:.2f} s", f"{1000 * statistics.median(drops):.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--really", type=int, default=10_000, help="up to this many are made by `watcher once` itself")
    parser.add_argument("--scratch", type=Path, help="where the tree is made")
    arguments = parser.parse_args()
    head = ["photos", "filled in", "restart to scan.done", "CPU till then", "scan", "daemon RSS (peak) MB"]
    head += ["state MB", "status", "one dropped in, ms"]
    print(machine() + "\n", flush=True)
    found = []
    for count in arguments.counts:
        found.append(measure(count, really=count <= arguments.really, scratch=arguments.scratch))
        print(dict(zip(head, found[-1], strict=True)), flush=True)
    print("\n" + table(head, found))


if __name__ == "__main__":
    main()
