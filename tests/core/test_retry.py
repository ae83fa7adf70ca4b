"""What follows from an outcome."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.retry import BACKOFF_LONGEST, Commit, Decision, Delete, Fail, Pause, Recheck, RetryLater, decide
from watcher.core.stability import INCOMPLETE_SECONDS
from watcher.core.types import (
    Done,
    Failed,
    FailureKind,
    FileSignature,
    Job,
    NeedsMoreMemory,
    Outcome,
    PhotoId,
    StabilitySettings,
    Unchanged,
    Unready,
    Vanished,
)

STAMP = FileSignature(1, 2)


def job(attempt: int = 1, *, alone: bool = False, settle: float = 0.5) -> Job:
    return Job(
        1, PhotoId(b"/in", b"a"), b"/out", (), attempt=attempt, alone=alone, stability=StabilitySettings(settle, 5.0)
    )


def decision(
    outcome: Outcome,
    of: Job | None = None,
    *,
    attempts: int = 3,
    checks: int = 0,
    unchanged: float = 0.0,
    jitter: float = 0.0,
) -> Decision:
    return decide(
        outcome, of or job(), attempts=attempts, backoff=5.0, checks=checks, unchanged_seconds=unchanged, jitter=jitter
    )


def test_what_is_made_or_needs_nothing_is_recorded() -> None:
    assert decision(Done(STAMP, (), 1, 1, 0.1, 1)) == Commit()
    assert decision(Unchanged(STAMP)) == Commit()


def test_what_is_gone_is_forgotten() -> None:
    assert decision(Vanished()) == Delete()


def test_a_fault_of_the_photo_is_final() -> None:
    assert decision(Failed("no JPEG", FailureKind.PHOTO)) == Fail("no JPEG")


def test_an_incomplete_photo_is_looked_at_again_when_it_changes() -> None:
    assert decision(Unready(STAMP, "truncated"), checks=1) == Recheck(1.0, "truncated", until_changed=True)


def test_an_incomplete_photo_is_given_up_after_ten_minutes_without_a_change() -> None:
    assert isinstance(decision(Unready(STAMP, "truncated"), unchanged=599.9), Recheck)
    assert decision(Unready(STAMP, "truncated"), unchanged=600.0) == Fail("truncated; unchanged for 10 minutes")


def test_a_photo_that_is_only_too_young_is_never_given_up() -> None:
    found = decision(Unready(STAMP, "young", settling=True), unchanged=INCOMPLETE_SECONDS * 2)
    assert found == Recheck(0.5, "young", until_changed=False)


def test_a_passing_fault_is_tried_again_with_a_doubled_wait_and_then_given_up() -> None:
    fault = Failed("no memory", FailureKind.PASSING)
    assert decision(fault, job(1)) == RetryLater(5.0, "no memory")
    assert decision(fault, job(2)) == RetryLater(10.0, "no memory")
    assert decision(fault, job(3)) == Fail("no memory")


def test_whoever_was_in_a_worker_that_died_is_tried_alone_at_once_and_then_with_a_wait() -> None:
    fault = Failed("died", FailureKind.CRASH)
    assert decision(fault, job(1)) == RetryLater(0.0, "died", alone=True)
    assert decision(fault, job(2, alone=True)) == RetryLater(10.0, "died", alone=True)
    assert decision(fault, job(3, alone=True)) == Fail("died")


def test_an_endless_decode_is_tried_once_more_alone() -> None:
    fault = Failed("took too long", FailureKind.TIMEOUT)
    assert decision(fault, job(1)) == RetryLater(0.0, "took too long", alone=True)
    assert decision(fault, job(2, alone=True)) == Fail("took too long")


@pytest.mark.parametrize("kind", [FailureKind.DISK_FULL, FailureKind.OUTPUT, FailureKind.INBOX])
def test_an_output_or_an_inbox_out_of_reach_is_no_photos_fault_however_often_it_was_tried(kind: FailureKind) -> None:
    assert decision(Failed("no room", kind), job(99)) == Pause("no room", kind)


def test_a_photo_that_needs_more_memory_is_tried_again_without_counting() -> None:
    found = decision(NeedsMoreMemory(10**9), job(3))
    assert isinstance(found, RetryLater)
    assert (found.counts, found.memory_bytes, found.seconds) == (False, 10**9, 0.0)


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_a_photo_gets_as_many_tries_as_the_config_says(attempts: int) -> None:
    fault = Failed("I/O error", FailureKind.PASSING)
    tries = [decision(fault, job(number), attempts=attempts) for number in range(1, attempts + 1)]
    assert [isinstance(found, Fail) for found in tries] == [False] * (attempts - 1) + [True]


@given(
    st.sampled_from(list(FailureKind)),
    st.integers(1, 10_000),
    st.integers(1, 20_000),
    st.booleans(),
    st.floats(0, 0.999),
)
def test_no_wait_is_longer_than_the_longest_and_no_number_of_tries_overflows(
    kind: FailureKind, attempt: int, attempts: int, alone: bool, jitter: float
) -> None:
    found = decision(Failed("x", kind), job(attempt, alone=alone), attempts=attempts, jitter=jitter)
    if isinstance(found, RetryLater):
        assert 0 <= found.seconds <= BACKOFF_LONGEST * 1.25
        assert attempt < attempts
