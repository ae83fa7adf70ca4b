"""While the cluster is unavailable, a local pool of this machine makes the photos; otherwise the cluster does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from watcher.cluster.pool import Cluster, Say
from watcher.core.messages import WorkerReport
from watcher.core.status import ExecutorStatus
from watcher.core.types import Job, Result


class LocalPool(Protocol):
    """Workers on this machine; see `watcher.pool.Pool`."""

    @property
    def free(self) -> int: ...  # noqa: D102 - documented in the implementation
    @property
    def in_flight(self) -> int: ...  # noqa: D102
    @property
    def losses(self) -> int: ...  # noqa: D102
    @property
    def liveness_seconds(self) -> float: ...  # noqa: D102
    def start(self) -> None: ...  # noqa: D102
    def bundle_size(self, waiting: int) -> int: ...  # noqa: D102
    def submit(self, *jobs: Job) -> None: ...  # noqa: D102
    def take(self, report: WorkerReport) -> list[Result]: ...  # noqa: D102
    def deadline(self) -> float | None: ...  # noqa: D102
    def check(self, now: float) -> list[Result]: ...  # noqa: D102
    def close(self, *, wait: bool) -> list[Job]: ...  # noqa: D102


class Fallback:
    """A cluster, and this machine in its place while the cluster is unavailable; see `engine.ports.Pool`.

    Each of the two finishes what it has begun, wherever the next photo goes. Local workers are started when they are
    needed, and ended when the cluster is back and they are done. `say` returns, for a level, the function that logs
    such changes.
    """

    def __init__(self, cluster: Cluster, make: Callable[[], LocalPool], say: Callable[[str], Say]) -> None:
        self._cluster = cluster
        self._make = make
        self._say = say
        self._local: LocalPool | None = None
        self._losses = 0  # of local pools that have been closed
        self._closing = False

    @property
    def free(self) -> int:
        """How many more bundles may be submitted now."""
        self._change_over()
        return self._at_work.free

    @property
    def losses(self) -> int:
        """The number of workers that died or had to be ended so far."""
        return self._cluster.losses + self._losses + (self._local.losses if self._local else 0)

    @property
    def liveness_seconds(self) -> float:
        """The longest time in which nothing may come back while there is work."""
        return self._cluster.liveness_seconds  # the longer one

    @property
    def gave_up(self) -> bool:
        """Whether to stop waiting for workers: never, as this machine can always take over."""
        return False

    @property
    def unavailable_reason(self) -> str:
        """The reason, in a sentence, why no photo can be made: always empty, as this machine can make them."""
        return ""

    def info(self) -> ExecutorStatus:
        """Return what `status` shows of the cluster, and whether this machine replaces it now."""
        return replace(self._cluster.info(), fallback=self._local is not None and not self._cluster.there)

    def start(self) -> None:
        """Begin to connect to the cluster. Do not wait for it."""
        self._cluster.start()

    def bundle_size(self, waiting: int) -> int:
        """Return how many of the waiting jobs are best submitted together."""
        return self._at_work.bundle_size(waiting)

    def submit(self, *jobs: Job) -> None:
        """Submit a bundle of jobs."""
        self._change_over()
        self._at_work.submit(*jobs)

    def take(self, report: WorkerReport) -> list[Result]:
        """Return the results that have come back. Call it for every report that was posted."""
        results = self._cluster.take(report)
        if self._local:
            results += self._local.take(report)
        self._change_over()
        return results

    def deadline(self) -> float | None:
        """Return when `check` must be called next, if nothing is reported before."""
        times = [self._cluster.deadline(), self._local.deadline() if self._local else None]
        return min((time for time in times if time is not None), default=None)

    def check(self, now: float) -> list[Result]:
        """Take back overdue jobs, and return the results."""
        results = self._cluster.check(now)
        if self._local:
            results += self._local.check(now)
        self._change_over()
        return results

    def close(self, *, wait: bool) -> list[Job]:
        """Close both, and return the jobs that were not done."""
        self._closing = True
        left = self._local.close(wait=wait) if self._local else []
        return left + self._cluster.close(wait=wait)

    @property
    def _at_work(self) -> Cluster | LocalPool:
        return self._cluster if self._cluster.there or self._local is None else self._local

    def _change_over(self) -> None:
        """Start local workers while the cluster is known to be unavailable, and end them once it is back."""
        if self._closing:
            return
        if self._local is None and self._cluster.unavailable_reason:
            self._local = self._make()
            self._local.start()
            self._say("warning")("executor.fallback", reason=self._cluster.unavailable_reason)
        elif self._local and self._cluster.there and not self._local.in_flight:
            self._losses += self._local.losses
            self._local.close(wait=False)
            self._local = None
