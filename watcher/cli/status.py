"""`status`: what is watched, waiting, done and failed, read from the state file beside the daemon or without it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from watcher import __version__, service
from watcher.cli import printable
from watcher.cli.wiring import Source
from watcher.config import Inbox
from watcher.errors import EXIT_OK
from watcher.model import PhotoId
from watcher.plan import Known, Phase
from watcher.state import Counts, Reader

if TYPE_CHECKING:
    from rich.table import Table  # 20 ms that `--json` need not pay

_MOST_WAITING = 1000  # waiting photos that `--json` names; all of them are counted
_REASONS = 8  # failed photos that the table for people names


def status(pair: tuple[str, str] | None, config_file: str | None, state_file: str | None, *, as_json: bool) -> int:
    """Print what is known of every inbox of the config."""
    source = Source(pair, config_file, state_file)
    config, _ = source.read()
    path = source.state_path(config)
    holder = service.holding(path)
    reader = Reader.open_to_read(path)
    try:
        found = _collect(reader, config.inboxes, running=holder is not None)
        found["pid"] = holder.pid if holder else None
        superseded = _superseded(reader, config.inboxes)
    finally:
        if reader is not None:
            reader.close()
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _show(found, superseded, path)
    return EXIT_OK


def _collect(reader: Reader | None, inboxes: tuple[Inbox, ...], *, running: bool) -> dict[str, Any]:
    since = reader.meta("since") if reader and running else None
    failed, waiting = [], []
    rows = []
    for inbox in inboxes:
        path = os.path.realpath(os.fsencode(inbox.path))
        rows.append(_inbox(reader, inbox, path, running=running))
        if reader is not None:
            failed += [_entry(*item) for item in reader.photos(path, Phase.FAILED)]
            waiting += [_entry(*item) for item in reader.photos(path, Phase.WAITING, _MOST_WAITING) if item[1].reason]
    return {
        "version": __version__,
        "running": running,
        "pid": None,
        "since": _iso(float(str(since))) if since is not None else None,
        "workers": reader.meta("workers") if reader and running else None,
        "inboxes": rows,
        "failed": failed,
        "waiting": waiting,
    }


def _entry(photo: PhotoId, known: Known) -> dict[str, Any]:
    return {
        "path": os.fsdecode(photo.absolute),
        "reason": known.reason,
        "attempts": known.attempts,
        "since": _iso(known.at),
    }


def _inbox(reader: Reader | None, inbox: Inbox, path: bytes, *, running: bool) -> dict[str, Any]:
    report = reader.report(path) if reader else {}
    counts = reader.counts(path) if reader else Counts()
    if running and "waiting" in report:
        waiting, oldest = report["waiting"], report["oldest_waiting"]
    else:
        waiting, oldest = counts.waiting, reader.oldest_waiting(path) if reader else None
    watch, reason = report.get("watch"), report.get("watch_reason", "")
    if not running or watch is None:
        watch, reason = ("poll" if inbox.watch == "poll" else "native"), "not running"
    return {
        "path": os.fsdecode(path),
        "output": os.path.realpath(inbox.output),
        "watch": watch,
        "watch_reason": reason,
        "reachable": report["reachable"] if running and "reachable" in report else os.path.isdir(path),
        "done": counts.done,
        "failed": counts.failed,
        "waiting": waiting,
        "missed_events": report.get("missed_events", 0),
        "oldest_waiting_seconds": None if oldest is None else round(max(0.0, time.time() - float(str(oldest))), 1),
    }


def _superseded(reader: Reader | None, inboxes: tuple[Inbox, ...]) -> dict[str, Mapping[str, int]]:
    if reader is None:
        return {}
    paths = {os.path.realpath(os.fsencode(inbox.path)): inbox.renditions for inbox in inboxes}
    return {os.fsdecode(path): reader.superseded(path, wanted) for path, wanted in paths.items()}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


# ---- for people ----


def _show(found: Mapping[str, Any], superseded: Mapping[str, Mapping[str, int]], state: str) -> None:
    from rich.console import Console  # noqa: PLC0415  # `--json` needs none of it

    console = Console(highlight=False)
    running = f"running since {found['since']} as process {found['pid']}, {found['workers']} workers"
    console.print(running if found["running"] else "not running", soft_wrap=True)
    console.print(_table(found["inboxes"]))
    for path, renditions in superseded.items():
        for name, photos in renditions.items():
            left = f"{path}: rendition {name!r} is no longer in the config; its {photos} files are left on disk"
            console.print(_safe(left), soft_wrap=True)
    for word in ("waiting", "failed"):
        for item in found[word][:_REASONS]:
            console.print(_safe(f"{word}: {item['path']}: {item['reason']}"), soft_wrap=True)
    if len(found["failed"]) > _REASONS:
        console.print(f"and {len(found['failed']) - _REASONS} more failed: see `watcher status --json`")
    console.print(_safe(f"state file: {state}"), style="dim", soft_wrap=True)


def _table(inboxes: Sequence[Mapping[str, Any]]) -> Table:
    from rich.table import Table  # noqa: PLC0415  # see `_show`

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("inbox", "watch", "done", "waiting", "failed", "missed events"):
        table.add_column(title, justify="left" if title in {"inbox", "watch"} else "right", overflow="fold")
    for row in inboxes:
        waiting = f"{row['waiting']}"
        if row["oldest_waiting_seconds"] is not None:
            waiting += f" (oldest {_duration(row['oldest_waiting_seconds'])})"
        watch = row["watch"] + (f": {row['watch_reason']}" if row["watch_reason"] else "")
        if not row["reachable"]:
            watch = "not reachable"
        counts = str(row["done"]), waiting, str(row["failed"]), str(row["missed_events"])
        table.add_row(_safe(row["path"]), _safe(watch), *counts)
    return table


def _safe(text: str) -> str:
    from rich.markup import escape  # noqa: PLC0415  # see `_show`

    return escape(printable(text).replace("\n", "\\n"))


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
