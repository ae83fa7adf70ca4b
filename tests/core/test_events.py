"""The registry of log events holds what the source logs, and nothing else."""

from __future__ import annotations

import ast
import re
import runpy
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from watcher.config import DEFAULTS
from watcher.logs.events import EVENTS, FIELDS

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "critical"}
NAMES = re.compile(f"(?:{'|'.join(sorted({name.partition('.')[0] for name in EVENTS}))})\\.[a-z_]+")
NO_EVENTS = {*DEFAULTS, "state.db", "config.toml"}
TREES = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for path in (ROOT / "watcher").rglob("*.py")
    if path.name != "events.py" or path.parent.name != "logs"
}


def logged() -> Iterator[tuple[str, str, set[str]]]:
    """Return what is logged under a name that stands there: event, level, fields."""
    for tree in TREES.values():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
            level = level_of(call.func)
            first, *_ = call.args
            names = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
            for name in names:
                if level and isinstance(name, ast.Constant) and isinstance(name.value, str):
                    yield name.value, level, set(fields_of(call))


def level_of(function: ast.expr) -> str:
    """Return the level of `log.info`, `self._log.info` and `self._say("info")`; empty: it logs nothing."""
    if isinstance(function, ast.Attribute) and function.attr in LEVELS and ast.unparse(function.value).endswith("log"):
        return function.attr
    if isinstance(function, ast.Call) and ast.unparse(function.func) == "self._say":
        return str(ast.literal_eval(function.args[0]))
    return ""


def fields_of(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield "exception" if keyword.arg == "exc_info" else keyword.arg
            continue
        for node in ast.walk(keyword.value):
            if isinstance(node, ast.Dict):
                yield from (str(key.value) for key in node.keys if isinstance(key, ast.Constant))


def test_every_logged_event_is_registered_with_its_level_and_its_fields() -> None:
    found: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for name, level, fields in logged():
        found[name][0].add(level)
        found[name][1].update(fields)
    assert len(found) > 40
    assert sorted(found.keys() - EVENTS.keys()) == []
    for name, (levels, fields) in found.items():
        known = {field.removesuffix("?") for field in EVENTS[name].fields.split()}
        assert levels <= set(EVENTS[name].levels.split()), name
        assert fields == known or (name.startswith("executor.") and fields < known), name  # **now: a mapping of them


def test_what_looks_like_an_event_is_one_and_every_event_is_in_the_source() -> None:
    texts = {
        node.value
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert sorted(text for text in texts if NAMES.fullmatch(text) and text not in EVENTS.keys() | NO_EVENTS) == []
    assert sorted(EVENTS.keys() - texts) == []


def test_every_name_is_dotted_but_the_one_that_users_rely_on_and_every_field_has_its_meaning() -> None:
    assert [name for name in EVENTS if "." not in name] == ["stopped"]
    used = {field.removesuffix("?") for event in EVENTS.values() for field in event.fields.split()}
    assert sorted(used ^ FIELDS.keys()) == []
    assert list(EVENTS) == sorted(EVENTS)
    assert list(FIELDS) == sorted(FIELDS)


def test_the_page_of_events_is_what_its_script_writes() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "events.py"))["page"]()
    assert page == (ROOT / "docs" / "events.md").read_text(encoding="utf-8"), "run `python docs/events.py`"
