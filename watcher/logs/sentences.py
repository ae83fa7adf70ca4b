"""Log lines for a person at a terminal: sentences with names of photos in local time, in place of events with fields.

Rules:
- A few photos of a batch get a line each, as soon as they are made; what comes after them is one line a batch.
- What the program has said otherwise is left out: the watch that starts as expected, what a scan found again.
- An event without a sentence here is shown with its fields: none is lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

from watcher.text import counted, duration, printable, utf8_text

_HANDFUL = 5  # photos of a batch that get a line each
_COLOURS = {"warning": "33", "error": "31", "critical": "31;1"}  # ANSI SGR
_HEAD = frozenset({"event", "level", "timestamp", "exception", "pid"})
_LEFT_OUT = frozenset({"decoder.ready", "watch.started", "outputs.swept", "requests.received"})

Fields = Mapping[str, Any]


class Sentences:
    """Makes lines of events, and remembers what is needed to leave some out."""

    def __init__(self, *, colour: bool, verbose: bool) -> None:
        self._colour = colour
        self._verbose = verbose
        self._inboxes: set[str] = set()
        self._made = 0  # photos since the last batch was through
        self._day: date | None = None
        self._trouble: dict[str, str] = {}  # inbox → the reason that was told last

    def __call__(self, fields: Fields) -> str:
        """Return the lines, without a line break at the end; empty: nothing is to be said."""
        if inbox := fields.get("inbox"):
            self._inboxes.add(_text(inbox))
        said = self._sentence_of(fields)
        if not said:
            return ""
        if fields["event"] != "config.rejected":  # a name may hold line breaks; these faults have a line each
            said = said.replace("\n", "\\n")
        level = str(fields["level"])
        word = f"{level}: " if level in _COLOURS and fields["event"] not in _SENTENCES else ""
        first, *more = [printable(line) for line in (word + said).split("\n")]
        if level in _COLOURS:
            first = self._paint(_COLOURS[level], first)
        trace = (printable(line) for line in str(fields.get("exception") or "").splitlines())
        return "\n".join([f"{self._paint('2', self._clock(str(fields['timestamp'])))}  {first}", *more, *trace])

    def _sentence_of(self, fields: Fields) -> str:
        event = str(fields["event"])
        if event == "photo.done":
            return self._photo(fields)
        if event == "batch.done":
            return self._batch(fields)
        if event in {"watch.degraded", "watch.lost"} and self._repeated(fields):
            return ""
        if event == "watch.back":
            self._trouble.pop(_text(fields["inbox"]), None)
        if event == "scan.done" and not fields["complete"] and self._trouble_known(fields):
            return ""
        if sentence := _SENTENCES.get(event):
            return sentence({key: self._shown(key, value) for key, value in fields.items()})
        if event in _LEFT_OUT and not self._verbose:
            return ""
        return _plain(fields)

    def _photo(self, fields: Fields) -> str:
        if not fields.get("renditions"):
            return ""
        self._made += 1
        if self._made > _HANDFUL and not self._verbose:
            return ""
        renditions = ", ".join(map(str, fields["renditions"]))
        line = f"{self._name(_text(fields['path']))} \u2192 {renditions}"
        if other := fields.get("moved_from"):
            return f"{line}: renamed from {self._name(_text(other))}"
        if other := fields.get("same_as"):
            return f"{line}: the same picture as {self._name(_text(other))}"
        return f"{line} ({fields.get('seconds', 0.0):.2f} s)"

    def _batch(self, fields: Fields) -> str:
        reported, self._made = min(self._made, _HANDFUL), 0
        files, failed = int(fields["files"]), int(fields["failed"])
        if files - failed <= reported:
            return ""
        failures = f", {failed:,} failed" if failed else ""
        copies = counted(int(fields["renditions"]), "copy")
        return f"{counted(files - failed, 'photo')}, {copies} in {fields['seconds']:.1f} s{failures}"

    def _repeated(self, fields: Fields) -> bool:
        inbox, reason = _text(fields.get("inbox", "")), str(fields.get("reason", ""))
        reported = self._trouble.get(inbox) == reason
        self._trouble[inbox] = reason
        return reported

    def _trouble_known(self, fields: Fields) -> bool:
        """Return whether why a scan is incomplete was told before: it is repeated at each scan."""
        return _text(fields["inbox"]) in self._trouble or self._repeated(fields)

    def _shown(self, key: str, value: object) -> Any:  # noqa: ANN401  # any field
        if key == "path":
            return self._name(_text(value))
        return _text(value) if isinstance(value, (bytes, os.PathLike)) else value

    def _name(self, path: str) -> str:
        """Return a photo's path below its inbox, with the inbox's name where there are several."""
        inbox = max((inbox for inbox in self._inboxes if path.startswith(inbox + "/")), key=len, default="")
        if not inbox:
            return path
        return path[len(os.path.dirname(inbox) if len(self._inboxes) > 1 else inbox) + 1 :]

    def _clock(self, stamp: str) -> str:
        """Return the local time, with the date where another day has begun since the last line."""
        local = datetime.fromisoformat(stamp).astimezone()
        new = self._day not in {None, local.date()}
        self._day = local.date()
        return f"{local:%Y-%m-%d %H:%M:%S}" if new else f"{local:%H:%M:%S}"

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _scan(fields: Fields) -> str:
    if not fields["complete"]:
        return f"{fields['inbox']} could not be read whole: {fields.get('reason', 'it is not there')}"
    if fields["origin"] != "start":
        return ""
    ahead = f", {fields['waiting']:,} to do" if fields.get("waiting") else ", nothing to do"
    return f"{fields['inbox']}: {counted(fields['photos'], 'photo')} found{ahead}"


def _stopping(fields: Fields) -> str:
    begun = int(fields.get("in_flight", 0))
    if not begun:
        return "Stopping."
    return f"Stopping: {counted(begun, 'photo')} already begun will be finished. Press Ctrl-C again to stop at once."


def _reloaded(fields: Fields) -> str:
    fixed = ", ".join(map(str, fields.get("takes_a_restart") or ()))
    return "The config was read again" + (f"; a change of {fixed} takes a restart." if fixed else ".")


_SENTENCES: dict[str, Callable[[Fields], str]] = {
    "scan.done": _scan,
    "photo.failed": lambda fields: f"failed: {fields['path']}: {fields['reason']}",
    "photo.retry": lambda fields: f"{fields['path']}: {fields['reason']}; again in {duration(fields['seconds'])}",
    "photo.waiting": lambda fields: f"{fields['path']}: waiting: {fields['reason']}",
    "worker.lost": lambda fields: f"{fields['path']}: its worker was lost: {fields['reason']}",
    "watch.degraded": lambda fields: f"{fields['inbox']} is checked at intervals: {fields['reason']}",
    "watch.lost": lambda fields: f"{fields['inbox']} can't be watched: {fields['reason']}",
    "watch.back": lambda fields: f"{fields['inbox']} is back",
    "disk.full": lambda fields: f"{fields['output']}: {fields['reason']}; it goes on when there is space",
    "config.reloaded": _reloaded,
    "config.rejected": lambda fields: f"The new config is refused, the older one stays in use:\n{fields['reason']}",
    "web.listening": lambda fields: f"The page is at {fields['url']}",
    "daemon.stopping": _stopping,
    "stopped": lambda _: "Stopped.",
}


def _plain(fields: Fields) -> str:
    """Return an event that has no sentence: its name in words, its reason, then what else it says."""
    name = str(fields["event"]).replace(".", " ").replace("_", " ")
    reason = fields.get("reason") or fields.get("text") or fields.get("message")
    rest = ", ".join(_rest(fields, reason))
    return name + (f": {_text(reason)}" if reason else "") + (f" ({rest})" if rest else "")


def _rest(fields: Fields, reason: object) -> Iterator[str]:
    for key, value in fields.items():
        if key not in _HEAD and value is not reason and value not in (None, ""):
            yield f"{key.replace('_', ' ')} {_text(value)}"


def _text(value: object) -> str:
    return utf8_text(os.fsencode(value)) if isinstance(value, (bytes, os.PathLike)) else str(value)
