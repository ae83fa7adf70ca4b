"""Handing requests to the daemon that uses a state file, or to the next one."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from watcher.core.types import Request
from watcher.errors import StateError
from watcher.service import process
from watcher.store import Queries, Store, ask, unwritable
from watcher.text import user_name


def check_access(path: str, *, write: bool = False) -> None:
    """Raise StateError where this user may not use a state file that is there, with whose it is."""
    if _can_use(path, write=write):
        return
    number = _owner(path)
    if number == os.geteuid():
        why = (unwritable(path) if write else "") or f"`chmod u+r{'w' if write else ''} {shlex.quote(path)}`"
        raise StateError(f"the state file {path} can't be {'changed' if write else 'read'}: {why}")
    owner = user_name(number)
    raise StateError(
        f"the state file {path} belongs to the user {owner}, and you may not {'change' if write else 'read'} it; "
        f"do this as that user: sudo -u {shlex.quote(owner)} watcher …"
    )


def _can_use(path: str, *, write: bool) -> bool:
    try:
        os.close(os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC))
    except PermissionError:
        return False
    except OSError:
        return True  # there is none, or SQLite will say what is wrong
    effective = os.access in os.supports_effective_ids
    return not write or os.access(os.path.dirname(path), os.W_OK | os.X_OK, effective_ids=effective)


def _owner(path: str) -> int:
    """Return who owns a file, or else the nearest folder above it that can be read."""
    while True:
        try:
            return os.stat(path).st_uid
        except OSError:
            path = os.path.dirname(path)


def hand_over(state: str, requests: Sequence[Request]) -> str:
    """Put requests into a state file and tell its daemon, if one runs; who takes them up, as part of a sentence.

    Raises StateError where that can't be done.
    """
    check_access(state, write=True)
    holder = process.holding(state)
    if holder is None:
        bring_up_to_date(state)
    ask(state, requests)
    holder = process.holding(state)
    if holder is None:
        return "the next `watcher run` or `watcher once`"
    who = f"process {holder.pid}" if holder.pid else "the process that runs"
    return who if process.nudge(state) else f"{who}, which could not be told: after its next scan"


def bring_up_to_date(state: str) -> None:
    """Migrate a file of an older version, so that it can hold requests. Raise BusyError if it is in use."""
    reader = Queries.open_to_read(state)
    if reader is None:
        raise StateError(f"there is nothing in the state file {state} yet; `watcher run` or `watcher once` begins it")
    with reader:
        current = reader.current
    if not current:
        with process.Lock(state):
            Store.open(state).close()
