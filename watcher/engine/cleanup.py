"""When to remove the temporary files that lost workers left in the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from watcher.core.types import Failed, FailureKind, Outcome

_CLEANUP_SECONDS = 5.0  # after the loss of a worker: all that went with it are dead by then


class CleanupTimer:
    """Starts a clean-up after losses of workers, one for all that come together."""

    def __init__(self, clean_up: Callable[[Iterable[bytes]], bool], outputs: Callable[[], Iterable[bytes]]) -> None:
        self._clean_up = clean_up
        self._outputs = outputs
        self._next: float | None = None

    def deadline(self) -> float | None:
        """Return when the next clean-up is due."""
        return self._next

    def note(self, outcome: Outcome | None, now: float) -> None:
        """Schedule a clean-up if a worker was lost; outcome None: its job went with another one's."""
        if outcome is None or (
            isinstance(outcome, Failed) and outcome.kind in {FailureKind.CRASH, FailureKind.TIMEOUT}
        ):
            self._next = self._next or now + _CLEANUP_SECONDS

    def tick(self, now: float, *, force: bool = False) -> None:
        """Start the clean-up that is due; with `force` at once."""
        if self._next is not None and (force or now >= self._next):
            begun = self._clean_up(self._outputs())
            self._next = None if begun else now + _CLEANUP_SECONDS
