"""Signals to a daemon that is not built yet: most of the time until then goes into imports."""

from __future__ import annotations

import os
import signal
from types import FrameType

from watcher.errors import EXIT_OK


def leave_on_signals() -> None:
    """End in order if that is asked for, since nothing has begun; a reload means nothing before a config is read."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _leave(number: int, frame: FrameType | None) -> None:
    """Leave at once: an exception raised here may be lost, as in the midst of an import."""
    del number, frame
    os._exit(EXIT_OK)
