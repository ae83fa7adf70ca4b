"""The errors that end watcher early; each states the cause and has its exit code.

Rule: an expected error is a `WatcherError`, and the command line turns it into a message and an exit code at one
boundary. Any other error is a bug: it ends in a traceback in the log and exit code 70.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import ClassVar

EXIT_OK = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h
EXIT_BUSY = 75  # EX_TEMPFAIL
EXIT_CONFIG = 78  # EX_CONFIG


def tell_fault(error: BaseException) -> None:
    """Report an error that would have ended this thread. The thread goes on, so no thread is named as ended."""
    threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))


class WatcherError(Exception):
    """An error that a user or a machine caused, described in a sentence that says what to do about it."""

    exit_code: ClassVar[int] = EXIT_SOME_FAILED


class UsageError(WatcherError):
    """The command line asks for something invalid."""

    exit_code = EXIT_USAGE


class BusyError(WatcherError):
    """Another instance has locked the state file."""

    exit_code = EXIT_BUSY


class StateError(WatcherError):
    """The state file can't be used: from a newer version, in a folder that can't be written, or locked permanently."""

    exit_code = EXIT_CONFIG


class PlaceError(WatcherError):
    """The machine or the account lacks a requirement, such as a home or a folder for temporary files."""

    exit_code = EXIT_CONFIG


class WorkersError(WatcherError):
    """No workers are available to make photos. This may pass, so a daemon's service manager should start it again."""

    exit_code = EXIT_BUG


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in the config: where it is, what was found there, what to write instead."""

    key: str  # dotted path such as `rendition.web.quality` or `inbox[0].path`; empty for the file as a whole
    found: str
    hint: str
    excerpt: str = field(default="", compare=False)  # the line of the file with its number, and a mark below it

    def __str__(self) -> str:
        """Return the fault as one line."""
        where = f"{self.key}: " if self.key else ""
        return f"{where}{self.found}; {self.hint}"


class ConfigError(WatcherError):
    """The config is wrong or can't work on this machine: all faults at once."""

    exit_code = EXIT_CONFIG

    def __init__(self, source: str, faults: list[Fault]) -> None:
        """Collect `faults`, found in `source` (a file's path, or a description of where the settings came from)."""
        self.source = source
        self.faults = faults
        super().__init__(source, faults)

    def __str__(self) -> str:
        """Return all faults, below the source in which they were found: a line each, and the line of the file."""
        lines = [f"{self.source}:"]
        for fault in self.faults:
            lines += [f"  {fault}", *fault.excerpt.splitlines()]
        return "\n".join(lines)
