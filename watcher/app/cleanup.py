"""Temporary files that dead workers left in the outputs are removed, beside the work."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from watcher.engine.ports import Log
from watcher.errors import tell_fault
from watcher.render import sweep

_JOIN_SECONDS = 10.0  # a mount that hangs must not keep a run from ending


class Sweeper:
    """Sweeps on a thread of its own: a large tree takes seconds, and one on a dead mount for ever."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._thread: threading.Thread | None = None

    def begin(self, outputs: Iterable[bytes]) -> bool:
        """Sweep these folders; False: an earlier sweep is still under way, and may have been past what is meant."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._thread = threading.Thread(target=self._sweep, args=(sorted(set(outputs)),), name="sweep", daemon=True)
        self._thread.start()
        return True

    def close(self) -> None:
        """Wait for the sweep that is under way."""
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    def _sweep(self, outputs: list[bytes]) -> None:
        for output in outputs:
            try:
                swept = sweep(output)
            except Exception as error:  # noqa: BLE001  # the other outputs are swept all the same
                tell_fault(error)
                continue
            if swept:
                self._log.info("outputs.swept", output=output, temporary_files=swept)
