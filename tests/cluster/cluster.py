"""A Dask cluster of real processes: a scheduler and workers that are started, killed and started again."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.e2e.harness import MARK, marked, until

DASK = str(Path(sys.executable).with_name("dask"))
TIMEOUT = 60.0  # seconds; a worker imports for a second or two where nobody else is at work

# Losses are noticed within a test. These are the least that Dask takes: eleven seconds of silence on a connection, and
# ten heartbeats, which come every half second, but for workers that are looked at once in `worker-ttl`.
HURRIED = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "3s",
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Member:
    """A process of the cluster, and what it logs; with `via` it runs where that leads to."""

    def __init__(self, words: Sequence[str], log: Path, env: Mapping[str, str], via: Sequence[str]) -> None:
        self.log = log
        self._forks = any(word in {"-p", "--pid"} for word in via)
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*via, DASK, *words],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        """Its own process, not the one that leads into its namespaces; 0: it is gone, or not there yet."""
        if not self._forks:
            return self.process.pid
        return next(iter(children(self.process.pid)), 0)

    def family(self) -> list[int]:
        """Give all of its processes, itself first."""
        return [self.pid, *descendants(self.pid)] if self.pid else []

    def send(self, number: signal.Signals, pid: int = 0) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or self.pid, number)

    def kill(self) -> None:
        """End it and all that it has started, as the kernel or a power cut would."""
        for pid in (*self.family(), self.process.pid):
            self.send(signal.SIGKILL, pid)
        self.process.wait()

    def freeze(self) -> None:
        """Halt it and all that it has started, wherever they are: they look dead from outside, and are not."""
        for pid in self.family():
            self.send(signal.SIGSTOP, pid)

    def thaw(self) -> None:
        """Let all go on where they were, and `nsenter`, which has stopped with its child, too."""
        self.thaw_children()
        for pid in (self.pid, self.process.pid):
            self.send(signal.SIGCONT, pid)

    def thaw_children(self) -> None:
        """Let what it has started go on, and not itself: it does not learn yet that it was taken for dead."""
        for pid in self.family()[1:]:
            self.send(signal.SIGCONT, pid)

    def stop(self) -> None:
        """Ask it to end, as a service manager would, and wait until it has."""
        self.send(signal.SIGTERM)
        self.process.wait(TIMEOUT)


class Scheduler:
    """A scheduler that always comes back under the same address."""

    def __init__(self, folder: Path, env: Mapping[str, str], via: Sequence[str] = (), host: str = "127.0.0.1") -> None:
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._log = folder / "scheduler.log"
        self._env = {**env, **HURRIED}
        self._via = via
        self._words = ["scheduler", "--host", host, "--port", str(self.port), "--no-dashboard", "--no-show"]
        self._member: Member | None = None
        self._began = 0  # where in the log the present one begins

    def start(self) -> None:
        self._began = len(self.log())
        self._member = Member(self._words, self._log, self._env, self._via)
        until(lambda: "Scheduler at:" in self.log()[self._began :], "the scheduler listens", TIMEOUT)

    @property
    def pid(self) -> int:
        assert self._member is not None
        return self._member.pid

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def workers(self) -> set[str]:
        """Give the addresses of the workers that the present scheduler believes to live."""
        found: set[str] = set()
        for what, address in re.findall(r"(Register|Remove) worker addr: (\S+)", self.log()[self._began :]):
            found = found | {address} if what == "Register" else found - {address}
        return found

    def wait_for(self, count: int) -> None:
        until(lambda: len(self.workers()) >= count, f"{count} workers are there", TIMEOUT)

    def kill(self) -> None:
        assert self._member is not None
        self._member.kill()

    def stop(self) -> None:
        assert self._member is not None
        self._member.stop()


class Cluster:
    """A scheduler, and workers on any number of hosts; what is left at the end is ended."""

    def __init__(self, folder: Path, env: Mapping[str, str], via: Sequence[str] = (), host: str = "127.0.0.1") -> None:
        self.folder = folder / "dask"
        self.folder.mkdir()
        self._mark = uuid.uuid4().hex  # not the daemon's, whose workers have to leave with it
        self._env = {**env, MARK: self._mark}
        self.scheduler = Scheduler(self.folder, self._env, via, host)
        self.members: list[Member] = []

    def __enter__(self) -> Self:
        self.scheduler.start()
        return self

    def __exit__(self, *error: object) -> None:
        for member in self.members:
            member.kill()
        self.scheduler.kill()
        until(lambda: not marked(self._mark), "nothing of the cluster is left", 5.0)

    def worker(self, threads: int = 1, *more: str, scheduler: str = "", via: Sequence[str] = ()) -> Member:
        """Start a worker that does as many bundles at a time as it has threads."""
        number = len(self.members) + 1
        words = ["worker", scheduler or self.scheduler.address, "--nthreads", str(threads), "--no-nanny"]
        words += ["--no-dashboard", "--local-directory", str(self.folder / f"local{number}"), *more]
        member = Member(words, self.folder / f"worker{number}.log", {**self._env, **HURRIED}, via)
        self.members.append(member)
        return member

    def processes(self) -> list[int]:
        """Give all processes of all workers."""
        return [pid for member in list(self.members) for pid in member.family()]


def children(pid: int) -> list[int]:
    """Give the processes that any thread of a process has started; none once it is gone, at whatever moment."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    below = children(pid)
    return below + [deeper for child in below for deeper in descendants(child)]
