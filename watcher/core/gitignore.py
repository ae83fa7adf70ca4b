"""Gitignore patterns, each translated to a regular expression that matches a whole path: that of a file or a folder.

As in git (gitignore(5), and its dir.c and wildmatch.c), the last pattern that matches a path itself decides on it.
Whoever asks goes from folder to folder: what is in an excluded folder is excluded with it, whatever matches it.

Unlike git, which compares bytes, `?` and `[…]` stand for one character, also where that takes several bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_TRAILING_SPACES = re.compile(r"((?: *(?:\\.|[^\\ ]))*) *", re.DOTALL)  # unless they are escaped
_SPECIAL = re.compile(r"[*?\[\\]")
_BRACKET_ITEM = re.compile(
    r"\[:(?P<posix>[^\]]*):\]|\\?(?P<low>.)(?:-(?!\])\\?(?P<high>.))?",  # `[:alpha:]`; or `a`, or `a-z`
    re.DOTALL,
)
_POSIX = {  # the items of a regular expression's set that each class of POSIX stands for
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r" \t\n\r",  # as in git
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


class _Rule(NamedTuple):
    expression: str
    folders_only: bool
    excluding: str | None  # the pattern as it was written; None: it includes again


class GitIgnore:
    """A list of gitignore patterns.

    Raises:
        ValueError: a pattern is not valid; the message names it.

    """

    def __init__(self, patterns: Sequence[str]) -> None:
        rules = []
        for pattern in patterns:
            try:
                rules += [_rule(pattern)] if _says_something(pattern) else []
            except ValueError as error:
                raise ValueError(f"`{pattern}` is not a gitignore pattern: it {error}") from None
        rules.reverse()  # the first alternative that matches decides
        self._of_folders = _alternatives(rules)
        self._of_files = _alternatives([rule for rule in rules if not rule.folders_only])

    def excluding(self, path: str, *, folder: bool) -> str | None:
        """Return the pattern that excludes a path itself, no matter what is above it; None: none does."""
        expression, patterns = self._of_folders if folder else self._of_files
        found = expression.fullmatch(path)
        return None if found is None or found.lastindex is None else patterns[found.lastindex - 1]


def fault(pattern: str) -> str:
    """Return what is wrong with a pattern, as in "which …"; empty: nothing."""
    if not _says_something(pattern):
        return "is empty or a comment and excludes nothing"
    try:
        _rule(pattern)
    except ValueError as error:
        return str(error)
    return ""


def _says_something(pattern: str) -> bool:
    return bool(pattern.strip(" ")) and not pattern.startswith("#")


def _alternatives(rules: Sequence[_Rule]) -> tuple[re.Pattern[str], tuple[str | None, ...]]:
    expression = "|".join(f"({rule.expression})" for rule in rules)
    return re.compile(expression, re.DOTALL), tuple(rule.excluding for rule in rules)


def _rule(pattern: str) -> _Rule:
    trimmed = _TRAILING_SPACES.fullmatch(pattern)
    glob = trimmed[1] if trimmed else pattern
    excludes = not glob.startswith("!")
    glob = glob.removeprefix("!")
    folders_only = glob.endswith("/")
    glob = glob.removesuffix("/")
    if not glob.strip("/"):
        raise ValueError("names no file and no folder")
    if "/" in glob:
        expression = _translated(glob.removeprefix("/"), folders=True)
    else:
        expression = "(?:.*/)?" + _translated(glob, folders=False)
    return _Rule(expression, folders_only, pattern if excludes else None)


def _translated(glob: str, *, folders: bool) -> str:
    """Return a glob as a regular expression; with `folders`, `**` may stand for any number of them."""
    parts = []
    at = 0
    while at < len(glob):
        char = glob[at]
        at += 1
        if char == "*":
            before = glob[: at - 1]
            twice = glob.startswith("*", at)
            while glob.startswith("*", at):
                at += 1
            # git compares what is before the first special character by itself, and then sees `**` at the beginning
            begins = before.endswith("/") or not _SPECIAL.search(before)
            if not (folders and twice and begins and re.match(r"\\?/|\Z", glob[at:])):
                parts.append("[^/]*")
            elif glob.startswith("/", at):
                parts += [] if parts[-1:] == ["(?:.*/)?"] else ["(?:.*/)?"]  # twice is the same, but far slower
                at += 1
            else:
                parts.append(".*")
        elif char == "?":
            parts.append("[^/]")
        elif char == "[":
            part, at = _bracket(glob, at)
            parts.append(part)
        elif char == "\\":
            if at == len(glob):
                raise ValueError("ends in a `\\` that escapes nothing, and excludes nothing")
            parts.append(re.escape(glob[at]))
            at += 1
        else:
            parts.append(re.escape(char))
    return "".join(parts)


def _bracket(glob: str, at: int) -> tuple[str, int]:
    """Return the bracket whose inside begins at `at` as a regular expression, and where it ends. It matches no `/`."""
    negated = glob.startswith(("!", "^"), at)
    at += negated
    items: list[str] = []
    while not items or not glob.startswith("]", at):
        item = _BRACKET_ITEM.match(glob, at)
        if item is None:
            raise ValueError("has a `[` without its `]` and excludes nothing")
        posix, low, high = item.group("posix", "low", "high")
        if posix is not None and posix not in _POSIX:
            raise ValueError(f"has the class `{item[0]}` in it, which there is not, and excludes nothing")
        if high is not None and high < low:
            raise ValueError(f"has the range `{item[0]}` in it, which is the wrong way round")
        items.append(_POSIX[posix] if posix is not None else re.escape(low) + (f"-{re.escape(high)}" if high else ""))
        at = item.end()
    inside = "".join(items)
    return f"[^/{inside}]" if negated else f"(?!/)[{inside}]", at + 1
