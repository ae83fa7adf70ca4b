"""Bursts under any order of events: nothing lost, nothing twice, nobody kept too long, never a loop that spins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from watcher.core.debounce import Debouncer

SEE = st.tuples(st.just("see"), st.integers(0, 9), st.booleans())
TAKE = st.tuples(st.just("take"), st.integers(0, 4), st.just(False))
FORGET = st.tuples(st.just("forget"), st.integers(0, 9), st.just(False))
WAIT = st.tuples(st.just("wait"), st.integers(1, 30), st.just(False))


@given(
    st.lists(SEE | TAKE | FORGET | WAIT, max_size=60),
    st.sampled_from([0.1, 0.3, 0.5]),
    st.sampled_from([0.7, 5.0]),
    st.integers(1, 4),
)
def test_every_path_comes_out_once_for_all_that_was_seen_of_it(  # noqa: C901  # a case a step
    steps: list[tuple[str, int, bool]], quiet: float, longest: float, most: int
) -> None:
    bursts = Debouncer(quiet, longest, most)
    now = 0.0
    pending: dict[bytes, float] = {}  # since when
    sizes: dict[int, int] = {}
    closed: set[int] = set()

    def hand_out(paths: list[bytes], burst: int) -> None:
        for path in paths:
            assert burst not in closed
            pending.pop(path)  # KeyError: it came out twice, or was never seen
            sizes[burst] = sizes.get(burst, 0) + 1

    def end_what_is_due() -> None:
        for _ in range(100):
            due = bursts.due(now)
            if due is None:
                break
            hand_out(*due)
            closed.add(due[1])
        else:
            raise AssertionError("it ends bursts without end")
        deadline = bursts.deadline()
        assert deadline is None or deadline > now

    for what, number, complete in steps:
        path = b"%d" % number
        match what:
            case "see":
                bursts.see(path, now, complete=complete)
                pending.setdefault(path, now)
            case "take":
                hand_out(bursts.take(number), bursts.burst)
            case "forget":
                bursts.forget(path)
                pending.pop(path, None)
            case "wait":
                until = now + number / 10
                while (deadline := bursts.deadline()) is not None and deadline <= until:
                    now = max(now, deadline)
                    end_what_is_due()
                now = until
        end_what_is_due()
        assert len(bursts) == len(pending)
        assert all(now <= since + longest for since in pending.values())

    while (deadline := bursts.deadline()) is not None:
        now = max(now, deadline)
        end_what_is_due()
    assert not pending
    assert max(sizes.values(), default=0) <= most
    assert set(sizes) <= closed
