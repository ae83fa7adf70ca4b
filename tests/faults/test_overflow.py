"""More at once than the kernel's queue of events holds, and than the daemon's own: all is rendered."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.harness import Place, camera, fill, until
from tests.faults.processes import peak_megabytes
from tests.faults.records import standing

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
LINKS = 10_000  # to one file; ext4 allows 65,000 and btrfs fewer

pytestmark = pytest.mark.skipif(not QUEUE.exists(), reason="inotify is Linux's")


def _many(root: Path, folder: Path, count: int) -> None:
    """Make photos by the thousand: links to a few, since a link is a new name and that is what events are about."""
    for number in range(count):
        source = root / f"source{number // LINKS}"
        if not source.exists():
            source.write_bytes(camera(number // LINKS, 16, 12))
        path = folder / f"{number // 1000:03}" / f"{number}.jpg"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, path)


def _made(place: Place) -> int:
    found = standing(place)
    assert found.failed == 0
    return found.done


def test_photos_whose_events_the_kernel_dropped_are_made_long_before_the_next_rescan(place: Place) -> None:
    limit = int(QUEUE.read_text())
    if limit > 50_000:
        pytest.skip(f"the queue holds {limit} events here")
    with place.run() as daemon:
        fill(place.inbox, 1)
        daemon.settle(1)
        daemon.send(signal.SIGSTOP)
        junk = place.root / "junk"
        junk.touch()
        for number in range(limit + 1000):  # no photos, but events all the same
            os.link(junk, place.inbox / f"{number}.txt")
        fill(place.inbox, 20, 1)
        daemon.send(signal.SIGCONT)
        daemon.settle(21)
        assert daemon.events("watch.lost")
        until(lambda: _made(place) == 21, "all are on the books")
        assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("stopped", "count"),
    [
        pytest.param(True, 3_000, marks=pytest.mark.slow),
        pytest.param(True, 18_000, marks=pytest.mark.soak),
        pytest.param(False, 12_000, marks=pytest.mark.soak),
    ],
)
def test_a_flood_of_photos_is_made_in_bounded_memory(place: Place, stopped: bool, count: int) -> None:
    tiny = {"tiny": {"width": 8, "height": 8, "metadata": "none"}}
    place.configure(tiny, log={"format": "json", "level": "info"})
    with place.run() as daemon:
        if stopped:
            daemon.send(signal.SIGSTOP)
        _many(place.root, place.inbox, count)
        if stopped:
            daemon.send(signal.SIGCONT)
        until(lambda: _made(place) == count, "all are made", 240)
        assert sum(1 for path in place.output.rglob("*.jpg") if path.is_file()) == count
        assert peak_megabytes(daemon.process.pid) < 200
        assert len(daemon.lines) < count / 20, "the log is about batches"
        assert daemon.stop() == 0
