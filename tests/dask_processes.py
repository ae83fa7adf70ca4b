"""A Dask scheduler and workers, each a process of its own, over TCP on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

DASK = str(Path(sys.executable).with_name("dask"))
EDGES = str(Path(__file__).with_name("edges"))  # where `cluster_work` lies
TIMEOUT = 60.0  # seconds; far above what any of this takes
KNOWN = "Registered to:"  # what a worker logs then


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {TIMEOUT:.0f} s"
        time.sleep(0.02)


class Dask:
    """A scheduler with an address of its own, and workers."""

    def __init__(self, folder: Path, *, tls: Sequence[str] = ()) -> None:
        self.folder = folder
        self._tls = tls
        self.file = folder / "scheduler.json"
        self.port = 0
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.scheduler = self.begin_scheduler()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    @property
    def address(self) -> str:
        return f"{'tls' if self._tls else 'tcp'}://127.0.0.1:{self.port}"

    def begin_scheduler(self) -> subprocess.Popen[bytes]:
        """Start a scheduler, on the port of the one before if there was one."""
        self.file.unlink(missing_ok=True)
        words = ["scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--scheduler-file", str(self.file)]
        if self._tls:
            words += ["--protocol", "tls"]
        process = self._begin(words, "scheduler.log")
        until(lambda: self.file.exists() and self.file.read_text().rstrip().endswith("}"), "a scheduler")
        self.port = int(json.loads(self.file.read_text())["address"].rpartition(":")[2])
        return process

    def begin_worker(self, *words: str, threads: int = 1, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a worker, and wait until the scheduler knows it."""
        there = ["worker", self.address, "--nthreads", str(threads), "--no-nanny", "--host", "127.0.0.1", *words]
        log = self.folder / "worker.log"
        known = log.read_text().count(KNOWN) if log.exists() else 0
        process = self._begin([*there, "--local-directory", str(self.folder)], log.name, cwd)
        until(lambda: log.read_text().count(KNOWN) > known, "the scheduler knows the worker")
        return process

    def _begin(self, words: Sequence[str], log: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        failures = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2"}
        environment = {**os.environ, **failures, "PYTHONPATH": EDGES}  # for `cluster_work`
        with (self.folder / log).open("ab") as output:
            process = subprocess.Popen(
                [DASK, *words, *self._tls, "--no-dashboard"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
            )
        self._processes.append(process)
        return process
