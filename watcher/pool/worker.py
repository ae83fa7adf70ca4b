"""What runs inside a worker: it gets ready, does one job after another, and writes down which one it is at.

Jobs come in bundles: small photos would otherwise spend a good part of their time on being handed over.
The shared table has a head, then a row per job that may be in flight. A row is written by the one worker that has the
job, and reset by the parent before it is given out. Times are seconds of `time.monotonic`, which all processes share.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from watcher import __version__
from watcher.core.types import Failed, FailureKind, Job, Outcome

if sys.platform == "linux":
    import fcntl

Work = Callable[[Iterable[Job]], Sequence[Outcome]]  # must take one job up after the other, each when the last is made
Broadcaster = tuple[tuple[str, str], ...]  # event name, text
Reply = tuple[list[Outcome | None], Broadcaster]  # an outcome for every job of the bundle; None: not begun
Table = ctypes.Array[ctypes.c_double]

BORN = 0  # the head: not 0 once any worker of this executor is ready
HEAD = 1
PID, BEGAN, MADE, ENDED = range(4)  # a row; between MADE and ENDED a bundle's jobs are published together
ROW = 4
MOST = 16  # jobs that may be handed over together

# what a terminal, a service manager or `timeout` sends to the whole process group: its parent alone acts on it
GROUP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker of a pool is given when it starts; all callables are pickled by name."""

    work: Work
    warm: Callable[[], list[tuple[str, str]]]
    log_settings: Callable[[], None] | None = None
    memory_limit_bytes: int = 0  # what a worker may take beyond what it has when it is ready; 0: no limit
    version: str = __version__


@dataclass(slots=True)
class _Desk:
    """What this process is equipped with, if it is a worker."""

    setup: Setup | None = None
    table: Table | None = None
    news: list[tuple[str, str]] = field(default_factory=list)  # goes out with the first result


_desk = _Desk()


class Times(NamedTuple):
    """When a job was taken up, made and published; 0: not yet."""

    began: float
    made: float
    ended: float


def row(slot: int, place: int = 0) -> int:
    """Give where in the table the row begins of the job at `place` in the bundle of `slot`."""
    return HEAD + ROW * (MOST * slot + place)


def initialize(setup: Setup, table: Table) -> None:
    """Get this process ready for its first job; an exception ends it, and with it the executor."""
    if setup.version != __version__:
        raise RuntimeError(
            f"watcher was upgraded to {__version__}: the daemon ({setup.version}) has to be started again"
        )
    for number in GROUP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    _leave_with_parent()
    if setup.log_settings:
        setup.log_settings()
    _desk.news = setup.warm()
    if setup.memory_limit_bytes and sys.platform == "linux":  # macOS takes RLIMIT_AS and ignores it
        _limit_memory(setup.memory_limit_bytes)
    _desk.setup, _desk.table = setup, table
    table[BORN] = 1


def nothing() -> None:
    """Do nothing: given to an executor so that it starts a worker."""


def run(slot: int, jobs: Sequence[Job]) -> Reply:
    """Do a bundle of jobs in this worker, and keep the rows of `slot` up to date."""
    setup, table = _desk.setup, _desk.table
    if setup is None or table is None:
        raise RuntimeError("this process is no worker")
    pid = os.getpid()

    def mark(place: int, what: int) -> None:
        table[row(slot, place) + PID] = pid
        table[row(slot, place) + what] = time.monotonic()

    outcomes, news = attempt(setup.work, jobs, mark)
    for place in range(len(jobs)):
        mark(place, ENDED)
    news, _desk.news = (*_desk.news, *news), []
    return outcomes, news


def attempt(work: Work, jobs: Sequence[Job], mark: Callable[[int, int], None] = lambda *_: None) -> Reply:
    """Do `jobs`; an exception becomes an outcome, so that nothing travels back but values of the model.

    `mark` is told the place of a job and what has become of it: BEGAN or MADE.
    """
    begun = 0

    def take_up() -> Iterator[Job]:
        nonlocal begun
        for place, job in enumerate(jobs):
            begun = place + 1
            mark(place, BEGAN)
            yield job
            mark(place, MADE)

    try:
        return list(work(take_up())), ()
    except Exception as error:  # noqa: BLE001 - one bad photo never costs another, not even by a fault of ours
        failed = Failed(f"{type(error).__name__} in the worker: {error}", FailureKind.CRASH)
        outcomes: list[Outcome | None] = [failed if place < begun else None for place in range(len(jobs))]
        return outcomes, (("worker.error", traceback.format_exc()),)


def _leave_with_parent() -> None:
    """Make sure that this process ends within a second of its parent, however the parent ends."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="leave-with-parent", daemon=True).start()
    if sys.platform == "linux":
        # A decoder that holds the GIL keeps that thread waiting, for minutes if the photo is bad enough. So the kernel
        # is told to kill this process when the other end of the pipe, which only the parent holds, is closed.
        with contextlib.suppress(OSError):  # a kernel that can't: the thread is left
            fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(parent.sentinel, fcntl.F_SETSIG, signal.SIGKILL)
            flags = fcntl.fcntl(parent.sentinel, fcntl.F_GETFL)
            fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)


def _limit_memory(headroom: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bounds = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([used + headroom, *bounds]), hard))
