"""The supervisor of executors, one after the other: what to do when one of them is lost or late.

It has one executor at a time (a generation), and knows the bundles of jobs that the executor has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, field

from watcher.core.messages import WorkerReport
from watcher.core.types import Failed, FailureKind, Job, Outcome, Result
from watcher.errors import WorkersError
from watcher.pool.executors import Processes
from watcher.pool.worker import Messages, Reply, Times

START_FAILURE_LIMIT = 6  # this many start failures in a row are a fault of the program, not of a photo
BACKOFF_SECONDS = 0.25  # doubles with every start failure
LONGEST_BACKOFF = 30.0  # seconds, while the system has no resources or no permission for workers
LEAVE_SECONDS = 5.0  # how long idle workers may take to exit
NO_JOB = -1  # the number in a report that is about the executor as a whole


@dataclass(slots=True, eq=False)
class _InFlight:
    """A bundle of jobs that an executor has; one worker does them in turn, then publishes them together."""

    jobs: Sequence[Job]
    slot: int
    future: Future[Reply]
    submitted: float
    due: float  # when to check whether it is late
    executor: Processes

    def broken(self) -> bool:
        """Return whether the executor was lost with it."""
        future = self.future
        return future.done() and not future.cancelled() and isinstance(future.exception(), BrokenExecutor)

    def times(self) -> list[Times]:
        """Return the progress of each job."""
        return self.executor.times(self.slot, len(self.jobs))

    def suspects(self) -> list[Job]:
        """Return the jobs that its worker is at: the one that it makes, or all of them while they are published."""
        begun = [(job, time) for job, time in zip(self.jobs, self.times(), strict=True) if time.began]
        making = [job for job, time in begun if not time.made]
        return making or [job for job, _ in begun]


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Executors of the same size, one after the other; results are put into `ready`."""

    make: Callable[[], Processes]
    slots: int  # bundles of jobs that an executor may have
    post: Callable[[WorkerReport], None]
    clock: Callable[[], float]
    timeout: float  # seconds that a job may take
    grace: float  # seconds that may pass before a job is begun, or a result arrives, when nothing delays it
    generations: Iterator[int]
    recycle_after: int  # jobs that an executor may do
    ready: list[Result] = field(default_factory=list)
    losses: int = 0  # workers that died or had to be ended
    closing: bool = False
    shut_until: float = 0.0  # backing off
    shortage: str = ""  # why no worker can be started, if the cause is the system and may pass
    _executor: Processes | None = field(default=None, init=False)
    _generation: int = field(default=0, init=False)
    _vacant: list[int] = field(default_factory=list, init=False)
    _in_flight: dict[int, _InFlight] = field(default_factory=dict, init=False)  # by the first job's number
    _finished: int = field(default=0, init=False)  # jobs, by this executor
    _start_failures: int = field(default=0, init=False)  # start failures in a row, none of them caused by a photo
    _leaving: list[Processes] = field(default_factory=list, init=False)

    @property
    def gave_up(self) -> bool:
        """Whether workers have been refused so often that a single run should end."""
        return bool(self.shortage) and self._start_failures >= START_FAILURE_LIMIT

    @property
    def busy(self) -> int:
        """How many bundles the executor has."""
        return len(self._in_flight)

    @property
    def jobs(self) -> int:
        """How many jobs the executor has."""
        return sum(len(bundle.jobs) for bundle in self._in_flight.values())

    @property
    def free_slots(self) -> int:
        """How many more bundles may be submitted now."""
        if self.closing or self.shut_until or self._finished >= self.recycle_after:
            return 0
        return self.slots - len(self._in_flight)

    def undone(self) -> list[Future[Reply]]:
        """Return the futures that are not done."""
        return [bundle.future for bundle in self._in_flight.values() if not bundle.future.done()]

    def start(self) -> None:
        """Open an executor, if there is none, and begin to start its workers."""
        if not self._executor:
            try:
                self._open()
            except (BrokenExecutor, OSError) as error:
                self._lose(broken=True, cause=error)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Submit a bundle to the executor; if that can't be done now, it comes back at once."""
        number = jobs[0].number
        for _ in range(2):  # an executor that broke while it was idle is detected here
            try:
                executor = self._executor or self._open()
                slot = self._vacant.pop()
                future = executor.submit(slot, jobs)
            except (BrokenExecutor, OSError) as error:
                self._lose(broken=True, cause=error)
                if self.shut_until:
                    break
                continue
            now = self.clock()
            self._in_flight[number] = _InFlight(jobs, slot, future, now, now + self.timeout, executor)
            self._report_when_done(future, number)
            return
        self.ready += [Result(job, None) for job in jobs]
        self.post(WorkerReport(number, self._generation))

    def take(self, report: WorkerReport) -> None:
        """Handle `report`, if it is about this supervisor."""
        if report.generation != self._generation:
            return
        bundle = self._in_flight.get(report.number)
        if bundle and not bundle.broken():
            del self._in_flight[report.number]
            self._finish(bundle)
            if self._finished >= self.recycle_after and not self._in_flight:
                self.retire()
        elif self._executor and (bundle or report.number == NO_JOB):
            self._lose(broken=True)

    def deadline(self) -> float | None:
        """Return when to check again."""
        times = [bundle.due for bundle in self._in_flight.values()]
        if self.shut_until:
            times.append(self.shut_until)
        return min(times, default=None)

    def check(self, now: float) -> None:
        """Give up an executor that is broken, and all that is late."""
        if self.shut_until <= now:
            self.shut_until = 0.0
        if any(bundle.broken() for bundle in self._in_flight.values()):
            self._lose(broken=True)
        if not self._executor:
            if self.shortage and not self.shut_until and not self.closing:
                self.start()
            return
        due = [bundle for bundle in self._in_flight.values() if bundle.due <= now]
        late = {bundle.jobs[0].number: jobs for bundle in due if (jobs := self._late(bundle, now))}
        stuck = any(bundle.due <= now for bundle in due if bundle.jobs[0].number not in late)
        if late or stuck:
            self._lose(broken=False, late=[job for jobs in late.values() for job in jobs])

    def retire(self) -> None:
        """Begin to end the executor, which has nothing to do."""
        if self._executor:
            self._executor.close()
            self._leaving.append(self._executor)
        self._executor = None
        self._finished = 0

    def close(self) -> None:
        """End the executor, busy or not, and wait until all its workers have ended."""
        broken = any(bundle.broken() for bundle in self._in_flight.values())
        if broken or self.undone():
            self._lose(broken=broken)
        self.retire()
        for executor in self._leaving:
            if not executor.gone(LEAVE_SECONDS):
                executor.kill()
        self._leaving.clear()

    def _open(self) -> Processes:
        """Make a new executor; raises BrokenExecutor, or OSError if no process can be started."""
        self._leaving = [executor for executor in self._leaving if not executor.gone(0)]
        self._executor = executor = self.make()
        self._generation = generation = next(self.generations)
        self._vacant = list(range(self.slots))
        self._finished = 0
        executor.start(lambda: self.post(WorkerReport(NO_JOB, generation)))
        self.shortage = ""
        return executor

    def _report_when_done(self, future: Future[Reply], number: int) -> None:
        report = WorkerReport(number, self._generation)
        future.add_done_callback(lambda _: self.post(report))

    def _late(self, bundle: _InFlight, now: float) -> list[Job]:
        """Return the jobs that take too long, and set when to check again; in the past: nothing explains the delay."""
        times = bundle.times()
        last = max(map(max, times))
        if bundle.future.done():  # a report of it has been posted
            bundle.due = now + self.grace
        elif times[-1].ended:  # its result should have arrived at once
            bundle.due = last + self.grace
        elif last:
            bundle.due = last + self.timeout
            return bundle.suspects() if bundle.due <= now else []
        else:  # Bundles are begun in turn: it waits for others, and a worker that delays one of those is ended.
            signs = (max(time) for other in self._in_flight.values() for time in other.times())
            bundle.due = max(bundle.submitted, *signs) + self.timeout + self.grace
        return []

    def _finish(self, bundle: _InFlight) -> None:
        """Handle a future that is done, and not because its executor was lost."""
        self._vacant.append(bundle.slot)
        if bundle.future.cancelled():
            self.ready += [Result(job, None) for job in bundle.jobs]
        elif error := bundle.future.exception():
            failed = Failed(f"{type(error).__name__} in the executor: {error}", FailureKind.CRASH)
            self.ready += self._results(bundle, [failed] * len(bundle.jobs))
        else:
            self.ready += self._results(bundle, *bundle.future.result())
            self._finished += len(bundle.jobs)
            self._start_failures = 0

    def _results(
        self, bundle: _InFlight, outcomes: Sequence[Outcome | None], messages: Messages = ()
    ) -> Iterator[Result]:
        """Yield each outcome with the pid of the worker that worked on it, and for how long."""
        pid = bundle.executor.pid(bundle.slot)
        for job, outcome, time in zip(bundle.jobs, outcomes, bundle.times(), strict=True):
            if time.began:
                end = time.made or time.ended or self.clock()
                yield Result(job, outcome, messages, pid, max(0.0, end - time.began))
            else:
                yield Result(job, outcome, messages)
            messages = ()

    def _lose(self, *, broken: bool, late: Collection[Job] = (), cause: Exception | None = None) -> None:
        """Give up the executor, `broken` or not; find the jobs at fault: those of dead workers, and the `late` ones."""
        executor, self._executor = self._executor, None
        bundles, self._in_flight = list(self._in_flight.values()), {}
        self._generation = 0
        exit_reasons = executor.kill() if executor else {}
        if executor:
            self._leaving.append(executor)
        too_long = Failed(f"took longer than {self.timeout:g} s in a worker (timeout_seconds)", FailureKind.TIMEOUT)
        failures = {job.number: too_long for job in late}
        lost = [bundle for bundle in bundles if not bundle.future.done() or bundle.broken()]
        at = {bundle.slot: bundle.suspects() for bundle in lost}
        others = sum(map(len, at.values())) - 1
        for slot, suspects in at.items():
            ending = None if exit_reasons is None else exit_reasons.get(slot)
            if ending or (broken and exit_reasons is None):
                among = "" if ending or not others else f", or on one of {others} others"
                reason = f"the worker {ending}" if ending else "a worker was lost"
                failed = Failed(f"{reason} while it worked on this photo{among}", FailureKind.CRASH)
                failures |= {job.number: failed for job in suspects}
        for bundle in bundles:
            if bundle in lost:
                self.ready += self._results(bundle, [failures.get(job.number) for job in bundle.jobs])
            else:
                self._finish(bundle)
        if not self.closing:
            at_fault = sum(any(job.number in failures for job in bundle.jobs) for bundle in lost)
            self.losses += 1 if broken and exit_reasons is None else max(1, at_fault)
            # an idle worker that is ended from outside is not a start failure
            worked = failures or self._finished or (not bundles and executor and executor.born())
            self._back_off(0 if worked else self._start_failures + 1, cause)

    def _back_off(self, start_failures: int, cause: Exception | None) -> None:
        self._start_failures = start_failures
        if start_failures and isinstance(cause, OSError) and not isinstance(cause, ConnectionError):
            self.shortage = f"no worker can be started: {cause.strerror or cause}"
            self.shut_until = self.clock() + min(BACKOFF_SECONDS * 2 ** min(start_failures - 1, 16), LONGEST_BACKOFF)
            return
        if start_failures >= START_FAILURE_LIMIT:
            why = f": {cause}" if cause else ""
            raise WorkersError(
                f"worker processes keep exiting at start-up ({start_failures} attempts){why}. "
                "Their own messages are above."
            ) from cause
        if start_failures:
            self.shut_until = self.clock() + BACKOFF_SECONDS * 2 ** (start_failures - 1)
