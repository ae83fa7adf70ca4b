"""While the cluster is away, photos are made here, by a pool of this machine's own; when it is back, by the cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from watcher.cluster.pool import Cluster, Say
from watcher.core.status import ExecutorStatus
from watcher.core.types import Job, Result, WorkerReport


class LocalPool(Protocol):
    """Workers of the machine's own; see `watcher.pool.Pool`."""

    @property
    def free(self) -> int: ...  # noqa: D102 - described where it is real
    @property
    def in_flight(self) -> int: ...  # noqa: D102
    @property
    def losses(self) -> int: ...  # noqa: D102
    @property
    def silence_seconds(self) -> float: ...  # noqa: D102
    def start(self) -> None: ...  # noqa: D102
    def share(self, waiting: int) -> int: ...  # noqa: D102
    def submit(self, *jobs: Job) -> None: ...  # noqa: D102
    def take(self, report: WorkerReport) -> list[Result]: ...  # noqa: D102
    def deadline(self) -> float | None: ...  # noqa: D102
    def check(self, now: float) -> list[Result]: ...  # noqa: D102
    def close(self, *, wait: bool) -> list[Job]: ...  # noqa: D102


class Fallback:
    """A cluster, and this machine in its place while it is away; see `daemon.parts.Pool`.

    What one of both has begun is awaited from it, wherever the next photo goes. Local workers are made when they are
    needed, and let go when the cluster is back and they are done. `say` is told of both, with a level.
    """

    def __init__(self, cluster: Cluster, make: Callable[[], LocalPool], say: Callable[[str], Say]) -> None:
        self._cluster = cluster
        self._make = make
        self._say = say
        self._local: LocalPool | None = None
        self._losses = 0  # of local pools that are gone
        self._closing = False

    @property
    def free(self) -> int:
        """How many more bundles may be submitted now."""
        self._change_over()
        return self._at_work.free

    @property
    def losses(self) -> int:
        """Workers that died or had to be ended, so far."""
        return self._cluster.losses + self._losses + (self._local.losses if self._local else 0)

    @property
    def silence_seconds(self) -> float:
        """How long at most nothing may come back while there is work."""
        return self._cluster.silence_seconds  # the longer one

    @property
    def hopeless(self) -> bool:
        """Say no: there is always somebody."""
        return False

    @property
    def ailment(self) -> str:
        """Say in a sentence why no photo can be made: nothing, as long as somebody makes them."""
        return ""

    def about(self) -> ExecutorStatus:
        """Return what `status` shows of the cluster, and whether this machine is in its place."""
        return replace(self._cluster.about(), fallback=self._local is not None and not self._cluster.there)

    def start(self) -> None:
        """Begin to look for the cluster; does not wait for it."""
        self._cluster.start()

    def share(self, waiting: int) -> int:
        """Tell how many of the jobs that wait are best submitted together."""
        return self._at_work.share(waiting)

    def submit(self, *jobs: Job) -> None:
        """Hand in a bundle of jobs."""
        self._change_over()
        self._at_work.submit(*jobs)

    def take(self, report: WorkerReport) -> list[Result]:
        """Tell what has come back; to be called for every report that was posted."""
        results = self._cluster.take(report)
        if self._local:
            results += self._local.take(report)
        self._change_over()
        return results

    def deadline(self) -> float | None:
        """Tell when `check` must be called next, if nothing is reported before."""
        times = [self._cluster.deadline(), self._local.deadline() if self._local else None]
        return min((time for time in times if time is not None), default=None)

    def check(self, now: float) -> list[Result]:
        """Take back what is overdue."""
        results = self._cluster.check(now)
        if self._local:
            results += self._local.check(now)
        self._change_over()
        return results

    def close(self, *, wait: bool) -> list[Job]:
        """End both, and give back the jobs that were not done."""
        self._closing = True
        left = self._local.close(wait=wait) if self._local else []
        return left + self._cluster.close(wait=wait)

    @property
    def _at_work(self) -> Cluster | LocalPool:
        return self._cluster if self._cluster.there or self._local is None else self._local

    def _change_over(self) -> None:
        """Have workers here while the cluster is known to be away, and none once it is back."""
        if self._closing:
            return
        if self._local is None and self._cluster.ailment:
            self._local = self._make()
            self._local.start()
            self._say("warning")("executor.fallback", reason=self._cluster.ailment)
        elif self._local and self._cluster.there and not self._local.in_flight:
            self._losses += self._local.losses
            self._local.close(wait=False)
            self._local = None
