"""What the benches share: a command and what it took, a place to run `watcher` in, medians and tables."""

from __future__ import annotations

import compileall
import contextlib
import ctypes
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

WATCHER = str(Path(sys.executable).with_name("watcher"))
THREE = (2048, 1024, 320)  # pixels
ROOT = Path(__file__).parents[1]
QUIET = 0.1  # CPUs that others may keep busy where time is measured
PATIENCE = 600.0  # seconds; a bench that takes longer is stuck
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_LIBC = ctypes.CDLL(None)


# ---- a command, and what it took ----


@dataclass(frozen=True)
class Cost:
    """What one run of a command took, its whole family of processes counted."""

    seconds: float  # until the command itself had ended
    cpu: float  # seconds of CPU, of all processes that it left behind too
    code: int
    others: float  # CPUs that everybody else on this machine kept busy meanwhile, on average


def adopt_orphans() -> None:
    """Become the parent of whatever outlives its own, so that its CPU time can be counted."""
    if sys.platform == "linux":
        _LIBC.prctl(_SUBREAPER, 1, 0, 0, 0)


def compile_as_installed() -> None:
    """Compile our modules, as `pip install` does: a source tree's may be older than they, or missing."""
    compileall.compile_dir(ROOT / "watcher", quiet=1)


def timed(command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end, and wait for all that it started. Call `adopt_orphans` once before."""
    with log.open("wb") as output:
        busy, began = busy_seconds(), time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(env or {})}
        )
        seconds = cpu = 0.0
        code = 0
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, 0)
                cpu += usage.ru_utime + usage.ru_stime
                if pid == process.pid:
                    seconds = time.perf_counter() - began
                    code = process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(seconds, cpu, code, max(0.0, busy_seconds() - busy - cpu) / (time.perf_counter() - began))


def busy_seconds() -> float:
    """Give the CPU time that everybody on this machine has used so far; 0 where nobody tells."""
    with contextlib.suppress(OSError):
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return 0.0


def pause_in_quiet(seconds: float) -> None:
    """Sleep, and go on sleeping for as long as somebody else keeps this machine busy."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        before = busy_seconds()
        time.sleep(seconds)
        if busy_seconds() - before <= QUIET * seconds + 0.02:  # two ticks, that are nobody's
            return


@contextlib.contextmanager
def memory_of_children(every: float = 0.02) -> Iterator[list[float]]:
    """Sample what all descendants take together (PSS: shared pages counted once); the list ends with the peak in MB."""
    peak, end = [0.0], threading.Event()

    def look() -> None:
        while not end.wait(every):
            peak[0] = max(peak[0], sum(map(pss, descendants(os.getpid()))))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        end.set()
        thread.join()


def descendants(pid: int) -> list[int]:
    """Give the children of a process and theirs, and so on."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parent = Path("/proc", entry, "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
                parents.setdefault(int(parent), []).append(int(entry))
    found, left = [], [pid]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def pss(pid: int) -> float:
    """Give a process's share of memory in MB; 0 if it is gone."""
    return _memory(pid, "smaps_rollup", "Pss:")


def rss(pid: int) -> float:
    """Give a process's resident memory in MB; 0 if it is gone."""
    return _memory(pid, "status", "VmRSS:")


def peak_rss(pid: int) -> float:
    """Give the most that a process ever had resident, in MB; 0 if it is gone."""
    return _memory(pid, "status", "VmHWM:")


def _memory(pid: int, file: str, key: str) -> float:
    with contextlib.suppress(OSError):
        for line in Path("/proc", str(pid), file).read_text(errors="replace").splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid: int) -> float:
    """Give the CPU time that a process's threads have used so far, to the microsecond (`stat` knows but 10 ms)."""
    threads = Path("/proc", str(pid), "task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


# ---- a place to run in ----


class Place:
    """A scratch folder with an inbox, an output, a state file and a config."""

    def __init__(self, root: Path, inbox: Path | None = None) -> None:
        self.root = root
        self.inbox = inbox or root / "inbox"
        self.output = root / "output"
        self.state = root / "state.db"
        self.config = root / "watcher.toml"
        for folder in (self.root, self.inbox):
            folder.mkdir(parents=True, exist_ok=True)

    def configure(self, sizes: Sequence[int], *, workers: int = 2, level: str = "info", **inbox: object) -> None:
        """Write a config with a rendition per size."""
        keys = {"path": str(self.inbox), "output": str(self.output), **inbox}
        lines = [f"state = {json.dumps(str(self.state))}", f"workers = {workers}"]
        lines += ["[log]", 'format = "json"', f'level = "{level}"']
        for size in sizes:
            lines += [f"[rendition.w{size}]", f"width = {size}", f"height = {size}", "quality = 85"]
        lines += ["[[inbox]]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        self.config.write_text("\n".join(lines) + "\n")

    def clean(self) -> None:
        """Forget everything that was made."""
        shutil.rmtree(self.output, ignore_errors=True)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.state}{suffix}").unlink(missing_ok=True)

    def command(self, name: str, *more: str) -> list[str]:
        """Give the command line of a `watcher` command in this place."""
        return [WATCHER, name, "--config", str(self.config), *more]

    def call(self, name: str, *more: str) -> str:
        """Run a command to its end; its standard output."""
        done = subprocess.run(self.command(name, *more), capture_output=True, text=True, check=True, timeout=PATIENCE)
        return done.stdout


@contextlib.contextmanager
def place(inbox: Path | None = None, beside: Path | None = None) -> Iterator[Place]:
    """Give a place that is removed in the end, on the file system of `beside` if given."""
    with tempfile.TemporaryDirectory(prefix="watcher-bench-", dir=beside) as root:
        yield Place(Path(root), inbox)


class Daemon:
    """A running daemon and its log."""

    def __init__(self, where: Place) -> None:
        self._log = where.root / "daemon.log"
        self._output = self._log.open("wb")
        self.began = time.monotonic()
        self.process = subprocess.Popen(where.command("run"), stdin=subprocess.DEVNULL, stderr=self._output)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self._output.close()
        if error[0] is not None:
            print(self._log.read_text()[-3000:], file=sys.stderr)

    @property
    def pid(self) -> int:
        return self.process.pid

    def events(self, name: str) -> list[dict[str, Any]]:
        """Give the log's lines of one event."""
        with self._log.open() as lines:
            return [json.loads(line) for line in lines if f'"{name}"' in line and line.endswith("\n")]

    def wait_for(self, name: str, count: int = 1) -> float:
        """Wait until an event was logged `count` times; the seconds since the daemon was started."""
        while len(self.events(name)) < count:
            if self.process.poll() is not None or time.monotonic() - self.began > PATIENCE:
                raise RuntimeError(f"no {name} in the log:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.01)
        return time.monotonic() - self.began

    def workers(self) -> list[int]:
        """Give the processes that render: the forkserver's children, or (spawn) whoever runs them."""
        family = descendants(self.pid)
        return [pid for pid in family if any(pid in descendants(other) for other in family)] or family


def wait_until_there(paths: Sequence[Path], every: float = 0.0005) -> float:
    """Wait until all files are there; the moment, on the clock of `time.perf_counter`."""
    give_up = time.perf_counter() + PATIENCE
    for path in paths:
        while not os.path.exists(path):
            if time.perf_counter() > give_up:
                raise TimeoutError(path)
            time.sleep(every)
    return time.perf_counter()


# ---- figures ----


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the value below which `percent` of all lie (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, round(percent / 100 * len(ranked) + 0.5) - 1))]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Give median, least and most in one cell."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out a Markdown table whose columns also line up on a terminal."""
    cells = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def machine() -> str:
    """Tell where and when this was measured."""
    model = platform.processor()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    system = f"{platform.system()} {platform.release()}"
    return f"{time.strftime('%Y-%m-%d')}, {model}, {os.cpu_count()} CPUs, {system}, CPython {platform.python_version()}"
