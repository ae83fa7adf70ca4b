"""A rendering process for each calling thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

from watcher.core.messages import WorkerReport
from watcher.core.types import Job, Result
from watcher.pool import Pool, allow_children, available_memory
from watcher.render import render_all, warm


class _LocalPool:
    """One rendering process, and the thread's access to it."""

    def __init__(self, timeout: float) -> None:
        allow_children()
        self.timeout = timeout
        self._reports: queue.SimpleQueue[WorkerReport] = queue.SimpleQueue()
        self._pool = Pool(
            render_all,
            warm,
            workers=1,
            post=self._reports.put,
            timeout_seconds=timeout,
            memory_limit_bytes=available_memory() // 2,
            preload=("watcher.render.preloaded",),
        )

    def work(self, jobs: Sequence[Job]) -> list[Result]:
        """Do a bundle of jobs, and return each with its outcome."""
        self._pool.submit(*jobs)
        results: list[Result] = []
        while len(results) < len(jobs):
            due = self._pool.deadline()
            try:
                report = self._reports.get(timeout=None if due is None else max(0.0, due - time.monotonic()))
            except queue.Empty:
                results += self._pool.check(time.monotonic())
            else:
                results += self._pool.take(report)
        return results

    def close(self) -> None:
        """End the process."""
        self._pool.close(wait=False)


class _LocalPools(threading.local):
    """The rendering process of each thread."""

    current: _LocalPool | None = None


_local_pools = _LocalPools()


def serve(jobs: Sequence[Job], timeout_seconds: float) -> list[Result]:
    """Do a bundle of jobs in this thread's process, each in `timeout_seconds` at most. Wait until all are answered.

    A job without an outcome was not begun, and may be done elsewhere. Raise RuntimeError where no process can be
    started.
    """
    local = _local_pools.current
    if local is not None and local.timeout != timeout_seconds:
        local.close()
        local = None
    if local is None:
        local = _local_pools.current = _LocalPool(timeout_seconds)
    try:
        return local.work(jobs)
    except BaseException:
        _local_pools.current = None
        local.close()
        raise
