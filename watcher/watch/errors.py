"""Messages that explain why an inbox or a folder in it is not watched, and what to type."""

from __future__ import annotations

import errno
import os

from watcher.errors import WatcherError
from watcher.text import shown


class WatchError(WatcherError):
    """The inbox can't be watched; the message says why and what to do about it."""


def limit_of(name: str) -> int | None:
    """Return the value of a sysctl such as `fs.inotify.max_user_watches`; None: it does not exist here."""
    try:
        with open(f"/proc/sys/{name.replace('.', '/')}", "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def refusal(folder: bytes, code: int, error: OSError | None) -> str:
    """Return why the kernel refused to watch, and what to type."""
    if code in {errno.ENOSPC, errno.EMFILE}:
        what = "watches" if code == errno.ENOSPC else "instances"
        # A user namespace has its own limits in addition to those of the system; the smaller one applies.
        limits = {name: limit_of(name) for name in (f"fs.inotify.max_user_{what}", f"user.max_inotify_{what}")}
        known = [(limit, name) for name, limit in limits.items() if limit is not None]
        now, name = min(known, default=(0, f"fs.inotify.max_user_{what}"))
        more = max(2 * now, 524_288 if code == errno.ENOSPC else 1024)
        return f"the kernel has no more inotify {what}: {name} is {now}; type: sudo sysctl -w {name}={more}" + (
            " (or this process has too many files open: ulimit -n)" if code == errno.EMFILE else ""
        )
    if code == errno.EACCES:
        return f"{shown(folder)} can't be watched: permission denied; let this user read and enter it (chmod u+rx)"
    return f"{shown(folder)} can't be watched: {os.strerror(code) if code else error}"
