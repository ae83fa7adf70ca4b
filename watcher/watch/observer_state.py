"""What the threads of one observer reveal about themselves, since watchdog does not."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from watchdog.utils import BaseThread

JOIN_SECONDS = 2.0  # for threads that were told to stop
_REMEMBERED = 1000  # unwatched folders that are known by name; the rest is counted
_RACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # went away, or was replaced, before it could be watched
EXPLAINED = {*_RACED, errno.EACCES}  # why a folder can't be watched, by this process or any other


class ObserverState:
    """What the threads of one observer reveal about themselves; written by them, read by the supervision."""

    def __init__(self, wake: Callable[[], None], lost: Callable[[str], None]) -> None:
        self.wake = wake
        self.lost = lost  # events were lost, the watch goes on
        self.failure = ""
        self.unwatched: dict[bytes, int] = {}  # absolute path: errno
        self.beyond = 0  # how many more there are than `unwatched` remembers

    def note(self, path: bytes, code: int) -> None:
        """Remember a folder that could not be watched."""
        if code in _RACED:
            return
        if len(self.unwatched) < _REMEMBERED:
            self.unwatched[path] = code
        else:
            self.beyond += 1
        self.wake()

    def denied(self) -> list[bytes]:
        """Give the folders that this user may not read; nobody can scan them either."""
        return [path for path, code in list(self.unwatched.items()) if code == errno.EACCES]

    def exhausted(self) -> int:
        """Give the errno for which folders that are still there have no watch; 0: none is left out."""
        for path, code in list(self.unwatched.items()):
            if code != errno.EACCES and os.path.lexists(path):
                return code
        return errno.ENOSPC if self.beyond else 0


class ReportingThread(BaseThread):
    """A thread of watchdog that leaves a sign when it ends, however it ends."""

    signs: ObserverState

    def run(self) -> None:
        """Run until told to stop."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 - whatever ends watchdog's thread is healed by a new one
            self.signs.failure = f"watchdog's thread {type(self).__name__} died of {error!r}"
        finally:
            self.signs.wake()
