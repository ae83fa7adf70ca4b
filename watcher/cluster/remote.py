"""What runs on a Dask worker, and how it gets there.

A task that named a function of ours would have to be understood by the scheduler, which loads every graph it is given.
So it names `pickle.loads`, and the bytes that go with it call ours when they are loaded, on the worker.
"""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from distributed import get_worker

from watcher import __version__
from watcher.core.types import Job, Result

Serve = Callable[[Sequence[Job], float], list[Result]]  # jobs, seconds that one may take; found by name on the worker


class _Later:
    """A call that is made when its pickle is loaded."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def later(function: Callable[..., object], *arguments: object) -> bytes:
    """Give bytes for which `pickle.loads` makes a call and gives what that returns."""
    return pickle.dumps(_Later(function, *arguments))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker says to a bundle."""

    worker: str  # its address
    host: str
    results: tuple[Result, ...]
    refusal: str = ""  # why nothing was done there


def perform(version: str, serve: Serve, timeout: float, jobs: Sequence[Job]) -> Answer:
    """Do a bundle of jobs on this worker."""
    worker, host = get_worker().address, socket.gethostname()
    if refusal := introduce(version):
        return Answer(worker, host, (), refusal)
    try:
        return Answer(worker, host, tuple(serve(jobs, timeout)))
    except Exception as error:  # noqa: BLE001 - it is no photo's fault that no photo can be worked on
        return Answer(worker, host, (), f"{type(error).__name__}: {error}")


def introduce(version: str) -> str:
    """Say why this worker can't work for a daemon of `version`; empty: it can."""
    if version == __version__:
        return ""
    return f"it has photo-watcher {__version__}, and the daemon has {version}: install the same on both, and restart it"


def missing(error: object) -> str:
    """Say what it means that a worker could not even find `introduce`."""
    return (
        f"it has no photo-watcher, or another version ({error}): pip install 'photo-watcher[dask]=={__version__}' there"
    )
