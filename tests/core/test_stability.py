"""How long a file must have been unchanged, for each kind of evidence."""

from __future__ import annotations

import pytest

from watcher.core.stability import (
    INCOMPLETE_SECONDS,
    OVERWRITE_SECONDS,
    RECHECK_LONGEST_SECONDS,
    RECHECK_SECONDS,
    UNFINISHED_SECONDS,
    Content,
    Observation,
    recheck_after,
    recheck_unstable_after,
    required,
    required_of,
)
from watcher.core.types import Evidence, FileSignature, PublishedVersion, StabilitySettings

FILE = FileSignature(1000, 5, 7)
QUIET, LONGEST = 0.5, 5.0
SETTINGS = StabilitySettings(QUIET, LONGEST)
SHOWN = PublishedVersion(900)
SAME_SIZE = PublishedVersion(1000)


def observed(writer: bool | None) -> Observation:
    return Observation(FILE, 1.0, writer, 1.0)


@pytest.mark.parametrize(
    ("writer", "evidence", "seconds"),
    [
        (False, Evidence(), 0.0),
        (False, Evidence(published=SHOWN), 0.0),
        (False, Evidence(closed=True, reopened=True), QUIET),
        (True, Evidence(closed=True, published=SHOWN, created=7), OVERWRITE_SECONDS),
        (True, Evidence(closed=True), OVERWRITE_SECONDS),
        (True, Evidence(created=8), OVERWRITE_SECONDS),
        (True, Evidence(created=7), QUIET),
        (True, Evidence(created=7, closed=True), LONGEST),
        (True, Evidence(created=7, reopened=True), LONGEST),
        (None, Evidence(closed=True), 0.0),
        (None, Evidence(closed=True, published=SHOWN), 0.0),
        (None, Evidence(closed=True, reopened=True), QUIET),
        (None, Evidence(), QUIET),
        (None, Evidence(published=SHOWN), LONGEST),
    ],
)
def test_before_it_is_read(writer: bool | None, evidence: Evidence, seconds: float) -> None:
    wait = required(evidence, SETTINGS, observed(writer))
    assert wait.seconds == seconds
    assert bool(wait.reason) or not seconds


@pytest.mark.parametrize(
    ("content", "writer", "evidence", "sparse", "seconds"),
    [
        (Content.COMPLETE, None, Evidence(), False, 0.0),
        (Content.COMPLETE, None, Evidence(published=SHOWN), False, 0.0),
        (Content.COMPLETE, None, Evidence(published=SAME_SIZE), False, OVERWRITE_SECONDS),
        (Content.COMPLETE, None, Evidence(published=SAME_SIZE, closed=True), False, 0.0),
        (Content.COMPLETE, False, Evidence(published=SAME_SIZE), False, 0.0),
        (Content.TRAILER, True, Evidence(), False, LONGEST),
        (Content.TRAILER, True, Evidence(closed=True), False, 0.0),
        (Content.TRAILER, False, Evidence(), False, 0.0),
        (Content.NO_END_MARKER, False, Evidence(), False, UNFINISHED_SECONDS),
        (Content.NO_END_MARKER, True, Evidence(), False, OVERWRITE_SECONDS),
        (Content.HOLE, None, Evidence(), False, UNFINISHED_SECONDS),
        (Content.HOLE, None, Evidence(), True, OVERWRITE_SECONDS),
        (Content.DAMAGED, False, Evidence(), False, UNFINISHED_SECONDS),
        (Content.DAMAGED, False, Evidence(published=SHOWN), False, UNFINISHED_SECONDS),
        (Content.DAMAGED, False, Evidence(published=SAME_SIZE), False, OVERWRITE_SECONDS),
        (Content.DAMAGED, False, Evidence(reopened=True), False, OVERWRITE_SECONDS),
    ],
)
def test_after_it_was_read(
    content: Content, writer: bool | None, evidence: Evidence, sparse: bool, seconds: float
) -> None:
    assert required_of(content, evidence, SETTINGS, observed(writer), sparse=sparse).seconds == seconds


def test_a_single_run_waits_only_where_a_process_has_the_file_open() -> None:
    waits = {
        writer: required(Evidence(published=SHOWN), StabilitySettings(), observed(writer)).seconds
        for writer in (None, False, True)
    }
    assert waits == {None: 0.0, False: 0.0, True: OVERWRITE_SECONDS}


@pytest.mark.parametrize(
    ("unchanged", "seconds", "changed"), [(0.4, 0.5, True), (0.5, 0.5, False), (-3.0, 60.0, False)]
)
def test_a_date_in_the_future_proves_nothing(unchanged: float, seconds: float, changed: bool) -> None:
    assert Observation(FILE, unchanged, None, 0.0).changed_within(seconds) == changed


def test_an_incomplete_photo_is_checked_ever_more_seldom_and_in_time_to_be_given_up() -> None:
    assert [recheck_after(checks, 0.0) for checks in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, RECHECK_LONGEST_SECONDS]
    assert recheck_after(9, INCOMPLETE_SECONDS - 3.0) == 3.0
    assert recheck_after(9, INCOMPLETE_SECONDS - 0.1) == RECHECK_SECONDS


def test_a_photo_that_only_must_be_unchanged_for_longer_is_checked_when_it_may_be() -> None:
    assert recheck_unstable_after(Evidence(), SETTINGS, 3.0) == 3.0
    assert recheck_unstable_after(Evidence(), SETTINGS, 60.0) == RECHECK_LONGEST_SECONDS
    assert recheck_unstable_after(Evidence(), StabilitySettings(2.0, 5.0), 0.0) == 2.0
