"""The watch on one inbox: set up, checked, restored."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable

from watcher.core.messages import WatchBack, WatchLost
from watcher.errors import tell_fault
from watcher.fs.openat import folder_identity
from watcher.text import INBOX_MISSING, shown
from watcher.watch.errors import WatchError, refusal
from watcher.watch.handler import Event, Handler
from watcher.watch.observer import NativeObserver
from watcher.watch.observer_state import EXPLAINED, JOIN_SECONDS, ObserverState

Message = Event | WatchLost | WatchBack

_PAUSE_SECONDS = 5.0  # between two new observers, so that a watch which keeps failing costs one scan per pause
_RETRY_SECONDS = 60.0  # between tries while the kernel has no more watches: each try sets up all watches again


class Watch:
    """The watch on one inbox.

    Args:
        inbox: resolved absolute path.
        recursive: whether sub-folders are watched.
        takes, enters: what counts as a photo and which folders may hold some, by relative path.
        post: receives the messages, on watchdog's threads and the supervisor's; must not block.
        silence: returns why changes by others are not reported there, as on a share; empty: they are.
        budget: the maximum number of pending events. Each must be acknowledged by `digested`.
        pause, retry: seconds between new observers, and between tries for more watches.

    """

    def __init__(
        self,
        inbox: bytes,
        *,
        recursive: bool,
        takes: Callable[[bytes], bool],
        enters: Callable[[bytes], bool],
        post: Callable[[Message], None],
        silence: Callable[[], str] = lambda: "",
        budget: int = 20_000,
        pause: float = _PAUSE_SECONDS,
        retry: float = _RETRY_SECONDS,
    ) -> None:
        self.inbox = inbox
        self.on_trouble: Callable[[], None] = lambda: None  # the supervisor's; called from any thread
        self._recursive = recursive
        self._takes = takes
        self._enters = enters
        self._post = post
        self._silence = silence
        self._budget = budget
        self._pause = pause
        self._retry = retry
        self._posted = 0  # events; written by the handler's thread alone
        self._taken = 0  # of them; written by the reader of messages alone
        self._overflowed_at: int | None = None  # events posted when a full scan replaced the next ones
        self._lock = threading.Lock()  # one of start, check and close at a time
        self._closed = threading.Event()
        self._native: NativeObserver | None = None
        self._signs = self._new_signs()
        self._identity: tuple[int, int] | None = None
        self._reason = ""  # why events can't be trusted
        self._silent = False  # no changes are reported there; scans find out whether it exists at all
        self._reported_denied: set[bytes] = set()
        self._next_try = 0.0
        self._next_retry = 0.0
        self._worked = False  # it was set up at least once
        self.unhealed_since: float | None = None  # a watch that had worked can't be set up again, for no known reason

    @property
    def reason(self) -> str:
        """Why events can't be trusted now; empty: they can."""
        return self._reason

    @property
    def unwatched(self) -> int:
        """How many folders could not be watched."""
        return len(self._signs.unwatched) + self._signs.beyond

    def digested(self, events: int) -> None:
        """Record that this many of Seen, FolderSeen and Gone were taken off the queue; call it before handling them."""
        self._taken = min(self._taken + events, self._posted)

    def start(self) -> None:
        """Start; the watch covers the whole inbox when this returns, unless a WatchLost was posted.

        Raises:
            WatchError: it can't be watched now. `check` keeps trying, and WatchBack is posted when it succeeds.

        """
        with self._lock:
            self._reason = self._silence()
            if self._reason:
                self._silent = True
                raise WatchError(self._reason)
            try:
                self._set_up()
            except WatchError as error:
                self._reason = str(error)
                raise
            self._judge()
        self._close_if_ended()

    def check(self) -> None:
        """Check whether events still arrive, and restore the watch if not. May block as long as the mount does."""
        with self._lock:
            if self._closed.is_set():
                return
            identity = folder_identity(self.inbox)
            if self._rests(identity):
                return
            broken = self._broken(identity) if self._native is not None else ""
            if broken:
                self._lose(broken)
            if broken or self._may_become_whole():
                self._tear_down()
            if self._native is None and not self._heal(identity):
                return
            self._judge()
        self._close_if_ended()

    def hangs(self) -> None:
        """Report that the inbox does not answer; `check` reports when it does again."""
        self._lose(f"the inbox {shown(self.inbox)} does not answer; its mount hangs")

    def fails(self, error: Exception) -> None:
        """Report that `check` ended in an unexpected error."""
        self._lose(f"the watch of {shown(self.inbox)} can't be checked: {error!r}")
        self.unhealed_since = self.unhealed_since or time.monotonic()

    def close(self) -> None:
        """End the watch. Does not wait for a check that hangs: that one cleans up when it returns."""
        self._closed.set()
        if self._lock.acquire(timeout=JOIN_SECONDS):
            try:
                self._tear_down()
            finally:
                self._lock.release()

    def _close_if_ended(self) -> None:
        """Clean up after a `close` that did not wait for this call."""
        if self._closed.is_set():
            self.close()

    # ---- set-up and checks, under the lock ----

    def _set_up(self) -> None:
        identity = folder_identity(self.inbox)
        if identity is None:
            raise WatchError(INBOX_MISSING)
        signs = self._new_signs()
        handler = Handler(self.inbox, self._takes, self._enters, self._emit, signs)
        try:
            os.scandir(self.inbox).close()  # FSEvents watches an unreadable folder without an error
            native = NativeObserver(self.inbox, handler, signs, self._wanted, recursive=self._recursive)
        except OSError as error:
            raise WatchError(refusal(self.inbox, error.errno or 0, error)) from error
        except Exception as error:
            tell_fault(error)
            raise WatchError(f"{shown(self.inbox)} can't be watched, by a fault of the program: {error!r}") from error
        if folder_identity(self.inbox) != identity:
            native.close()
            raise WatchError(f"the inbox {shown(self.inbox)} was replaced while its watch was set up")
        self._native, self._signs, self._identity = native, signs, identity
        self._silent, self._worked, self.unhealed_since = False, True, None
        self._next_retry = time.monotonic() + self._retry

    def _rests(self, identity: tuple[int, int] | None) -> bool:
        """Whether the inbox is left to scans: it is on a share, or has one below. If so, end its watch."""
        if identity is None:
            return self._silent
        reason = self._silence()
        if not reason:
            return False
        self._tear_down()
        self._silent, self.unhealed_since = True, None
        if reason != self._reason:
            self._reason = reason
            self._post(WatchLost(self.inbox, reason, healed=False, silent=True))
        return True

    def _tear_down(self) -> None:
        native, self._native = self._native, None
        if native is not None:
            native.close()

    def _heal(self, identity: tuple[int, int] | None) -> bool:
        if identity is None:
            self.unhealed_since = None
            self._lose(INBOX_MISSING)
            return False
        now = time.monotonic()
        if now < self._next_try:
            return False
        self._next_try = now + self._pause
        try:
            self._set_up()
        except WatchError as error:
            self._lose(str(error))
            cause = error.__cause__
            if self._worked and isinstance(cause, OSError) and cause.errno not in EXPLAINED:
                self.unhealed_since = self.unhealed_since or now
            else:
                self.unhealed_since = None
            return False
        return True

    def _broken(self, identity: tuple[int, int] | None) -> str:
        if identity is None:
            return INBOX_MISSING
        if identity != self._identity:
            return f"another folder is at {shown(self.inbox)} now: mounted, unmounted, or made again"
        if self._signs.failure:
            return self._signs.failure
        if self._native is not None and not self._native.is_alive():
            return "a thread of watchdog has ended"
        return ""

    def _may_become_whole(self) -> bool:
        if self._native is None:
            return False
        if any(_may_read(path) for path in self._signs.denied()):
            self._reason = self._reason or "a folder may be read again"  # so that WatchBack follows
            return True
        return time.monotonic() >= self._next_retry and bool(self._signs.exhausted())

    def _judge(self) -> None:
        exhausted = self._signs.exhausted()
        if exhausted:
            self._lose(refusal(self.inbox, exhausted, None))
            return
        if self._reason:
            self._reason = ""
            self._post(WatchBack(self.inbox))
        denied = set(self._signs.denied())
        newly_denied = denied - self._reported_denied
        self._reported_denied = denied
        if newly_denied:
            self._post(WatchLost(self.inbox, refusal(min(newly_denied), errno.EACCES, None), healed=True))

    def _lose(self, reason: str) -> None:
        if reason != self._reason:
            self._reason = reason
            self._post(WatchLost(self.inbox, reason, healed=False))

    # ---- called from watchdog's threads ----

    def _new_signs(self) -> ObserverState:
        return ObserverState(self._wake, lambda reason: self._post(WatchLost(self.inbox, reason, healed=True)))

    def _wake(self) -> None:
        self.on_trouble()

    def _wanted(self, path: bytes) -> bool:
        return path == self.inbox or self._enters(path[len(self.inbox.rstrip(b"/")) + 1 :])

    def _emit(self, event: Event) -> None:
        if self._overflowed_at is not None:
            # Dropping is safe only until the reader of messages reaches the WatchLost and starts a full scan.
            if self._taken < self._overflowed_at:
                return
            self._overflowed_at = None
        if self._posted - self._taken >= self._budget:
            self._overflowed_at = self._posted
            reason = f"more events than {self._budget} at once; everything is looked at in place of the rest"
            self._post(WatchLost(self.inbox, reason, healed=True))
            return
        self._posted += 1
        self._post(event)


def _may_read(folder: bytes) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=effective)
