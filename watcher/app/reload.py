"""The config, read again on a thread of its own: its disk may be slow, and the loop may not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable

from watcher.app.outputs import held
from watcher.app.serve import require_extras
from watcher.app.settings import Source, located, settle
from watcher.engine.ports import Log, Reloaded
from watcher.errors import ConfigError, WatcherError


class Reloader:
    """Reads the config whenever somebody asks, one reading after the other.

    Two at once could end in the other order, and the older config would be the last one told. Who asks during a
    reading is answered by one more after it.
    """

    def __init__(self, source: Source, post: Callable[[Reloaded], object], log: Log) -> None:
        self._source = source
        self._post = post
        self._log = log
        self._lock = threading.Lock()  # guards the two below
        self._asked = False
        self._reading = False

    def ask(self) -> None:
        """Have the config read from now on, and what it says posted."""
        with self._lock:
            self._asked = True
            if self._reading:
                return
            self._reading = True
        threading.Thread(target=self._run, name="read config", daemon=True).start()

    def _run(self) -> None:
        while self._wanted():
            try:
                config, name = self._source.read()
                require_extras(config, name)  # it counts from the next start, which would fail
                settings = settle(config, name)
                outcome = Reloaded(held(settings, name, self._source.state_path(config), None))
            except WatcherError as error:
                outcome = Reloaded(located(error) if isinstance(error, ConfigError) else error)
            except Exception as error:  # noqa: BLE001  # a fault of the program; who waits for an answer gets one
                self._log.error("internal.error", exc_info=error)
                outcome = Reloaded(WatcherError(f"watcher could not read its config, and is to blame: {error!r}"))
            self._post(outcome)

    def _wanted(self) -> bool:
        with self._lock:
            self._reading, self._asked = self._asked, False
            return self._reading
