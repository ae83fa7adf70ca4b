"""The standard streams as they are found: closed, full, or in an encoding that lacks most letters."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper

from watcher.errors import WatcherError

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


class OutputError(WatcherError):
    """Standard output can't be written to; without a text where it is not read any more."""


class _Output(TextIOWrapper):
    """Standard output whose faults are told from all others."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise _translated(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise _translated(error) from error


def prepare() -> None:
    """Have all three be there, and no character be more than standard output can take."""
    for name, mode in _STREAMS:  # in the order of their descriptors: each that is missing gets its own
        if getattr(sys, name) is None:  # closed by the caller: the next file that is opened would take its place
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    found = sys.stdout
    if type(found) is TextIOWrapper:
        sys.stdout = _Output(
            found.detach(),
            found.encoding,
            "backslashreplace",
            line_buffering=found.line_buffering,
            write_through=found.write_through,
        )


def finish() -> None:
    """Have all that was said be written; raises OutputError."""
    try:
        sys.stderr.flush()
    except OSError:  # there is nowhere to say so
        _silence(2)
    sys.stdout.flush()


def _silence(number: int) -> None:
    """Have nothing be written there any more: Python would complain again when it flushes at exit."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _translated(error: OSError) -> OutputError:
    _silence(1)
    if isinstance(error, BrokenPipeError):
        return OutputError("")
    return OutputError(f"Cannot write to standard output: {error.strerror}.")
