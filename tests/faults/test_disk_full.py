"""An output disk that is full: work pauses, says so once, and goes on by itself; no photo is failed for it."""

from __future__ import annotations

import time

import pytest

from tests.e2e.harness import BOTH, Place, fill, is_whole, temporary, until
from tests.faults.mounting import Filler, mounted, needs_mounts

pytestmark = needs_mounts


@pytest.mark.parametrize("seconds", [0.2, pytest.param(4.0, marks=pytest.mark.slow)])  # 4: it is tried again and again
def test_work_pauses_while_the_output_is_full_and_goes_on_by_itself(place: Place, seconds: float) -> None:
    with mounted(place.output, "-t", "tmpfs", "-o", "size=4m"), place.run() as daemon:
        fill(place.inbox, 2)
        daemon.settle(2)
        filler = Filler(place.output, spare=60_000)  # for one or two more
        fill(place.inbox, 20, 2)
        daemon.wait_for("disk.full")
        until(lambda: not any(path.stat().st_size for path in temporary(place.output)), "no half output is left")
        time.sleep(seconds)
        until(  # one that was in another worker may still find room
            lambda: place.status()["inboxes"][0]["waiting"] == 22 - len(daemon.events("photo.done")),
            "status says so, at most half a second late",
        )
        assert len(daemon.events("photo.done")) < 22
        filler.remove()
        daemon.settle(22)
        assert len(daemon.events("disk.full")) == 1, "said once, however often it was tried"
        assert len(daemon.events("disk.freed")) == 1
        assert not daemon.events("photo.failed")
        found = place.status()["inboxes"][0]
        assert (found["done"], found["failed"], found["waiting"]) == (22, 0, 0)
        assert daemon.stop() == 0
        assert not temporary(place.output)
        assert all(is_whole(path) for path in place.outputs(*(f"p{number:03}.jpg" for number in range(22))))


def test_another_inbox_whose_output_has_room_goes_on(place: Place) -> None:
    other = {"path": str(place.root / "other"), "output": str(place.root / "roomy")}
    (place.root / "other").mkdir()
    place.configure(more_inboxes=[other])
    with mounted(place.output, "-t", "tmpfs", "-o", "size=1m"), place.run() as daemon:
        daemon.wait_for("scan.done", 2)
        Filler(place.output)
        fill(place.inbox, 20)
        daemon.wait_for("disk.full")
        fill(place.root / "other", 20, 100)
        roomy = [place.root / "roomy" / name / f"p{number}.jpg" for name in BOTH for number in range(100, 120)]
        until(lambda: all(path.exists() for path in roomy), "the other inbox is served")
        assert daemon.stop() == 0
        assert not daemon.events("photo.failed")


def test_a_single_run_names_what_had_no_room_and_the_next_one_makes_it(place: Place) -> None:
    fill(place.inbox, 20)
    with mounted(place.output, "-t", "tmpfs", "-o", "size=1m"):
        filler = Filler(place.output, spare=60_000)
        finished = place.once()
        assert finished.code == 1, finished
        assert "no space" in finished.out
        assert len(finished.events("disk.full")) == 1
        filler.remove()
        finished = place.once()
        assert finished.code == 0, finished
        assert place.status()["inboxes"][0]["done"] == 20
        assert not temporary(place.output)
