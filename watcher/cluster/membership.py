"""The workers that the scheduler has, and which of them can be given work. Belongs to the connection's thread."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from distributed import Client

from watcher import __version__
from watcher.cluster.remote import introduce, later, missing

ANSWER_SECONDS = 20.0  # within which a worker must answer whether it can work
BACKOFF_SECONDS = 5.0  # how long a worker that can't do its work is left out; doubles
LONGEST_BACKOFF = 300.0
AGAIN_SECONDS = 60.0  # how often a worker that refused is asked again: another may have its address by then


@dataclass(frozen=True, slots=True)
class Members:
    """The workers that can be given work, by address, with their threads, and those that can't, with the reason."""

    fit: Mapping[str, int]
    unfit: Mapping[str, str]


@dataclass(slots=True)
class _Backoff:
    """How long, and why, an unfit worker is left out."""

    until: float
    seconds: float
    reason: str


@dataclass(slots=True)
class Membership:
    """Track the workers of one connection. `changed` is called when the members may have changed."""

    client: Client
    changed: Callable[[], None]
    _threads: dict[str, int] = field(default_factory=dict, init=False)
    _refusals: dict[str, str] = field(default_factory=dict, init=False)  # of each worker asked; empty: it may work
    _refused_at: dict[str, float] = field(default_factory=dict, init=False)
    _asking: dict[str, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _backoffs: dict[str, _Backoff] = field(default_factory=dict, init=False)

    def update(self, threads: Mapping[str, int]) -> None:
        """Update the list of workers. Ask each new one whether it can work for this daemon."""
        self._threads = dict(threads)
        for gone in self._refusals.keys() - threads.keys():
            del self._refusals[gone]
            self._backoffs.pop(gone, None)
        now = asyncio.get_running_loop().time()
        for worker in threads:
            said = self._refusals.get(worker)
            if said is None or (said and now > self._refused_at[worker] + AGAIN_SECONDS):
                self._ask(worker)

    def recheck(self) -> None:
        """Ask all workers again. Until they answer, their previous answers count."""
        for worker in self._threads:
            self._ask(worker)

    def back_off(self, worker: str, reason: str) -> None:
        """Leave a worker out for a while."""
        now = asyncio.get_running_loop().time()
        before = self._backoffs.get(worker)
        if before and before.until > now:
            return  # it had several bundles, and another was counted already
        seconds = min(2 * before.seconds, LONGEST_BACKOFF) if before else BACKOFF_SECONDS
        self._backoffs[worker] = _Backoff(now + seconds, seconds, reason)
        self.changed()

    def succeeded(self, worker: str) -> None:
        """Note that a worker has done its work."""
        self._backoffs.pop(worker, None)

    @property
    def undecided(self) -> bool:
        """Whether no worker can be given work, and an answer of one is still awaited."""
        return bool(self._asking) and not self.members().fit

    def members(self) -> Members:
        """Return which workers can be given work now, and which can't."""
        now = asyncio.get_running_loop().time()
        unfit = {worker: reason for worker, reason in self._refusals.items() if reason}
        unfit |= {worker: rest.reason for worker, rest in self._backoffs.items() if rest.until > now}
        fit = {worker: self._threads[worker] for worker in self._refusals if worker not in unfit}
        return Members(fit, unfit)

    def close(self) -> None:
        """Stop asking."""
        for task in self._asking.values():
            task.cancel()

    def _ask(self, worker: str) -> None:
        if worker not in self._asking:
            self._asking[worker] = asyncio.ensure_future(self._ask_one(worker))

    async def _ask_one(self, worker: str) -> None:
        ask = self.client.run(pickle.loads, later(introduce, __version__), workers=[worker], on_error="return")
        try:
            said = (await asyncio.wait_for(ask, ANSWER_SECONDS)).get(worker)
        except TimeoutError:
            self.back_off(worker, "it does not answer")
            return
        except Exception:  # noqa: BLE001 - the connection is lost, which `Connection` notices; or it is asked again
            return
        finally:
            del self._asking[worker]
        if worker not in self._threads:
            return
        if isinstance(said, str):
            self._refusals[worker] = said
        elif isinstance(said, ImportError | AttributeError | pickle.UnpicklingError):
            self._refusals[worker] = missing(said)
        if self._refusals.get(worker):
            self._refused_at[worker] = asyncio.get_running_loop().time()
        # Any other answer is a transport error: the worker has just gone, or is asked again.
        self.changed()
