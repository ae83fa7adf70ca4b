"""A long life: neither the daemon nor its workers grow, and the log is about batches."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.harness import Place, camera, until
from tests.faults.processes import open_files, resident_megabytes
from tests.faults.records import standing

CROWD = 500  # photos at a time


def _drop(place: Place, number: int) -> None:
    """Move a folder of photos in."""
    folder = place.root / "drop"
    folder.mkdir()
    source = place.root / "source.jpg"
    source.write_bytes(camera(number, 32, 24))
    for copy in range(CROWD):
        os.link(source, folder / f"{copy}.jpg")
    source.unlink()
    folder.rename(place.inbox / f"{number:04}")


@pytest.mark.parametrize(
    "photos", [pytest.param(5_000, marks=pytest.mark.slow), pytest.param(100_000, marks=pytest.mark.soak)]
)
def test_nothing_grows_over_many_photos(place: Place, photos: int) -> None:  # invariant 10
    tiny = {"tiny": {"width": 16, "height": 16, "metadata": "none"}}
    place.configure(tiny, log={"format": "json", "level": "info"}, workers=2)
    crowds = photos // CROWD
    files: list[list[int]] = []
    memory: list[list[float]] = []  # the daemon's, then the others', the largest first
    with place.run() as daemon:
        for number in range(crowds):
            _drop(place, number)
            until(lambda n=number: standing(place) == (True, (n + 1) * CROWD, 0, 0), "a crowd is made", 60)  # type: ignore[misc]  # mypy can't tell a lambda's default
            others = [pid for pid in place.left() if pid != daemon.process.pid]  # new ones, now and then
            files.append([open_files(daemon.process.pid), *sorted(map(open_files, others))])
            large = sorted(map(resident_megabytes, others), reverse=True)
            memory.append([resident_megabytes(daemon.process.pid), *large])
            if number > 0:
                shutil.rmtree(place.output / "tiny" / f"{number:04}")
        early, late = crowds // 10, -1
        print(f"first tenth and last: {memory[early]} and {memory[late]} MB, {files[early]} and {files[late]} files,")
        print(f"{len(daemon.lines)} lines, {sum(map(len, daemon.lines))} bytes of log")
        # Workers are replaced after their share of photos; those of before are let go of when the next ones come.
        most = max(map(sum, files[: crowds // 3]))
        assert sum(files[late]) <= most, f"file descriptors are flat: {files[:: max(1, early)]}"
        pairs = zip(memory[early], memory[late], strict=True)
        assert all(after < before * 1.1 + 2 for before, after in pairs), f"megabytes: {memory[:: max(1, early)]}"
        assert len(daemon.lines) < crowds * (CROWD / 128 + 4) + 20, "a line a batch"
        assert daemon.stop() == 0
    assert len(list(Path(place.output / "tiny").iterdir())) == 1
