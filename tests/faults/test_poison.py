"""Photos that never end, that cost their worker its life, or that need more memory than there is: only they fail."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

from tests import photos
from tests.e2e.harness import Place, camera, fill, shows, until
from tests.faults.processes import Killer, cpu_seconds, workers_at

TIMEOUT = 1.0


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of some 400 KB that is within every limit and takes many seconds to decode."""
    path = tmp_path_factory.mktemp("poison") / "endless.jpg"
    path.write_bytes(photos.scan_bomb(99, 9000, 9000))
    return path


def drop(poison: Path, inbox: Path, count: int) -> list[Path]:
    """Put copies of a poison photo into the inbox: whole from the first moment, and too old to be doubted."""
    paths = []
    for number in range(count):
        copy = inbox.parent / "poison.part"
        shutil.copy(poison, copy)
        os.utime(copy, (1, 1))
        paths.append(inbox / f"x{number:03}.jpg")
        copy.rename(paths[-1])
    return paths


def failed(place: Place) -> dict[str, tuple[str, int]]:
    return {Path(item["path"]).name: (item["reason"], item["attempts"]) for item in place.status()["failed"]}


@pytest.mark.parametrize(
    ("poisons", "good"),
    [(3, 30), pytest.param(10, 100, marks=pytest.mark.slow), pytest.param(30, 1000, marks=pytest.mark.slow)],
)
def test_photos_that_never_end_fail_alone_and_hold_up_nobody(
    place: Place, endless: Path, poisons: int, good: int
) -> None:
    place.configure(retry={"timeout_seconds": TIMEOUT}, workers=2)
    with place.run() as daemon:
        began = time.monotonic()
        bad = drop(endless, place.inbox, poisons)
        fill(place.inbox, good)
        daemon.settle(good, 60 + good / 10)
        late = place.inbox / "late.jpg"
        late.write_bytes(camera(1))
        dropped = time.monotonic()
        until(lambda: all(path.exists() for path in place.outputs("late.jpg")), "one that comes now", TIMEOUT + 5)
        assert time.monotonic() - dropped < TIMEOUT + 5
        until(lambda: len(failed(place)) == poisons, "every poison photo is given up", 30 + 3 * poisons)
        for reason, attempts in failed(place).values():
            assert reason == "took longer than 1 s in a worker (timeout_seconds)"
            assert attempts <= 3
        assert set(failed(place)) == {path.name for path in bad}
        made = {f"p{number:03}.jpg" for number in range(good)} | {"late.jpg"}
        assert daemon.made() == dict.fromkeys(made, 1)
        busy = time.monotonic() - began
        used = cpu_seconds(daemon.process.pid)
        assert used < 1.0 + 0.2 * busy + 0.01 * good, f"{used:.1f} s of CPU in {busy:.1f} s"
        time.sleep(1.0)  # nothing is left to do
        assert cpu_seconds(daemon.process.pid) - used < 0.1
        assert daemon.stop() == 0


def test_a_photo_that_gets_its_worker_killed_is_given_up_after_three_tries_until_it_changes(
    place: Place, endless: Path
) -> None:
    place.configure(retry={"backoff_seconds": 0.1}, workers=2)
    good = 20
    with place.run() as daemon:
        (poison,) = drop(endless, place.inbox, 1)
        with Killer(place, poison) as killer:
            fill(place.inbox, good)
            daemon.settle(good)
            until(lambda: failed(place), "it is given up")
            assert len(killer.killed) == 3
        reason, attempts = failed(place)["x000.jpg"]
        assert "SIGKILL" in reason
        assert attempts == 3
        assert daemon.made() == {f"p{number:03}.jpg": 1 for number in range(good)}
        poison.write_bytes(camera(7))
        until(lambda: daemon.made()["x000.jpg"] == 1, "a change starts over")
        assert shows(place.outputs("x000.jpg")[0], 7)
        until(lambda: not failed(place), "it is no longer listed")
        assert daemon.stop() == 0


def test_a_photo_that_takes_the_daemon_down_each_time_is_given_up_after_three_tries(
    place: Place, endless: Path
) -> None:
    (poison,) = drop(endless, place.inbox, 1)
    fill(place.inbox, 6)
    for _ in range(3):
        with place.run() as daemon:
            until(lambda: workers_at(place, poison), "it is in a worker")
            daemon.process.kill()
            daemon.process.wait()
    with place.run() as daemon:
        until(lambda: failed(place), "it is given up", 10)
        until(lambda: place.status()["inboxes"][0]["done"] == 6, "all others are made")
        assert not workers_at(place, poison)
        assert failed(place) == {"x000.jpg": ("watcher itself ended 3 times while it worked on this photo", 3)}
        assert daemon.stop() == 0
    with place.run() as daemon:
        assert not daemon.events("photo.failed"), "it is not tried again"
        assert daemon.stop() == 0


def test_a_photo_that_needs_more_memory_than_a_worker_may_have_fails_alone(place: Place) -> None:
    place.configure(memory_mb=16, retry={"backoff_seconds": 0.1}, workers=2)
    whole = photos.jpeg(Image.new("RGB", (16, 16)), progressive=True, subsampling=0)
    frame = bytearray(whole)
    at = frame.index(b"\xff\xc2")
    frame[at + 5 : at + 9] = (14_000).to_bytes(2, "big") * 2  # the decoder reserves 1.2 GB for that
    (place.inbox / "huge.jpg").write_bytes(frame)
    os.utime(place.inbox / "huge.jpg", (1, 1))
    fill(place.inbox, 20)
    with place.run() as daemon:
        daemon.settle(20)
        until(lambda: failed(place), "it is given up", 20)
        reason, attempts = failed(place)["huge.jpg"]
        assert "memory" in reason
        assert attempts == 3
        assert not daemon.events("worker.lost"), "the limit is met inside the worker, not by its death"
        assert place.status()["inboxes"][0]["done"] == 20
        assert daemon.stop() == 0
