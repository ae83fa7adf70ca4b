"""The cluster room against a real scheduler and real workers, each a process, over TCP on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
from PIL import Image

from tests.dask_processes import TIMEOUT, Dask, until
from tests.photos import jpeg, scene
from watcher.cluster import Cluster, Paths, Target
from watcher.cluster import client as dialling
from watcher.core.messages import WorkerReport
from watcher.core.types import Done, DuplicateCandidate, Failed, FailureKind, PhotoId, Result

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)

import cluster_work  # noqa: E402 - found by the line above, and by workers by the same name
from pool_work import make_job  # noqa: E402 - the same

WATCHER = str(Path(sys.executable).with_name("watcher"))


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """Give a cluster of one worker with two threads, which no test may harm."""
    with Dask(tmp_path_factory.mktemp("dask")) as cluster:
        cluster.begin_worker(threads=2)
        yield cluster


def config(folder: Path, executor: str) -> Path:
    (folder / "in").mkdir()
    path = folder / "config.toml"
    inbox = f'[[inbox]]\npath = "{folder}/in"\noutput = "{folder}/out"\n'
    path.write_text(f'state = "state.db"\n[executor]\nkind = "dask"\n{executor}\n{inbox}')
    return path


def once(path: Path) -> subprocess.CompletedProcess[str]:
    words = [WATCHER, "once", "--config", str(path)]
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=TIMEOUT)


def events(log: str) -> list[str]:
    return [json.loads(line)["event"] for line in log.splitlines()]


def test_once_makes_photos_on_a_cluster(dask: Dask, tmp_path: Path) -> None:
    path = config(tmp_path, f'address = "{dask.address}"')
    for number in range(5):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(jpeg(scene(200 + number, 100)))
    done = once(path)
    assert (done.returncode, events(done.stderr).count("executor.ready")) == (0, 1), done.stderr
    assert done.stdout.startswith("5 photos, 5 copies made in ")
    for number in range(5):
        with Image.open(tmp_path / "out" / "web" / f"{number}.jpg") as image:
            assert image.size == (200 + number, 100)
    again = once(path)
    assert again.stdout.startswith("nothing to do")


def test_the_scheduler_is_found_by_its_file(dask: Dask, tmp_path: Path) -> None:
    path = config(tmp_path, f'scheduler_file = "{dask.file}"')
    (tmp_path / "in" / "a.jpg").write_bytes(jpeg(scene(200, 100)))
    assert once(path).stdout.startswith("1 photo, 1 copy made in ")


# ---- the pool itself ----


class Bench:
    """A cluster's pool, the part of the daemon's loop that serves it, and what it says in the log."""

    def __init__(self, target: Target, *, timeout: float = 60.0, patience: float | None = None) -> None:
        self.reports: queue.SimpleQueue[WorkerReport] = queue.SimpleQueue()
        self.said: list[tuple[str, dict[str, object]]] = []
        self.now = 0.0  # added to the clock
        self.pool = Cluster(
            target,
            cluster_work.serve,
            post=self.reports.put,
            timeout_seconds=timeout,
            say=lambda _: lambda event, **fields: self.said.append((event, fields)),
            give_up_seconds=patience,
            clock=lambda: time.monotonic() + self.now,
        )

    def __enter__(self) -> Self:
        self.pool.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close(wait=False)

    def turn(self) -> list[Result]:
        try:
            return self.pool.take(self.reports.get(timeout=0.02))
        except queue.Empty:
            return self.pool.check(time.monotonic() + self.now)

    def until(self, true: Callable[[], object], what: str) -> list[Result]:
        """Serve the pool until something is true; give what came back meanwhile."""
        results: list[Result] = []

        def look() -> object:
            results.extend(self.turn())
            return true()

        until(look, what)
        return results

    def results(self, count: int) -> list[Result]:
        results: list[Result] = []

        def look() -> bool:
            results.extend(self.turn())
            return len(results) >= count

        until(look, f"{count} results")
        return results

    def events(self, name: str) -> list[dict[str, object]]:
        return [fields for event, fields in self.said if event == name]


@pytest.fixture
def bench(dask: Dask) -> Iterator[Bench]:
    with Bench(Target(dask.address)) as made:
        made.until(lambda: made.pool.threads == 2, "two threads")
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Dask]:
    """Give a cluster without workers that a test may do to what it likes."""
    with Dask(tmp_path) as cluster:
        yield cluster


def reason(result: Result) -> str:
    assert isinstance(result.outcome, Failed)
    return result.outcome.reason


def test_every_job_comes_back_with_what_became_of_it(bench: Bench) -> None:
    first, second, third = make_job(1, "names"), make_job(2, "undone"), make_job(3)
    bench.pool.submit(first, second)
    bench.pool.submit(third)
    assert (bench.pool.free, bench.pool.in_flight) == (2, 3)
    found = {result.job: result.outcome for result in bench.results(3)}
    assert isinstance(found[first], Failed)
    assert found[second] is None
    assert isinstance(found[third], Done)
    assert (bench.pool.free, bench.pool.in_flight) == (4, 0)


def test_two_bundles_for_each_thread_are_in_flight_at_most(bench: Bench) -> None:
    assert bench.pool.free == 4
    assert bench.pool.bundle_size(1000) == 8
    assert bench.pool.bundle_size(17) == 2
    assert bench.pool.bundle_size(1) == 1


def test_memory_and_company_are_matters_of_this_machine_and_do_not_travel(bench: Bench) -> None:
    job = replace(make_job(1, "terms", alone=True), memory_bytes=5)
    bench.pool.submit(job)
    (result,) = bench.results(1)
    assert reason(result) == "0 False"
    assert result.job is job


def test_a_worker_that_can_do_no_work_at_all_is_left_out_and_no_photo_is_blamed(bench: Bench) -> None:
    bench.pool.submit(make_job(1, "refuse:no resizer"))
    assert bench.results(1)[0].outcome is None
    bench.until(lambda: bench.pool.unavailable_reason, "nobody is fit")
    assert "RuntimeError: no resizer" in bench.pool.unavailable_reason


def test_folders_have_their_own_names_on_workers(dask: Dask) -> None:
    paths = Paths(((b"/in", b"/theirs/in"), (b"/out", b"/theirs/out")))
    with Bench(Target(dask.address, paths=paths), timeout=7.0) as bench:
        bench.until(lambda: bench.pool.there, "a worker")
        duplicates = tuple(
            DuplicateCandidate(PhotoId(b"/in", b"b.jpg"), b"d", 1, b"/out", (), gone=bool(n)) for n in range(2)
        )
        jobs = [
            replace(make_job(1, "names"), output_root=b"/out"),
            replace(make_job(2, "duplicate:1"), output_root=b"", duplicates=duplicates),
        ]
        for job in jobs:
            bench.pool.submit(job)
        found = {result.job.number: result for result in bench.results(2)}
    assert reason(found[1]) == "/theirs/in /theirs/out 7.0"
    assert [found[1].job, found[2].job] == jobs
    assert isinstance(found[2].outcome, Done)
    assert found[2].outcome.duplicate is duplicates[1]


@pytest.mark.slow
def test_work_follows_a_cluster_that_grows_and_one_that_loses_a_worker(own: Dask, tmp_path: Path) -> None:
    own.begin_worker()
    with Bench(Target(own.address)) as bench:
        bench.until(lambda: bench.pool.free == 2, "a worker")
        bench.said.clear()
        bench.pool.submit(make_job(1, f"once:{tmp_path}/sign"))  # its worker will die of it
        bench.until((tmp_path / "sign").exists, "the job has begun")
        bench.until(lambda: not bench.pool.there, "nobody is left")
        assert bench.events("executor.lost")[0]["reason"] == "the scheduler has no workers"
        own.begin_worker(threads=3)
        bench.until(lambda: bench.pool.there, "a worker again")
        assert bench.pool.free == 6 - (bench.pool.in_flight > 0)
        bench.pool.submit(make_job(2, f"once:{tmp_path}/sign"))
        assert "done by another one" in reason(bench.results(1)[-1])
        assert len(bench.events("executor.back")) == 1


@pytest.mark.slow
def test_a_scheduler_that_ends_is_waited_for_and_said_once_to_be_lost(own: Dask, tmp_path: Path) -> None:
    own.begin_worker()
    with Bench(Target(own.address)) as bench:
        bench.until(lambda: bench.pool.there, "a worker")
        bench.said.clear()
        bench.pool.submit(make_job(1, f"wait:{tmp_path}/go"), make_job(2))
        own.scheduler.kill()
        own.scheduler.wait()
        back = bench.until(lambda: bench.pool.unavailable_reason, "it is told")
        back += bench.results(2 - len(back)) if len(back) < 2 else []
        assert [(result.job.number, result.outcome) for result in back] == [(1, None), (2, None)]
        assert bench.pool.free == 0
        assert bench.pool.info().away_since is not None
        (tmp_path / "go").touch()
        own.begin_scheduler()
        own.begin_worker()
        bench.until(lambda: bench.pool.there, "it is back")
        assert bench.pool.unavailable_reason == ""
        bench.pool.submit(make_job(3))
        assert isinstance(bench.results(1)[0].outcome, Done)
        assert [event for event, _ in bench.said] == ["executor.lost", "executor.back"]


@pytest.mark.slow
def test_a_bundle_that_workers_die_of_is_blamed_before_a_fourth_has_died(own: Dask) -> None:
    for _ in range(4):
        own.begin_worker()
    with Bench(Target(own.address)) as bench:
        bench.until(lambda: bench.pool.threads == 4, "four workers")
        bench.pool.submit(make_job(1, "exit:9"), make_job(2))
        found = bench.results(2)
    assert all(isinstance(result.outcome, Failed) and result.outcome.kind is FailureKind.CRASH for result in found)
    assert reason(found[0]).startswith("3 Dask workers ended, one after the other, while they worked on this photo, or")


def test_a_worker_that_does_not_see_a_photo_that_is_here_is_left_out(bench: Bench, tmp_path: Path) -> None:
    photo = tmp_path / "vanished"
    photo.touch()
    job = replace(make_job(1, "vanished"), photo=PhotoId(os.fsencode(tmp_path), b"vanished"))
    bench.pool.submit(job)
    assert [result.outcome for result in bench.results(1)] == [None]
    bench.until(lambda: bench.pool.unavailable_reason, "nobody is fit")
    assert "is the folder mounted there?" in bench.pool.unavailable_reason
    assert "is not there, and" in str(bench.events("executor.unfit")[0]["reason"])


def test_what_is_gone_here_too_is_gone(bench: Bench) -> None:
    bench.pool.submit(make_job(1, "vanished"))
    assert [type(result.outcome).__name__ for result in bench.results(1)] == ["Vanished"]


def test_an_output_that_only_the_worker_can_not_write_is_the_worker_s_fault(bench: Bench, tmp_path: Path) -> None:
    bench.pool.submit(replace(make_job(1, "unwritable"), output_root=b"/not/there"))
    assert isinstance(bench.results(1)[0].outcome, Failed)
    bench.pool.submit(replace(make_job(2, "unwritable"), output_root=os.fsencode(tmp_path)))
    assert bench.results(1)[0].outcome is None


def test_a_worker_of_another_version_is_left_out(dask: Dask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.cluster.membership.__version__", "99.0")
    with Bench(Target(dask.address)) as bench:
        bench.until(lambda: bench.pool.unavailable_reason, "nobody is fit")
        assert "and the daemon has 99.0: install the same on both" in bench.pool.unavailable_reason
        assert bench.pool.free == 0
        monkeypatch.undo()
        monkeypatch.setattr("watcher.cluster.membership.AGAIN_SECONDS", 0.0)
        bench.until(lambda: bench.pool.there, "it is asked again")


def test_what_nobody_answers_is_taken_back_and_not_listened_to_later(bench: Bench, tmp_path: Path) -> None:
    bench.pool.submit(make_job(1, f"wait:{tmp_path}/go"))
    bench.until(lambda: True, "a turn")
    due = bench.pool.deadline()
    assert due is not None
    assert due > time.monotonic() + bench.pool.liveness_seconds - 10
    bench.now = bench.pool.liveness_seconds + 1
    assert [result.outcome for result in bench.results(1)] == [None]
    (tmp_path / "go").touch()
    bench.pool.submit(make_job(2))
    assert [result.job.number for result in bench.results(1)] == [2]
    assert bench.turn() == []


def test_a_run_that_waits_for_nobody_gives_up_after_its_patience() -> None:
    with Bench(Target("tcp://127.0.0.1:9"), patience=15.0) as bench:
        assert bench.pool.gave_up is False
        due = bench.pool.deadline()
        assert due is not None
        assert due <= time.monotonic() + 15
        bench.now = 15.0
        assert (bench.pool.gave_up, bench.pool.deadline()) == (True, None)


def test_the_system_is_asked_why_nobody_is_reached_where_dask_only_says_that_time_is_out() -> None:
    with pytest.raises(OSError, match="9") as caught:
        asyncio.run(dialling._knock("tcp://127.0.0.1:9"))
    assert dialling.words(caught.value) == "connection refused"
    assert dialling.words(OSError("Timed out trying to connect")) == "it does not answer"


def test_closing_does_not_wait_for_what_is_out(bench: Bench, tmp_path: Path) -> None:
    job = make_job(1, f"wait:{tmp_path}/go")
    bench.pool.submit(job)
    assert bench.pool.close(wait=False) == [job]
    (tmp_path / "go").touch()
    with pytest.raises(RuntimeError):
        bench.pool.submit(job)
