"""`Processes`: a `ProcessPoolExecutor` with what that lacks.

That is: when each job began, which worker died and how, and an immediate end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import connection, context, util
from multiprocessing.process import BaseProcess
from typing import cast

from watcher.core.types import Job
from watcher.pool import worker
from watcher.pool.launch import METHOD, launching, start_servers
from watcher.pool.machine import require_room
from watcher.pool.worker import BEGAN, BORN, ENDED, MADE, PID, Reply, Setup, Times

KILLED_SECONDS = 2.0  # how long a killed process may take to exit; one that hangs in the kernel exits much later
_UNKNOWN = 255  # the exit code that multiprocessing reports when the forkserver could no longer report the real one
ExitReasons = dict[int, str]  # slot → how the worker that had this bundle ended


class _Managed(BaseProcess):
    """A worker's process, as its parent sees it."""

    ended_here = False  # ended by its parent: it had not died before
    _handle = -1  # a descriptor of exactly this process: its pid may be reused once it is dead; -1: none

    def start(self) -> None:
        """Start it, shielded from signals to its parent; raises OSError if no process can be started."""
        try:
            with launching():
                super().start()
        except EOFError as error:
            raise ConnectionResetError("the forkserver ended while it started a worker") from error
        if sys.platform == "linux" and self.pid is not None:
            with suppress(OSError):  # the kernel does not support it, or a sandbox forbids it
                self._handle = os.pidfd_open(self.pid)
                util.Finalize(self, os.close, (self._handle,))

    def terminate(self) -> None:
        """End it at once. A broken executor calls this, then waits for its workers to end, with its lock held."""
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
            # it reaps dead processes before it reports them; and when it is gone, `sentinel` shows all as dead
            return _exists(pid)
        return not connection.wait([self.sentinel], 0)


if sys.platform == "darwin":

    class _Worker(_Managed, context.SpawnProcess):
        """A worker that is spawned: forking is not safe on macOS."""

    class _Context(context.SpawnContext):
        """The context that makes such workers."""

        Process = _Worker

else:

    class _Worker(_Managed, context.ForkServerProcess):
        """A worker that is forked from the forkserver, which has loaded the modules that it needs."""

    class _Context(context.ForkServerContext):
        """The context that makes such workers."""

        Process = _Worker


class Processes:
    """A ProcessPoolExecutor whose workers can be inspected and ended."""

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
        # private, but a shutdown drops them, and they are needed to end the processes and to read how they ended
        self._processes = cast("dict[int, _Worker]", self._executor._processes)  # noqa: SLF001
        self._results = self._executor._result_queue  # noqa: SLF001
        self._closer = threading.Thread(target=self._executor.shutdown, name="pool-closer", daemon=True)

    def start(self, lost: Callable[[], None]) -> None:
        """Start all workers, so that no photo waits for one; if that fails, `lost` is called in another thread."""

        def look(future: Future[None]) -> None:
            if not future.cancelled() and future.exception() is not None:
                lost()

        # each call starts one, except where a worker is already idle; hence more tries than workers
        for _ in range(4 * self._size):
            self._executor.submit(worker.nothing).add_done_callback(look)
            if len(self._processes) >= self._size:
                break

    def submit(self, slot: int, jobs: Sequence[Job]) -> Future[Reply]:
        """Submit a bundle."""
        if self._executor._broken:  # noqa: SLF001 - its own check of this waits until all its workers have ended
            raise BrokenExecutor
        first, end = worker.row(slot), worker.row(slot + 1)
        self._table[first:end] = [0.0] * (end - first)
        return self._executor.submit(worker.run, slot, jobs)

    def born(self) -> bool:
        """Return whether any worker was ever ready."""
        return bool(self._table[BORN])

    def times(self, slot: int, count: int) -> list[Times]:
        """Return the progress of the `count` jobs in `slot`."""
        rows = [worker.row(slot, place) for place in range(count)]
        return [Times(self._table[at + BEGAN], self._table[at + MADE], self._table[at + ENDED]) for at in rows]

    def pid(self, slot: int) -> int:
        """Return the pid of the worker that has, or had, the job in `slot`; 0: none yet."""
        return int(self._table[worker.row(slot) + PID])

    def kill(self) -> ExitReasons | None:
        """End every worker at once, and return how those that had already ended by themselves had ended."""
        processes = dict(self._processes)
        # A worker that dies while it sends a result leaves the executor's thread waiting for the rest of it,
        # as that thread's own process holds the pipe open. The pipe is no longer needed by anything else.
        self._results._writer.close()  # type: ignore[attr-defined] # noqa: SLF001 - typeshed lists no private ones
        for process in processes.values():
            process.terminate()
        self.close()
        # Only the executor's thread may read exit codes while it lives: each can be read once.
        known = self.gone(KILLED_SECONDS)
        codes = {pid: process.exitcode if known else None for pid, process in processes.items()}
        # a worker that died at the same moment as it was ended did not die of our SIGKILL
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
        """Return whether all workers and the executor's threads have ended, waiting at most `timeout` seconds."""
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
    """Return how a worker ended, as the rest of a sentence that begins with "the worker"."""
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
