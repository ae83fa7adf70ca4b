"""The state file of a daemon or a single run: opened, a damaged one set aside, a busy or missing one waited for.

The volume that it lies on is remembered in the user's own state folder, `volumes.json` (path of the state file, mount
point), so that no new file is begun in the empty mount point of a volume that is away. A state file on the same volume
as that folder needs no entry.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from watcher import paths
from watcher.app.serve import PublishingStore
from watcher.core.volumes import belongs_on
from watcher.engine.ports import Log
from watcher.fs.mounts import mount_point
from watcher.store import StateBusyError
from watcher.text import shown, utf8_bytes, utf8_text

_PAUSE_SECONDS = 1.0  # between two tries; each may take some seconds itself

Wait = Callable[[str], object]
_T = TypeVar("_T")


def await_volume(path: str, log: Log, wait: Wait | None) -> None:
    """Return once the volume of a state file is there."""
    _until_free(lambda: _refuse_lost(path), log, wait)


def open_state(
    path: str, log: Log, about: Mapping[str, object], *, damaged: bool, wait: Wait | None
) -> PublishingStore:
    """Open the state file, and write there what is known about this run."""
    return _until_free(lambda: _open(path, log, about, damaged=damaged), log, wait)


def _until_free(attempt: Callable[[], _T], log: Log, wait: Wait | None) -> _T:
    """Try something until it raises no StateBusyError any more; `wait` is called with the reason each time.

    So a daemon that is started beside a backup waits until the process is ended. Without `wait` the error is raised.
    """
    reported = False
    while True:
        try:
            result = attempt()
        except StateBusyError as error:
            if wait is None:
                raise
            if not reported:
                log.error("state.busy", reason=str(error))  # noqa: TRY400  # no fault of ours
            reported = True
            wait(str(error))
            time.sleep(_PAUSE_SECONDS)
            continue
        if reported:
            log.info("state.back")
        return result


def _open(path: str, log: Log, about: Mapping[str, object], *, damaged: bool) -> PublishingStore:
    store = PublishingStore.open(path, damaged=damaged)
    try:
        if store.set_aside:
            log.error(
                "state.damaged",
                state=path,
                set_aside=store.set_aside,
                text="what was known is found out again from the outputs; photos whose outputs prove to be current"
                " are not rendered again",
            )
        store.set_meta(about)
    except BaseException:
        store.close()
        raise
    return store


def _refuse_lost(path: str) -> None:
    """Raise StateBusyError where the volume of a state file is away."""
    name = os.fsencode(path)
    before = utf8_bytes(_remembered().get(utf8_text(name), ""))
    now = mount_point(name)
    if before != now and belongs_on(before, now, bare=not os.path.exists(path)) == before:
        raise StateBusyError(
            f"the state file {path} was on a volume at {shown(before)} that is not mounted now: mount it, or, to begin"
            " anew without it, make an empty file of that name"
        )


def remember(path: str) -> None:
    """Remember the volume of a state file that is open, as far as the user's state folder can be written."""
    file = paths.volumes_file(os.environ)
    name = utf8_text(os.fsencode(path))
    now, usual = mount_point(os.fsencode(path)), mount_point(os.fsencode(file))
    known = _remembered()
    wanted = {other: volume for other, volume in known.items() if other != name}
    if now not in {b"", b"/", usual}:
        wanted[name] = utf8_text(now)
    if wanted == known:
        return
    with suppress(OSError):
        os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
        with open(f"{file}.{os.getpid()}", "w", encoding="ascii") as new:
            json.dump(wanted, new)
        os.replace(f"{file}.{os.getpid()}", file)


def _remembered() -> dict[str, str]:
    try:
        with open(paths.volumes_file(os.environ), encoding="ascii") as file:
            known = json.load(file)
    except (OSError, ValueError):
        return {}
    return {path: volume for path, volume in known.items() if isinstance(volume, str)} if type(known) is dict else {}
