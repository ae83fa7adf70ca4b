"""The cluster room against a real scheduler and real workers, each a process, over TCP on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest
from PIL import Image

from tests.photos import jpeg, scene

DASK = str(Path(sys.executable).with_name("dask"))
WATCHER = str(Path(sys.executable).with_name("watcher"))
PATIENCE = 60.0  # seconds; far above what any of this takes


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:.0f} s"
        time.sleep(0.02)


class Dask:
    """A scheduler with an address of its own, and workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.port = 0
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.scheduler = self.begin_scheduler()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def begin_scheduler(self) -> subprocess.Popen[bytes]:
        """Start a scheduler, on the port of the one before if there was one."""
        self.file.unlink(missing_ok=True)
        words = ["scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--scheduler-file", str(self.file)]
        process = self._begin(words, "scheduler.log")
        until(lambda: self.file.exists() and self.file.read_text().rstrip().endswith("}"), "a scheduler")
        self.port = int(json.loads(self.file.read_text())["address"].rpartition(":")[2])
        return process

    def begin_worker(self, *words: str, threads: int = 1, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        there = ["worker", self.address, "--nthreads", str(threads), "--no-nanny", "--host", "127.0.0.1", *words]
        return self._begin([*there, "--local-directory", str(self.folder)], "worker.log", cwd)

    def _begin(self, words: Sequence[str], log: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}  # for `pool_work`
        with (self.folder / log).open("ab") as output:
            process = subprocess.Popen(
                [DASK, *words, "--no-dashboard"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
            )
        self._processes.append(process)
        return process


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
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=PATIENCE)


def events(log: str) -> list[str]:
    return [json.loads(line)["event"] for line in log.splitlines()]


def test_once_makes_photos_on_a_cluster(dask: Dask, tmp_path: Path) -> None:
    path = config(tmp_path, f'address = "{dask.address}"')
    for number in range(5):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(jpeg(scene(200 + number, 100)))
    done = once(path)
    assert (done.returncode, events(done.stderr).count("executor.ready")) == (0, 1), done.stderr
    assert done.stdout.startswith("5 photos made, 5 renditions")
    for number in range(5):
        with Image.open(tmp_path / "out" / "web" / f"{number}.jpg") as image:
            assert image.size == (200 + number, 100)
    again = once(path)
    assert again.stdout.startswith("0 photos made")


def test_the_scheduler_is_found_by_its_file(dask: Dask, tmp_path: Path) -> None:
    path = config(tmp_path, f'scheduler_file = "{dask.file}"')
    (tmp_path / "in" / "a.jpg").write_bytes(jpeg(scene(200, 100)))
    assert once(path).stdout.startswith("1 photo made")
