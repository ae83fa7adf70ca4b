"""One photo on its way through a worker."""

from __future__ import annotations

from dataclasses import dataclass

from watcher.core.queue import Sighting
from watcher.core.records import PhotoRecord
from watcher.core.types import Job
from watcher.engine.dedup import Place


@dataclass(slots=True)
class Flight:
    """One photo on its way through a worker."""

    sighting: Sighting
    job: Job
    before: PhotoRecord | None  # what was on the books before this attempt
    again: bool = False  # it was seen once more meanwhile
    again_complete: bool = False
    touched: bool = False  # its rights or its date were changed meanwhile
    pid: int = 0  # of the worker that it came back from, as far as is known
    seconds: float = 0.0  # that it was there
    host: str = ""  # the worker's machine, if it is another one
    gone: bool = False  # its inbox, which is there, was found to hold it no longer
    lent: frozenset[Place] = frozenset()  # where it may copy from
    follows: bool = False  # it goes to the worker that has the one before it: each may copy from the other
