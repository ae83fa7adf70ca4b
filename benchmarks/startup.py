"""Start-up, idling and memory: `python -m benchmarks.startup DIR`.

How long `--help` and `status` take, what the idle daemon and its workers use before their first photo, and how much a
worker takes for a photo of 102 megapixels through three renditions (set C of `photos.py`).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import photos
from benchmarks.common import (
    THREE,
    WATCHER,
    Daemon,
    Place,
    compile_as_installed,
    cpu_seconds,
    descendants,
    machine,
    pause_in_quiet,
    peak_rss,
    place,
    pss,
    rss,
    table,
    wait_until_there,
)

TIMES = 15
IDLE_SECONDS = 30.0


def seconds_of(command: list[str]) -> str:
    """Time a command, the median of several runs after one for the caches."""
    values = []
    for _ in range(TIMES + 1):
        pause_in_quiet(0.1)
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        values.append(time.perf_counter() - began)
    return f"{statistics.median(values[1:]):.3f} s"


def idle(where: Place, photo: Path) -> list[list[object]]:
    """Look at an idle daemon, then give it one huge photo."""
    rows: list[list[object]] = []
    with Daemon(where) as daemon:
        daemon.wait_for("scan.done")
        workers = daemon.workers()
        time.sleep(3.0)  # what start-up leaves to do
        rows.append(["status, beside the daemon", seconds_of(where.command("status")), "0.25 s"])
        before = [cpu_seconds(pid) for pid in (daemon.pid, *descendants(daemon.pid))]
        time.sleep(IDLE_SECONDS)
        after = [cpu_seconds(pid) for pid in (daemon.pid, *descendants(daemon.pid))]
        used = 100 * (sum(after) - sum(before)) / IDLE_SECONDS
        rows.append([f"idle for {IDLE_SECONDS:.0f} s, all processes", f"{used:.3f} % of a CPU", "0.1 %"])
        rows.append(["daemon", f"RSS {rss(daemon.pid):.1f} MB, PSS {pss(daemon.pid):.1f} MB", "60 MB"])
        rows += [
            ["worker before its first photo", f"RSS {rss(pid):.1f} MB, PSS {pss(pid):.1f} MB", "40 MB"]
            for pid in workers
        ]
        helpers = sorted(set(descendants(daemon.pid)) - set(workers))
        rows.append(["helpers (forkserver, tracker)", f"PSS {sum(map(pss, helpers)):.1f} MB", ""])
        staged = where.root / photo.name
        shutil.copy(photo, staged)
        began = time.perf_counter()
        staged.rename(where.inbox / photo.name)
        took = wait_until_there([where.output / f"w{size}" / photo.name for size in THREE]) - began
        peak = max(map(peak_rss, workers))
        rows.append(["worker, 102 MP through three renditions", f"peak RSS {peak:.0f} MB, {took:.2f} s", "200 MB"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    photos.build(arguments.photos)
    compile_as_installed()
    photo = next((arguments.photos / "setC").iterdir())
    rows: list[list[object]] = [
        ["python -c pass", seconds_of([sys.executable, "-c", "pass"]), ""],
        ["--help", seconds_of([WATCHER, "--help"]), "0.15 s"],
        ["--version", seconds_of([WATCHER, "--version"]), ""],
    ]
    with place() as where:
        where.configure(THREE)
        where.call("once")
        rows.append(["status", seconds_of(where.command("status")), "0.25 s"])
        rows.append(["status --json", seconds_of(where.command("status", "--json")), "0.25 s"])
        rows.append(["once, nothing to do", seconds_of(where.command("once")), ""])
        rows += idle(where, photo)
    print(machine() + "\n")
    print(table(["", "measured", "goal"], rows))


if __name__ == "__main__":
    main()
