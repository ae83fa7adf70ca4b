"""The supervisor of executors, one after the other: what to do when one of them is lost or late.

It has one executor at a time (a generation), and a ticket for every bundle of jobs that the executor has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, field

from watcher.core.types import Failed, FailureKind, Job, Outcome, Result, WorkerReport
from watcher.errors import WorkersError
from watcher.pool.executors import Team
from watcher.pool.worker import Broadcaster, Reply, Times

BARREN_LIMIT = 6  # this many start failures in a row are a fault of the program, not of a photo
BACKOFF_SECONDS = 0.25  # doubles with every start failure
LONGEST_BACKOFF = 30.0  # seconds, while the system has no resources or no permission for workers
LEAVE_SECONDS = 5.0  # how long idle workers may take to exit
NO_JOB = -1  # the number in a report that is about the executor as a whole


@dataclass(slots=True, eq=False)
class _Ticket:
    """A bundle of jobs that an executor has; one worker does them in turn, then publishes them together."""

    jobs: Sequence[Job]
    slot: int
    future: Future[Reply]
    submitted: float
    due: float  # when to check whether it is late
    team: Team

    def broken(self) -> bool:
        """Return whether the executor was lost with it."""
        future = self.future
        return future.done() and not future.cancelled() and isinstance(future.exception(), BrokenExecutor)

    def suspects(self, times: Sequence[Times] | None) -> list[Job]:
        """Return the jobs that its worker is at: the one that it makes, or all of them while they are published."""
        if times is None:
            return list(self.jobs)
        begun = [(job, time) for job, time in zip(self.jobs, times, strict=True) if time.began]
        making = [job for job, time in begun if not time.made]
        return making or [job for job, _ in begun]


@dataclass(slots=True, kw_only=True)
class Lane:
    """Executors of the same size, one after the other; results are put into `ready`."""

    make: Callable[[], Team]
    slots: int  # bundles of jobs that an executor may have
    post: Callable[[WorkerReport], None]
    clock: Callable[[], float]
    timeout: float  # seconds that a job may take
    patience: float  # seconds that may pass before a job is begun, or a result arrives, when nothing delays it
    generations: Iterator[int]
    recycle_after: int  # jobs that an executor may do
    ready: list[Result] = field(default_factory=list)
    losses: int = 0  # workers that died or had to be ended
    closing: bool = False
    shut_until: float = 0.0  # backing off
    shortage: str = ""  # why no worker can be started, if the cause is the system and may pass
    _team: Team | None = field(default=None, init=False)
    _generation: int = field(default=0, init=False)
    _vacant: list[int] = field(default_factory=list, init=False)
    _tickets: dict[int, _Ticket] = field(default_factory=dict, init=False)  # by the first job's number
    _finished: int = field(default=0, init=False)  # jobs, by this executor
    _barren: int = field(default=0, init=False)  # start failures in a row, none of them caused by a photo
    _leaving: list[Team] = field(default_factory=list, init=False)

    @property
    def gave_up(self) -> bool:
        """Whether workers have been refused so often that a single run should end."""
        return bool(self.shortage) and self._barren >= BARREN_LIMIT

    @property
    def busy(self) -> int:
        """How many bundles the executor has."""
        return len(self._tickets)

    @property
    def jobs(self) -> int:
        """How many jobs the executor has."""
        return sum(len(ticket.jobs) for ticket in self._tickets.values())

    @property
    def room(self) -> int:
        """How many more bundles may be submitted now."""
        if self.closing or self.shut_until or self._finished >= self.recycle_after:
            return 0
        return self.slots - len(self._tickets)

    def undone(self) -> list[Future[Reply]]:
        """Return the futures that are not done."""
        return [ticket.future for ticket in self._tickets.values() if not ticket.future.done()]

    def start(self) -> None:
        """Open an executor, if there is none, and begin to start its workers."""
        if not self._team:
            try:
                self._open()
            except (BrokenExecutor, OSError) as error:
                self._lose(broken=True, cause=error)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Submit a bundle to the executor; if that can't be done now, it comes back at once."""
        number = jobs[0].number
        for _ in range(2):  # an executor that broke while it was idle is detected here
            try:
                team = self._team or self._open()
                slot = self._vacant.pop()
                future = team.submit(slot, jobs)
            except (BrokenExecutor, OSError) as error:
                self._lose(broken=True, cause=error)
                if self.shut_until:
                    break
                continue
            now = self.clock()
            self._tickets[number] = _Ticket(jobs, slot, future, now, now + self.timeout, team)
            self._report_when_done(future, number)
            return
        self.ready += [Result(job, None) for job in jobs]
        self.post(WorkerReport(number, self._generation))

    def take(self, report: WorkerReport) -> None:
        """Handle `report`, if it is about this supervisor."""
        if report.generation != self._generation:
            return
        ticket = self._tickets.get(report.number)
        if ticket and not ticket.broken():
            del self._tickets[report.number]
            self._finish(ticket)
            if self._finished >= self.recycle_after and not self._tickets:
                self.retire()
        elif self._team and (ticket or report.number == NO_JOB):
            self._lose(broken=True)

    def deadline(self) -> float | None:
        """Return when to check again."""
        times = [ticket.due for ticket in self._tickets.values()]
        if self.shut_until:
            times.append(self.shut_until)
        return min(times, default=None)

    def check(self, now: float) -> None:
        """Give up an executor that is broken, and all that is late."""
        if self.shut_until <= now:
            self.shut_until = 0.0
        if any(ticket.broken() for ticket in self._tickets.values()):
            self._lose(broken=True)
        if not self._team:
            if self.shortage and not self.shut_until and not self.closing:
                self.start()
            return
        due = [ticket for ticket in self._tickets.values() if ticket.due <= now]
        late = {ticket.jobs[0].number: jobs for ticket in due if (jobs := self._late(self._team, ticket, now))}
        stuck = any(ticket.due <= now for ticket in due if ticket.jobs[0].number not in late)
        if not self._team.killable:
            self._forget(late)
        elif late or stuck:
            self._lose(broken=False, late=[job for jobs in late.values() for job in jobs])

    def retire(self) -> None:
        """Begin to end the executor, which has nothing to do."""
        if self._team:
            self._team.close()
            self._leaving.append(self._team)
        self._team = None
        self._finished = 0

    def close(self) -> None:
        """End the executor, busy or not, and wait until all its workers have ended."""
        broken = any(ticket.broken() for ticket in self._tickets.values())
        if broken or self.undone():
            self._lose(broken=broken)
        self.retire()
        for team in self._leaving:
            if not team.gone(LEAVE_SECONDS):
                team.kill()
        self._leaving.clear()

    def _open(self) -> Team:
        """Make a new executor; raises BrokenExecutor, or OSError if no process can be started."""
        self._leaving = [team for team in self._leaving if not team.gone(0)]
        self._team = team = self.make()
        self._generation = generation = next(self.generations)
        self._vacant = list(range(self.slots))
        self._finished = 0
        team.start(lambda: self.post(WorkerReport(NO_JOB, generation)))
        self.shortage = ""
        return team

    def _report_when_done(self, future: Future[Reply], number: int) -> None:
        report = WorkerReport(number, self._generation)
        future.add_done_callback(lambda _: self.post(report))

    def _late(self, team: Team, ticket: _Ticket, now: float) -> list[Job]:
        """Return the jobs that take too long, and set when to check again; in the past: nothing explains the delay."""
        times = team.times(ticket.slot, len(ticket.jobs)) or [Times(ticket.submitted, 0.0, 0.0)] * len(ticket.jobs)
        last = max(map(max, times))
        if ticket.future.done():  # a report of it has been posted
            ticket.due = now + self.patience
        elif times[-1].ended:  # its result should have arrived at once
            ticket.due = last + self.patience
        elif last:
            ticket.due = last + self.timeout
            return ticket.suspects(times) if ticket.due <= now else []
        else:  # Bundles are begun in turn: it waits for others, and a worker that delays one of those is ended.
            ticket.due = max(ticket.submitted, self._last_sign(team)) + self.timeout + self.patience
        return []

    def _last_sign(self, team: Team) -> float:
        """Return when any worker last recorded its progress."""
        tickets = self._tickets.values()
        return max((max(time) for t in tickets for time in team.times(t.slot, len(t.jobs)) or ()), default=0.0)

    def _finish(self, ticket: _Ticket) -> None:
        """Handle a future that is done, and not because its executor was lost."""
        self._vacant.append(ticket.slot)
        if ticket.future.cancelled():
            self.ready += [Result(job, None) for job in ticket.jobs]
        elif error := ticket.future.exception():
            failed = Failed(f"{type(error).__name__} in the executor: {error}", FailureKind.CRASH)
            self.ready += self._results(ticket, [failed] * len(ticket.jobs))
        else:
            self.ready += self._results(ticket, *ticket.future.result())
            self._finished += len(ticket.jobs)
            self._barren = 0

    def _results(self, ticket: _Ticket, outcomes: Sequence[Outcome | None], news: Broadcaster = ()) -> Iterator[Result]:
        """Yield each outcome with the pid of the worker that worked on it, and for how long."""
        pid = ticket.team.pid(ticket.slot)
        times = ticket.team.times(ticket.slot, len(ticket.jobs)) or [Times(0.0, 0.0, 0.0)] * len(ticket.jobs)
        for job, outcome, time in zip(ticket.jobs, outcomes, times, strict=True):
            if time.began:
                end = time.made or time.ended or self.clock()
                yield Result(job, outcome, news, pid, max(0.0, end - time.began))
            else:
                yield Result(job, outcome, news)
            news = ()

    def _forget(self, late: Collection[int]) -> None:
        """Stop waiting for jobs that can't be ended."""
        for number in late:
            ticket = self._tickets.pop(number)
            self._vacant.append(ticket.slot)
            outcome = None if ticket.future.cancel() else self._too_long()
            self.ready += [Result(job, outcome) for job in ticket.jobs]

    def _lose(self, *, broken: bool, late: Collection[Job] = (), cause: Exception | None = None) -> None:
        """Give up the executor, `broken` or not; find the jobs at fault: those of dead workers, and the `late` ones."""
        team, self._team = self._team, None
        tickets, self._tickets = list(self._tickets.values()), {}
        self._generation = 0
        toll = team.kill() if team else {}
        if team:
            self._leaving.append(team)
        blamed: dict[int, Failed] = {job.number: self._too_long() for job in late}
        lost = [ticket for ticket in tickets if not ticket.future.done() or ticket.broken()]
        at = {ticket.slot: ticket.suspects(team.times(ticket.slot, len(ticket.jobs))) for ticket in lost if team}
        others = sum(map(len, at.values())) - 1
        for slot, suspects in at.items():
            ending = None if toll is None else toll.get(slot)
            if ending or (broken and toll is None):
                among = "" if ending or not others else f", or on one of {others} others"
                reason = f"the worker {ending}" if ending else "a worker was lost"
                failed = Failed(f"{reason} while it worked on this photo{among}", FailureKind.CRASH)
                blamed |= {job.number: failed for job in suspects}
        for ticket in tickets:
            if ticket in lost:
                self.ready += self._results(ticket, [blamed.get(job.number) for job in ticket.jobs])
            else:
                self._finish(ticket)
        if not self.closing:
            guilty = sum(any(job.number in blamed for job in ticket.jobs) for ticket in lost)
            self.losses += 1 if broken and toll is None else max(1, guilty)
            # an idle worker that is ended from outside is not a start failure
            fruitful = blamed or self._finished or (not tickets and team and team.born())
            self._back_off(0 if fruitful else self._barren + 1, cause)

    def _back_off(self, barren: int, cause: Exception | None) -> None:
        self._barren = barren
        if barren and isinstance(cause, OSError) and not isinstance(cause, ConnectionError):
            self.shortage = f"no worker can be started: {cause.strerror or cause}"
            self.shut_until = self.clock() + min(BACKOFF_SECONDS * 2 ** min(barren - 1, 16), LONGEST_BACKOFF)
            return
        if barren >= BARREN_LIMIT:
            why = f": {cause}" if cause else ""
            raise WorkersError(
                f"No photo can be worked on: {barren} times in a row the workers ended before they did anything{why}"
                ". What they said of it is above."
            ) from cause
        if barren:
            self.shut_until = self.clock() + BACKOFF_SECONDS * 2 ** (barren - 1)

    def _too_long(self) -> Failed:
        return Failed(f"took longer than {self.timeout:g} s in a worker (timeout_seconds)", FailureKind.TIMEOUT)
