"""Notify the monitor of the daemon about its state: systemd, with its sd_notify protocol, or a thread of our own.

Rules:
- Nothing here raises or waits for long: the daemon also works without a listener.
- `alive` is called only by the loop, and only while everything makes progress; see `watcher.engine.watchdog`.
- If no service manager would end a daemon that is stuck (launchd has no such protocol), `OwnWatchdog` does, with
  exit code 70.
  It counts its own turns and not the time, so a process that was stopped (Ctrl-Z) or slept is not treated as stuck.
"""

from __future__ import annotations

import faulthandler
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Self

from watcher.errors import EXIT_BUG

OWN_LIMIT_SECONDS = 120.0  # how long the loop may be stuck if no service manager checks it
_TURNS = 4  # in which `alive` must be called


class NoManager:
    """No service manager: notifications are discarded. The base class of the others; a context manager."""

    alive_seconds: float | None = None  # how often `alive` must be called; None: never
    reads_status = False

    def ready(self) -> None:
        """Notify that the daemon is running, after a start or a reload."""

    def status(self, text: str) -> None:
        """Report in one line what the daemon does."""

    def reloading(self) -> None:
        """Notify that the config is read again; `ready` ends it."""

    def stopping(self) -> None:
        """Notify that the daemon finishes the jobs in progress and ends."""

    def extend(self, seconds: float) -> None:
        """Request this many more seconds, counted from now, before the current operation is treated as stuck."""

    def alive(self) -> None:
        """Notify that everything makes progress."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Systemd(NoManager):
    """The sd_notify protocol; see sd_notify(3) and sd_watchdog_enabled(3)."""

    reads_status = True

    def __init__(self) -> None:
        limit = _watchdog_limit()
        self.alive_seconds = limit / 2 if limit else None

    def ready(self) -> None:
        """Send READY, which ends a start or a reload."""
        notify("READY=1")

    def status(self, text: str) -> None:
        """Send the status line that `systemctl status` shows."""
        notify(f"STATUS={text[:500]}")

    def reloading(self) -> None:
        """Send RELOADING."""
        # one datagram, with the clock that systemd compares against
        notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Send STOPPING."""
        notify("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Send EXTEND_TIMEOUT."""
        notify(f"EXTEND_TIMEOUT_USEC={seconds * 1e6:.0f}")

    def alive(self) -> None:
        """Send WATCHDOG."""
        notify("WATCHDOG=1")


class OwnWatchdog(NoManager):
    """A thread that ends the process with exit code 70 when `alive` is not called for `limit` seconds.

    It begins to count with the first call. Every thread's stack goes to standard error, `report` gets the reason.
    """

    def __init__(self, report: Callable[[str], object], limit: float = OWN_LIMIT_SECONDS) -> None:
        self.alive_seconds = limit / _TURNS
        self._limit = limit
        self._report = report
        self._alive = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="own watchdog", daemon=True)

    def alive(self) -> None:
        """Record that everything makes progress."""
        self._alive.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._alive.set()
        self._thread.join()

    def _run(self) -> None:
        self._alive.wait()
        silent = 0
        while not self._closing.wait(self._limit / _TURNS):
            silent = 0 if self._alive.is_set() else silent + 1
            self._alive.clear()
            if silent >= _TURNS:
                self._end()

    def _end(self) -> None:
        faulthandler.dump_traceback()
        self._report(f"no progress for {self._limit:g} s; this process ends, so that another one can begin")
        os._exit(EXIT_BUG)


def is_service() -> bool:
    """Return whether systemd runs this process; its unit then says how nice it is."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def find(report: Callable[[str], object]) -> NoManager:
    """Return the manager of this process; `report` gets the last message of a process that is ended as stuck."""
    if is_service():
        return Systemd()
    return OwnWatchdog(report) if sys.platform == "darwin" else NoManager()


def notify(*lines: str) -> None:
    """Send assignments such as `READY=1` in one datagram to systemd, if it is there."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return  # none, or a kind that exists only in virtual machines
    text = "\n".join(line.replace("\n", " ") for line in lines).encode("utf-8", "backslashreplace")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(1.0)  # a manager that does not read must not block the daemon for longer
            sender.sendto(text, b"\0" + os.fsencode(address[1:]) if address[0] == "@" else os.fsencode(address))
    except (OSError, ValueError):
        pass  # no listener


def _watchdog_limit() -> float | None:
    """Return the seconds after which systemd treats this process as stuck; None: it does not check."""
    try:
        limit = int(os.environ.get("WATCHDOG_USEC", ""))
        owner = int(os.environ.get("WATCHDOG_PID") or os.getpid())
    except ValueError:
        return None
    return limit / 1e6 if limit > 0 and owner == os.getpid() else None
