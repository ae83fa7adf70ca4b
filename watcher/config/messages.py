"""From a fault that pydantic found to a sentence: where, what was found, what to write instead."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from watcher.config.tables import MANY, TABLES
from watcher.errors import Fault
from watcher.text import shown

# pydantic's errors to which what was found and what to write instead leave nothing to explain
_SPEAKS_FOR_ITSELF = re.compile(
    "(bool|dict|float|int|model|string|tuple)_type|finite_number|(greater|less)_than_equal|literal_error|too_short"
)


def translated(error: Mapping[str, Any], prefix: tuple[str | int, ...] = ()) -> Fault:
    """Turn one of pydantic's errors into a fault; `prefix` is where the checked table stands in the file."""
    loc = (*prefix, *error["loc"])
    if error["type"] == "extra_forbidden":
        return Fault(dotted(loc), f"unknown key `{shown(str(loc[-1]))}`", _known(loc))
    if error["type"] == "missing":
        found = "found nothing"
    elif error["type"] == "value_error":
        found = f"found {toml_value(error['input'])}, {error['ctx']['error']}"
    elif _SPEAKS_FOR_ITSELF.fullmatch(error["type"]):
        found = f"found {toml_value(error['input'])}"
    else:
        found = f"found {toml_value(error['input'])} ({error['msg']})"
    table, name = _place(loc)
    field = TABLES[table].model_fields.get(name)
    return Fault(dotted(loc), found, f"write {field.description}" if field else "see `man watcher`, CONFIG KEYS")


def _place(loc: tuple[str | int, ...]) -> tuple[str, str]:
    """Return a location's table and key; a table that is no table at all is a key of the whole file."""
    depth = 2 if loc[0] in MANY else 1
    return (str(loc[0]), str(loc[depth])) if len(loc) > depth else ("", str(loc[0]))


def _known(loc: tuple[str | int, ...]) -> str:
    table, name = _place(loc)
    here = list(TABLES[table].model_fields)
    elsewhere = [_where(title) for title, other in TABLES.items() if name in other.model_fields]
    if elsewhere and not nearest(name, here, 0.9):  # `rendition` in an inbox is `renditions`
        return f"`{name}` belongs {' or '.join(elsewhere)}"
    return nearest(name, here) or "known here are " + ", ".join(f"`{key}`" for key in here)


def _where(table: str) -> str:
    special = {"": "before the first table", "inbox": "below `[[inbox]]`", "rendition": "below `[rendition.NAME]`"}
    special["hook"] = "below `[[hook]]`"
    return special.get(table, f"below `[{table}]`")


def nearest(name: str, names: Collection[str], similarity: float = 0.6) -> str:
    """Ask whether one of `names` was meant, if one is near enough; empty otherwise."""
    from difflib import get_close_matches  # noqa: PLC0415 — only needed where something is wrong

    return "".join(f"did you mean `{shown(match)}`?" for match in get_close_matches(name, names, 1, similarity))


def dotted(loc: Sequence[str | int]) -> str:
    """Write a key's path as TOML does: `inbox[0].path`, `rendition."a b".width`."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            quoted = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part)
            text += f".{quoted}" if text else quoted
    return text


def toml_value(value: object) -> str:
    """Return a TOML value in one short line; what can't be printed is escaped."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a huge number"  # Python refuses to write some of them out
    text = json.dumps(value, ensure_ascii=not value.isprintable()) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"  # noqa: PLR2004 — a line of a terminal
