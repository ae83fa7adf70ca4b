"""The volume that a state file lies on: remembered, so that none is begun in its empty mount point while it is away.

It is remembered in the user's own state folder, `volumes.json`: path of the state file, mount point. A state file on
the same volume as that folder needs no entry.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress

from watcher import paths as places
from watcher.core.volumes import belongs_on
from watcher.engine.ports import Log
from watcher.fs.mounts import mount_point
from watcher.store import StateBusyError
from watcher.text import shown

_PAUSE_SECONDS = 1.0


def await_volume(path: str, log: Log, wait: Callable[[str], object] | None) -> None:
    """Return once the volume of a state file is there.

    With `wait`, which is told why again and again, it is waited for as long as nobody ends the process. Else raises
    StateBusyError.
    """
    told = False
    while reason := _lost(path):
        if wait is None:
            raise StateBusyError(reason)
        if not told:
            log.error("state.busy", reason=reason)
        told = True
        wait(reason)
        time.sleep(_PAUSE_SECONDS)
    if told:
        log.info("state.back")


def _lost(path: str) -> str:
    before = os.fsencode(_remembered().get(path, ""))
    now = mount_point(os.fsencode(path))
    if before == now or belongs_on(before, now, bare=not os.path.exists(path)) != before:
        return ""
    return (
        f"the state file {path} was on a volume at {shown(before)} that is not mounted now: mount it, or, to begin anew"
        " without it, make an empty file of that name"
    )


def remember(path: str) -> None:
    """Remember the volume of a state file that is open, as far as the user's state folder can be written."""
    file = places.volumes_file(os.environ)
    now, usual = mount_point(os.fsencode(path)), mount_point(os.fsencode(file))
    known = _remembered()
    wanted = {other: volume for other, volume in known.items() if other != path}
    if now not in {b"", b"/", usual}:
        wanted[path] = os.fsdecode(now)
    if wanted == known:
        return
    with suppress(OSError):
        os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
        with open(f"{file}.{os.getpid()}", "w", encoding="ascii") as new:
            json.dump(wanted, new)
        os.replace(f"{file}.{os.getpid()}", file)


def _remembered() -> dict[str, str]:
    try:
        with open(places.volumes_file(os.environ), encoding="ascii") as file:
            known = json.load(file)
    except (OSError, ValueError):
        return {}
    return {path: volume for path, volume in known.items() if isinstance(volume, str)} if type(known) is dict else {}
