"""Group the events of one inbox into bursts, and decide when each photo of a burst may start.

Rules and theory of operation:
- Time is an argument: seconds on any clock that only goes forward.
- Each path has two clocks: since its first and since its last event (after syncthing's watchaggregator).
- A burst ends when there was no event for `quiet_seconds`, when its oldest path has waited for `max_wait_seconds`, or
  when it has `max_files` paths. It is then released as one batch; the paths beyond `max_files` are the next burst.
- Paths that still change are not released with it: they are not known to be complete, had an event less than
  `quiet_seconds` ago, and have not waited for `max_wait_seconds` yet. They open the next burst and keep their clocks.
- A path whose writer is done (`complete`) need not wait for the end of its burst: `take` returns it as soon as a worker
  is free. It still counts as part of its burst's batch.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice


@dataclass(slots=True)
class _Path:
    """One path's two clocks."""

    first: float
    last: float
    complete: bool


@dataclass(slots=True)
class Debouncer:
    """The bursts of one inbox. It holds at most the paths of the open burst."""

    quiet_seconds: float
    max_wait_seconds: float
    max_files: int
    burst: int = 1  # the number of the open burst
    _paths: OrderedDict[bytes, _Path] = field(default_factory=OrderedDict)
    _complete: OrderedDict[bytes, None] = field(default_factory=OrderedDict)  # the paths that `take` may return
    _taken: int = 0  # from the open burst
    _first: float = 0.0  # when the open burst began
    _last: float = 0.0  # when the last event came

    def __len__(self) -> int:
        """Return how many paths wait in the open burst."""
        return len(self._paths)

    def __contains__(self, path: bytes) -> bool:
        """Return whether `path` waits in the open burst."""
        return path in self._paths

    def see(self, path: bytes, now: float, *, complete: bool = False) -> None:
        """Handle an event for `path`. `complete`: its writer closed it or renamed it into place."""
        if not self._open:
            self._first = now
        self._last = now
        entry = self._paths.get(path)
        if entry is None:
            self._paths[path] = _Path(now, now, complete)
        else:
            entry.last = now
            # A file that is created again, or opened again after it was closed, is being written once more.
            entry.complete = complete
        if complete:
            self._complete[path] = None
        else:
            self._complete.pop(path, None)

    def forget(self, path: bytes) -> None:
        """Drop `path`."""
        if self._paths.pop(path, None) is not None:
            self._complete.pop(path, None)

    def take(self, limit: int) -> list[bytes]:
        """Remove and return at most `limit` complete paths before the end of their burst, in order of completion."""
        limit = min(limit, self.max_files - self._taken)  # a full burst ends first, see `due`
        taken = list(islice(self._complete, max(0, limit)))
        for path in taken:
            self.forget(path)
        self._taken += len(taken)
        return taken

    def due(self, now: float) -> tuple[list[bytes], int] | None:
        """End the burst if it is due. Return the paths that it releases, and its number; None: it is not due yet."""
        deadline = self.deadline()
        full = len(self._paths) + self._taken >= self.max_files
        if deadline is None or not (full or now >= deadline):
            return None
        may_go = (path for path, entry in self._paths.items() if self._may_go(entry, now))
        released = list(islice(may_go, max(0, self.max_files - self._taken)))
        if full and not (released or self._taken) and now < deadline:
            return None
        return self._end(released, now)

    def deadline(self) -> float | None:
        """Return when `due` must be called next; None: no burst is open."""
        if not self._open:
            return None
        return min(self._last + self.quiet_seconds, self._first + self.max_wait_seconds)

    @property
    def _open(self) -> bool:
        return bool(self._paths) or self._taken > 0

    def _may_go(self, entry: _Path, now: float) -> bool:
        # The same sums as in `deadline`: differences are rounded otherwise, and a due burst could release no path.
        quiet, waited = entry.last + self.quiet_seconds, entry.first + self.max_wait_seconds
        return entry.complete or now >= quiet or now >= waited

    def _end(self, released: list[bytes], now: float) -> tuple[list[bytes], int]:
        for path in released:
            self.forget(path)
        self.burst += 1
        self._taken = 0
        self._first = next((entry.first for entry in self._paths.values()), now)  # paths are in order of `first`
        return released, self.burst - 1
