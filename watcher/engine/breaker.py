"""The circuit breaker of an inbox: while it or its output is at fault as a whole, one photo is tried now and then."""

from __future__ import annotations

from dataclasses import dataclass

from watcher.core.types import FailureKind

TRY_SECONDS = 0.5  # until it is tried again first; doubles up to the next one
TRY_LONGEST = 5.0
_UNDECIDED_SECONDS = 60.0  # until the photo that tries has its result, which sets the time anew

# log events
BEGINS = {
    FailureKind.DISK_FULL: "disk.full",
    FailureKind.OUTPUT: "output.unwritable",
    FailureKind.INBOX: "inbox.unreadable",
}
ENDS = {FailureKind.DISK_FULL: "disk.freed", FailureKind.OUTPUT: "output.back", FailureKind.INBOX: "inbox.back"}


@dataclass(slots=True)
class CircuitBreaker:
    """Whether, why and until when an inbox is held up."""

    until: float | None = None  # when it is tried again; None: nothing is wrong, as far as anybody knows
    cause: FailureKind | None = None
    reason: str = ""
    met: str = ""  # why nothing may be tried at all: its folders lie in each other now
    _tries: int = 0
    _since: int = 0  # the number of the last job that was begun before: what it finds says nothing of now

    def begin(self, cause: FailureKind, reason: str, now: float, last_job: int) -> bool:
        """Hold the inbox up for a while; return whether this cause is new."""
        new = self.cause is not cause
        self.until = now + min(TRY_SECONDS * 2.0 ** min(self._tries, 10), TRY_LONGEST)
        self.cause, self.reason, self._since = cause, reason, last_job
        return new

    def lets(self, now: float) -> bool:
        """Return whether a photo may be tried: of an inbox that is held up, one at a time."""
        if self.met:
            return False
        if self.until is None:
            return True
        if now < self.until:
            return False
        self.until = now + _UNDECIDED_SECONDS
        self._tries += 1
        return True

    @property
    def why(self) -> str:
        """Why the inbox is held up; empty: it is not."""
        return self.met or self.reason

    def undecided(self, now: float) -> None:
        """Let the next photo try at once: the one that tried could not tell how the output stands."""
        if self.until is not None:
            self.until = now

    def end(self, job: int | None = None) -> FailureKind | None:
        """Hold the inbox up no longer, since this job could write (None: for another reason); the cause, if it was."""
        if job is not None and job <= self._since:
            return None
        cause = self.cause
        self.until, self.cause, self.reason, self._tries = None, None, "", 0
        return cause
