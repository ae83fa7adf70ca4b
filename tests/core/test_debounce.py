"""Bursts: what ends them, who may start ahead, who stays behind."""

from __future__ import annotations

from watcher.core.debounce import Debouncer


def debouncer(quiet: float = 0.5, longest: float = 5.0, most: int = 4) -> Debouncer:
    return Debouncer(quiet, longest, most)


def released(bursts: Debouncer, now: float) -> list[bytes] | None:
    due = bursts.due(now)
    return None if due is None else due[0]


def test_a_burst_ends_after_the_quiet_time() -> None:
    bursts = debouncer()
    bursts.see(b"a", 0.0)
    bursts.see(b"b", 0.3)
    assert bursts.deadline() == 0.8
    assert bursts.due(0.79) is None
    assert released(bursts, 0.8) == [b"a", b"b"]
    assert bursts.deadline() is None
    assert len(bursts) == 0


def test_nobody_waits_longer_than_the_longest_wait_while_others_keep_coming() -> None:
    bursts = debouncer(most=1000)
    for step in range(50):
        bursts.see(b"%d" % step, step / 10)
        assert bursts.due(step / 10) is None
    assert bursts.deadline() == 5.0
    first = released(bursts, 5.0)
    assert first is not None
    assert b"0" in first
    assert b"49" not in first  # seen 0.1 s ago: it may still be moving
    assert b"49" in bursts


def test_a_path_that_stays_behind_keeps_its_clocks() -> None:
    bursts = debouncer(most=2)
    bursts.see(b"a", 0.0)
    bursts.see(b"b", 0.9, complete=True)
    bursts.see(b"a", 1.0)
    assert released(bursts, 1.0) == [b"b"]
    assert bursts.deadline() == 1.5  # since `a` was last seen
    for tenth in range(11, 50):
        bursts.see(b"a", tenth / 10)
        assert bursts.due(tenth / 10) is None
    assert bursts.deadline() == 5.0  # since it was first seen
    assert released(bursts, 5.0) == [b"a"]


def test_a_full_burst_ends_at_once_with_those_whose_writer_is_done() -> None:
    bursts = debouncer(most=3)
    bursts.see(b"a", 0.0, complete=True)
    bursts.see(b"b", 0.0)
    assert bursts.due(0.0) is None
    bursts.see(b"c", 0.0, complete=True)
    assert released(bursts, 0.0) == [b"a", b"c"]
    assert b"b" in bursts


def test_a_full_burst_in_which_all_are_still_moving_waits_for_them() -> None:
    bursts = debouncer(most=2)
    for name in (b"a", b"b", b"c"):
        bursts.see(name, 0.0)
    assert bursts.due(0.0) is None
    assert bursts.deadline() == 0.5


def test_no_batch_is_larger_than_the_largest_batch() -> None:
    bursts = debouncer(most=4)
    for number in range(10):
        bursts.see(b"%d" % number, 0.0)
    batches = [due for _ in range(4) if (due := bursts.due(0.5)) is not None]
    assert [len(ready) for ready, _ in batches] == [4, 4, 2]
    assert len({number for _, number in batches}) == 3
    assert bursts.deadline() is None


def test_a_photo_whose_writer_is_done_starts_before_its_burst_ends_and_counts_in_it() -> None:
    bursts = debouncer()
    bursts.see(b"a", 0.0, complete=True)
    bursts.see(b"b", 0.0)
    first = bursts.burst
    assert bursts.take(9) == [b"a"]
    due = bursts.due(0.5)
    assert due is not None
    ready, burst = due
    assert ready == [b"b"]
    assert burst == first


def test_those_who_were_handed_out_early_count_towards_the_largest_batch() -> None:
    bursts = debouncer(most=2)
    for name in (b"a", b"b", b"c", b"d"):
        bursts.see(name, 0.0, complete=True)
    first = bursts.burst
    assert bursts.take(9) == [b"a", b"b"]
    assert bursts.deadline() is not None
    due = bursts.due(0.0)  # full: it ends at once, so that the next two may follow
    assert due == ([], first)
    assert bursts.take(9) == [b"c", b"d"]
    assert bursts.burst != first


def test_the_burst_of_a_photo_handed_out_early_ends_although_nobody_is_left_in_it() -> None:
    bursts = debouncer()
    bursts.see(b"a", 0.0, complete=True)
    assert bursts.take(1) == [b"a"]
    assert bursts.deadline() == 0.5
    assert bursts.due(0.5) == ([], bursts.burst - 1)
    assert bursts.deadline() is None


def test_a_file_that_is_opened_again_after_it_was_closed_is_not_handed_out() -> None:
    bursts = debouncer()
    bursts.see(b"a", 0.0, complete=True)
    bursts.see(b"a", 0.1)
    assert bursts.take(1) == []
    bursts.see(b"a", 0.2, complete=True)
    assert bursts.take(1) == [b"a"]


def test_a_forgotten_path_is_gone_and_the_next_one_begins_a_burst_of_its_own() -> None:
    bursts = debouncer()
    bursts.see(b"a", 0.0, complete=True)
    bursts.forget(b"a")
    assert bursts.take(1) == []
    assert bursts.deadline() is None
    bursts.see(b"b", 100.0)
    assert bursts.deadline() == 100.5


def test_a_deadline_that_has_come_ends_the_burst_however_the_fractions_round() -> None:
    # 0.1 + 0.7 rounds down: a comparison by difference would find that 0.7 s have not passed, over and over.
    for first in (n / 10 for n in range(1, 200)):
        for quiet in (0.1, 0.3, 0.7):
            for bursts in (debouncer(quiet=quiet), debouncer(quiet=9.0, longest=quiet)):
                bursts.see(b"a", first)
                deadline = bursts.deadline()
                assert deadline is not None
                assert released(bursts, deadline) == [b"a"]
