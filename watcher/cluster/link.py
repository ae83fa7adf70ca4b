"""The line to the scheduler, on a thread of its own: it is held, lost, and taken up again.

What happens is told as events, in order. Each bundle that was submitted is answered exactly once (`Answered`), whatever
becomes of the line; no event of any other kind says anything about a bundle.
"""

from __future__ import annotations

import asyncio
import pickle
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from distributed import Client, Future
from distributed.scheduler import KilledWorker

from watcher import __version__
from watcher.cluster.dialling import CLOSE_SECONDS, be_quiet, connected, end, words
from watcher.cluster.fitness import misfit
from watcher.cluster.target import Target
from watcher.cluster.tasks import Answer, Serve, introduce, later, missing, perform
from watcher.model import Job

SHORTEST, LONGEST = 0.5, 30.0  # seconds between two tries; doubles
LOOK_SECONDS = 1.0  # how often the crew is asked for
SILENCE_SECONDS = 20.0  # a scheduler that takes longer to answer is lost
REST_SECONDS = 5.0  # how long a misfit is left out; doubles
LONGEST_REST = 300.0


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers that can be given work, by address, with their threads; those that can't, with the reason."""

    fit: Mapping[str, int]
    unfit: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Away:
    """The scheduler can't be reached, or is no longer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Killed:
    """One worker after the other died with this bundle."""

    workers: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A bundle is back; `answer` None: undone, and nobody is to blame."""

    number: int
    answer: Answer | Killed | None


Event = Crew | Away | Answered


@dataclass(slots=True)
class _Rest:
    """A misfit is left out until then."""

    until: float
    seconds: float
    reason: str


@dataclass(slots=True, eq=False)
class _Errand:
    """A bundle that is out."""

    number: int
    jobs: Sequence[Job]
    among: frozenset[str]  # the workers that may have it; empty: all
    future: Future[Answer] | None = None
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Link:
    """Holds the line. Its methods belong to any one thread; `tell` is called from the line's own."""

    target: Target
    serve: Serve
    timeout: float
    tell: Callable[[Event], None]
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _main: asyncio.Task[None] | None = field(default=None, init=False)
    _client: Client | None = field(default=None, init=False)
    _crew: dict[str, int] = field(default_factory=dict, init=False)
    _refusals: dict[str, str] = field(default_factory=dict, init=False)  # by worker; empty: it may work
    _resting: dict[str, _Rest] = field(default_factory=dict, init=False)
    _told: Crew | None = field(default=None, init=False)
    _errands: dict[int, _Errand] = field(default_factory=dict, init=False)
    _nudge: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _token: str = field(default_factory=lambda: f"watcher-{random.getrandbits(48):012x}", init=False)

    def start(self) -> None:
        """Begin to look for the scheduler."""
        be_quiet()
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)
        self._thread.start()

    def submit(self, number: int, jobs: Sequence[Job]) -> None:
        """Hand out a bundle."""
        self._loop.call_soon_threadsafe(self._begin, number, jobs)

    def take_back(self, number: int) -> None:
        """Stop waiting for a bundle; it is answered with None."""
        self._loop.call_soon_threadsafe(self._drop, number)

    def close(self) -> None:
        """End the line, and what is out with it; does not wait for any work."""
        if self._thread is None:
            self._loop.close()
        elif self._thread.is_alive():
            self._loop.call_soon_threadsafe(lambda: self._main and self._main.cancel())
            self._thread.join(2 * CLOSE_SECONDS)

    # ---- everything below runs in the line's own thread ----

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._main = self._loop.create_task(self._hold())
        try:
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass
        finally:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    async def _hold(self) -> None:
        """Reach the scheduler again and again, for ever."""
        pause = SHORTEST
        while True:
            try:
                client = await connected(self.target)
            except Exception as error:  # noqa: BLE001 - Dask raises what it likes, and all of it means: not now
                self.tell(Away(words(error)))
            else:
                pause = SHORTEST
                self.tell(Away(await self._work(client)))
            await asyncio.sleep(pause * (1 + random.random() / 4))  # noqa: S311 - spreads tries, guards nothing
            pause = min(2 * pause, LONGEST)

    async def _work(self, client: Client) -> str:
        """Work through `client` until the scheduler is lost; why it was."""
        self._client = client
        try:
            while True:
                if client.status != "running" or client.scheduler is None:
                    return "the connection was lost"
                crew = await asyncio.wait_for(client.scheduler.ncores(), SILENCE_SECONDS)
                await self._take_on(client, crew)
                self._look()
                with_nudge = asyncio.ensure_future(self._nudge.wait())
                await asyncio.wait([with_nudge], timeout=LOOK_SECONDS)
                with_nudge.cancel()
                self._nudge.clear()
        except Exception as error:  # noqa: BLE001 - see `_hold`
            return words(error)
        finally:
            self._client = None
            self._told = None
            self._crew.clear()
            self._refusals.clear()
            for errand in list(self._errands.values()):
                self._drop(errand.number)
            await asyncio.sleep(0)
            await end(client)

    # ---- the crew ----

    async def _take_on(self, client: Client, crew: Mapping[str, int]) -> None:
        """Let workers that are new say whether they can work for us."""
        self._crew = dict(crew)
        for gone in self._refusals.keys() - crew.keys():
            del self._refusals[gone]
            self._resting.pop(gone, None)
        new = [worker for worker in crew if worker not in self._refusals]
        if not new:
            return
        ask = client.run(pickle.loads, later(introduce, __version__), workers=new, on_error="return")
        said = await asyncio.wait_for(ask, SILENCE_SECONDS)
        for worker, answer in said.items():
            if isinstance(answer, str):
                self._refusals[worker] = answer
            elif isinstance(answer, ImportError | AttributeError):
                self._refusals[worker] = missing(answer)
            # any other error: it has just gone, or is asked again

    def _look(self) -> None:
        """Tell of the crew if it has changed, and take back what its workers can no longer do."""
        now = self._now()
        unfit = {worker: reason for worker, reason in self._refusals.items() if reason}
        unfit |= {worker: rest.reason for worker, rest in self._resting.items() if rest.until > now}
        fit = {worker: self._crew[worker] for worker in self._refusals if worker not in unfit}
        crew = Crew(fit, unfit)
        if crew != self._told:
            self._told = crew
            self.tell(crew)
        for errand in list(self._errands.values()):
            if not fit or (errand.among and not errand.among & fit.keys()):
                self._drop(errand.number)

    def _now(self) -> float:
        return self._loop.time()

    def _rest(self, worker: str, reason: str) -> None:
        """Leave a worker out for a while."""
        before = self._resting.get(worker)
        if before and before.until > self._now():
            return  # it had several bundles
        seconds = min(2 * before.seconds, LONGEST_REST) if before else REST_SECONDS
        self._resting[worker] = _Rest(self._now() + seconds, seconds, reason)
        self._look()

    # ---- bundles ----

    def _begin(self, number: int, jobs: Sequence[Job]) -> None:
        if self._client is None or self._told is None or not self._told.fit:
            self.tell(Answered(number, None))
            return
        among = frozenset(self._told.fit) if self._told.unfit else frozenset()
        errand = self._errands[number] = _Errand(number, jobs, among)
        errand.task = asyncio.ensure_future(self._run_errand(self._client, errand))

    def _drop(self, number: int) -> None:
        errand = self._errands.get(number)
        if errand and errand.task:
            errand.task.cancel()

    async def _run_errand(self, client: Client, errand: _Errand) -> None:
        answer: Answer | Killed | None = None
        try:
            answer = await self._send(client, errand)
        except asyncio.CancelledError:
            pass  # by us, or by Dask, whose futures are cancelled with their scheduler
        except KilledWorker as error:
            answer = Killed(error.allowed_failures + 1)
        except Exception:  # noqa: BLE001 - the task never came to its own words: look at its workers anew
            self._refusals.clear()
            self._nudge.set()
        finally:
            self._errands.pop(errand.number, None)
            self.tell(Answered(errand.number, answer))

    async def _send(self, client: Client, errand: _Errand) -> Answer | None:
        paths = self.target.paths
        task = later(perform, __version__, self.serve, self.timeout, [paths.outward(job) for job in errand.jobs])
        errand.future = client.submit(
            pickle.loads,
            task,
            key=(self._token, errand.number),
            workers=sorted(errand.among) or None,
            pure=False,
        )
        answer: Answer = await errand.future
        ours = {job.number: job for job in errand.jobs}
        if why := await asyncio.to_thread(misfit, answer, ours):
            self._rest(answer.worker, why)
            return None
        self._resting.pop(answer.worker, None)
        return answer
