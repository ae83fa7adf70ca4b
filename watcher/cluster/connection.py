"""The connection to the scheduler, on its own thread: made, kept open, and made again when it is lost.

What happens is reported as events, in order. Each submitted bundle is answered exactly once (`Answered`), whatever
happens to the connection. No other kind of event concerns a bundle.
"""

from __future__ import annotations

import asyncio
import pickle
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from distributed import CancelledError, Client, Future
from distributed.scheduler import KilledWorker

from watcher import __version__
from watcher.cluster.client import CLOSE_SECONDS, aside, be_quiet, connected, end, words
from watcher.cluster.membership import Members, Membership
from watcher.cluster.remote import Answer, Serve, later, perform
from watcher.cluster.settings import Target
from watcher.cluster.worker_health import misfit, suspicious
from watcher.core.types import Job

SHORTEST, LONGEST = 0.5, 30.0  # seconds between two attempts; doubles
LOOK_SECONDS = 1.0  # how often the list of workers is requested
SILENCE_SECONDS = 20.0  # a scheduler that takes longer to answer is lost


@dataclass(frozen=True, slots=True)
class Away:
    """The scheduler can't be reached, or can no longer be reached."""

    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A bundle that no worker can do. `what` happens wherever it is tried: the beginning of a sentence."""

    what: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A bundle is back. `answer` None: it is undone, through no fault of a photo."""

    number: int
    answer: Answer | Broken | None


Event = Members | Away | Answered


class _Sent(NamedTuple):
    """A bundle in flight."""

    among: frozenset[str]  # the workers that may get it; empty: all
    task: asyncio.Task[Answer | None]


@dataclass(slots=True)
class Connection:
    """Maintain the connection. Call its methods from any one thread; `report` is called from its own thread."""

    target: Target
    serve: Serve
    timeout: float
    report: Callable[[Event], None]
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _main: asyncio.Task[None] | None = field(default=None, init=False)
    _membership: Membership | None = field(default=None, init=False)  # while connected
    _reported: Members | None = field(default=None, init=False)
    _sent: dict[int, _Sent] = field(default_factory=dict, init=False)
    _token: str = field(default_factory=lambda: f"watcher-{random.getrandbits(48):012x}", init=False)

    def start(self) -> None:
        """Begin to connect to the scheduler."""
        be_quiet()
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)
        self._thread.start()

    def submit(self, number: int, jobs: Sequence[Job]) -> None:
        """Submit a bundle."""
        self._loop.call_soon_threadsafe(self._begin, number, jobs)

    def take_back(self, number: int) -> None:
        """Stop waiting for a bundle. It is answered with None."""
        self._loop.call_soon_threadsafe(self._drop, number)

    def close(self) -> None:
        """Close the connection and drop all bundles in flight. Do not wait for any work."""
        if self._thread is None:
            self._loop.close()
        elif self._thread.is_alive():
            self._loop.call_soon_threadsafe(lambda: self._main and self._main.cancel())
            self._thread.join(2 * CLOSE_SECONDS)

    # ---- everything below runs in the connection's own thread ----

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._main = self._loop.create_task(self._hold())
        try:
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self.report(Away(f"an internal error ({error!r})"))
            raise
        finally:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left))
            self._loop.close()

    async def _hold(self) -> None:
        """Connect to the scheduler, and connect again whenever it is lost, for ever."""
        pause = SHORTEST
        while True:
            try:
                client = await connected(self.target)
            except Exception as error:  # noqa: BLE001 - Dask raises many types, and each means: not now
                self.report(Away(words(error)))
            else:
                pause = SHORTEST
                try:
                    # Reported before its bundles come back, or they would be submitted over and over with no worker.
                    self.report(Away(await self._work(client)))
                finally:
                    self._let_go()
                    await end(client)
            await asyncio.sleep(pause * (1 + random.random() / 4))  # noqa: S311 - spreads attempts, no secret
            pause = min(2 * pause, LONGEST)

    async def _work(self, client: Client) -> str:
        """Use `client` until the scheduler is lost. Return why it was lost."""
        self._membership = membership = Membership(client, self._look)
        try:
            while client.status == "running" and client.scheduler is not None:
                membership.update(await asyncio.wait_for(client.scheduler.ncores(), SILENCE_SECONDS))
                self._look()
                await asyncio.sleep(LOOK_SECONDS)
        except Exception as error:  # noqa: BLE001 - see `_hold`
            return words(error)
        return "the connection was lost"

    def _let_go(self) -> None:
        """Return all bundles in flight undone."""
        if self._membership is not None:
            self._membership.close()
        self._membership = self._reported = None
        for number in list(self._sent):
            self._drop(number)

    def _look(self) -> None:
        """Report the membership if it has changed, and take back bundles that its workers can no longer do."""
        membership = self._membership
        if membership is None or (self._reported is None and membership.undecided):
            return
        members = membership.members()
        if members != self._reported:
            self._reported = members
            self.report(members)
        for number, sent in list(self._sent.items()):
            if not members.fit or (sent.among and not sent.among & members.fit.keys()):
                self._drop(number)

    # ---- bundles ----

    def _begin(self, number: int, jobs: Sequence[Job]) -> None:
        if self._membership is None or self._reported is None or not self._reported.fit:
            self.report(Answered(number, None))
            return
        among = frozenset(self._reported.fit) if self._reported.unfit else frozenset()
        task = asyncio.ensure_future(self._send(self._membership, number, jobs, among))
        self._sent[number] = _Sent(among, task)
        task.add_done_callback(lambda task: self._finish(number, task))

    def _drop(self, number: int) -> None:
        if sent := self._sent.get(number):
            sent.task.cancel()

    def _finish(self, number: int, task: asyncio.Task[Answer | None]) -> None:
        """Report what became of a bundle. An error may cause the workers to be checked again."""
        del self._sent[number]
        answer: Answer | Broken | None = None
        if task.cancelled():
            pass  # by `_drop`
        elif error := task.exception():
            answer = self._meaning(error)
        else:
            answer = task.result()
        self.report(Answered(number, answer))

    def _meaning(self, error: BaseException) -> Broken | None:
        """Return what an error means for a bundle whose code did not answer. None: it can be done elsewhere."""
        if isinstance(error, KilledWorker):
            return Broken(f"{error.allowed_failures + 1} Dask workers ended, one after the other, while they worked")
        if isinstance(error, ImportError | AttributeError | pickle.UnpicklingError):
            if self._membership:
                self._membership.recheck()
            return None
        if isinstance(error, OSError | CancelledError):  # the connection is lost, and Dask has cancelled all its tasks
            return None
        return Broken(f"{type(error).__name__} in the cluster: {error}; it was to work")

    async def _send(
        self, membership: Membership, number: int, jobs: Sequence[Job], among: frozenset[str]
    ) -> Answer | None:
        outward = [self.target.paths.outward(job) for job in jobs]
        future: Future[Answer] = membership.client.submit(
            pickle.loads,
            later(perform, __version__, self.serve, self.timeout, outward),
            key=(self._token, number),
            workers=sorted(among) or None,
            pure=False,
        )
        answer: Answer = await future
        if suspicious(answer):
            ours = {job.number: job for job in jobs}
            if why := await aside(partial(misfit, answer, ours), or_else=""):
                membership.back_off(answer.worker, why)
                return None
        membership.succeeded(answer.worker)
        return answer
