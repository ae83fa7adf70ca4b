"""The folders that are written to, at the start: what is wrong with the config, and what may yet come back.

Rule: only what a person must mend in the config is a fault. A folder that can't be made or written just now may be on a
disk that is not plugged in or a share that is away: it is waited for, as an inbox is.
"""

from __future__ import annotations

import errno
import os

from watcher.errors import Fault
from watcher.select import shown


def faults(key: str, folder: bytes) -> list[Fault]:
    """Return what is wrong with a folder whatever is plugged in: a part of its path is no folder, or can't be one."""
    try:
        os.lstat(folder)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return [Fault(key, f"found {shown(folder)}, which is too long a path", "name a folder")]
    at = folder
    while not os.path.lexists(at) and at != os.path.dirname(at):
        at = os.path.dirname(at)
    if os.path.lexists(at) and not os.path.isdir(at):
        return [Fault(key, f"found {shown(at)}, which is no folder", "name a folder")]
    return []


def away(folder: bytes) -> str:
    """Make a folder, and return why it can't be written to now; empty: it can."""
    try:
        os.makedirs(folder, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return ""
        why = "can't be written"
    except OSError as error:
        why = f"can't be made ({error.strerror})"
    hint = "mount its disk or share, if it lies on one, or let this user write there"
    if os.environ.get("INVOCATION_ID") and os.getppid() == 1:
        hint += "; a service may write to new folders after `watcher service install`, done again"
    return f"{shown(folder)} {why}: {hint}"
