"""What keeps the state file from being used: told once, until all of it is over.

On a disk that is nearly full small writes succeed between large ones that fail: so what failed must have succeeded.
"""

from __future__ import annotations

from enum import Enum, auto

from watcher.engine.ports import Log
from watcher.errors import StateError

LONGEST_SECONDS = 60.0  # of a single run: it must end


class Use(Enum):
    """What the state file could not be used for."""

    READING = auto()
    STATUS = auto()
    RESULTS = auto()
    ATTEMPTS = auto()  # and all else that comes before work is begun


class StoreHealth:
    """Trouble with the state file, if there is any."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._open: set[Use] = set()
        self._since = 0.0
        self._last: StateError | None = None

    def met(self, error: StateError, use: Use, now: float, *, unwritten: int) -> None:
        """Record that the file could not be used."""
        if not self._open:
            self._since = now
            self._log.error("state.busy", reason=str(error), unwritten=unwritten)
        self._last = error
        self._open.add(use)

    def over(self, *uses: Use) -> None:
        """Record what it could be used for."""
        before = bool(self._open)
        self._open.difference_update(uses)
        if before and not self._open:
            self._log.info("state.back")

    def check(self, now: float) -> None:
        """Raise what a single run ends with, once it has lasted too long."""
        if self._open and self._last is not None and now - self._since >= LONGEST_SECONDS:
            raise StateError(f"{self._last}; after {LONGEST_SECONDS:.0f} s of waiting this run has ended")
