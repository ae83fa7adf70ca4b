"""How `status` looks to people: a block for each inbox, live where it is followed on a terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from watcher.cli.status import Story
from watcher.engine.rate import per_second, recent
from watcher.fs import mounts
from watcher.text import duration, moment, printable, size

_REASONS = 8  # different reasons of failures, and waiting photos, that are named
_EXAMPLES = 3  # photos named for each reason
_RECENT_MINUTES = 5
_BACKLOG = 20  # waiting photos from which on the time left is told
_LITTLE_ROOM = 1_000_000_000  # bytes

Show = Callable[[Mapping[str, Any], Story], None]


def show(found: Mapping[str, Any], story: Story) -> None:
    """Print everything once."""
    console = _console()
    if console.is_terminal:
        console.print(_page(found, story), soft_wrap=True)
    else:
        print(_plain(console, found, story))


@contextmanager
def screen(*, live: bool) -> Iterator[Show]:
    """Give a function that shows what there is now in place of what it showed before; off a terminal: after it."""
    console = _console()
    if not live or not console.is_terminal:
        last: list[str] = []

        def follow(found: Mapping[str, Any], story: Story) -> None:
            text = _plain(console, found, story)
            if last != [text]:
                last[:] = [text]
                print(text, flush=True)

        yield follow
        return
    with Live(console=console, auto_refresh=False, transient=False) as view:
        yield lambda found, story: view.update(_page(found, story), refresh=True)


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=10_000)  # whoever reads lines wants none of them broken
    return console


def _plain(console: Console, found: Mapping[str, Any], story: Story) -> str:
    with console.capture() as capture:
        console.print(_page(found, story), soft_wrap=True)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _page(found: Mapping[str, Any], story: Story) -> RenderableType:
    if found["running"]:
        cluster = found.get("executor")
        here = "" if cluster else f", {found['workers']} workers"
        begun = f"running since {_at(found['since'])} as process {found['pid']}{here}"
        parts: list[RenderableType] = [Text(begun, style="green"), *(_executor(cluster) if cluster else ())]
    else:
        last = "" if story.known else "; it has never run with this state file"
        parts = [Text(f"not running{last}", style="yellow")]
    if story.config_fault:
        parts.append(Text("it works by an older config; the newer one is refused:", style="bold red"))
        parts += [_text(f"  {line}", "red") for line in story.config_fault.splitlines()]
    for row in found["inboxes"]:
        parts += [Text(""), *_inbox(row, found, story)]
    parts += [Text(""), _text(f"state file: {story.state}", "dim")]
    for other in story.others:
        ask = shlex.join(["watcher", "status", other.inbox, other.output])
        parts.append(_text(f"another daemon runs as process {other.pid}: {ask}", "dim"))
    return Group(*parts)


def _executor(executor: Mapping[str, Any]) -> Iterator[Text]:
    """Say how a cluster fares that photos are made on."""
    cluster = f"the Dask cluster at {executor['address']}"
    if executor["away_since"]:
        meanwhile = "photos are made here meanwhile" if executor["fallback"] else "photos wait for it"
        yield _text(
            f"{cluster} is away since {_at(executor['away_since'])}: {executor['reason']}; {meanwhile}", "bold red"
        )
    elif executor["workers"]:
        yield _text(f"on {cluster}: {executor['workers']} of its workers, {executor['threads']} threads", "green")
    else:
        yield _text(f"{cluster} is looked for", "yellow")
    for worker, reason in executor["unfit"].items():
        yield _text(f"  left out: {worker}: {reason}", "yellow")


def _inbox(row: Mapping[str, Any], found: Mapping[str, Any], story: Story) -> Iterator[RenderableType]:
    title = _text(row["path"], "bold")
    title.append_text(_text(f" \u2192 {row['output']}", "dim"))
    yield title
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, cell in _rows(row, found, story):
        grid.add_row(f"  {name}" if name else "", cell)
    yield grid


def _rows(row: Mapping[str, Any], found: Mapping[str, Any], story: Story) -> Iterator[tuple[str, Text]]:
    report = story.reports.get(row["path"], {})
    if found["running"]:
        yield "watch", _watch(row)
    yield from _missing(row, running=found["running"])
    if found["running"] or story.known:  # else zero would stand for what is not known
        yield from _counts(row, found, report)
    if row["missed_events"]:
        yield "missed", _text(f"{row['missed_events']:,} events, made up for by scans", "yellow")
    if batch := report.get("last_batch"):
        yield "last batch", _text(_batch(batch))
    if room := _room(row["output"]):
        yield "room", room
    for rendition, photos in story.superseded.get(row["path"], {}).items():
        yield "left", _text(f"rendition {rendition!r} is no longer in the config; its {photos} files are left on disk")
    for item in _below(found["waiting"], row["path"])[:_REASONS]:
        yield "waits", _text(f"{_within(item['path'], row['path'])}: {item['reason']}; unchanged for {_since(item)}")


def _counts(row: Mapping[str, Any], found: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    yield "done", _text(f"{row['done']:,}")
    if lately := recent(report.get("minutes", []), time.time(), _RECENT_MINUTES):
        yield "lately", _text(f"{lately:,} made in the last {_RECENT_MINUTES} minutes")
    yield "waiting", _waiting(row, report, found)
    yield "failed", _text(f"{row['failed']:,}", "red" if row["failed"] else "")
    if found["running"] and (held_up := report.get("held_up")):
        yield "held up", _text(held_up, "bold red")
    for reason in _reasons(found["failed"], row["path"]):
        yield "", reason


def _watch(row: Mapping[str, Any]) -> Text:
    why = f": {row['watch_reason']}" if row["watch_reason"] else ""
    if not row["reachable"]:
        return _text(f"not reachable{why}; it is looked for, and scanned when it is back", "bold red")
    return _text(row["watch"] + why, "yellow" if why else "")


def _missing(row: Mapping[str, Any], *, running: bool) -> Iterator[tuple[str, Text]]:
    """Say which folder is not there; that the inbox of a running daemon is not, its watch says."""
    if not running and not os.path.isdir(row["path"]):
        yield "inbox", _text("there is no such folder; is it misspelt, or its volume not mounted?", "bold red")
    if not os.path.isdir(row["output"]):
        made = "; the first copy makes it" if not row["done"] else ", though copies were made in it; is it not mounted?"
        yield "output", _text(f"there is no such folder{made}", "bold red" if row["done"] else "yellow")


def _waiting(row: Mapping[str, Any], report: Mapping[str, Any], found: Mapping[str, Any]) -> Text:
    oldest = row["oldest_waiting_seconds"]
    age = "" if oldest is None else f", the oldest for {duration(oldest)}"
    if not found["running"]:
        known = f"{row['waiting']:,} when it last ran{age}" if row["waiting"] else "not known"
        return _text(f"{known}; new photos are not counted, since the folder is looked at only while it runs", "yellow")
    now = time.time()
    since = datetime.fromisoformat(found["since"]).timestamp() if found["since"] else now
    speed = per_second(report.get("minutes", []), now, since) if row["waiting"] >= _BACKLOG else 0.0
    left = f"; {speed:.1f}/s, about {duration(row['waiting'] / speed)} left" if speed else ""
    return _text(f"{row['waiting']:,}{age}{left}")


def _at(iso: str) -> str:
    return moment(datetime.fromisoformat(iso).timestamp(), time.time())


def _batch(batch: Mapping[str, Any]) -> str:
    ago = max(0.0, time.time() - batch["at"])
    failed = f", {batch['failed']} of them failed" if batch["failed"] else ""
    files = "1 photo" if batch["files"] == 1 else f"{batch['files']:,} photos"
    return f"{files} in {batch['seconds']:.1f} s{failed}, {duration(ago)} ago"


def _room(output: str) -> Text | None:
    try:
        usage = shutil.disk_usage(output)
    except OSError:
        return None  # it is not there, which is told elsewhere
    if not usage.total:
        return None  # a file system that does not tell
    free = usage.free
    return _text(
        f"{size(free)} left for outputs on {mounts.file_system(os.fsencode(output))}",
        "yellow" if free < _LITTLE_ROOM else "",
    )


def _reasons(failed: list[Mapping[str, Any]], inbox: str) -> Iterator[Text]:
    """Say why photos failed, the commonest reason first, each with a few that did."""
    alike: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for item in _below(failed, inbox):
        alike[item["reason"].partition(": ")[0]].append(item)  # what follows is about the single photo
    ordered = sorted(alike.items(), key=lambda pair: -len(pair[1]))
    for kind, items in ordered[:_REASONS]:
        more = f" and {len(items) - _EXAMPLES:,} more" if len(items) > _EXAMPLES else ""
        reason = items[0]["reason"] if len({item["reason"] for item in items}) == 1 else kind
        when = f", {_since(items[0])} ago" if len(items) == 1 else ""
        photos = ", ".join(_within(item["path"], inbox) for item in items[:_EXAMPLES]) + when
        yield _text(f"{len(items):,} \u00d7 {reason}: {photos}{more}")
    if rest := sum(len(items) for _, items in ordered[_REASONS:]):
        yield _text(f"{rest:,} more for other reasons: see `watcher status --json`")


def _since(item: Mapping[str, Any]) -> str:
    return duration(max(0.0, time.time() - datetime.fromisoformat(item["since"]).timestamp()))


def _below(items: list[Mapping[str, Any]], inbox: str) -> list[Mapping[str, Any]]:
    return [item for item in items if item["path"].startswith(inbox + "/")]


def _within(path: str, inbox: str) -> str:
    return path.removeprefix(inbox + "/")


def _text(text: str, style: str = "") -> Text:
    """Give text as it is: with control characters escaped, and brackets meaning nothing."""
    return Text(printable(text).replace("\n", "\\n"), style=style)
