"""For any TOML value: a Config, or our own error, never another."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.config import DEFAULTS, Config, for_pair, overlaps, parse, starter
from watcher.errors import ConfigError

scalars = (
    st.text(max_size=12)
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**5000)
    | st.floats()
    | st.booleans()
    | st.dates()
    | st.times()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC))
)
names = st.sampled_from([key.rpartition(".")[2] for key in DEFAULTS] + [key.partition(".")[0] for key in DEFAULTS])
keys = names | st.text(max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)

# values that are right more often than not, so that the later checks are reached
paths = st.sampled_from(["~/in", "~", "/in", "/in/web", "in", "/out", "/out/web", "../x", "//", "/", ".", "~me"])
words = st.sampled_from(["web", "Web", "thumb", "a/b", "..", "jpeg", "cover", "keep", "move", "delete", "dask", "all"])
patterns = st.lists(
    st.sampled_from(["*.jpg", "!x", "[", "[z-a]", "[[:x:]", "\\", "**/", "#"]) | st.text(max_size=4), max_size=3
)
guesses = st.integers(-1, 200) | st.floats(-1, 200) | words | paths | patterns | scalars


def tables(title: str) -> st.SearchStrategy[dict[str, Any]]:
    known = [key.partition(".")[2] for key in DEFAULTS if key.startswith(f"{title}.")]
    return st.dictionaries(st.sampled_from(known), guesses, max_size=4)


renditions = st.fixed_dictionaries({"width": st.integers(1, 9) | guesses}).flatmap(
    lambda fixed: tables("rendition").map(lambda more: {**more, **fixed})
)
inboxes = st.fixed_dictionaries({"path": paths, "output": paths}).flatmap(
    lambda fixed: tables("inbox").map(lambda more: {**more, **fixed})
)
near_valid = st.fixed_dictionaries(
    {"inbox": st.lists(inboxes, min_size=1, max_size=3)},
    optional={
        "workers": guesses,
        "state": paths | scalars,
        "rendition": st.dictionaries(words, renditions, max_size=3),
        **{title: tables(title) for title in ("batch", "retry", "executor", "web", "metrics", "log")},
    },
)


def attempt(data: dict[str, Any]) -> Config | None:
    """Parse; what holds of every error is asserted here."""
    try:
        return parse(data, source="any.toml", base="/base", home="/home/me")
    except ConfigError as error:
        assert error.faults  # noqa: PT017 — a Config is right too
        for fault in error.faults:
            assert fault.found
            assert fault.hint
            assert "\n" not in str(fault)
            str(fault).encode()
        return None


@given(st.dictionaries(keys, values, max_size=5))
@settings(max_examples=300)
def test_any_mapping_is_a_config_or_our_own_error(data: dict[str, Any]) -> None:
    attempt(data)


@given(near_valid)
@settings(max_examples=400)
def test_a_nearly_right_config_is_a_consistent_config_or_our_own_error(data: dict[str, Any]) -> None:
    result = attempt(data)
    if result is None:
        return
    assert result.recipes
    trios, chosen = [], []
    for inbox in result.inboxes:
        assert os.path.isabs(inbox.path)
        assert os.path.isabs(inbox.output)
        assert inbox.renditions
        assert set(inbox.renditions) <= set(result.recipes)
        originals = os.fsencode(inbox.originals) if inbox.originals else None
        trios.append((os.fsencode(inbox.path), os.fsencode(inbox.output), originals))
        chosen.append([os.fsencode(name) for name in inbox.renditions])
    assert overlaps(trios, chosen) == []


@given(near_valid, st.sampled_from(sorted(DEFAULTS)), values)
def test_one_wrong_value_never_hides_a_fault_elsewhere(data: dict[str, Any], key: str, value: object) -> None:
    title, _, name = key.rpartition(".")
    if title in ("", "rendition", "inbox"):
        return
    wrong = {**data, title: {name: value}, "no such key": 1}
    try:
        parse(wrong, source="any.toml", base="/base", home="/home/me")
    except ConfigError as error:
        assert '"no such key"' in [fault.key for fault in error.faults]  # noqa: PT017 — the rest is free to differ
    else:
        raise AssertionError


folders = st.lists(st.sampled_from([b"a", b"b", b"web", b"\xff"]), max_size=4).map(
    lambda parts: b"/" + b"/".join(parts)
)


@given(st.lists(st.tuples(folders, folders, st.none() | folders), max_size=4))
def test_what_overlaps_accepts_keeps_every_output_out_of_every_inbox(
    trios: list[tuple[bytes, bytes, bytes | None]],
) -> None:
    if overlaps(trios):
        return
    for path, _, _ in trios:
        for _, output, originals in trios:
            assert os.path.commonpath([path, output]) != path
            assert originals is None or os.path.commonpath([path, originals]) != path
    assert len({path for path, _, _ in trios}) == len({output for _, output, _ in trios}) == len(trios)


any_path = st.binary(min_size=1, max_size=12).map(lambda raw: "/" + os.fsdecode(raw)) | st.text(max_size=9)


@given(any_path, any_path)
def test_any_pair_of_folders_is_a_config_or_our_own_error(inbox: str, output: str) -> None:
    makes: list[Callable[[str, str], object]] = [for_pair, starter]
    for make in makes:
        try:
            make(inbox, output)
        except ConfigError as error:
            assert error.faults  # noqa: PT017 — either is right here
