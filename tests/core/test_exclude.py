"""`exclude` means what a .gitignore in the inbox's folder means to git, which is the judge here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.config.values import ignore_pattern
from watcher.core.selection import Match, PathFilter

Judge = Callable[[Sequence[str], Sequence[str]], list[str]]

INCLUDED = Match(photo=True, reason="its name matches include, and nothing excludes it")


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """Return what tells which of `patterns` git excludes each path by; empty: by none."""
    if shutil.which("git") is None:
        pytest.skip("git, the judge here, is not installed")
    place = tmp_path_factory.mktemp("git")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", "init", "-q", place], check=True, env=environment)
    subprocess.run(["git", "-C", place, "config", "core.ignoreCase", "false"], check=True, env=environment)

    def deciding(patterns: Sequence[str], paths: Sequence[str]) -> list[str]:
        (place / ".git/info/exclude").write_text("".join(f"{pattern}\n" for pattern in patterns))
        # The paths need not exist: git takes what is not there for a file, and all above it for folders. Without `./`
        # it would take a colon at the beginning for an option.
        answer = subprocess.run(
            ["git", "check-ignore", "--no-index", "--stdin", "-z", "-v", "-n"],
            cwd=place,
            check=False,
            input="".join(f"./{path}\0" for path in paths),
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        fields = answer.stdout.split("\0")[:-1]
        assert fields[3::4] == [f"./{path}" for path in paths]
        lines = [patterns[int(line) - 1] if line else "" for line in fields[1::4]]
        return ["" if line.startswith("!") else line for line in lines]

    return deciding


def verdicts(patterns: Sequence[str], paths: Sequence[str]) -> list[Match]:
    selection = PathFilter(("*",), patterns, recursive=True)
    assert [path for path in paths if selection.takes(path.encode())] == [
        path for path in paths if selection.match(path.encode()).photo
    ]
    return [selection.match(path.encode()) for path in paths]


def expected(deciding: Sequence[str]) -> list[Match]:
    return [Match(photo=False, reason=f"excluded by the pattern `{line}`") if line else INCLUDED for line in deciding]


@pytest.mark.parametrize(
    ("patterns", "taken", "excluded"),
    [
        (["*", "!*/", "!p.jpg"], ["p.jpg", "a/p.jpg", "a/b/p.jpg"], ["q.jpg", "a/q.jpg"]),
        (["**/*", "!**/", "!p.jpg"], ["p.jpg", "a/p.jpg", "a/b/p.jpg"], ["q.jpg", "a/q.jpg"]),
        (["*", "!a/", "!a/p.jpg"], ["a/p.jpg"], ["p.jpg", "a/q.jpg", "b/p.jpg", "a/b/p.jpg"]),
        (["**", "!/a/", "!/a/p.jpg"], ["a/p.jpg"], ["p.jpg", "b/a/p.jpg"]),
        (["a/**", "!a/p.jpg"], ["a/p.jpg", "b/a/q.jpg"], ["a/q.jpg", "a/b/p.jpg"]),
        (["/*", "!/2024/"], ["2024/p.jpg", "2024/a/p.jpg"], ["p.jpg", "2023/p.jpg"]),
        (["a/*", "!a/b/"], ["a/b/p.jpg", "p.jpg"], ["a/p.jpg", "a/c/p.jpg"]),
        (["raw/", "!raw/p.jpg"], ["raw"], ["raw/p.jpg", "a/raw/p.jpg", "a/raw/b/q.jpg"]),
        (["raw"], ["raw.jpg"], ["raw", "raw/p.jpg"]),
        (["*.raw.jpg", "!best.raw.jpg"], ["best.raw.jpg"], ["a/b.raw.jpg"]),
        (["/top/*", "!/top/yes/"], ["a/top/p.jpg", "top/yes/p.jpg"], ["top/p.jpg", "top/no/p.jpg"]),
        (["*.jpg", "!a/**"], ["a/p.jpg", "a/b/p.jpg"], ["p.jpg", "b/p.jpg"]),
        (["b/**/"], ["b/q.jpg", "q.jpg", "a/b/c/q.jpg"], ["b/c/q.jpg"]),
        (["**/"], ["p.jpg"], ["a/p.jpg"]),
        (["/**/"], ["p.jpg"], ["a/p.jpg"]),
        (["a/**/p.jpg"], ["p.jpg", "b/a/p.jpg"], ["a/p.jpg", "a/b/c/p.jpg"]),
        (["a**/p.jpg", "?a**/q.jpg"], ["b/p.jpg", "bab/c/q.jpg"], ["ab/p.jpg", "ab/c/p.jpg", "bab/q.jpg"]),
        ([r"**\/p.jpg"], ["p.jpg"], ["a/p.jpg", "a/b/p.jpg"]),
        (["a**b/p.jpg"], ["a/p.jpg"], ["ab/p.jpg", "axb/p.jpg"]),
        (["IMG[!0-9]*"], ["IMG/p.jpg", "IMG1"], ["IMG_1.jpg"]),
        (["a[!b]c.jpg", "/a[,-0]c.jpg"], ["a/c.jpg"], ["axc.jpg", "a-c.jpg"]),
        (["[[:alpha:]].jpg"], ["1.jpg", ":.jpg", "[.jpg"], ["a.jpg", "B.jpg", "b/c.jpg"]),
        (["[^[:digit:]_].jpg"], ["1.jpg", "_.jpg"], ["a.jpg", ":.jpg"]),
        (["[[]x].jpg"], ["x].jpg", "x.jpg"], ["[x].jpg"]),
        (["[[x].jpg"], ["y.jpg"], ["[.jpg", "x.jpg"]),
        ([r"[a\]b].jpg"], [r"\.jpg"], ["a.jpg", "].jpg", "b.jpg"]),
        (["[]-]", "[&&~~||]"], ["a"], ["]", "-", "&", "~", "|"]),
        ([r"\#a", r"\!b", r"c\ ", "d  "], ["a", "b", "c"], ["#a", "!b", "c ", "d"]),
        (["[/]a", "a?b", "a*c"], ["a/b", "a/c", "a"], ["axb", "abc"]),
        (["x.jpg", "é?.jpg"], ["é.jpg"], ["x.jpg", "a/x.jpg", "éa.jpg"]),
    ],
)
def test_excludes_mean_what_they_mean_to_git(
    judge: Judge, patterns: list[str], taken: list[str], excluded: list[str]
) -> None:
    for pattern in patterns:
        ignore_pattern(pattern)
    deciding = judge(patterns, taken + excluded)
    assert [path for path, line in zip(taken + excluded, deciding, strict=True) if not line] == taken
    assert verdicts(patterns, taken + excluded) == expected(deciding)


NAMES = st.sampled_from(
    ["a", "b", "ab", "ba", "aab", "a b", " a", "a ", "[", "]", "a]", "-", "!a", "#a", "p.jpg", "^", ":"]
)
TREES = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=12, unique=True)
BRACKETS = st.sampled_from(
    ["[ab]", "[!a]", "[^a]", "[a-b]", "[!-b]", "[--a]", "[[:alpha:]]", "[![:punct:]]", "[]a]", "[[]", "[a/b]", "[:a:]"]
)
PIECES = BRACKETS | st.sampled_from(
    ["a", "b", "ab", "p.jpg", " ", "-", "#", "!", "/", "?", "*", "**", "**/", "/**", "/**/", "a/", "[", "]"]
)
ODD = st.sampled_from(["\\", r"\*", r"\[", r"\ ", r"\a", r"\/", r"[\]a]", r"[\a-b]", "[[:a]", "[[::]]", "[A-[:b:]]"])
LINES = st.builds(
    lambda sign, head, pieces, tail: sign + head + "".join(pieces) + tail,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/", "**/", "*"]),
    st.lists(PIECES | ODD, min_size=1, max_size=4),
    st.sampled_from(["", "", "/", "/**", "/*", " "]),
)
COMMON = st.sampled_from(
    ["*", "!*/", "**", "!**/", "/*", "a/", "!a/", "!p.jpg", "a/**", "!/a/", "b/**/", "!a/**/p.jpg"]
)


def _useful(pattern: str) -> bool:
    try:
        ignore_pattern(pattern)
    except ValueError:
        return False
    return True


@given(TREES, st.lists(COMMON | LINES, min_size=1, max_size=5))
def test_any_tree_and_any_patterns_are_judged_as_by_git(judge: Judge, paths: list[str], lines: list[str]) -> None:
    useful = [line for line in lines if _useful(line)]  # git has all of them: what is refused must exclude nothing
    assert verdicts(useful, paths) == expected(judge(lines, paths))
