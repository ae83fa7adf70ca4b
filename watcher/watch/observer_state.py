"""The state that the threads of one observer report, since watchdog does not."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from watchdog.utils import BaseThread

JOIN_SECONDS = 2.0  # for threads that were asked to stop
_REMEMBERED = 1000  # unwatched folders that are kept by name; the rest is counted
_RACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # removed or replaced before it could be watched
EXPLAINED = {*_RACED, errno.EACCES}  # why a folder can't be watched, by this process or any other


class ObserverState:
    """The state that the threads of one observer report; written by them, read by the supervision."""

    def __init__(self, wake: Callable[[], None], lost: Callable[[str], None]) -> None:
        self.wake = wake
        self.lost = lost  # events were lost, the watch goes on
        self.failure = ""
        self.unwatched: dict[bytes, int] = {}  # absolute path: errno
        self.beyond = 0  # how many more there are than `unwatched` contains

    def note(self, path: bytes, code: int) -> None:
        """Record a folder that could not be watched."""
        if code in _RACED:
            return
        if len(self.unwatched) < _REMEMBERED:
            self.unwatched[path] = code
        else:
            self.beyond += 1
        self.wake()

    def denied(self) -> list[bytes]:
        """Return the folders that this user may not read; they can't be scanned either."""
        return [path for path, code in list(self.unwatched.items()) if code == errno.EACCES]

    def exhausted(self) -> int:
        """Return the errno because of which folders that still exist have no watch; 0: all are watched."""
        for path, code in list(self.unwatched.items()):
            if code != errno.EACCES and os.path.lexists(path):
                return code
        return errno.ENOSPC if self.beyond else 0


class ReportingThread(BaseThread):
    """A thread of watchdog that wakes the supervisor when it ends, and records an error that ended it."""

    signs: ObserverState

    def run(self) -> None:
        """Run until stopped."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 - whatever error ends watchdog's thread, a new observer replaces it
            self.signs.failure = f"watchdog's thread {type(self).__name__} died of {error!r}"
        finally:
            self.signs.wake()
