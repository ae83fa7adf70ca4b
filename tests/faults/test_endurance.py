"""A long life: neither the daemon nor its workers grow, and the log is about batches."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.harness import Place, camera, until
from tests.faults.books import standing
from tests.faults.processes import open_files, resident_megabytes

PHOTOS = int(os.environ.get("WATCHER_SOAK_PHOTOS", "5000"))  # 100,000 before a release
CROWD = 500  # at a time

pytestmark = pytest.mark.slow


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


def test_nothing_grows_over_many_photos(place: Place) -> None:
    tiny = {"tiny": {"width": 16, "height": 16, "metadata": "none"}}
    place.configure(tiny, log={"format": "json", "level": "info"}, workers=2)
    crowds = max(10, PHOTOS // CROWD)
    files: list[dict[str, int]] = []
    memory: list[dict[str, float]] = []
    with place.run() as daemon:
        for number in range(crowds):
            _drop(place, number)
            until(lambda n=number: standing(place) == (True, (n + 1) * CROWD, 0, 0), "a crowd is made", 60)  # type: ignore[misc]  # mypy can't tell a lambda's default
            names = {str(pid): pid for pid in place.left()}
            files.append({name: open_files(pid) for name, pid in names.items()})
            memory.append({name: resident_megabytes(pid) for name, pid in names.items()})
            if number > 0:
                shutil.rmtree(place.output / "tiny" / f"{number:04}")
        assert files[-1] == files[crowds // 10], "file descriptors are flat"
        for name, before in memory[crowds // 10].items():
            assert memory[-1][name] < before * 1.1 + 2, (
                f"process {name} grew from {before:.1f} MB to {memory[-1][name]:.1f}"
            )
        assert len(daemon.lines) < crowds * (CROWD / 128 + 4) + 20, "a line a batch"
        assert daemon.stop() == 0
    assert len(list(Path(place.output / "tiny").iterdir())) == 1
