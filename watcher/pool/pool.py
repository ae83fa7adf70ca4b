"""The pool: two supervisors, the main one, and the quarantine for jobs that must run alone."""

from __future__ import annotations

import concurrent.futures
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from watcher.core.messages import WorkerReport
from watcher.core.status import ExecutorStatus
from watcher.core.types import Job, Result
from watcher.pool.executors import Processes
from watcher.pool.supervisor import Supervisor
from watcher.pool.worker import MOST, Setup, Work

PER_WORKER = 2  # bundles: one runs, and the next is queued so that the worker does not wait for the loop


class Pool:
    """Workers that turn jobs into outcomes; every job comes back, even if its worker dies.

    All methods must be called from one thread. `post` is called from other threads, once per event, and must only
    enqueue. A job that takes longer than `timeout_seconds` is ended with its worker. So are workers that report nothing
    for `start_seconds` longer than any photo could explain. Workers are replaced after `recycle_after` jobs each,
    against slow leaks. `memory_limit_bytes` is what a worker may use beyond what it has when it starts; 0: no limit. At
    most `bundle` jobs, up to 16, are submitted together (`bundle_size`). Workers are at least as
    `nice` to other programs.

    `clock` must return the time of `time.monotonic`, as workers use it. `report` is called on each change
    of `unavailable_reason`.
    """

    def __init__(
        self,
        work: Work,
        warm: Callable[[], list[tuple[str, str]]],
        *,
        workers: int,
        post: Callable[[WorkerReport], None],
        timeout_seconds: float,
        memory_limit_bytes: int = 0,
        nice: int = 0,
        preload: Sequence[str] = ("watcher.render.bundle",),
        clock: Callable[[], float] = time.monotonic,
        log_settings: Callable[[], None] | None = None,
        start_seconds: float = 30.0,
        recycle_after: int = 20_000,
        bundle: int = 8,
        report: Callable[[str], object] = lambda _: None,
    ) -> None:
        setup = Setup(work, warm, log_settings, memory_limit_bytes, nice)
        generations = itertools.count(1)

        def supervisor(workers: int, slots: int) -> Supervisor:
            return Supervisor(
                make=partial(Processes, setup, workers=workers, slots=slots, preload=preload),
                slots=slots,
                post=post,
                clock=clock,
                timeout=timeout_seconds,
                grace=start_seconds,
                generations=generations,
                recycle_after=recycle_after * workers,
            )

        self._workers = workers
        self._bundle = min(bundle, MOST)
        self.liveness_seconds = self._bundle * timeout_seconds + 2 * start_seconds
        """How long at most nothing may come back while there is work: who takes longer is ended by `check`."""
        self._clock = clock
        self._main = supervisor(workers, PER_WORKER * workers)
        self._quarantine = supervisor(1, 1)
        self._supervisors = (self._main, self._quarantine)
        self._waiting: deque[Job] = deque()  # for the quarantine
        self._report = report
        self._reported = ""

    @property
    def free(self) -> int:
        """How many more bundles may be submitted now; jobs that must run alone don't count."""
        return self._main.free_slots

    @property
    def in_flight(self) -> int:
        """Jobs that were submitted and not yet returned."""
        return len(self._waiting) + sum(supervisor.jobs + len(supervisor.ready) for supervisor in self._supervisors)

    @property
    def losses(self) -> int:
        """Workers that died or had to be ended, so far."""
        return sum(supervisor.losses for supervisor in self._supervisors)

    @property
    def unavailable_reason(self) -> str:
        """Why no photo can be made, as a sentence; empty: photos can be made, since lost workers are replaced."""
        return self._main.shortage

    @property
    def gave_up(self) -> bool:
        """Whether a single run should end: the system has refused workers repeatedly."""
        return self._main.gave_up

    def info(self) -> ExecutorStatus | None:
        """Return None: photos are not made by a cluster."""
        return None

    def start(self) -> None:
        """Start all workers, so that they are warm for the first photo; does not wait until they are."""
        self._main.start()
        self._report_change()

    def bundle_size(self, waiting: int) -> int:
        """Return how many of the waiting jobs are best submitted together: few, if more would leave workers idle."""
        return max(1, min(self._bundle, waiting // (2 * PER_WORKER * self._workers)))

    def submit(self, *jobs: Job) -> None:
        """Submit a bundle of jobs: one worker does them in turn, publishes them together, and reports once.

        There must be capacity for it (`free`). Jobs that must run alone wait for the quarantine, whether or not other
        workers are busy.
        """
        if self._main.closing:
            raise RuntimeError("the pool is closed")
        if jobs[0].alone:
            self._waiting += jobs
            self._tend_quarantine()
        elif self.free > 0:
            self._main.submit(jobs)
        else:
            raise RuntimeError("the pool has no room: see `free`")

    def take(self, report: WorkerReport) -> list[Result]:
        """Return the results that have come back; must be called for every report that was posted.

        Raises RuntimeError when workers have ended repeatedly before they had done anything.
        """
        for supervisor in self._supervisors:
            supervisor.take(report)
        return self._collect()

    def deadline(self) -> float | None:
        """Return when `check` must be called next, if nothing is reported before."""
        deadlines = (supervisor.deadline() for supervisor in self._supervisors)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def check(self, now: float) -> list[Result]:
        """End late jobs, and return the results that come back by that; raises as `take` does."""
        for supervisor in self._supervisors:
            supervisor.check(now)
        self._report_change()
        return self._collect()

    def _report_change(self) -> None:
        if self.unavailable_reason != self._reported:
            self._reported = self.unavailable_reason
            self._report(self._reported)

    def close(self, *, wait: bool) -> list[Job]:
        """End the pool, and return the jobs that were not done.

        With `wait`, the jobs in the workers are finished first. Results whose report was posted, but not yet taken,
        can still be taken. Nothing can be submitted any more.
        """
        left = list(self._waiting)
        self._waiting.clear()
        for supervisor in self._supervisors:
            supervisor.closing = True
        while wait and (undone := [future for supervisor in self._supervisors for future in supervisor.undone()]):
            due = self.deadline()
            pause = None if due is None else max(0.0, due - self._clock())
            concurrent.futures.wait(undone, pause, concurrent.futures.FIRST_COMPLETED)
            for supervisor in self._supervisors:
                supervisor.check(self._clock())
        for supervisor in self._supervisors:
            supervisor.close()
            left += [result.job for result in supervisor.ready if result.outcome is None]
            supervisor.ready = [result for result in supervisor.ready if result.outcome is not None]
        return left

    def _collect(self) -> list[Result]:
        self._tend_quarantine()
        results = [result for supervisor in self._supervisors for result in supervisor.ready]
        for supervisor in self._supervisors:
            supervisor.ready.clear()
        return results

    def _tend_quarantine(self) -> None:
        """Submit the next job to the quarantine, or end the quarantine when no job is left for it."""
        supervisor = self._quarantine
        if self._waiting and supervisor.free_slots:
            supervisor.submit([self._waiting.popleft()])
        if not self._waiting and not supervisor.busy:
            supervisor.retire()
