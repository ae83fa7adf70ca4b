"""What lines look like: one JSON object, or one line for a person with a traceback below it."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from watcher.text import shown, utf8_text

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # syslog's, which systemd's journal knows


def exception_text(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Turn `exc_info` into the traceback's text, field `exception`."""
    del logger, method
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exception()
    elif isinstance(found, tuple):
        found = found[1]
    if isinstance(found, BaseException):
        event["exception"] = "".join(traceback.format_exception(found)).rstrip("\n")
    return event


# ---- JSON ----


def as_json(fields: Mapping[str, Any]) -> str:
    """Return one JSON object, ASCII alone: no name can break a line or an encoding."""
    try:
        return _dumped(fields)
    except (TypeError, ValueError, RecursionError):
        return _dumped({str(key): _kept(value) for key, value in fields.items()})


def _dumped(value: object) -> str:
    return json.dumps(value, default=_plain, allow_nan=False)


def _plain(value: object) -> object:
    """Return a value that JSON has: paths as text, what it does not know as Python shows it."""
    if isinstance(value, (bytes, os.PathLike)):
        return utf8_text(os.fsencode(value))
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return repr(value)


def _kept(value: object) -> object:
    """Return the value if JSON has it; a NaN, a circle, a key that is no text: as Python shows it."""
    try:
        _dumped(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
    return value


# ---- for people ----


class Console:
    """One line a person can read: time, level, event, then `key=value`; a traceback below it."""

    def __init__(self, *, clock: bool = True, level: bool = True) -> None:
        self._clock = clock
        self._level = level

    def __call__(self, fields: Mapping[str, Any]) -> str:
        """Return the lines, without a line break at the end."""
        rest = dict(fields)
        event, level, stamp, trace = (rest.pop(key, None) for key in ("event", "level", "timestamp", "exception"))
        words = [str(stamp)[:19].replace("T", " ") + "Z"] if self._clock else []
        words += [f"{level:<7}"] if self._level else []
        words.append(shown(str(event)))
        words += [f"{shown(key)}={_value(value)}" for key, value in rest.items()]
        lines = [" ".join(words), *(shown(line) for line in str(trace or "").splitlines())]
        return "\n".join(lines)


def _value(value: object) -> str:
    """Show a value so that its end is plain: text with a space or a quote in it is quoted."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = utf8_text(os.fsencode(value)) if isinstance(value, (bytes, os.PathLike)) else str(value)
    escaped = shown(text)
    return f'"{escaped}"' if not escaped or any(sign in escaped for sign in " \"'=") else escaped
