"""The cluster as a pool of the daemon: its size follows the workers that are there; see `engine.ports.Pool`."""

from __future__ import annotations

import itertools
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from watcher.cluster.connection import Answered, Away, Broken, Connection, Event
from watcher.cluster.membership import Members
from watcher.cluster.remote import Answer, Serve
from watcher.cluster.settings import Target
from watcher.core.messages import WorkerReport
from watcher.core.status import ExecutorStatus
from watcher.core.types import Failed, FailureKind, Job, Outcome, Result

PER_THREAD = 2  # bundles: one runs, and the next is ready to run
BUNDLE = 8  # jobs that may be submitted together
START_SECONDS = 60.0  # that a worker may take to be ready
GENERATION = -1  # in the reports of this pool: no local executor has this number
_BELONGS_TO_A_MACHINE = {
    FailureKind.PASSING,
    FailureKind.DISK_FULL,
    FailureKind.INBOX,
    FailureKind.OUTPUT,
    FailureKind.CRASH,
    FailureKind.TIMEOUT,
}

Say = Callable[..., object]


@dataclass(frozen=True, slots=True)
class _InFlight:
    """A bundle in flight."""

    jobs: Sequence[Job]
    submitted: float


class Cluster:
    """Dask workers that turn jobs into outcomes. Every job comes back, whatever becomes of its worker.

    All methods belong to one thread. `post` is called from another one, once per event, and must do no more than
    enqueue. A job may take `timeout_seconds` in a worker. With `give_up_seconds`, that is the longest wait for an
    unavailable cluster.
    """

    def __init__(
        self,
        target: Target,
        serve: Serve,
        *,
        post: Callable[[WorkerReport], None],
        timeout_seconds: float,
        say: Callable[[str], Say],
        give_up_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = target.place
        self._paths = target.paths
        self._post = post
        self._clock = clock
        self._say = say
        self._give_up_after = give_up_seconds
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._link = Connection(target, serve, timeout_seconds, self._enqueue)
        self._numbers = itertools.count(1)
        self._in_flight: dict[int, _InFlight] = {}
        self._ready: list[Result] = []
        self._fit: Mapping[str, int] = {}
        self._unfit: Mapping[str, str] = {}
        self._lost_at: tuple[float, float] | None = None  # monotonic, wall: since when no worker can be given work
        self._why = "it was not reached yet"
        self._reported = False  # whether the loss was reported
        self._last_answer = 0.0
        self._closing = False
        self.losses = 0
        self.liveness_seconds = PER_THREAD * BUNDLE * timeout_seconds + START_SECONDS
        """How long at most nothing may come back while there is work: then all of it is taken back by `check`."""

    # ---- state ----

    @property
    def threads(self) -> int:
        """How many photos can be made at the same time."""
        return sum(self._fit.values())

    @property
    def there(self) -> bool:
        """Whether any worker can be given work."""
        return self.threads > 0

    @property
    def free(self) -> int:
        """How many more bundles may be submitted now."""
        return 0 if self._closing else max(0, PER_THREAD * self.threads - len(self._in_flight))

    @property
    def in_flight(self) -> int:
        """The number of jobs in flight."""
        return sum(len(bundle.jobs) for bundle in self._in_flight.values())

    @property
    def gave_up(self) -> bool:
        """Whether to stop waiting for the cluster."""
        waited = 0.0 if self._lost_at is None else self._clock() - self._lost_at[0]
        return self._give_up_after is not None and waited >= self._give_up_after

    def info(self) -> ExecutorStatus:
        """Return what `status` shows of the cluster."""
        return ExecutorStatus(
            kind="dask",
            address=self._place,
            workers=len(self._fit),
            threads=self.threads,
            away_since=None if self._lost_at is None or not self._reported else self._lost_at[1],
            reason=self._why if self._reported else "",
            unfit=dict(self._unfit),
        )

    @property
    def unavailable_reason(self) -> str:
        """The reason, in a sentence, why no photo can be made; empty: photos can be made."""
        return f"the Dask cluster at {self._place} is away: {self._why}" if self._reported else ""

    # ---- work ----

    def start(self) -> None:
        """Begin to connect to the scheduler. Do not wait for it."""
        self._lost_at = self._clock(), time.time()
        self._link.start()

    def bundle_size(self, waiting: int) -> int:
        """Return how many of the waiting jobs are best submitted together: few, where more would leave workers idle."""
        return max(1, min(BUNDLE, waiting // max(1, 2 * PER_THREAD * self.threads)))

    def submit(self, *jobs: Job) -> None:
        """Submit a bundle of jobs. A job that must run alone is a bundle of its own: no other shares its process."""
        if self._closing:
            raise RuntimeError("the pool is closed")
        number = next(self._numbers)
        self._in_flight[number] = _InFlight(jobs, self._clock())
        # The memory budget is this machine's. On the worker a bundle has a process to itself, so a crash there harms no
        # other bundle.
        self._link.submit(number, [replace(job, memory_bytes=0, alone=False) for job in jobs])

    def take(self, report: WorkerReport) -> list[Result]:
        """Return the results that have come back. Call it for every report that was posted."""
        if report.generation == GENERATION:
            while True:
                try:
                    self._handle(self._events.get_nowait())
                except queue.Empty:
                    break
        results, self._ready = self._ready, []
        return results

    def deadline(self) -> float | None:
        """Return when `check` must be called next, if nothing is reported before."""
        times = [self._overdue(bundle) for bundle in self._in_flight.values()]
        if self._give_up_after is not None and self._lost_at is not None and not self.gave_up:
            times.append(self._lost_at[0] + self._give_up_after)
        return min(times, default=None)

    def check(self, now: float) -> list[Result]:
        """Take back overdue jobs, and return the results."""
        for number, bundle in [] if self._closing else list(self._in_flight.items()):
            if self._overdue(bundle) <= now:
                self._link.take_back(number)
                self._back(self._in_flight.pop(number))
        results, self._ready = self._ready, []
        return results

    def close(self, *, wait: bool) -> list[Job]:
        """Close the pool, and return the jobs that were not done. They are not waited for, whatever `wait` says."""
        del wait
        self._closing = True
        self._link.close()
        left = [job for bundle in self._in_flight.values() for job in bundle.jobs]
        self._in_flight.clear()
        return left

    def _overdue(self, bundle: _InFlight) -> float:
        return max(bundle.submitted, self._last_answer) + self.liveness_seconds

    # ---- events of the connection's thread ----

    def _enqueue(self, event: Event) -> None:
        self._events.put(event)
        self._post(WorkerReport(0, GENERATION))

    def _handle(self, event: Event) -> None:
        match event:
            case Answered(number, answer):
                bundle = self._in_flight.pop(number, None)
                if bundle is not None:  # else it was taken back, and the late answer is ignored
                    self._settle(bundle, answer)
            case Members(fit, unfit):
                self._take_on(fit, unfit)
            case Away(reason):
                self._lose(reason)

    def _settle(self, bundle: _InFlight, answer: Answer | Broken | None) -> None:
        match answer:
            case None:
                self._back(bundle)
            case Broken(what):
                self.losses += 1
                others = f", or on one of {len(bundle.jobs) - 1} others" if len(bundle.jobs) > 1 else ""
                reason = f"{what} on this photo{others}"
                self._ready += [Result(job, Failed(reason, FailureKind.CRASH)) for job in bundle.jobs]
            case Answer(host=host, results=results):
                self._last_answer = self._clock()
                ours = {job.number: job for job in bundle.jobs}
                for result in results:
                    job = ours.pop(result.job.number)
                    outcome = _with_host(host, self._paths.homeward(job, result.outcome))
                    self._ready.append(replace(result, job=job, outcome=outcome, host=host))
                self._ready += [Result(job, None) for job in ours.values()]

    def _back(self, bundle: _InFlight) -> None:
        self._ready += [Result(job, None) for job in bundle.jobs]

    def _take_on(self, fit: Mapping[str, int], unfit: Mapping[str, str]) -> None:
        for worker in unfit.keys() - self._unfit.keys():
            self._say("warning")("executor.unfit", worker=worker, reason=unfit[worker])
        before, self._fit, self._unfit = self._fit, fit, unfit
        if not fit:
            self._lose(_none_fits(unfit))
            return
        now = {"address": self._place, "workers": len(fit), "threads": self.threads}
        if self._lost_at is None:
            if before != fit:
                self._say("info")("executor.workers", **now)
        elif self._reported:
            away = round(self._clock() - self._lost_at[0], 1)
            self._say("info")("executor.back", **now, away_seconds=away)
        else:
            self._say("info")("executor.ready", **now)
        self._lost_at, self._reported = None, False

    def _lose(self, reason: str) -> None:
        if self._lost_at is None:
            self._lost_at = self._clock(), time.time()
        self._fit, self._why = {}, reason
        if not self._reported:
            self._reported = True
            self._say("warning")("executor.lost", address=self._place, reason=reason)


def _none_fits(unfit: Mapping[str, str]) -> str:
    if not unfit:
        return "the scheduler has no workers"
    worker, reason = next(iter(unfit.items()))
    return f"none of its workers can do the work; {worker}: {reason}"


def _with_host(host: str, outcome: Outcome | None) -> Outcome | None:
    """Add the host to the reason of a failure that may be the fault of a machine."""
    if isinstance(outcome, Failed) and outcome.kind in _BELONGS_TO_A_MACHINE:
        return replace(outcome, reason=f"{outcome.reason} (on {host})")
    return outcome
