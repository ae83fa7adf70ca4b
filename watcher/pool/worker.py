"""The code that runs inside a worker: it initializes, does one job after another, and records which job it is at.

Jobs come in bundles: otherwise small photos would spend a large part of their time on being transferred.
The shared table has a head, then a row per job that may be in flight. A row is written by the one worker that has the
job, and reset by the parent before the job is submitted. Times are seconds of `time.monotonic`, which all processes
share.
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

Work = Callable[[Iterable[Job]], Sequence[Outcome]]  # must take jobs in turn, each when the last is made
Messages = tuple[tuple[str, str], ...]  # event name, text
Reply = tuple[list[Outcome | None], Messages]  # an outcome for every job of the bundle; None: not begun
Table = ctypes.Array[ctypes.c_double]

BORN = 0  # the head: not 0 once any worker of this executor is ready
HEAD = 1
PID, BEGAN, MADE, ENDED = range(4)  # a row; between MADE and ENDED a bundle's jobs are published together
ROW = 4
MOST = 16  # jobs that may be submitted together

# signals that a terminal, a service manager or `timeout` sends to the whole process group: only the parent acts on them
GROUP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings that every worker of a pool gets when it starts; all callables are pickled by name."""

    work: Work
    warm: Callable[[], list[tuple[str, str]]]
    log_settings: Callable[[], None] | None = None
    memory_limit_bytes: int = 0  # what a worker may use beyond what it has when it is ready; 0: no limit
    nice: int = 0  # how nice it is to other programs, at the least
    version: str = __version__


@dataclass(slots=True)
class _State:
    """The state of this process, if it is a worker."""

    setup: Setup | None = None
    table: Table | None = None
    messages: list[tuple[str, str]] = field(default_factory=list)  # sent with the first result


_state = _State()


class Times(NamedTuple):
    """When a job was begun, made and published; 0: not yet."""

    began: float
    made: float
    ended: float


def row(slot: int, place: int = 0) -> int:
    """Return the index in the table at which the row of the job at `place` in the bundle of `slot` begins."""
    return HEAD + ROW * (MOST * slot + place)


def initialize(setup: Setup, table: Table) -> None:
    """Prepare this process for its first job; an exception ends it, and with it the executor."""
    if setup.version != __version__:
        raise RuntimeError(
            f"watcher was upgraded to {__version__}: the daemon ({setup.version}) has to be started again"
        )
    for number in GROUP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    _leave_with_parent()
    if setup.log_settings:
        setup.log_settings()
    _state.messages = setup.warm()
    if setup.memory_limit_bytes and sys.platform == "linux":  # macOS takes RLIMIT_AS and ignores it
        _limit_memory(setup.memory_limit_bytes)
    if os.getpriority(os.PRIO_PROCESS, 0) < setup.nice:
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, 0, setup.nice)
    _state.setup, _state.table = setup, table
    table[BORN] = 1


def nothing() -> None:
    """Do nothing: submitted to an executor so that it starts a worker."""


def run(slot: int, jobs: Sequence[Job]) -> Reply:
    """Do a bundle of jobs in this worker, and update the rows of `slot`."""
    setup, table = _state.setup, _state.table
    if setup is None or table is None:
        raise RuntimeError("this process is no worker")
    pid = os.getpid()

    def mark(place: int, what: int) -> None:
        table[row(slot, place) + PID] = pid
        table[row(slot, place) + what] = time.monotonic()

    outcomes, messages = attempt(setup.work, jobs, mark)
    for place in range(len(jobs)):
        mark(place, ENDED)
    messages, _state.messages = (*_state.messages, *messages), []
    return outcomes, messages


def attempt(work: Work, jobs: Sequence[Job], mark: Callable[[int, int], None]) -> Reply:
    """Do `jobs`; an exception becomes an outcome, so that only values of the model are sent back.

    `mark` is called with the place of a job and its progress: BEGAN or MADE.
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
    except Exception as error:  # noqa: BLE001 - one bad photo never affects another, not even through a fault of ours
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
        # A decoder that holds the GIL blocks that thread, for minutes if the photo is bad enough. So the kernel is set
        # to kill this process when the other end of the pipe, which only the parent has open, is closed.
        with contextlib.suppress(OSError):  # the kernel does not support it: only the thread remains
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
