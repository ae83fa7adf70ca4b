"""What a dead run leaves in the output tree is removed by the next one."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import until
from tests.photos import nest
from watcher.fs.cleanup import clean_up, host
from watcher.fs.traits import Traits, probe


@pytest.mark.skipif(sys.platform != "linux", reason="told by /proc")
def test_a_dead_worker_that_nobody_has_reaped_yet_is_dead(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        left = tmp_path / f".watcher-{host().decode()}-{process.pid}-1-0.tmp"
        left.touch()
        state = Path(f"/proc/{process.pid}/stat")
        until(lambda: state.read_text().rpartition(")")[2].split()[0] == "Z", "a zombie")
        assert clean_up(os.fsencode(tmp_path)) == 1
    assert not left.exists()


def test_the_files_that_try_what_a_file_system_does_are_swept_if_their_writer_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    monkeypatch.setattr(os, "unlink", lambda _path: None)  # as if it had died just before
    monkeypatch.setattr(os, "getpid", lambda: process.pid)
    assert probe(os.fsencode(tmp_path)) == Traits()
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 2
    assert clean_up(os.fsencode(tmp_path)) == 2


def test_a_sweep_takes_few_descriptors_and_few_calls_however_many_folders_there_are_and_however_deep(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    left = f".watcher-{host().decode()}-{process.pid}-1-0.tmp"
    for number in range(200):
        (tmp_path / f"{number}" / "inner").mkdir(parents=True)
        (tmp_path / f"{number}" / "inner" / left).touch()
    nest(tmp_path / "deep", 1000)
    (tmp_path / "deep" / "/".join(["n"] * 1000) / left).touch()
    taken = len(os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 10, limits[1]))
    try:
        assert clean_up(os.fsencode(tmp_path)) == 201
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        subprocess.run(["rm", "-rf", tmp_path / "deep"], check=True)
