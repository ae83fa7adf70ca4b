"""How `status` looks to people: a block for each inbox, live where it is followed on a terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from watcher.cli.status import View
from watcher.core.counters import per_second, recent
from watcher.core.hooks import HookStatus
from watcher.core.status import BatchStatus, Counts, ExecutorStatus, InboxStatus, PhotoStatus, Status, left_alone
from watcher.fs import mounts
from watcher.text import counted, duration, moment, printable, size

_REASONS = 8  # different reasons of failures, and waiting photos, that are named
_EXAMPLES = 3  # photos named for each reason
_RECENT_MINUTES = 5
_BACKLOG = 20  # waiting photos from which on the time left is told
_LITTLE_ROOM = 1_000_000_000  # bytes

Show = Callable[[View], None]


def show(view: View) -> None:
    """Print everything once."""
    console = _console()
    if console.is_terminal:
        console.print(_page(view), soft_wrap=True)
    else:
        print(_plain(console, view))


@contextmanager
def screen(*, live: bool) -> Iterator[Show]:
    """Yield a function that shows a view in place of the one before; off a terminal: after it."""
    console = _console()
    if not live or not console.is_terminal:
        last: list[str] = []

        def follow(view: View) -> None:
            text = _plain(console, view)
            if last != [text]:
                last[:] = [text]
                print(text, flush=True)

        yield follow
        return
    with Live(console=console, auto_refresh=False, transient=False) as live_view:
        yield lambda view: live_view.update(_page(view), refresh=True)


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=10_000)  # a program that reads lines wants none of them broken
    return console


def _plain(console: Console, view: View) -> str:
    with console.capture() as capture:
        console.print(_page(view), soft_wrap=True)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _page(view: View) -> RenderableType:
    status = view.status
    if status.pid is not None:
        here = "" if status.executor else f", {status.workers} workers"
        begun = f"running since {_at(status.since)} as process {status.pid}{here}"
        parts: list[RenderableType] = [Text(begun, style="green")]
        parts += _executor(status.executor) if status.executor else ()
    else:
        last = "" if view.known else "; it has never run with this state file"
        parts = [Text(f"not running{last}", style="yellow")]
    if view.config_fault:
        parts.append(Text("it works by an older config; the newer one is refused:", style="bold red"))
        parts += [_text(f"  {line}", "red") for line in view.config_fault.splitlines()]
    for inbox in status.inboxes:
        parts += [Text(""), *_inbox(inbox, view)]
    for hook in status.hooks:
        parts += [Text(""), *_hook(hook)]
    parts += [Text(""), _text(f"state file: {view.state}", "dim")]
    for other in view.others:
        ask = shlex.join(["watcher", "status", other.inbox, other.output])
        parts.append(_text(f"another daemon runs as process {other.pid}: {ask}", "dim"))
    return Group(*parts)


def _hook(hook: HookStatus) -> Iterator[Text]:
    """Yield what waits for a hook, and why."""
    yield _text(f"hook on {hook.on} \u2192 {hook.to}: {hook.waiting:,} waiting, {hook.failed:,} given up")
    if hook.last_error:
        yield _text(f"  the last try failed: {hook.last_error}", "red")


def _executor(executor: ExecutorStatus) -> Iterator[Text]:
    """Yield the state of the cluster that photos are made on."""
    cluster = f"the Dask cluster at {executor.address}"
    if executor.away_since:
        meanwhile = "photos are made here meanwhile" if executor.fallback else "photos wait for it"
        away = f"{cluster} is away since {_at(executor.away_since)}: {executor.reason}; {meanwhile}"
        yield _text(away, "bold red")
    elif executor.workers:
        yield _text(f"on {cluster}: {executor.workers} of its workers, {executor.threads} threads", "green")
    else:
        yield _text(f"{cluster} is not connected yet", "yellow")
    for worker, reason in executor.unfit.items():
        yield _text(f"  left out: {worker}: {reason}", "yellow")


def _inbox(inbox: InboxStatus, view: View) -> Iterator[RenderableType]:
    title = _text(os.fsdecode(inbox.path), "bold")
    title.append_text(_text(f" \u2192 {os.fsdecode(inbox.output)}", "dim"))
    yield title
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, cell in _rows(inbox, view):
        grid.add_row(f"  {name}" if name else "", cell)
    yield grid


def _rows(inbox: InboxStatus, view: View) -> Iterator[tuple[str, Text]]:
    running = view.status.pid is not None
    if running:
        yield "watch", _watch(inbox)
    yield from _missing(inbox, running=running)
    if running or view.known:  # else zero would stand for what is not known
        yield from _counts(inbox, view.status)
    if inbox.missed_events:
        yield "missed", _text(f"{inbox.missed_events:,} events, made up for by scans", "yellow")
    if left := left_alone(inbox.left_alone):
        yield "left alone", _text(left)
    if inbox.last_batch:
        yield "last batch", _text(_batch(inbox.last_batch))
    if room := _room(inbox.output):
        yield "room", room
    for rendition, photos in view.superseded.get(inbox.path, {}).items():
        text = f"rendition {rendition!r} is no longer in the config; its {photos} files are left on disk"
        yield "left", _text(f"{text} (`watcher verify --prune` lists them)")
    if running and inbox.orphans_held:
        gone = f"{counted(inbox.orphans_held, 'photo')} gone, more than `orphans_max` a day: their outputs stay"
        yield "orphans", _text(f"{gone}; `watcher verify --prune` lists them, --yes removes them", "yellow")
    for item in _below(view.status.waiting, inbox)[:_REASONS]:
        yield "waits", _text(f"{_within(item, inbox)}: {item.reason}; unchanged for {_ago(item.since)}")


def _counts(inbox: InboxStatus, status: Status) -> Iterator[tuple[str, Text]]:
    counts = inbox.counts or Counts()
    yield "done", _text(f"{counts.done:,}")
    if lately := recent(inbox.minutes, time.time(), _RECENT_MINUTES):
        yield "lately", _text(f"{lately:,} made in the last {_RECENT_MINUTES} minutes")
    yield "waiting", _waiting(inbox, status)
    yield "failed", _text(f"{counts.failed:,}", "red" if counts.failed else "")
    if status.pid is not None and inbox.held_up:
        yield "held up", _text(inbox.held_up, "bold red")
    for reason in _reasons(_below(status.failed, inbox), inbox):
        yield "", reason


def _watch(inbox: InboxStatus) -> Text:
    why = f": {inbox.watch_reason}" if inbox.watch_reason else ""
    if not inbox.reachable:
        return _text(f"not reachable{why}; it is scanned when it is back", "bold red")
    return _text(f"{inbox.watch}{why}", "yellow" if why else "")


def _missing(inbox: InboxStatus, *, running: bool) -> Iterator[tuple[str, Text]]:
    """Yield which folder is not there; that the inbox of a running daemon is not, its watch says."""
    if not running and not os.path.isdir(inbox.path):
        yield "inbox", _text("there is no such folder; is it misspelt, or its volume not mounted?", "bold red")
    if not os.path.isdir(inbox.output):
        done = inbox.counts is not None and inbox.counts.done > 0
        made = ", though copies were made in it; is it not mounted?" if done else "; the first copy makes it"
        yield "output", _text(f"there is no such folder{made}", "bold red" if done else "yellow")


def _waiting(inbox: InboxStatus, status: Status) -> Text:
    now, waiting = time.time(), inbox.waiting or 0
    age = "" if inbox.oldest_waiting is None else f", the oldest for {duration(max(0.0, now - inbox.oldest_waiting))}"
    if status.pid is None:
        known = f"{waiting:,} when it last ran{age}" if waiting else "not known"
        return _text(f"{known}; new photos are not counted, since the folder is looked at only while it runs", "yellow")
    since = now if status.since is None else status.since
    speed = per_second(inbox.minutes, now, since) if waiting >= _BACKLOG else 0.0
    left = f"; {speed:.1f}/s, about {duration(waiting / speed)} left" if speed else ""
    return _text(f"{waiting:,}{age}{left}")


def _at(seconds: float | None) -> str:
    return moment(seconds or 0.0, time.time())


def _batch(batch: BatchStatus) -> str:
    failed = f", {batch.failed} of them failed" if batch.failed else ""
    return f"{counted(batch.files, 'photo')} in {batch.seconds:.1f} s{failed}, {_ago(batch.at)} ago"


def _room(output: bytes) -> Text | None:
    try:
        usage = shutil.disk_usage(output)
    except OSError:
        return None  # it is not there, which is told elsewhere
    if not usage.total:
        return None  # a file system that does not tell
    left = f"{size(usage.free)} left for outputs on {mounts.file_system(output)}"
    return _text(left, "yellow" if usage.free < _LITTLE_ROOM else "")


def _reasons(failed: list[PhotoStatus], inbox: InboxStatus) -> Iterator[Text]:
    """Yield why photos failed, the commonest reason first, each with a few that did."""
    alike: defaultdict[str, list[PhotoStatus]] = defaultdict(list)
    for item in failed:
        alike[item.reason.partition(": ")[0]].append(item)  # what follows is about the single photo
    ordered = sorted(alike.items(), key=lambda pair: -len(pair[1]))
    for kind, items in ordered[:_REASONS]:
        more = f" and {len(items) - _EXAMPLES:,} more" if len(items) > _EXAMPLES else ""
        reason = items[0].reason if len({item.reason for item in items}) == 1 else kind
        when = f", {_ago(items[0].since)} ago" if len(items) == 1 else ""
        photos = ", ".join(_within(item, inbox) for item in items[:_EXAMPLES]) + when
        yield _text(f"{len(items):,} \u00d7 {reason}: {photos}{more}")
    if rest := sum(len(items) for _, items in ordered[_REASONS:]):
        yield _text(f"{rest:,} more for other reasons: see `watcher status --json`")


def _ago(at: float) -> str:
    return duration(max(0.0, time.time() - at))


def _below(items: Sequence[PhotoStatus], inbox: InboxStatus) -> list[PhotoStatus]:
    return [item for item in items if item.path.startswith(inbox.path + b"/")]


def _within(item: PhotoStatus, inbox: InboxStatus) -> str:
    return os.fsdecode(item.path.removeprefix(inbox.path + b"/"))


def _text(text: str, style: str = "") -> Text:
    """Return text as it is: with control characters escaped, and brackets meaning nothing."""
    return Text(printable(text).replace("\n", "\\n"), style=style)
