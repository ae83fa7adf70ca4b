"""Write docs/events.md from the registry of log events: `python docs/events.py`."""

from __future__ import annotations

from pathlib import Path

from watcher.logs.events import EVENTS, FIELDS

_PAGE = Path(__file__).with_name("events.md")
_HEAD = """\
# Log events

<!-- made by `python docs/events.py` from watcher/logs/events.py -->

With `format = "json"` each line is one JSON object: `event`, `level`, `timestamp` (ISO 8601, UTC), then the
fields below. Lines of workers also have `pid`. In systemd's journal a field is `WATCHER_` and its name in
capitals: `journalctl -t watcher WATCHER_EVENT=photo.failed`. A field with `?` is not always there.
"""


def page() -> str:
    """Return the text of docs/events.md."""
    events = [
        f"| `{name}` | {', '.join(event.levels.split())} | {_listed(event.fields)} | {event.meaning} |"
        for name, event in EVENTS.items()
    ]
    fields = [f"| `{name}` | {meaning} |" for name, meaning in FIELDS.items()]
    heads = ("| event | level | fields | meaning |", "| --- | --- | --- | --- |")
    return "\n".join([_HEAD, *heads, *events, "", "| field | value |", "| --- | --- |", *fields]) + "\n"


def _listed(fields: str) -> str:
    return ", ".join(f"`{field.removesuffix('?')}`{'?' * field.endswith('?')}" for field in fields.split())


if __name__ == "__main__":
    _PAGE.write_text(page(), encoding="utf-8")
