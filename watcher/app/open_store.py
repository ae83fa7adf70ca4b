"""The state file of a daemon or a single run is opened: a damaged one set aside, a busy one waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from watcher.app.serve import ToldState
from watcher.engine.ports import Log
from watcher.store import StateBusyError

_PAUSE_SECONDS = 1.0  # each try takes some seconds itself


def open_state(
    path: str, log: Log, about: Mapping[str, object], *, damaged: bool, wait: Callable[[str], object] | None
) -> ToldState:
    """Open the state file, and write there what is known about this run.

    With `wait`, which is told why again and again, a file that is busy is waited for, as long as nobody ends the
    process: a daemon that is started beside a backup shall not stay away for good. Else raises StateBusyError.
    """
    told = False
    while True:
        try:
            store = _open(path, log, about, damaged=damaged)
        except StateBusyError as error:
            if wait is None:
                raise
            wait(str(error))
            if not told:
                log.error("state.busy", reason=str(error))  # noqa: TRY400  # no fault of ours
            told = True
            time.sleep(_PAUSE_SECONDS)
            continue
        if told:
            log.info("state.back")
        return store


def _open(path: str, log: Log, about: Mapping[str, object], *, damaged: bool) -> ToldState:
    store = ToldState.open(path, damaged=damaged)
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
