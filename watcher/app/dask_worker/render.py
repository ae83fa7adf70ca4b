"""A rendering process for each calling thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

from watcher.core.types import Job, Result, WorkerReport
from watcher.pool import Pool, allow_children, available_memory
from watcher.render import render_all, warm


class _Bench:
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


class _Benches(threading.local):
    """The rendering process of each thread."""

    bench: _Bench | None = None


_benches = _Benches()


def serve(jobs: Sequence[Job], timeout_seconds: float) -> list[Result]:
    """Do a bundle of jobs in this thread's process, each in `timeout_seconds` at most. Wait until all are answered.

    A job without an outcome was not begun, and may be done elsewhere. Raise RuntimeError where no process can be
    started.
    """
    bench = _benches.bench
    if bench is not None and bench.timeout != timeout_seconds:
        bench.close()
        bench = None
    if bench is None:
        bench = _benches.bench = _Bench(timeout_seconds)
    try:
        return bench.work(jobs)
    except BaseException:
        _benches.bench = None
        bench.close()
        raise
