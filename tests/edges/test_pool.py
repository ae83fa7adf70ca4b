"""The pool with real processes, real signals and real deaths."""

from __future__ import annotations

import concurrent.futures
import errno
import os
import queue
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol, cast

import pytest

from watcher.core.messages import WorkerReport
from watcher.core.types import Done, Failed, FailureKind, Job, Result
from watcher.errors import WorkersError
from watcher.pool import Pool, available_cpus, available_memory, executors, supervisor, worker
from watcher.pool import launch as launching
from watcher.pool.executors import Processes

HERE = os.path.dirname(os.path.abspath(__file__))
if HERE not in sys.path:
    sys.path.append(
        HERE
    )  # workers take over sys.path: so they find what they are to do by the same name as this process

import pool_work  # noqa: E402 - found by the line above
from pool_work import make_job  # noqa: E402 - the same

LONG = "sleep:60"  # never waited for


class Bench:
    """A pool, and the part of the daemon's loop that serves it."""

    def __init__(self, **settings: object) -> None:
        self.reports: queue.SimpleQueue[WorkerReport] = queue.SimpleQueue()
        options: dict[str, object] = {"workers": 2, "timeout_seconds": 60.0, "preload": ("PIL.Image",), **settings}
        work = options.pop("work", pool_work.work)
        warm = options.pop("warm", pool_work.warm)
        self.pool = Pool(work, warm, post=self.reports.put, **options)  # type: ignore[arg-type] # a test's own mistakes show

    def submit(self, *jobs: Job) -> None:
        for job in jobs:
            self.pool.submit(job)

    def step(self, until: float) -> list[Result]:
        """Do as the loop does: sleep until something is reported or due."""
        due = self.pool.deadline()
        pause = max(0.0, min(until, until if due is None else due) - time.monotonic())
        try:
            return self.pool.take(self.reports.get(timeout=pause))
        except queue.Empty:
            return self.pool.check(time.monotonic())

    def results(self, count: int, seconds: float = 20.0) -> dict[int, Result]:
        """Serve the pool until `count` results are here, by the number of the job."""
        results: list[Result] = []
        until = time.monotonic() + seconds
        while len(results) < count:
            assert time.monotonic() < until, f"only {results} came back"
            results += self.step(until)
        assert len(results) == count
        return {result.job.number: result for result in results}

    def answer(self, what: str) -> str:
        self.submit(make_job(1, what))
        outcome = self.results(1)[1].outcome
        assert isinstance(outcome, Failed)
        return outcome.reason

    def pids(self) -> list[int]:
        return list(self._executor()._processes)

    def pid_of(self, number: int) -> int:
        """Give the worker that has begun a job."""
        bundle = self.pool._main._in_flight[number]
        return int(self._executor()._table[worker.row(bundle.slot) + worker.PID])

    def server(self) -> int:
        """Give the process that started the workers."""
        status = Path(f"/proc/{self.pids()[0]}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("PPid")).split()[1])

    def _executor(self) -> executors.Processes:
        executor = self.pool._main._executor
        assert isinstance(executor, executors.Processes)
        return executor


class MakeBench(Protocol):
    def __call__(self, **settings: object) -> Bench: ...


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def gone(pid: int) -> bool:
    """Tell whether a process has ended; whoever inherited it may take its time to ask how."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:
        return sys.platform == "linux"  # elsewhere there is no /proc to ask


def began(signs: Path, *numbers: int) -> Callable[[], bool]:
    return lambda: all((signs / str(number)).exists() for number in numbers)


def outcome_kinds(results: dict[int, Result]) -> dict[int, object]:
    """Give for each job whom its failure is blamed on, or the kind of its outcome."""
    return {
        number: result.outcome.kind if isinstance(result.outcome, Failed) else type(result.outcome)
        for number, result in results.items()
    }


NOT_RUN = type(None)


@pytest.fixture
def bench() -> Iterator[MakeBench]:
    """Make benches; afterwards none of their threads and processes may be left."""
    before = set(threading.enumerate())
    benches: list[Bench] = []

    def make(**settings: object) -> Bench:
        benches.append(Bench(**settings))
        return benches[-1]

    yield make
    for each in benches:
        each.pool.close(wait=False)
    wait_until(lambda: set(threading.enumerate()) <= before)


# ---- jobs and results ----


def test_a_result_carries_its_job(bench: MakeBench) -> None:
    b = bench()
    b.submit(make_job(1, "sleep:0.2"), make_job(2), make_job(3))
    results = b.results(3)
    assert [results[n].job.photo.path for n in (1, 2, 3)] == [b"sleep:0.2", b"nothing", b"nothing"]
    assert outcome_kinds(results) == {1: Done, 2: Done, 3: Done}
    assert b.pool.in_flight == 0


def test_at_most_two_jobs_per_worker_are_in_flight(bench: MakeBench, tmp_path: Path) -> None:
    b = bench(workers=2)
    assert b.pool.free == 4
    gate = tmp_path / "gate"
    for number in range(1, 5):
        b.submit(make_job(number, f"wait:{gate}"))
        assert b.pool.free == 4 - number
    with pytest.raises(RuntimeError, match="no room"):
        b.submit(make_job(5))
    assert b.pool.in_flight == 4
    gate.touch()
    b.results(4)
    assert b.pool.free == 4


def test_an_exception_in_a_worker_is_an_outcome_and_the_worker_lives_on(bench: MakeBench) -> None:
    b = bench(workers=1)
    b.submit(make_job(1), make_job(2, "raise:what a photo"))
    results = b.results(2)
    outcome = results[2].outcome
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.kind) == ("ValueError in the worker: what a photo", FailureKind.CRASH)
    assert results[2].log[0][0] == "worker.error"
    assert "pool_work.py" in results[2].log[0][1]
    b.submit(make_job(3))
    assert b.results(1)[3].outcome == results[1].outcome  # the same pid
    assert b.pool.losses == 0


def test_all_workers_are_warm_before_the_first_job(bench: MakeBench, tmp_path: Path) -> None:
    b = bench(workers=3, warm=pool_work.warm_and_tell, log_settings=pool_work.settle_logs)
    b.pool.start()
    pids = b.pids()
    assert len(pids) == 3
    assert b.answer("env:LOGS") == "settled"
    assert b.pids() == pids
    b.submit(*(make_job(number, f"wait:{tmp_path}/go", tmp_path) for number in (1, 2, 3)))
    wait_until(began(tmp_path, 1, 2, 3))  # each worker has one
    (tmp_path / "go").touch()
    told = [text for result in b.results(3).values() for event, text in result.log if event == "worker.warm"]
    assert {int(text) for text in told} < set(pids)  # each tells once, with its first result
    assert len(set(told)) == 2


def test_workers_are_replaced_after_their_share_of_jobs(bench: MakeBench) -> None:
    b = bench(workers=1, recycle_after=3)
    b.submit(make_job(1), make_job(2))
    first = {result.outcome.pid for result in b.results(2).values() if isinstance(result.outcome, Done)}
    b.submit(make_job(3), make_job(4))
    results = b.results(2)
    assert b.pool.free == 2
    b.submit(make_job(5))
    results |= b.results(1)
    second = [result.outcome.pid for result in results.values() if isinstance(result.outcome, Done)]
    assert len(first) == 1
    assert second[:2] == [*first, *first]
    assert second[2] not in first
    assert b.pool.losses == 0


def test_nothing_can_be_submitted_after_the_end(bench: MakeBench) -> None:
    b = bench()
    assert b.pool.close(wait=True) == []
    assert b.pool.close(wait=False) == []
    assert b.pool.free == 0
    with pytest.raises(RuntimeError, match="closed"):
        b.submit(make_job(1))


# ---- bundles ----


def test_a_bundle_is_done_by_one_worker_and_comes_back_at_once(bench: MakeBench) -> None:
    b = bench()
    b.pool.submit(*(make_job(n) for n in range(1, 6)))
    assert (b.pool.free, b.pool.in_flight) == (3, 5)
    until = time.monotonic() + 20
    while not (results := b.step(until)):
        assert time.monotonic() < until
    assert [result.job.number for result in results] == [1, 2, 3, 4, 5]
    assert len({result.outcome.pid for result in results if isinstance(result.outcome, Done)}) == 1
    assert (b.pool.free, b.pool.in_flight) == (4, 0)


def test_bundles_are_small_where_few_wait(bench: MakeBench) -> None:
    pool = bench(workers=2).pool
    assert [pool.bundle_size(waiting) for waiting in (0, 1, 15, 16, 40, 64, 1000)] == [1, 1, 1, 2, 5, 8, 8]


def test_the_largest_bundle_is_done_whole(bench: MakeBench) -> None:
    b = bench(bundle=16)
    assert [b.pool.bundle_size(waiting) for waiting in (127, 128, 1000)] == [15, 16, 16]
    assert bench(bundle=99).pool.bundle_size(10_000) == 16
    for first in (1, 17, 33, 49):
        b.pool.submit(*(make_job(n, "exit:3" if n == 64 else "nothing") for n in range(first, first + 16)))
    assert b.pool.free == 0
    kinds = outcome_kinds(b.results(64))
    assert [n for n, kind in kinds.items() if kind == FailureKind.CRASH] == [64]


def test_of_a_bundle_only_the_photo_is_blamed_that_its_worker_died_on(bench: MakeBench) -> None:
    b = bench()
    b.pool.submit(make_job(1), make_job(2), make_job(3, "signal:SIGSEGV"), make_job(4))
    results = b.results(4)
    assert outcome_kinds(results) == {1: NOT_RUN, 2: NOT_RUN, 3: FailureKind.CRASH, 4: NOT_RUN}
    assert b.pool.losses == 1


def test_all_photos_of_a_bundle_are_suspects_when_its_worker_dies_while_it_publishes_them(bench: MakeBench) -> None:
    b = bench()
    b.pool.submit(make_job(1), make_job(2, "then:exit:3"), make_job(3))
    assert outcome_kinds(b.results(3)) == {1: FailureKind.CRASH, 2: FailureKind.CRASH, 3: FailureKind.CRASH}
    assert b.pool.losses == 1


def test_a_photo_that_takes_too_long_in_a_bundle_is_blamed_alone(bench: MakeBench) -> None:
    b = bench(timeout_seconds=0.5)
    b.pool.submit(make_job(1, "sleep:0.3"), make_job(2, "sleep:0.3"), make_job(3, LONG), make_job(4))
    assert outcome_kinds(b.results(4)) == {1: NOT_RUN, 2: NOT_RUN, 3: FailureKind.TIMEOUT, 4: NOT_RUN}


@pytest.mark.slow
def test_the_time_of_a_bundle_that_waits_for_others_does_not_run(bench: MakeBench) -> None:
    b = bench(workers=1, timeout_seconds=0.5, start_seconds=0.5)
    b.pool.submit(*(make_job(n, "sleep:0.3") for n in range(1, 6)))
    b.pool.submit(make_job(6), make_job(7))
    assert set(outcome_kinds(b.results(7)).values()) == {Done}
    assert b.pool.losses == 0


def test_publishing_that_hangs_is_ended(bench: MakeBench) -> None:
    b = bench(timeout_seconds=0.5)
    b.pool.submit(make_job(1), make_job(2, f"then:{LONG}"))
    assert outcome_kinds(b.results(2)) == {1: FailureKind.TIMEOUT, 2: FailureKind.TIMEOUT}


def test_an_exception_in_a_bundle_leaves_those_alone_that_were_not_begun(bench: MakeBench) -> None:
    b = bench()
    b.pool.submit(make_job(1), make_job(2, "raise:oh"), make_job(3))
    assert outcome_kinds(b.results(3)) == {1: FailureKind.CRASH, 2: FailureKind.CRASH, 3: NOT_RUN}


# ---- dying workers ----


@pytest.mark.parametrize(
    ("death", "reason"),
    [
        ("exit:3", "the worker ended (exit code 3) while it worked on this photo"),
        ("exit:0", "the worker ended (exit code 0) while it worked on this photo"),
        ("signal:SIGSEGV", "the worker died (SIGSEGV) while it worked on this photo"),
        ("signal:SIGABRT", "the worker died (SIGABRT) while it worked on this photo"),
        (
            "signal:SIGKILL",
            "the worker was killed (SIGKILL, as the system does when memory runs out) while it worked on this photo",
        ),
    ],
)
def test_a_dying_worker_takes_no_other_photo_with_it(bench: MakeBench, tmp_path: Path, death: str, reason: str) -> None:
    b = bench()
    b.submit(make_job(1, LONG, tmp_path))
    wait_until(began(tmp_path, 1))
    b.submit(make_job(2, death), make_job(3), make_job(4))
    results = b.results(4)
    assert results[2].outcome == Failed(reason, FailureKind.CRASH)
    assert results[1].outcome is None
    assert {outcome_kinds(results)[n] for n in (3, 4)} <= {NOT_RUN, Done}  # done, if handed in when the death was known
    assert b.pool.losses == 1
    b.submit(*(make_job(n) for n in (5, 6, 7, 8)))
    assert outcome_kinds(b.results(4)) == dict.fromkeys((5, 6, 7, 8), Done)


def test_handing_in_a_job_never_waits_for_the_jobs_of_a_broken_executor(bench: MakeBench, tmp_path: Path) -> None:
    b = bench()
    b.submit(make_job(1, LONG, tmp_path))
    wait_until(began(tmp_path, 1))
    b.submit(make_job(2, "exit:1"))
    executor = b._executor()._executor
    wait_until(lambda: executor._broken)
    start = time.monotonic()
    b.submit(make_job(3))
    assert time.monotonic() - start < 2.0
    assert outcome_kinds(b.results(3)) == {1: NOT_RUN, 2: FailureKind.CRASH, 3: Done}


def test_a_worker_killed_from_outside_is_found_by_its_pid(bench: MakeBench, tmp_path: Path) -> None:
    b = bench()
    b.submit(make_job(1, LONG, tmp_path), make_job(2, LONG, tmp_path))
    wait_until(began(tmp_path, 1, 2))
    os.kill(b.pid_of(2), signal.SIGKILL)
    assert outcome_kinds(b.results(2)) == {1: NOT_RUN, 2: FailureKind.CRASH}


def test_an_idle_worker_killed_from_outside_costs_no_photo(bench: MakeBench) -> None:
    b = bench(workers=1)
    for number in range(1, 2 * supervisor.START_FAILURE_LIMIT):
        b.submit(make_job(number))
        results = b.results(1)
        if results[number].outcome is None:  # handed in before anybody could know
            b.submit(make_job(number))
            results = b.results(1)
        assert outcome_kinds(results) == {number: Done}
        assert b.pool.losses == number - 1
        (pid,) = b.pids()
        os.kill(pid, signal.SIGKILL)
        wait_until(partial(gone, pid))


def test_two_dead_workers_are_both_found(bench: MakeBench, tmp_path: Path) -> None:
    b = bench(workers=3)
    b.submit(*(make_job(n, LONG, tmp_path) for n in (1, 2, 3)))
    wait_until(began(tmp_path, 1, 2, 3))
    first, third = b.pid_of(1), b.pid_of(3)
    os.kill(b.server(), signal.SIGSTOP)  # it is the one who tells of a death
    os.kill(first, signal.SIGABRT)
    os.kill(third, signal.SIGSEGV)
    wait_until(lambda: gone(first) and gone(third))
    os.kill(b.server(), signal.SIGCONT)
    results = b.results(3)
    assert outcome_kinds(results) == {1: FailureKind.CRASH, 2: NOT_RUN, 3: FailureKind.CRASH}
    assert "SIGSEGV" in str(results[3].outcome)
    assert b.pool.losses == 2


def test_of_many_photos_only_the_poison_is_not_done(bench: MakeBench) -> None:
    b = bench()
    todo = [make_job(n, "signal:SIGSEGV" if n == 13 else "sleep:0.01") for n in range(1, 31)]
    ended: dict[int, object] = {}
    until = time.monotonic() + 30
    while len(ended) < 30:
        while todo and b.pool.free:
            b.submit(todo.pop(0))
        assert time.monotonic() < until
        for result in b.step(until):
            if result.outcome is None:
                todo.insert(0, result.job)
            else:
                assert result.job.number not in ended
                ended[result.job.number] = result.outcome
    assert [n for n, outcome in ended.items() if not isinstance(outcome, Done)] == [13]
    assert b.pool.losses == 1


def test_a_worker_that_dies_while_it_sends_its_result_is_found_in_time(bench: MakeBench, tmp_path: Path) -> None:
    b = bench(timeout_seconds=1.0)
    b.submit(make_job(1, LONG, tmp_path))
    wait_until(began(tmp_path, 1))
    b.submit(make_job(2, "tear"))
    results = b.results(2)
    assert outcome_kinds(results) == {1: FailureKind.TIMEOUT, 2: FailureKind.CRASH}
    assert "exit code 9" in str(results[2].outcome)
    b.submit(make_job(3))
    assert outcome_kinds(b.results(1)) == {3: Done}


def test_without_the_forkserver_nobody_is_to_blame_and_work_goes_on(bench: MakeBench, tmp_path: Path) -> None:
    b = bench()
    b.submit(make_job(1, LONG, tmp_path), make_job(2, LONG, tmp_path))
    wait_until(began(tmp_path, 1, 2))
    pids = b.pids()
    os.kill(b.server(), signal.SIGKILL)
    assert outcome_kinds(b.results(2)) == {1: NOT_RUN, 2: NOT_RUN}
    wait_until(lambda: all(map(gone, pids)))
    wait_until(lambda: b.pool.check(time.monotonic()) == [] and b.pool.free)
    b.submit(make_job(3))
    assert outcome_kinds(b.results(1)) == {3: Done}


@pytest.mark.skipif(launching.METHOD != "forkserver", reason="there is none here")
def test_a_forkserver_that_ends_while_it_starts_a_worker_costs_no_photo(bench: MakeBench) -> None:
    b = bench()
    b.submit(make_job(1))
    b.results(1)
    server = b.server()
    os.kill(server, signal.SIGSTOP)
    killer = threading.Timer(0.2, os.kill, (server, signal.SIGKILL))
    killer.start()
    b.submit(make_job(2, alone=True))  # which needs a worker of its own, and waits for the forkserver's answer
    killer.join()
    assert outcome_kinds(b.results(1)) == {2: NOT_RUN}
    b.submit(make_job(3, alone=True))
    assert outcome_kinds(b.results(1)) == {3: Done}


def test_workers_that_cannot_start_end_in_an_error_after_some_tries(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "BACKOFF_SECONDS", 0.01)
    b = bench(warm=pool_work.fail_to_warm)
    waits: list[float] = []

    def serve() -> None:
        until = time.monotonic() + 20
        number = 0
        while time.monotonic() < until:
            while b.pool.free:
                number += 1
                b.submit(make_job(number))
            if b.pool._main.shut_until:
                waits.append(b.pool._main.shut_until)
            assert all(result.outcome is None for result in b.step(until))

    with pytest.raises(WorkersError, match="6 attempts"):
        serve()
    assert len(set(waits)) == supervisor.START_FAILURE_LIMIT - 1
    assert all(job.photo.path == b"nothing" for job in b.pool.close(wait=False))


def test_workers_that_the_system_refuses_are_waited_for_and_each_change_is_told_once(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(supervisor, "LONGEST_BACKOFF", 0.01)
    told: list[str] = []
    b = bench(report=told.append)
    make = b.pool._main.make

    def refuse() -> Processes:
        raise OSError(errno.ENOSPC, "no room for semaphores")

    b.pool._main.make = refuse
    b.pool.start()
    assert b.pool.unavailable_reason == "no worker can be started: no room for semaphores"
    gave_up = [b.pool.gave_up]
    for _ in range(3 * supervisor.START_FAILURE_LIMIT):
        due = b.pool.deadline()
        assert due is not None
        assert b.pool.free == 0
        b.pool.check(due)  # tries again by itself, whether there is work or not
    gave_up.append(b.pool.gave_up)
    assert gave_up == [False, True]
    assert told == [b.pool.unavailable_reason]
    b.pool._main.make = make
    due = b.pool.deadline()
    assert due is not None
    b.pool.check(due)
    assert told[1:] == [""]
    b.submit(make_job(1))
    assert outcome_kinds(b.results(1)) == {1: Done}


def test_workers_that_cannot_start_are_noticed_without_a_job(bench: MakeBench) -> None:
    b = bench(warm=pool_work.fail_to_warm)
    b.pool.start()
    assert b.step(time.monotonic() + 10) == []
    assert b.pool.losses == 1
    assert b.pool.free == 0
    due = b.pool.deadline()
    assert due is not None
    b.pool.check(due)
    assert b.pool.free == 4


# ---- the quarantine ----


def test_the_quarantine_does_not_block_the_others(bench: MakeBench, tmp_path: Path) -> None:
    b = bench()
    gate = tmp_path / "gate"
    b.submit(make_job(1, f"wait:{gate}", tmp_path, alone=True), make_job(2, "nothing", tmp_path, alone=True))
    assert b.pool.free == 4
    b.submit(*(make_job(n) for n in (3, 4, 5, 6)))
    assert set(b.results(4)) == {3, 4, 5, 6}
    wait_until(began(tmp_path, 1))
    assert not (tmp_path / "2").exists()  # one at a time
    assert b.pool.in_flight == 2
    gate.touch()
    assert outcome_kinds(b.results(2)) == {1: Done, 2: Done}


def test_who_crashes_alone_is_blamed_and_harms_nobody(bench: MakeBench, tmp_path: Path) -> None:
    b = bench()
    gate = tmp_path / "gate"
    b.submit(make_job(1, f"wait:{gate}"), make_job(2, f"wait:{gate}"))
    b.submit(make_job(3, "signal:SIGSEGV", alone=True), make_job(4, alone=True))
    assert outcome_kinds(b.results(2)) == {3: FailureKind.CRASH, 4: Done}
    gate.touch()
    assert outcome_kinds(b.results(2)) == {1: Done, 2: Done}


def test_the_quarantine_ends_when_nothing_is_left_for_it(bench: MakeBench) -> None:
    b = bench()
    b.submit(make_job(1, alone=True))
    outcome = b.results(1)[1].outcome
    assert isinstance(outcome, Done)
    wait_until(lambda: gone(outcome.pid))
    b.submit(make_job(2, alone=True))
    assert outcome_kinds(b.results(1)) == {2: Done}
    assert b.pool.losses == 0


# ---- what takes too long ----


def test_an_overdue_job_is_ended_and_the_others_are_not_blamed(bench: MakeBench) -> None:
    b = bench(timeout_seconds=0.5)
    b.submit(make_job(1, LONG), make_job(2, "sleep:0.1"), make_job(3, "sleep:0.2"), make_job(4, "sleep:0.3"))
    results = b.results(4)
    kinds = outcome_kinds(results)
    assert kinds.pop(1) == FailureKind.TIMEOUT
    assert set(kinds.values()) <= {Done, NOT_RUN}
    assert results[1].outcome == Failed("took longer than 0.5 s in a worker (timeout_seconds)", FailureKind.TIMEOUT)
    assert b.pool.losses == 1
    b.submit(make_job(5))
    assert outcome_kinds(b.results(1)) == {5: Done}


def test_time_counts_from_when_a_job_began(bench: MakeBench) -> None:
    b = bench(workers=1, timeout_seconds=1.0)
    b.submit(make_job(1, "sleep:0.7"), make_job(2, "sleep:0.7"))
    assert outcome_kinds(b.results(2)) == {1: Done, 2: Done}


def test_a_stopped_worker_is_overdue_too(bench: MakeBench) -> None:
    b = bench(timeout_seconds=0.5)
    b.submit(make_job(1, "stop"))
    assert outcome_kinds(b.results(1)) == {1: FailureKind.TIMEOUT}


def test_workers_that_begin_nothing_are_replaced(bench: MakeBench) -> None:
    b = bench(timeout_seconds=0.3, start_seconds=1.0)
    b.submit(make_job(1))
    b.results(1)
    for pid in b.pids():
        os.kill(pid, signal.SIGSTOP)
    b.submit(make_job(2), make_job(3))
    assert outcome_kinds(b.results(2)) == {2: NOT_RUN, 3: NOT_RUN}
    b.submit(make_job(4))
    assert outcome_kinds(b.results(1)) == {4: Done}


def test_an_overdue_job_in_quarantine_is_ended(bench: MakeBench) -> None:
    b = bench(timeout_seconds=0.5)
    b.submit(make_job(1, LONG, alone=True), make_job(2, alone=True))
    assert outcome_kinds(b.results(2)) == {1: FailureKind.TIMEOUT, 2: Done}


# ---- memory ----


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no such limit")
def test_a_worker_may_take_only_so_much_memory(bench: MakeBench) -> None:
    b = bench(workers=1, memory_limit_bytes=400 * pool_work.MEGABYTE)
    assert b.answer("memory:300") == f"took {300 * pool_work.MEGABYTE}"
    assert b.answer("memory:450").startswith("MemoryError in the worker")
    assert b.answer("memory:200") == f"took {200 * pool_work.MEGABYTE}"  # malloc keeps 64 MB more after a failure
    assert b.pool.losses == 0


def test_workers_stand_back_behind_other_programs_and_never_less_than_their_parent(bench: MakeBench) -> None:
    mine = os.nice(0)
    assert bench(workers=1).answer("nice") == str(mine)
    assert bench(workers=1, nice=mine - 1).answer("nice") == str(mine)
    assert bench(workers=1, nice=19).answer("nice") == "19"


# ---- the end ----


def test_close_with_wait_finishes_what_is_in_the_workers(bench: MakeBench, tmp_path: Path) -> None:
    b = bench()
    b.submit(*(make_job(n, "sleep:0.2", tmp_path) for n in (1, 2, 3)))
    b.submit(make_job(4, "sleep:0.2", alone=True), make_job(5, alone=True))
    left = b.pool.close(wait=True)
    assert [job.number for job in left] == [5]
    assert outcome_kinds(b.results(4)) == dict.fromkeys((1, 2, 3, 4), Done)
    assert b.pool.in_flight == 0


def test_close_with_wait_survives_a_crash_and_a_hang(bench: MakeBench, tmp_path: Path) -> None:
    b = bench(timeout_seconds=1.0)
    b.submit(make_job(1, LONG), make_job(2, "exit:1", alone=True), make_job(3, "sleep:0.1", tmp_path))
    assert b.pool.close(wait=True) == []
    assert outcome_kinds(b.results(3)) == {1: FailureKind.TIMEOUT, 2: FailureKind.CRASH, 3: Done}


def test_close_without_wait_is_prompt_and_gives_back_what_was_not_done(bench: MakeBench, tmp_path: Path) -> None:
    b = bench()
    b.submit(make_job(9))
    wait_until(lambda: not b.pool._main.undone())
    b.submit(*(make_job(n, LONG, tmp_path) for n in (1, 2, 3)))
    b.submit(make_job(4, LONG, tmp_path, alone=True), make_job(5, alone=True))
    wait_until(began(tmp_path, 1, 2, 4))
    pids = b.pids()
    start = time.monotonic()
    left = b.pool.close(wait=False)
    assert time.monotonic() - start < 1.0
    assert sorted(job.number for job in left) == [1, 2, 3, 4, 5]
    assert all(map(gone, pids))
    assert outcome_kinds(b.results(1)) == {9: Done}  # it had come back before


@pytest.mark.parametrize("busy", [True, False])
def test_close_is_prompt_when_nobody_has_noticed_a_dead_worker(bench: MakeBench, tmp_path: Path, *, busy: bool) -> None:
    b = bench()
    b.pool.start()
    executor = b._executor()._executor
    if busy:
        b.submit(make_job(1, "exit:1"), make_job(2, LONG, tmp_path), make_job(3, LONG))
    else:
        b.submit(make_job(1))
        b.results(1)
        os.kill(b.pids()[0], signal.SIGKILL)
    wait_until(lambda: executor._broken)
    start = time.monotonic()
    left = b.pool.close(wait=False)
    assert time.monotonic() - start < 1.0
    assert [job.number for job in left] == ([2, 3] if busy else [])
    if busy:
        assert outcome_kinds(b.results(1)) == {1: FailureKind.CRASH}


def test_the_end_leaves_no_thread_no_process_and_no_semaphore(tmp_path: Path) -> None:
    program = Program(
        tmp_path,
        """
        pool = make_pool(timeout_seconds=0.5)
        for number in range(1, 30, 3):
            pool.submit(make_job(number, "exit:1"))
            pool.submit(make_job(number + 1, "sleep:60"))
            pool.submit(make_job(number + 2, "exit:1", alone=True))
            serve(pool, 3)
        assert pool.close(wait=True) == []
        assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
        """,
    )
    stdout, stderr = program.process.communicate(timeout=60)
    assert (stdout, stderr, program.process.returncode) == ("", "", 0)
    wait_until(lambda: not program.processes(), 2.0)


# ---- programs of their own: signals to all, and how workers are started ----


class Program:
    """A Python program with a pool, in a session of its own."""

    def __init__(self, folder: Path, body: str, cwd: Path | None = None) -> None:
        head = """
            import os, queue, signal, sys, threading, time
            import xmlrpc.client  # stands for all that a command line needs, and workers don't
            from pathlib import Path
            import pool_work
            from pool_work import make_job
            from watcher.pool import Pool
            folder = Path({folder!r})
            reports = queue.SimpleQueue()

            def make_pool(**settings):
                settings = dict(workers=2, timeout_seconds=60, preload=("PIL.JpegImagePlugin",)) | settings
                return Pool(pool_work.work, pool_work.warm, post=reports.put, **settings)

            def serve(pool, count):
                results = []
                while len(results) < count:
                    try:
                        results += pool.take(reports.get(timeout=max(0, pool.deadline() - time.monotonic())))
                    except queue.Empty:
                        results += pool.check(time.monotonic())
                return {{result.job.number: result for result in results}}

            def answer(pool, what):
                pool.submit(make_job(1, what))
                return serve(pool, 1)[1].outcome.reason

            def main():
        """
        script = folder / "program"
        text = textwrap.dedent(head.format(folder=os.fspath(folder))) + textwrap.indent(textwrap.dedent(body), "    ")
        script.write_text(text + "\nif __name__ == '__main__':\n    sys.exit(main())\n")
        path = os.pathsep.join([HERE, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]).rstrip(os.pathsep)
        self.process = subprocess.Popen(
            [sys.executable, script],
            cwd=cwd or folder,
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> dict[int, str]:
        """Give what lives in its session, with the command lines."""
        found: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                    if int(session) == self.process.pid and state != "Z":
                        found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
                except OSError:
                    pass  # it ended meanwhile
        return found

    def end(self) -> None:
        self.process.communicate(timeout=20)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
class TestAProgramOfItsOwn:
    @pytest.mark.parametrize("work", ["sleep:60", "gil:60"])
    def test_nothing_is_left_a_second_after_the_parent_was_killed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str
    ) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        program = Program(
            tmp_path,
            f"""
            pool = make_pool()
            for number in 1, 2, 3:
                pool.submit(make_job(number, {work!r}, folder))
            pool.submit(make_job(4, {work!r}, folder, alone=True))
            serve(pool, 4)
            """,
        )
        wait_until(began(tmp_path, 1, 2, 4), 20.0)
        before = program.processes()
        assert len(before) == 6, before  # itself, three workers, the forkserver and the resource tracker
        assert list(tmp_path.glob("pymp-*"))  # the forkserver's socket lies there
        program.process.kill()
        program.process.wait()
        wait_until(lambda: not program.processes(), 1.0)
        assert not list(tmp_path.glob("pymp-*"))
        stdout, stderr = program.process.communicate(timeout=20)
        assert (stdout, stderr) == ("", ""), "nothing goes to the log but lines of the log"

    def test_a_signal_to_the_whole_group_does_not_disturb_a_drain(self, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        program = Program(
            tmp_path,
            f"""
            asked = []
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda number, _: asked.append(number))
            pool = make_pool()
            for number in 1, 2, 3, 4:
                pool.submit(make_job(number, "wait:{gate}", folder))
            results = serve(pool, 4)
            assert pool.close(wait=True) == []
            print(sorted(asked), [type(result.outcome).__name__ for result in results.values()], pool.losses)
            """,
        )
        wait_until(began(tmp_path, 1, 2), 20.0)
        before = program.processes()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.killpg(program.process.pid, number)
        gate.touch()
        stdout, stderr = program.process.communicate(timeout=20)
        assert stdout == "[1, 2, 15] ['Done', 'Done', 'Done', 'Done'] 0\n"
        assert stderr == ""
        assert len(before) == 5
        wait_until(lambda: not program.processes(), 2.0)

    def test_signals_to_the_group_while_workers_start_do_not_disturb_either(self, tmp_path: Path) -> None:
        program = Program(
            tmp_path,
            """
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda *_: None)
            print("ready", flush=True)
            for number in range(1, 6):
                pool = make_pool()
                pool.submit(make_job(number))
                assert type(serve(pool, 1)[number].outcome).__name__ == "Done"
                assert pool.losses == 0
                pool.close(wait=True)
            print("ended", flush=True)
            pool_work.wait_for(folder / "rain is over")
            """,
        )
        assert program.process.stdout
        assert program.process.stdout.readline() == "ready\n"
        while not select.select([program.process.stdout], [], [], 0.002)[0]:  # a pace: until it says that it ended
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.killpg(program.process.pid, number)
        assert program.process.stdout.readline() == "ended\n"
        (tmp_path / "rain is over").touch()
        stdout, stderr = program.process.communicate(timeout=20)
        assert (stdout, stderr, program.process.returncode) == ("", "", 0)

    def test_workers_come_from_a_forkserver_that_has_pillow_and_not_from_the_main_script(self, tmp_path: Path) -> None:
        program = Program(
            tmp_path,
            """
            pool = make_pool(workers=1)
            print(answer(pool, "module:PIL.JpegImagePlugin"))
            print(answer(pool, "main:__file__"), answer(pool, "module:xmlrpc.client"))
            print(answer(pool, "status:VmRSS").split()[1])
            print(pool._main._executor._executor._mp_context.get_start_method())
            pool.close(wait=True)
            print(sys.modules["__main__"].__file__ == __file__, os.environ.get("PYTHONSAFEPATH"))
            """,
        )
        stdout, stderr = program.process.communicate(timeout=20)
        assert stderr == ""
        pillow, main, rss, method, restored = stdout.splitlines()
        assert (pillow, main, method) == ("True", "none False", "forkserver")
        assert int(rss) < 40 * 1024, "kB before the first photo"
        assert restored == "True None"

    def test_modules_in_the_current_folder_are_not_run(self, tmp_path: Path) -> None:
        inbox = tmp_path / "inbox"
        inbox.mkdir()
        for name in ("selectors.py", "signal.py", "PIL.py", "random.py"):
            (inbox / name).write_text("import os\nos.write(2, b'trapped\\n')\n")
        body = "pool = make_pool(); pool.submit(make_job(1)); serve(pool, 1); pool.close(wait=True)"
        program = Program(tmp_path, body, cwd=inbox)
        assert program.process.communicate(timeout=20) == ("", "")
        assert program.process.returncode == 0

    def test_the_current_folder_may_vanish(self, tmp_path: Path) -> None:
        body = """
            pool = make_pool()
            os.mkdir("here")
            os.chdir("here")
            os.rmdir("../here")
            pool.submit(make_job(1))
            print(type(serve(pool, 1)[1].outcome).__name__)
            pool.close(wait=True)
        """
        program = Program(tmp_path, body)
        assert program.process.communicate(timeout=20) == ("Done\n", "")


# ---- other executors ----


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Unknown:
    """An executor that breaks, and whose workers' ends can't be known."""

    def __init__(self) -> None:
        self.futures: list[concurrent.futures.Future[worker.Reply]] = []

    def start(self, _: object) -> None:
        pass

    def submit(self, _: int, __: object) -> concurrent.futures.Future[worker.Reply]:
        self.futures.append(concurrent.futures.Future())
        return self.futures[-1]

    def times(self, _: int, count: int) -> list[worker.Times]:
        return [worker.Times(1.0, 0.0, 0.0)] * count

    def pid(self, _: int) -> int:
        return 0

    def kill(self) -> None:
        pass

    def close(self) -> None:
        pass

    def gone(self, _: float) -> bool:
        return True


def test_where_it_cannot_be_known_which_worker_died_all_jobs_are_suspects(bench: MakeBench) -> None:
    b, executor = bench(), Unknown()
    b.pool._main.make = lambda: cast("executors.Processes", executor)
    b.submit(make_job(1), make_job(2))
    executor.futures[0].set_exception(concurrent.futures.BrokenExecutor("gone"))
    results = b.results(2)
    assert outcome_kinds(results) == {1: FailureKind.CRASH, 2: FailureKind.CRASH}
    assert "or on one of 1 others" in str(results[1].outcome)


def test_where_no_executor_can_be_had_jobs_come_back_and_the_pool_backs_off(bench: MakeBench) -> None:
    clock = FakeClock()
    trouble: list[OSError] = [OSError(24, "Too many open files"), OSError(11, "Resource temporarily unavailable")]
    b = bench(clock=clock)
    make = b.pool._main.make

    def refuse_twice() -> executors.Processes:
        if trouble:
            raise trouble.pop()
        return make()

    b.pool._main.make = refuse_twice
    b.submit(make_job(1))
    assert b.pool.take(b.reports.get(timeout=1)) == [Result(make_job(1), None)]
    assert b.pool.free == 0
    due = b.pool.deadline()
    assert due is not None
    assert due > clock.now
    clock.now = due
    b.pool.check(clock.now)  # tries again, whether there is work or not
    assert b.pool.free == 0
    due = b.pool.deadline()
    assert due is not None
    clock.now = due
    b.pool.check(due)
    b.submit(make_job(2))
    assert outcome_kinds({r.job.number: r for r in b.pool.take(b.reports.get(timeout=20))}) == {2: Done}


# ---- what this process may use ----


def tree(root: Path, **files: str) -> str:
    """Lay out files; `__` in a name stands for a slash, `_` stays."""
    for name, text in files.items():
        file = root / name.replace("__", "/").replace("DOT", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return os.fspath(root)


@pytest.fixture
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


V2 = {"proc__self__cgroup": "0::/system.slice/watcher.service\n", "proc__meminfo": "MemTotal:  8000000 kB\n"}
V1 = {
    "proc__self__cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n0::/docker/abc\n",
    "proc__meminfo": "MemFree: 1 kB\nMemTotal: 8000000 kB\n",
}
SLICE = "sys__fs__cgroup__systemDOTslice__"
SERVICE = SLICE + "watcherDOTservice__"


@pytest.mark.usefixtures("many_cpus")
@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 64),
        (V2, 64),
        (V2 | {SERVICE + "cpuDOTmax": "max 100000\n"}, 64),
        (V2 | {SERVICE + "cpuDOTmax": "200000 100000\n"}, 2),
        (V2 | {SERVICE + "cpuDOTmax": "250000 100000\n"}, 3),
        (V2 | {SERVICE + "cpuDOTmax": "1000 100000\n"}, 1),
        (V2 | {SERVICE + "cpuDOTmax": "max 100000\n", SLICE + "cpuDOTmax": "400000 100000\n"}, 4),
        (V2 | {SERVICE + "cpuDOTmax": "800000 100000\n", SLICE + "cpuDOTmax": "400000 100000\n"}, 4),
        (V2 | {SERVICE + "cpuDOTmax": "nonsense\n", SLICE + "cpuDOTmax": "1 0\n"}, 64),
        ({"proc__self__cgroup": "0::/../../other\n", "sys__fs__cgroup__cpuDOTmax": "300000 100000"}, 3),
        (V1, 64),
        (
            V1
            | {"sys__fs__cgroup__cpu__cpuDOTcfs_quota_us": "-1", "sys__fs__cgroup__cpu__cpuDOTcfs_period_us": "1000"},
            64,
        ),
        (
            V1
            | {"sys__fs__cgroup__cpu__cpuDOTcfs_quota_us": "1500", "sys__fs__cgroup__cpu__cpuDOTcfs_period_us": "1000"},
            2,
        ),
        (
            V1
            | {
                "sys__fs__cgroup__cpu,cpuacct__docker__abc__cpuDOTcfs_quota_us": "5000",
                "sys__fs__cgroup__cpu,cpuacct__docker__abc__cpuDOTcfs_period_us": "1000",
            },
            5,
        ),
        (V1 | {"sys__fs__cgroup__unified__docker__abc__cpuDOTmax": "700000 100000"}, 7),
    ],
)
def test_cpus_are_counted_by_affinity_and_quota(tmp_path: Path, files: dict[str, str], cpus: int) -> None:
    assert available_cpus(tree(tmp_path, **files)) == cpus


def test_cpus_that_affinity_forbids_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert available_cpus(tree(tmp_path, **V2, **{SERVICE + "cpuDOTmax": "400000 100000"})) == 2


@pytest.mark.parametrize(
    ("files", "memory"),
    [
        (V2, 8_000_000 * 1024),
        (V2 | {SERVICE + "memoryDOTmax": "max\n"}, 8_000_000 * 1024),
        (V2 | {SERVICE + "memoryDOTmax": "1000000\n"}, 1_000_000),
        (V2 | {SERVICE + "memoryDOTmax": "1000000\n", SERVICE + "memoryDOThigh": "900000\n"}, 900_000),
        (V2 | {SERVICE + "memoryDOTmax": "1000000\n", SLICE + "memoryDOTmax": "700000\n"}, 700_000),
        (V1 | {"sys__fs__cgroup__memory__memoryDOTlimit_in_bytes": "9223372036854771712\n"}, 8_000_000 * 1024),
        (V1 | {"sys__fs__cgroup__memory__memoryDOTlimit_in_bytes": "5000000\n"}, 5_000_000),
        (V1 | {"sys__fs__cgroup__memory__docker__abc__memoryDOTlimit_in_bytes": "4000000\n"}, 4_000_000),
    ],
)
def test_memory_is_the_machines_or_a_cgroups(tmp_path: Path, files: dict[str, str], memory: int) -> None:
    assert available_memory(tree(tmp_path, **files)) == memory


def test_without_any_of_these_files_the_system_is_asked(tmp_path: Path) -> None:
    assert available_memory(os.fspath(tmp_path)) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_this_machine_can_be_asked() -> None:
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)
    assert available_memory() > 64 * pool_work.MEGABYTE
