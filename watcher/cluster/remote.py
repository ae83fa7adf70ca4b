"""What runs on a Dask worker, and how it gets there.

The scheduler loads every graph that it is given, so it would have to import a watcher function that a task names. So a
task names `pickle.loads` instead, with bytes that call the watcher function when they are loaded, on the worker.
"""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from distributed import get_worker

from watcher import __version__
from watcher.core.types import Job, Result

Serve = Callable[[Sequence[Job], float], list[Result]]  # jobs, seconds that each may take; found by name on the worker


class _Later:
    """A call that is made when its pickle is loaded."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def later(function: Callable[..., object], *arguments: object) -> bytes:
    """Return bytes for which `pickle.loads` makes a call and returns its result."""
    return pickle.dumps(_Later(function, *arguments))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker returns for a bundle."""

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
    except Exception as error:  # noqa: BLE001 - when no photo can be made, no photo is at fault
        return Answer(worker, host, (), f"{type(error).__name__}: {error}")


def introduce(version: str) -> str:
    """Return why this worker can't work for a daemon of `version`; empty: it can."""
    if version == __version__:
        return ""
    return f"it has photo-watcher {__version__}, and the daemon has {version}: install the same on both, and restart it"


def missing(error: object) -> str:
    """Return why a worker could not find `introduce`."""
    return (
        f"it has no photo-watcher, or another version ({error}): pip install 'photo-watcher[dask]=={__version__}' there"
    )
