"""What a file system can do is tried where the outputs lie."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.faults.mounting import folding, needs_folding
from watcher.fs.dates import EXACT, NOT_KEPT, SAMPLE_NS, grain_of, same_date
from watcher.fs.traits import Traits, probe

HOUR = 3_600_000_000_000  # ns
SECOND = 1_000_000_000


@pytest.mark.parametrize("grain", [1, 100, 1_000, 1_000_000, 10_000_000, SECOND, 2 * SECOND])
def test_the_grain_is_read_off_one_known_time(grain: int) -> None:
    kept = SAMPLE_NS // grain * grain
    assert grain_of(kept) == grain
    if grain >= SECOND:
        assert grain_of(kept + grain) == 2 * SECOND, "rounded up, by one or by the other"
    for wanted in range(10**18, 10**18 + 4 * SECOND, 123_456_789):
        assert same_date(wanted // grain * grain, wanted, grain)
        assert not same_date(wanted // grain * grain + HOUR, wanted, grain), "a zone is not forgiven"
        assert not same_date(wanted // grain * grain - 2 * grain, wanted, grain)


@pytest.mark.parametrize(
    "found", [0, SAMPLE_NS + HOUR, SAMPLE_NS - HOUR, SAMPLE_NS + 3 * SECOND, 1_700_000_000 * SECOND]
)
def test_a_time_that_no_grain_explains_is_not_kept(found: int) -> None:
    assert grain_of(found) == NOT_KEPT


def test_on_an_ordinary_file_system_nothing_is_weaker_and_nothing_is_left(tmp_path: Path) -> None:
    assert probe(os.fsencode(tmp_path)) == Traits(EXACT, syncs=True, folds=False)
    assert not Traits().weaker
    assert list(tmp_path.iterdir()) == []
    assert probe(os.fsencode(tmp_path / "nowhere")) is None


def test_what_is_refused_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "utime", refuse)
    found = probe(os.fsencode(tmp_path))
    assert found == Traits(NOT_KEPT, syncs=False)
    assert "dates can't be set there" in found.weaker
    assert "files or folders can't be synced there" in found.weaker
    assert "whole seconds" in Traits(SECOND).weaker
    assert "two seconds" in Traits(2 * SECOND).weaker
    assert list(tmp_path.iterdir()) == []


@needs_folding
def test_a_memory_card_s_file_system_is_found_to_fold_case(tmp_path: Path) -> None:
    with folding(tmp_path / "card"):
        found = probe(os.fsencode(tmp_path / "card"))
        assert found is not None
        assert found.folds
        assert found.grain > 1
