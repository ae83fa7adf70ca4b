"""Log lines with fields: for people on a terminal, as entries in a journal, as one JSON object a line for all else.

Rules:
- An event's name is constant, what varies is a field. Names of files are arbitrary: whatever could end a line,
  steer a terminal or fail to encode is escaped.
- A line is one `write`, so that lines of several processes don't mix.
- A log that can't be written (a closed terminal, a full disk) costs its lines and nothing else.
- Other libraries' records from WARNING up take the same way, as event `library.message`.
- Where standard error is systemd's journal, `auto` hands it entries with fields; a format that was asked for is kept,
  with each line's priority in front.

Import this only where something is logged: structlog takes about 70 ms.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Literal, TextIO

from watcher.logs import journal
from watcher.logs.renderers import PRIORITIES, Console, as_json, exception_text
from watcher.logs.sentences import Sentences
from watcher.logs.slim_structlog import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

Format = Literal["auto", "console", "json"]
Level = Literal["debug", "info", "warning", "error"]

_LONGEST = 2000  # characters of another library's message: watchdog's can hold its whole table of watches

log: FilteringBoundLogger = structlog.get_logger()


def setup(format: Format = "auto", level: Level = "info", stream: TextIO | None = None) -> None:  # noqa: A002 — named as the config's key
    """Send every log line from `level` up to `stream`; without one to whatever `sys.stderr` is at that moment.

    `auto` is entries with fields in a journal, and `json` elsewhere but on a terminal, where `auto` and `console` are
    sentences for people. May be called again, as after a changed config.
    """
    target = _Target(stream)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            exception_text,
            _last(target, format, level),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_passed(target, format, level)),
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


def is_journal(stream: TextIO | None) -> bool:
    """Return whether what is written to a stream arrives in systemd's journal."""
    try:
        found = os.fstat(stream.fileno()) if stream else None
    except (OSError, ValueError):
        return False
    return found is not None and os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def with_priority(level: str, text: str) -> str:
    """Return lines as the journal takes them from a stream, each with its priority in front."""
    return "".join(f"<{PRIORITIES[level]}>{line}\n" for line in text.split("\n"))


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

    def msg(self, text: str, entry: bytes = b"") -> None:
        if entry and journal.send(entry):
            return
        stream = self.stream
        # OSError: broken pipe, full disk; ValueError: closed; nothing can be said about it, and nothing need be done
        with contextlib.suppress(OSError, ValueError):
            if type(stream) is TextIOWrapper:
                _write(stream, text)
            elif stream is not None:
                stream.write(text)
                stream.flush()

    debug = info = warning = error = critical = fatal = msg


def _write(stream: TextIOWrapper, text: str) -> None:
    """Write past the stream's buffer: what can't be written would stay there, and end the process with code 120."""
    stream.flush()
    left = memoryview(text.encode(stream.encoding, stream.errors or "backslashreplace"))
    while left:
        left = left[os.write(stream.fileno(), left) :]


_Render = Callable[[Mapping[str, Any]], str]


def _in_sentences(target: _Target, format: Format) -> bool:  # noqa: A002 — named as the config's key
    return format != "json" and target.is_terminal() and not is_journal(target.stream)


def _passed(target: _Target, format: Format, level: Level) -> Level:  # noqa: A002 — named as the config's key
    """Return the level from which on lines are rendered: people are told of each photo, which is a debug event."""
    return "debug" if level == "info" and _in_sentences(target, format) else level


def _last(target: _Target, format: Format, level: Level) -> structlog.typing.Processor:  # noqa: A002 — named as the config's key
    """Return the last processor, which makes of a line's fields what the target takes."""
    in_journal = is_journal(target.stream)
    if _in_sentences(target, format):
        return _Sentence(Sentences(colour=not os.environ.get("NO_COLOR"), verbose=level == "debug"), level)
    render: _Render = as_json
    if format == "console" or (format == "auto" and in_journal):
        render = Console(clock=not in_journal)  # a journal has a time stamp of its own
    if not in_journal:
        return _Line(render)
    return _Entry(render) if format == "auto" else _Priority(render)


class _Line:
    """Makes lines for a terminal, a file or a pipe."""

    def __init__(self, render: _Render) -> None:
        self._render = render

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> Any:  # noqa: ANN401 — structlog's
        del logger, method
        head = {key: event.pop(key, None) for key in ("event", "level", "timestamp")}
        return self.finish({**head, **_ALWAYS, **event})

    def finish(self, fields: Mapping[str, Any]) -> Any:  # noqa: ANN401 — structlog's
        return self._render(fields) + "\n"


class _Sentence(_Line):
    """Makes lines for a person; some events make none."""

    def __init__(self, render: Sentences, level: Level) -> None:
        super().__init__(render)
        self._level = level

    def finish(self, fields: Mapping[str, Any]) -> Any:  # noqa: ANN401 — structlog's
        if self._level == "info" and fields["level"] == "debug" and fields["event"] != "photo.done":
            raise structlog.DropEvent
        text = self._render(fields)
        if not text:
            raise structlog.DropEvent
        return text + "\n"


class _Priority(_Line):
    """The same for systemd's journal, which takes each line's priority from its front."""

    def finish(self, fields: Mapping[str, Any]) -> Any:  # noqa: ANN401 — structlog's
        return with_priority(fields["level"], self._render(fields))


class _Entry(_Priority):
    """The same with fields, by the journal's own protocol; the lines are for when it does not take them."""

    def finish(self, fields: Mapping[str, Any]) -> Any:  # noqa: ANN401 — structlog's
        return (super().finish(fields), journal.entry(fields)), {}


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
        log.log(
            level, "library.message", logger=record.name, message=text.rstrip()[:_LONGEST], exc_info=record.exc_info
        )
