"""How `why` looks to people: where the photo stands, what happened to it, what was made of it, what comes next."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from watcher.app.explain import Explained
from watcher.core.history import HOW, Event, Explanation, Rendition
from watcher.core.recipe import Recipe, rendition_of
from watcher.text import moment, shown, size

_COLOURS = {"done": "green", "waiting": "yellow", "failed": "bold red", "excluded": "cyan", "unknown": "cyan"}
_BY = "\N{MULTIPLICATION SIGN}"


def show(explained: Explained, now: float) -> None:
    """Print a story; `now`: the wall clock."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(_page(explained, now))
        return
    console = Console(highlight=False, width=10_000)  # a program that reads lines wants none of them broken
    with console.capture() as capture:
        console.print(_page(explained, now))
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _page(explained: Explained, now: float) -> RenderableType:
    if explained.photo is not None:  # an output leads to its photo
        reason = Text(shown(explained.story.reason), style="cyan")
        name = Text(shown(explained.path), style="bold")
        return Group(name, Padding(reason, (0, 0, 0, 2)), Text(""), _page(explained.photo, now))
    story = explained.story
    head = Text(story.state, style=_COLOURS[story.state])
    head.append(f": {shown(story.reason)}", style="default not bold")
    parts: list[RenderableType] = [Text(shown(explained.path), style="bold"), Padding(head, (0, 0, 0, 2))]
    if story.next:
        at = f" ({_when(story.next_at, now)})" if story.next_at is not None else ""
        parts.append(Padding(Text(f"next: {shown(story.next)}{at}"), (0, 0, 0, 2)))
    if story.events:
        parts += [Text(""), _events(story, now)]
    if story.forgotten:
        parts.append(Padding(Text("older history is no longer kept", style="dim"), (0, 0, 0, 2)))
    if story.renditions:
        parts += [Text(""), _renditions(story.renditions)]
    parts += _foot(explained)
    return Group(*parts)


def _foot(explained: Explained) -> Iterator[RenderableType]:
    if explained.watched is None:
        return
    by = f"watched by process {explained.pid}" if explained.pid else "not watched now"
    yield Text("")
    yield Text(
        f"inbox {shown(os.fsdecode(explained.watched.inbox))}, {by}; state file {shown(explained.watched.state)}", "dim"
    )
    for other in explained.others:
        output = os.fsdecode(other.output) if other.output else "an output that is not known"
        yield Text(f"another state file knows this inbox, with {shown(output)}: --state {shown(other.state)}", "dim")


def _events(story: Explanation, now: float) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for event in story.events:
        table.add_row("  " + moment(event.at, now, milliseconds=True), Text(shown(sentence(event, now))))
    return table


def sentence(event: Event, now: float) -> str:  # noqa: C901, PLR0912  # a case a kind of entry, and nothing else
    """Return one event in words."""
    detail = event.detail
    match event.what:
        case "seen":
            return f"seen: {HOW.get(str(detail.get('how')), detail.get('how'))}"
        case "waited":
            return f"waited {detail['seconds']:.2f} s {detail['reason']}"
        case "made":
            return _made(detail)
        case "dated":
            return f"only its date has changed: its renditions were given the new one{_tried(detail)}"
        case "waiting":
            return f"not whole yet: {detail.get('reason')}{_times(detail, now)}{_tried(detail)}"
        case "retry":
            again = f"; to be tried again {_when(detail['next'], now)}" if "next" in detail else ""
            return f"could not be made: {detail.get('reason')}{_tried(detail)}{again}"
        case "paused":
            return f"held up: {detail.get('reason')}{_times(detail, now)}{_tried(detail)}"
        case "failed":
            return f"failed: {detail.get('reason')}{_tried(detail)}"
        case "gone":
            return "no longer in the inbox" + (f": {detail['reason']}" if detail.get("reason") else "")
        case "taken":
            return f"the original was moved to {detail['to']}" if detail.get("to") else "the original was deleted"
        case "kept":
            return f"{detail.get('reason')}; tried again at each scan"
        case "hook":
            return _hook(detail)
        case "asked":
            named = f" of {', '.join(detail['renditions'])}" if detail.get("renditions") else ""
            asked = "another try was asked for" if detail.get("by") == "retry" else "a repair was asked for"
            return f"{asked}{named}"
        case _:
            return " ".join([event.what, *(f"{key}={value}" for key, value in detail.items())])


def _hook(detail: Mapping[str, Any]) -> str:
    if detail.get("reason"):
        return f"the hook {detail.get('to')} could not be told of it for an hour: {detail['reason']}"
    if detail.get("waits"):
        failed = f", whose last try failed: {detail['error']}" if detail.get("error") else ""
        return f"waits to be sent to the hook {detail.get('to')}{failed}"
    return f"sent to the hook {detail.get('to')}"


def _times(detail: Mapping[str, Any], now: float) -> str:
    return (
        f", the same {detail['times']} times until {moment(detail['until'], now, milliseconds=True)}"
        if "times" in detail
        else ""
    )


def _made(detail: Mapping[str, Any]) -> str:
    parts = []
    if detail.get("renditions"):
        parts.append(f"made {', '.join(detail['renditions'])}")
    if detail.get("adopted"):
        parts.append(f"took over {', '.join(detail['adopted'])}, which lay there and proved to be current")
    if detail.get("relocated"):
        parts.append(f"moved {', '.join(detail['relocated'])} to the place that `name` gives")
    if detail.get("beside"):
        parts.append(f"put to {', '.join(detail['beside'])}, since a file that watcher did not make lies in its place")
    if detail.get("larger"):
        parts.append(f"{', '.join(detail['larger'])} larger than `max_kb`, even at the lowest quality")
    if detail.get("content"):
        parts.append(f"it is {detail['content']}, whatever its name says")
    for key, word in (("copied", "copied"), ("moved", "renamed")):
        if detail.get(key):
            parts.append(f"{word} {', '.join(detail[key])} of {detail.get('of')}, which has the same content")
    return ("; ".join(parts) or "made its renditions") + _tried(detail)


def _tried(detail: Mapping[str, Any]) -> str:
    """Return the attempt, in brackets: which one, how long, by which worker."""
    parts = []
    if detail.get("attempt"):
        parts.append(f"attempt {detail['attempt']}")
    if detail.get("alone"):
        parts.append("alone")
    if detail.get("worker"):
        where = f" on {detail['host']}" if detail.get("host") else ""
        parts.append(f"{detail.get('seconds', 0):.2f} s in worker {detail['worker']}{where}")
    return f" ({', '.join(parts)})" if parts else ""


def _renditions(renditions: tuple[Rendition, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("  rendition", "pixels", "size", "settings", "file"):
        table.add_column(title, justify="right" if title == "size" else "left", overflow="fold")
    for item in renditions:
        path = item.paths[0]
        missing = "" if os.path.lexists(path) else " (missing)"
        table.add_row(
            f"  {shown(rendition_of(item.key))}",
            f"{item.fact.width} {_BY} {item.fact.height}",
            size(item.fact.size),
            Text(_recipe(item.recipe, item.fingerprint)),
            Text(shown(os.fsdecode(path)) + missing, style="red" if missing else ""),
        )
    return table


def _recipe(recipe: Recipe | None, fingerprint: str) -> str:
    if recipe is None:
        return f"older ones ({fingerprint}), not the config's"
    size = f" {_BY} ".join(str(side) for side in (recipe.width or "any", recipe.height or "any"))
    extra = "".join(
        f", {field.name} {getattr(recipe, field.name)}"
        for field in fields(Recipe)
        if field.default is not MISSING and getattr(recipe, field.name) != field.default and field.name != "layout"
    )
    return f"{size} {recipe.fit}, {recipe.format} {recipe.quality}, metadata {recipe.metadata}{extra}"


def _when(at: float, now: float) -> str:
    seconds = at - now
    if seconds < 1.0:
        return "any moment now"
    return f"in {seconds:.0f} s, at {moment(at, now)}"
