"""A lane: teams of workers, one after the other, and what to do when one of them is lost or late.

A lane has one team at a time (a generation), and a ticket for every job that the team has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, field

from watcher.model import Blame, Failed, Job, Outcome, Result, WorkerReport
from watcher.pool.teams import Team
from watcher.pool.worker import News, Reply

BARREN_LIMIT = 6  # this many teams in a row that came to nothing are a fault of the program, not of a photo
BACKOFF_SECONDS = 0.25  # doubles with every barren team
LEAVE_SECONDS = 5.0  # how long idle workers may take to leave
NO_JOB = -1  # the number in a report that is about the team as a whole


@dataclass(slots=True, eq=False)
class _Ticket:
    """A job that a team has."""

    job: Job
    slot: int
    future: Future[Reply]
    submitted: float
    due: float  # when to look whether it is late
    team: Team

    def broken(self) -> bool:
        """Tell whether the team was lost with it."""
        future = self.future
        return future.done() and not future.cancelled() and isinstance(future.exception(), BrokenExecutor)


@dataclass(slots=True, kw_only=True)
class Lane:
    """Teams of the same size, one after the other; what comes back is put into `ready`."""

    make: Callable[[], Team]
    slots: int  # jobs that a team may have
    post: Callable[[WorkerReport], None]
    clock: Callable[[], float]
    timeout: float  # seconds that a job may take
    patience: float  # seconds that may pass before a job is begun, or a result is here, when nothing stands in the way
    generations: Iterator[int]
    recycle_after: int  # jobs that a team may do
    ready: list[Result] = field(default_factory=list)
    losses: int = 0  # workers that died or had to be ended
    closing: bool = False
    shut_until: float = 0.0  # backing off
    _team: Team | None = field(default=None, init=False)
    _generation: int = field(default=0, init=False)
    _vacant: list[int] = field(default_factory=list, init=False)
    _tickets: dict[int, _Ticket] = field(default_factory=dict, init=False)  # by the job's number
    _finished: int = field(default=0, init=False)  # jobs, by this team
    _barren: int = field(default=0, init=False)  # teams in a row that came to nothing, and no photo was to blame
    _leaving: list[Team] = field(default_factory=list, init=False)

    @property
    def busy(self) -> int:
        """How many jobs the team has."""
        return len(self._tickets)

    @property
    def room(self) -> int:
        """How many more it may be given now."""
        if self.closing or self.shut_until or self._finished >= self.recycle_after:
            return 0
        return self.slots - len(self._tickets)

    def undone(self) -> list[Future[Reply]]:
        """Give the futures that are open."""
        return [ticket.future for ticket in self._tickets.values() if not ticket.future.done()]

    def start(self) -> None:
        """Have a team, its workers starting."""
        if not self._team:
            try:
                self._open()
            except (BrokenExecutor, OSError) as error:
                self._lose(broken=True, cause=error)

    def submit(self, job: Job) -> None:
        """Hand `job` to the team; where that can't be done just now, it comes back at once."""
        for _ in range(2):  # a team that broke while it was idle is found out here
            try:
                team = self._team or self._open()
                slot = self._vacant.pop()
                future = team.submit(slot, job)
            except (BrokenExecutor, OSError) as error:
                self._lose(broken=True, cause=error)
                if self.shut_until:
                    break
                continue
            now = self.clock()
            self._tickets[job.number] = _Ticket(job, slot, future, now, now + self.timeout, team)
            self._report_when_done(future, job.number)
            return
        self.ready.append(Result(job, None))
        self.post(WorkerReport(job.number, self._generation))

    def take(self, report: WorkerReport) -> None:
        """Take in what `report` is about, if it is about this lane."""
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
        """Tell when to look again."""
        times = [ticket.due for ticket in self._tickets.values()]
        if self.shut_until:
            times.append(self.shut_until)
        return min(times, default=None)

    def check(self, now: float) -> None:
        """Give up a team that is broken, and whatever is late."""
        if self.shut_until <= now:
            self.shut_until = 0.0
        if any(ticket.broken() for ticket in self._tickets.values()):
            self._lose(broken=True)
        if not self._team:
            return
        due = [ticket for ticket in self._tickets.values() if ticket.due <= now]
        late = [ticket for ticket in due if self._is_late(self._team, ticket, now)]
        stuck = any(ticket.due <= now for ticket in due if ticket not in late)
        if not self._team.killable:
            self._forget(late)
        elif late or stuck:
            self._lose(broken=False, late=late)

    def retire(self) -> None:
        """Let the team go that has nothing to do."""
        if self._team:
            self._team.close()
            self._leaving.append(self._team)
        self._team = None
        self._finished = 0

    def close(self) -> None:
        """End the team, busy or not, and wait until everybody is gone."""
        broken = any(ticket.broken() for ticket in self._tickets.values())
        if broken or self.undone():
            self._lose(broken=broken)
        self.retire()
        for team in self._leaving:
            if not team.gone(LEAVE_SECONDS):
                team.kill()
        self._leaving.clear()

    def _open(self) -> Team:
        """Make a new team; raises BrokenExecutor, or OSError where no process can be had."""
        self._leaving = [team for team in self._leaving if not team.gone(0)]
        self._team = team = self.make()
        self._generation = generation = next(self.generations)
        self._vacant = list(range(self.slots))
        self._finished = 0
        team.start(lambda: self.post(WorkerReport(NO_JOB, generation)))
        return team

    def _report_when_done(self, future: Future[Reply], number: int) -> None:
        report = WorkerReport(number, self._generation)
        future.add_done_callback(lambda _: self.post(report))

    def _is_late(self, team: Team, ticket: _Ticket, now: float) -> bool:
        """Tell whether a job takes too long, and set when to look again; in the past: nothing explains the silence."""
        began, ended = team.times(ticket.slot) or (ticket.submitted, 0.0)
        if ticket.future.done():  # a report of it is on its way
            ticket.due = now + self.patience
        elif ended:  # its result should have been here at once
            ticket.due = ended + self.patience
        elif began:
            ticket.due = began + self.timeout
            return ticket.due <= now
        else:  # Jobs are begun in turn. So it can wait for one other at the most, and that is ended when it is late.
            ticket.due = min(ticket.submitted + self.timeout + self.patience, now + self.timeout)
        return False

    def _finish(self, ticket: _Ticket) -> None:
        """Take in a future that is done, and not because its team was lost."""
        self._vacant.append(ticket.slot)
        if ticket.future.cancelled():
            self.ready.append(Result(ticket.job, None))
        elif error := ticket.future.exception():
            reason = f"{type(error).__name__} in the executor: {error}"
            self.ready.append(self._result(ticket, Failed(reason, Blame.CRASH)))
        else:
            outcome, news = ticket.future.result()
            self.ready.append(self._result(ticket, outcome, news))
            self._finished += 1
            self._barren = 0

    def _result(self, ticket: _Ticket, outcome: Outcome | None, news: News = ()) -> Result:
        """Say with an outcome who worked on it, and for how long."""
        began, ended = ticket.team.times(ticket.slot) or (0.0, 0.0)
        if not began:
            return Result(ticket.job, outcome, news)
        seconds = max(0.0, (ended or self.clock()) - began)
        return Result(ticket.job, outcome, news, ticket.team.pid(ticket.slot), seconds)

    def _forget(self, late: Collection[_Ticket]) -> None:
        """Stop waiting for jobs that nobody can end."""
        for ticket in late:
            del self._tickets[ticket.job.number]
            self._vacant.append(ticket.slot)
            self.ready.append(Result(ticket.job, None if ticket.future.cancel() else self._too_long()))

    def _lose(self, *, broken: bool, late: Collection[_Ticket] = (), cause: Exception | None = None) -> None:
        """Give up the team, `broken` or not, and find out whose job is to blame: dead workers', and the `late` ones."""
        team, self._team = self._team, None
        tickets, self._tickets = list(self._tickets.values()), {}
        self._generation = 0
        toll = team.kill() if team else {}
        if team:
            self._leaving.append(team)
        blamed = 0
        for ticket in tickets:
            if ticket.future.done() and not ticket.broken():
                self._finish(ticket)
                continue
            outcome: Failed | None = None
            if toll and ticket.slot in toll:
                outcome = Failed(f"the worker {toll[ticket.slot]} while it worked on this photo", Blame.CRASH)
            elif ticket in late:
                outcome = self._too_long()
            elif broken and toll is None and team and team.times(ticket.slot) != (0.0, 0.0):
                among = "" if len(tickets) == 1 else f", or on one of {len(tickets) - 1} others"
                outcome = Failed(f"a worker was lost while it worked on this photo{among}", Blame.CRASH)
            blamed += outcome is not None
            self.ready.append(self._result(ticket, outcome))
        if not self.closing:
            self.losses += 1 if broken and toll is None else max(1, blamed)
            # whoever ends an idle worker from outside does not make its team barren
            fruitful = blamed or self._finished or (not tickets and team and team.born())
            self._back_off(0 if fruitful else self._barren + 1, cause)

    def _back_off(self, barren: int, cause: Exception | None) -> None:
        self._barren = barren
        if barren >= BARREN_LIMIT:
            raise RuntimeError(
                f"no photo can be worked on: {barren} times in a row the workers ended before they had done anything"
                " (what they said of it is on standard error)"
            ) from cause
        if barren:
            self.shut_until = self.clock() + BACKOFF_SECONDS * 2 ** (barren - 1)

    def _too_long(self) -> Failed:
        return Failed(f"took longer than {self.timeout:g} s in a worker (timeout_seconds)", Blame.TIMEOUT)
