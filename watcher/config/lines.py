"""Where in its file a fault of the config stands: the line's number, and the line with what is meant underlined.

tomllib gives no positions. But each statement of a TOML file is a TOML file too, so the text is taken apart into the
shortest runs of lines that tomllib accepts, and their keys are counted as TOML does.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from watcher.config.messages import dotted
from watcher.errors import ConfigError, Fault

_MOST_LINES = 500  # of one statement: with each more it is parsed anew
_MOST_CHARACTERS = 1 << 16  # of one of several lines
_WIDTH = 100  # characters of a line that are shown
_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_ASSIGNMENT = re.compile(rf"\s*(?P<key>{_KEY}(?:\s*\.\s*{_KEY})*)\s*=\s*(?P<value>.*\S)")
_POSITION = re.compile(r"line (\d+), column (\d+): ")

_Path = tuple[str | int, ...]


class _Place(NamedTuple):
    line: int  # from 0
    value: object = None  # of a key


def with_lines(error: ConfigError, text: str) -> ConfigError:
    """Return the error with its faults in the order of `text`, each with its line, where that can be found."""
    lines = text.replace("\r\n", "\n").split("\n")
    places = _places(lines)
    faults = [replace(fault, excerpt=_excerpt(fault, lines, places)) for fault in error.faults]
    return ConfigError(error.source, sorted(faults, key=lambda fault: int(fault.excerpt.partition("|")[0] or 0)))


def _excerpt(fault: Fault, lines: list[str], places: Mapping[str, _Place]) -> str:
    position = _POSITION.match(fault.found)
    if position and not fault.key:  # a fault of TOML: tomllib says where
        number, column = int(position[1]) - 1, int(position[2]) - 1
        return _drawn(lines, number, column, 1) if number < len(lines) else ""
    around = [key for key in places if fault.key == key or fault.key.startswith((f"{key}.", f"{key}["))]
    within = [key for key in places if fault.key and key.startswith(f"{fault.key}[")]  # `[[rendition]]`
    if not around + within:
        return ""
    key = max(around, key=len, default="") or within[0]
    place = places[key]
    line = lines[place.line]
    assignment = _ASSIGNMENT.match(line)
    if assignment is None:  # a table's header, or a line within an array
        start, value = len(line) - len(line.lstrip()), line.partition("#")[0].strip().removesuffix(",")
    elif key != fault.key or fault.found.startswith("unknown key"):
        return _drawn(lines, place.line, assignment.start("key"), len(assignment["key"]))
    else:
        start, value = assignment.start("value"), _without_comment(assignment["value"])
    for written in (f'"{place.value}"', f"'{place.value}'", str(place.value)):
        if fault.key.endswith("]") and value.count(written) == 1:  # an item of a list
            return _drawn(lines, place.line, start + value.index(written), len(written))
    return _drawn(lines, place.line, start, len(value))


def _drawn(lines: list[str], number: int, column: int, length: int) -> str:
    """Return a line with its number, and below it a mark; control characters are replaced one by one."""
    line = lines[number].replace("\t", " ")
    line = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line).rstrip()
    end = min(column + max(length, 1), _WIDTH)
    shown = line if len(line) <= _WIDTH else line[:_WIDTH] + "…"
    marked = f"\n      | {' ' * column}{'^' * (end - column)}" if column < end else ""
    return f"{number + 1:5} | {shown}{marked}"


def _without_comment(value: str) -> str:
    for found in re.finditer(r"\s*#", value):
        try:
            tomllib.loads(f"value = {value[: found.start()]}")
        except ValueError:
            continue
        return value[: found.start()]
    return value


def _places(lines: list[str]) -> dict[str, _Place]:
    """Find where each key and table of a file is written, by its dotted path."""
    found: dict[str, _Place] = {}
    counts: dict[_Path, int] = {}  # of the tables in each array of tables
    table: _Path = ()
    for number, end, content in _statements(lines):
        if lines[number].lstrip().startswith("["):
            table = _entered(content, counts)
            found.setdefault(dotted(table), _Place(number))
        else:
            offsets = _offsets(lines[number:end])
            for path, value in _paths(content, ()):
                found.setdefault(dotted((*table, *path)), _Place(number + offsets.get(path, 0), value))
    return found


def _offsets(statement: list[str]) -> dict[_Path, int]:
    """Return how many lines below its key each item of an array is written, where the array takes several lines."""
    found: dict[_Path, int] = {}
    for offset in range(len(statement) if len(statement) > 1 else 0):
        end = "\n]" if offset < len(statement) - 1 else ""  # the array as far as these lines go
        try:
            content = tomllib.loads("\n".join(statement[: offset + 1]) + end)
        except (ValueError, RecursionError):
            continue
        for path, _ in _paths(content, ()):
            if any(isinstance(name, int) for name in path):
                found.setdefault(path, offset)
    return found


def _statements(lines: list[str]) -> Iterator[tuple[int, int, dict[str, object]]]:
    """Take a file apart into its statements: from which line to which; ends where one is found that is wrong."""
    start = 0
    while start < len(lines):
        for end in range(start + 1, min(start + _MOST_LINES, len(lines)) + 1):
            text = "\n".join(lines[start:end])
            if end > start + 1 and len(text) > _MOST_CHARACTERS:
                return
            try:
                content = tomllib.loads(text)
            except (ValueError, RecursionError):
                continue
            yield start, end, content
            start = end
            break
        else:
            return


def _entered(header: Mapping[str, object], counts: dict[_Path, int]) -> _Path:
    """Return the path of the table that a header opens; an array of tables gets one more."""
    path: _Path = ()
    value: object = header
    while isinstance(value, dict) and value:
        ((name, value),) = value.items()
        path += (name,)
        if isinstance(value, list):
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path += (counts[path] - 1,)
    return path


def _paths(value: object, path: _Path) -> Iterator[tuple[_Path, object]]:
    """List the paths of a value and of all that it holds."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*path, name), item
        yield from _paths(item, (*path, name))
