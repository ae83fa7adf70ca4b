"""Log lines with fields: for people on a terminal, as one JSON object a line for everything else.

Rules:
- An event's name is constant, what varies is a field. Names of files are anybody's choice: whatever could end a line,
  steer a terminal or fail to encode is escaped.
- A line is one `write`, so that lines of several processes don't mix.
- A log that can't be written (a closed terminal, a full disk) costs its lines and nothing else.
- Other libraries' records from WARNING up take the same way, as event `library`.

Import this only where something is logged: structlog takes about 70 ms.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

Format = Literal["auto", "console", "json"]
Level = Literal["debug", "info", "warning", "error"]

# level → syslog's priority (journald reads `<N>` in front of a line), colour on a terminal (ANSI SGR)
_LEVELS = {
    "debug": (7, "2"),
    "info": (6, "32"),
    "warning": (4, "33"),
    "error": (3, "31"),
    "critical": (2, "31;1"),
}
_LONGEST = 2000  # characters of another library's message: watchdog's can hold its whole table of watches

log: FilteringBoundLogger = structlog.get_logger()


def get(name: str) -> FilteringBoundLogger:
    """Give a logger whose lines carry `part=name`; `log` is the one without a name."""
    logger: FilteringBoundLogger = structlog.get_logger(part=name)
    return logger


def setup(format: Format = "auto", level: Level = "info", stream: TextIO | None = None) -> None:  # noqa: A002 — named as the config's key
    """Send every log line from `level` up to `stream`; without one to whatever `sys.stderr` is at that moment.

    `auto` is `console` on a terminal and `json` elsewhere. May be called again, as after a changed config.
    """
    target = _Target(stream)
    render = _Console(target) if format == "console" or (format == "auto" and target.is_terminal()) else _json
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception,
            _Journal(render) if target.is_journal() else _Line(render),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: target,
        cache_logger_on_first_use=False,  # or a second setup would not reach the loggers that are there
    )
    for handler in [handler for handler in logging.root.handlers if isinstance(handler, _Library)]:
        logging.root.removeHandler(handler)
    logging.root.addHandler(_Library())
    logging.root.setLevel(logging.WARNING)
    logging.captureWarnings(True)


def worker_setup(format: Format, level: Level) -> None:  # noqa: A002 — named as the config's key
    """Set the log up in a worker process, where each line carries the worker's `pid`; can be pickled by name."""
    setup(format, level)
    _ALWAYS["pid"] = os.getpid()


_ALWAYS: dict[str, object] = {}  # fields of every line of this process


# ---- where lines go ----


class _Target:
    """A stream to write lines to that may be gone; structlog calls the method named as the level."""

    def __init__(self, stream: TextIO | None) -> None:
        self._fixed = stream

    @property
    def stream(self) -> TextIO | None:
        return self._fixed or sys.stderr  # looked up each time: a progress bar puts itself in its place

    def is_terminal(self) -> bool:
        try:
            return self.stream is not None and self.stream.isatty()
        except (OSError, ValueError):
            return False

    def is_journal(self) -> bool:
        try:
            found = os.fstat(self.stream.fileno()) if self.stream else None
        except (OSError, ValueError):
            return False
        return found is not None and os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"

    def msg(self, text: str) -> None:
        stream = self.stream
        # OSError: broken pipe, full disk; ValueError: closed; nothing can be said about it, and nothing need be done
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.write(text)
                stream.flush()

    debug = info = warning = error = critical = fatal = msg


class _Line:
    """The last processor where lines go to a terminal, a file or a pipe."""

    def __init__(self, render: Callable[[Mapping[str, Any]], str]) -> None:
        self._render = render

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        del logger, method
        head = {key: event.pop(key, None) for key in ("event", "level", "timestamp")}
        return self.finish({**head, **_ALWAYS, **event})

    def finish(self, fields: Mapping[str, Any]) -> str:
        return self._render(fields) + "\n"


class _Journal(_Line):
    """The same for systemd's journal, which takes each line's priority from its front."""

    def finish(self, fields: Mapping[str, Any]) -> str:
        priority = _LEVELS[fields["level"]][0]
        return "".join(f"<{priority}>{line}\n" for line in self._render(fields).split("\n"))


# ---- what lines look like ----


def _exception(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
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


def _plain(value: object) -> object:
    """Give a value that JSON has: paths as text, what it does not know as Python shows it."""
    if isinstance(value, (bytes, os.PathLike)):
        return os.fsdecode(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return repr(value)


def _json(fields: Mapping[str, Any]) -> str:
    try:
        return _dumped(fields)
    except (TypeError, ValueError, RecursionError):
        return _dumped({str(key): _kept(value) for key, value in fields.items()})


def _dumped(value: object) -> str:
    return json.dumps(value, default=_plain, allow_nan=False)  # ASCII alone: no name can break a line or an encoding


def _kept(value: object) -> object:
    """Give the value if JSON has it; a NaN, a circle, a key that is no text: as Python shows it."""
    try:
        _dumped(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
    return value


class _Console:
    """One line a person can read: time, level, event, then `key=value`; a traceback below it."""

    def __init__(self, target: _Target) -> None:
        self._colour = target.is_terminal() and not os.environ.get("NO_COLOR")
        self._clock = not target.is_journal()  # which has a time stamp of its own

    def __call__(self, fields: Mapping[str, Any]) -> str:
        rest = dict(fields)
        event, level, stamp, trace = (rest.pop(key, None) for key in ("event", "level", "timestamp", "exception"))
        words = [self._paint("2", str(stamp)[:19].replace("T", " ") + "Z")] if self._clock else []
        words.append(self._paint(_LEVELS[str(level)][1], f"{level:<7}"))
        words.append(self._paint("1", _printable(str(event))))
        words += [f"{self._paint('36', _printable(key))}={_value(value)}" for key, value in rest.items()]
        lines = [" ".join(words), *(_printable(line) for line in str(trace or "").splitlines())]
        return "\n".join(lines)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _value(value: object) -> str:
    """Show a value so that its end is plain: text with a space or a quote in it is quoted."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)
    shown = _printable(text)
    return f'"{shown}"' if not shown or any(sign in shown for sign in " \"'=") else shown


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(_escaped(text))


def _escaped(text: str) -> Iterator[str]:
    for sign in text:
        yield sign if sign.isprintable() else ascii(sign)[1:-1]


# ---- other libraries ----


class _Library(logging.Handler):
    """Hands records of the standard library's logging over, from WARNING up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception as error:  # noqa: BLE001 — a record whose arguments don't fit is its library's fault
            text = f"{record.msg!r} ({error!r})"
        level = min(max(record.levelno // 10 * 10, logging.WARNING), logging.CRITICAL)
        log.log(level, "library", logger=record.name, message=text.rstrip()[:_LONGEST], exc_info=record.exc_info)
