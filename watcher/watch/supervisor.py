"""The thread that checks every watch."""

from __future__ import annotations

import threading
import time

from watcher.errors import tell_fault
from watcher.text import shown
from watcher.watch.observer_state import JOIN_SECONDS
from watcher.watch.watch import Watch


class Supervisor:
    """The thread that checks every watch, every `interval` seconds and whenever one reports an error.

    Each check runs on its own thread, so that a mount that hangs leaves no other inbox unwatched. A check that takes
    longer than `silence` seconds is reported as an inbox that does not answer. A watch that had worked, ended and
    could not be set up again for `unhealed` seconds is a fault that another process may not have.
    """

    def __init__(self, interval: float = 5.0, silence: float = 30.0, unhealed: float = 120.0) -> None:
        self._interval = interval
        self._silence = silence
        self._unhealed = unhealed
        self._checks: dict[Watch, tuple[threading.Thread | None, float]] = {}
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervise watches", daemon=True)
        self._thread.start()

    def add(self, watch: Watch) -> None:
        """Supervise this watch from now on."""
        self._checks[watch] = (None, 0.0)
        watch.on_trouble = self._wake.set

    def remove(self, watch: Watch) -> None:
        """Stop supervising this watch."""
        watch.on_trouble = lambda: None
        self._checks.pop(watch, None)

    def fault(self) -> str:
        """Return why this process can no longer maintain the watches; empty: it can. May be called by any thread."""
        if not self._thread.is_alive():
            return "the thread that supervises the watches has ended"
        for watch in list(self._checks):
            since = watch.unhealed_since
            if since is not None and time.monotonic() - since > self._unhealed:
                return f"the watch of {shown(watch.inbox)} has died and can't be set up again: {watch.reason}"
        return ""

    def close(self) -> None:
        """Stop; a check that hangs is abandoned on its daemon thread."""
        self._closing.set()
        self._wake.set()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._interval)
            self._wake.clear()
            for watch, (running, since) in list(self._checks.items()):
                if self._closing.is_set():
                    return
                try:
                    self._have_checked(watch, running, since)
                except Exception as error:  # noqa: BLE001 - for example, no thread can be started: the next turn tries again
                    tell_fault(error)

    def _have_checked(self, watch: Watch, running: threading.Thread | None, since: float) -> None:
        if running is not None and running.is_alive():
            if time.monotonic() - since > self._silence:
                watch.hangs()
            return
        thread = threading.Thread(target=_check, args=(watch,), name=f"check {shown(watch.inbox)}", daemon=True)
        if watch in self._checks:
            self._checks[watch] = (thread, time.monotonic())
            thread.start()


def _check(watch: Watch) -> None:
    known = watch.unhealed_since is not None
    try:
        watch.check()
    except Exception as error:  # noqa: BLE001 - after any error, the check is tried again
        watch.fails(error)
        if not known:
            tell_fault(error)  # with a traceback, once
