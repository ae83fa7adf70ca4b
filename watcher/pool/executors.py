"""Teams: an executor, and what the pool must know of it and be able to do to it.

`Processes` is a `ProcessPoolExecutor` with what that lacks: when each job began, who died how, and an end at once.
`Foreign` is any other executor, of which nothing is known but its futures.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import connection, context, util
from multiprocessing.process import BaseProcess
from typing import Protocol, cast

from watcher.core.types import Job
from watcher.pool import worker
from watcher.pool.launch import METHOD, launching, start_servers
from watcher.pool.machine import require_room
from watcher.pool.worker import BEGAN, BORN, ENDED, MADE, PID, Reply, Setup, Times, Work

KILLED_SECONDS = 2.0  # how long a killed process may take to leave; one that hangs in the kernel leaves much later
_UNKNOWN = 255  # the exit code that multiprocessing gives when the forkserver could not tell it any more
Toll = dict[int, str]  # slot → how the worker ended that had this bundle


class Team(Protocol):
    """An executor with its workers."""

    killable: bool  # jobs can be ended while they run, but only all of them together

    def start(self, lost: Callable[[], None]) -> None:
        """Start all workers; `lost` is called, in another thread, if that fails."""

    def submit(self, slot: int, jobs: Sequence[Job]) -> Future[Reply]:
        """Hand in a bundle; raises BrokenExecutor, or OSError if a worker can't be started."""

    def born(self) -> bool:
        """Tell whether any worker was ever ready."""

    def times(self, slot: int, count: int) -> list[Times] | None:
        """Tell of the `count` jobs in `slot` how far they are; None: nobody can know."""

    def pid(self, slot: int) -> int:
        """Tell which process has, or had, the job in `slot`; 0: not known."""

    def kill(self) -> Toll | None:
        """End everything at once. Tells how workers had ended by themselves before; None: nobody can know."""

    def close(self) -> None:
        """Begin to end an idle team."""

    def gone(self, timeout: float) -> bool:
        """Tell whether everything has ended after `close` or `kill`, waiting at most `timeout` seconds."""


class Foreign:
    """Somebody else's executor: nothing is known of its workers."""

    killable = False

    def __init__(self, work: Work, executor: Executor) -> None:
        self._work = work
        self._executor = executor

    def start(self, lost: Callable[[], None]) -> None:
        """Do nothing: such an executor starts its workers as it likes."""

    def submit(self, slot: int, jobs: Sequence[Job]) -> Future[Reply]:  # noqa: ARG002 - Team's signature
        """Hand in a bundle."""
        return self._executor.submit(worker.attempt, self._work, jobs)

    def born(self) -> bool:
        """Say yes: nobody can know."""
        return True

    def times(self, slot: int, count: int) -> None:
        """Say that nobody can know."""

    def pid(self, slot: int) -> int:  # noqa: ARG002 - Team's signature
        """Say that nobody can know."""
        return 0

    def kill(self) -> None:
        """Drop what has not begun; what runs can't be ended, but nobody waits for it."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Begin to end it."""
        self._executor.shutdown(wait=False)

    def gone(self, timeout: float) -> bool:  # noqa: ARG002 - Team's signature
        """Say yes: whoever made the executor decides how long its threads may live."""
        return True


class _Managed(BaseProcess):
    """A worker's process, as its parent sees it."""

    ended_here = False  # by its parent: it had not died before
    _handle = -1  # a descriptor of this very process: its number may be somebody else's once it is dead; -1: none

    def start(self) -> None:
        """Start it, undisturbed by what disturbs its parent; raises OSError where no process can be had."""
        try:
            with launching():
                super().start()
        except EOFError as error:
            raise ConnectionResetError("the forkserver ended while it started a worker") from error
        if sys.platform == "linux" and self.pid is not None:
            with suppress(OSError):  # a kernel that can't, or a sandbox that won't
                self._handle = os.pidfd_open(self.pid)
                util.Finalize(self, os.close, (self._handle,))

    def terminate(self) -> None:
        """End it at once. A broken executor waits, with its lock held, for workers that it asked like this to end."""
        if self.pid is not None and self._lives(self.pid):
            self.ended_here = True
            with suppress(ProcessLookupError):
                if sys.platform == "linux" and self._handle >= 0:
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)
                else:
                    os.kill(self.pid, signal.SIGKILL)

    def _lives(self, pid: int) -> bool:
        if self._handle >= 0:
            return not connection.wait([self._handle], 0)
        if METHOD == "forkserver":
            # it buries the dead before it tells; and when it is gone, all seem dead to `sentinel`
            return _exists(pid)
        return not connection.wait([self.sentinel], 0)


if sys.platform == "darwin":

    class _Worker(_Managed, context.SpawnProcess):
        """A worker that is started anew: forking is not safe there."""

    class _Context(context.SpawnContext):
        """Makes such workers."""

        Process = _Worker

else:

    class _Worker(_Managed, context.ForkServerProcess):
        """A worker that is forked from a server, which has loaded what it needs."""

    class _Context(context.ForkServerContext):
        """Makes such workers."""

        Process = _Worker


class Processes:
    """A ProcessPoolExecutor whose workers can be looked at and ended."""

    killable = True

    def __init__(self, setup: Setup, *, workers: int, slots: int, preload: Sequence[str]) -> None:
        require_room()
        making = _Context()
        self._size = workers
        self._slots = slots
        self._table: ctypes.Array[ctypes.c_double] = making.RawArray(ctypes.c_double, worker.row(slots))
        if METHOD == "forkserver":
            start_servers(preload)
        # never max_tasks_per_child: it deadlocks (cpython #115634)
        self._executor = ProcessPoolExecutor(
            workers, mp_context=making, initializer=worker.initialize, initargs=(setup, self._table)
        )
        # private, but what a shutdown forgets is needed to end the processes and to ask how they ended
        self._processes = cast("dict[int, _Worker]", self._executor._processes)  # noqa: SLF001
        self._results = self._executor._result_queue  # noqa: SLF001
        self._closer = threading.Thread(target=self._executor.shutdown, name="pool-closer", daemon=True)

    def start(self, lost: Callable[[], None]) -> None:
        """Start all workers, so that no photo waits for one; `lost` is called, in another thread, if that fails."""

        def look(future: Future[None]) -> None:
            if not future.cancelled() and future.exception() is not None:
                lost()

        # each call starts one, but for those that find a worker idle already; hence a few more tries than workers
        for _ in range(4 * self._size):
            self._executor.submit(worker.nothing).add_done_callback(look)
            if len(self._processes) >= self._size:
                break

    def submit(self, slot: int, jobs: Sequence[Job]) -> Future[Reply]:
        """Hand in a bundle."""
        if self._executor._broken:  # noqa: SLF001 - its own look at this waits until all its workers have ended
            raise BrokenExecutor
        first, end = worker.row(slot), worker.row(slot + 1)
        self._table[first:end] = [0.0] * (end - first)
        return self._executor.submit(worker.run, slot, jobs)

    def born(self) -> bool:
        """Tell whether any worker was ever ready."""
        return bool(self._table[BORN])

    def times(self, slot: int, count: int) -> list[Times]:
        """Tell of the `count` jobs in `slot` how far they are."""
        rows = [worker.row(slot, place) for place in range(count)]
        return [Times(self._table[at + BEGAN], self._table[at + MADE], self._table[at + ENDED]) for at in rows]

    def pid(self, slot: int) -> int:
        """Tell which worker has, or had, the job in `slot`; 0: none yet."""
        return int(self._table[worker.row(slot) + PID])

    def kill(self) -> Toll | None:
        """End every worker at once, and tell how those had ended that had ended by themselves."""
        processes = dict(self._processes)
        # A worker that dies while it sends a result leaves the executor's thread waiting for the rest of it,
        # as that thread's own process holds the pipe open; nobody else will need it any more.
        self._results._writer.close()  # type: ignore[attr-defined] # noqa: SLF001 - typeshed lists no private ones
        for process in processes.values():
            process.terminate()
        self.close()
        # Only the executor's thread may ask for exit codes while it lives: each can be read once.
        known = self.gone(KILLED_SECONDS)
        codes = {pid: process.exitcode if known else None for pid, process in processes.items()}
        # who died in the very moment in which it was ended did not die of our SIGKILL
        unlike = (None, _UNKNOWN, -signal.SIGKILL)
        dead = {pid for pid, process in processes.items() if not process.ended_here or codes[pid] not in unlike}
        if not dead and _UNKNOWN not in codes.values():
            return None
        begun = {slot: int(self._table[worker.row(slot) + PID]) for slot in range(self._slots)}  # 0: not begun
        return {slot: _ending(codes[pid]) for slot, pid in begun.items() if pid in dead}

    def close(self) -> None:
        """Begin to end idle workers."""
        if self._closer.ident is None:
            self._closer.start()

    def gone(self, timeout: float) -> bool:
        """Tell whether all workers and the executor's threads have ended, waiting at most `timeout` seconds."""
        self._closer.join(timeout)
        return not self._closer.is_alive()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _ending(exitcode: int | None) -> str:
    """Say how a worker ended, as the rest of a sentence that begins with "the worker"."""
    if exitcode is None:
        return "died"
    if exitcode == -signal.SIGKILL:
        return "was killed (SIGKILL, as the system does when memory runs out)"
    if exitcode >= 0:
        return f"ended (exit code {exitcode})"
    try:
        name = signal.Signals(-exitcode).name
    except ValueError:
        name = f"signal {-exitcode}"
    return f"died ({name})"
