"""Bad photos, killed daemons, and those who are asked to stop: nobody else pays for it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests import photos
from tests.e2e.harness import (
    TIMEOUT,
    Place,
    Running,
    camera,
    fill,
    fingerprint,
    is_whole,
    shows,
    temporary,
    tree,
    until,
)
from tests.faults.processes import workers_at
from watcher.core.records import Phase

BAD = {
    "truncated.jpg": (photos.truncated(), ("truncated", "end marker")),
    "empty.jpg": (photos.EMPTY, ("empty",)),
    "text.jpg": (photos.TEXT, ("not a JPEG", "no JPEG")),
    "deep.jpg": (photos.deep(12), ("12",)),
    "bomb.jpg": (photos.bomb(), ("60,000", "60000", "megapixel", "too large")),
}
GOOD = {"plain.jpg": photos.plain(), "cmyk.jpg": photos.cmyk(), "exif.jpg": photos.broken_exif()}


def _fill_with_all(place: Place) -> None:
    for name, (data, _) in BAD.items():
        (place.inbox / name).write_bytes(data)
    for name, data in GOOD.items():
        (place.inbox / name).write_bytes(data)


def test_of_a_bad_folder_the_good_photos_are_made_and_each_bad_one_is_named_with_its_reason(place: Place) -> None:
    _fill_with_all(place)
    done = place.once()
    assert done.code == 1, done
    assert tree(place.output).keys() == {f"{rendition}/{name}" for rendition in ("web", "thumb") for name in GOOD}
    assert all(is_whole(path) for path in tree(place.output).values())
    named = {line.split(": ")[1].rpartition("/")[2]: line for line in done.out.splitlines() if place.inbox.name in line}
    assert named.keys() == BAD.keys()
    for name, (_, words) in BAD.items():
        assert any(word in named[name] for word in words), named[name]
    incomplete = {name for name, line in named.items() if line.startswith("waiting: ")}
    assert incomplete <= {"truncated.jpg", "empty.jpg"}, "those may still be written"
    status = place.status()
    failed = {Path(item["path"]).name: item for item in status["failed"]}
    assert failed.keys() == BAD.keys() - incomplete
    waiting = {Path(item["path"]).name: item for item in status["waiting"]}
    assert waiting.keys() == incomplete
    for name, item in (failed | waiting).items():
        assert any(word in item["reason"] for word in BAD[name][1]), item
        assert item["since"]
    assert status["inboxes"][0]["done"] == len(GOOD)
    assert status["inboxes"][0]["waiting"] == len(incomplete)
    assert "Traceback" not in done.err


def test_a_second_run_over_bad_photos_tries_none_of_them_again(place: Place) -> None:
    _fill_with_all(place)
    place.once()
    again = place.once()
    assert again.code == 1
    assert not again.events("photo.done")
    assert not again.events("photo.failed")


def test_the_daemon_lives_on_bad_photos_and_a_mended_one_is_made(place: Place) -> None:
    with place.run() as daemon:
        _fill_with_all(place)
        daemon.wait_for("photo.done", len(GOOD))
        daemon.wait_for("photo.failed", 3)
        (place.inbox / "text.jpg").write_bytes(camera(1))
        (place.inbox / "truncated.jpg").write_bytes(camera(2))
        daemon.wait_for("photo.done", len(GOOD) + 2)
        until(lambda: place.status()["inboxes"][0]["done"] == len(GOOD) + 2, "both are mended")
        assert {Path(item["path"]).name for item in place.status()["failed"]} <= {"deep.jpg", "bomb.jpg"}
        assert daemon.stop() == 0


def _put_slow(path: Path) -> None:
    """Write 1 MB that takes a worker more than a second, dated long enough ago to be believed whole."""
    path.write_bytes(photos.scan_bomb(99, 13_300, 13_300))
    os.utime(path, (1_600_000_000, 1_600_000_000))


def test_a_photo_that_decodes_endlessly_fails_and_the_others_are_made(place: Place) -> None:
    place.configure(retry={"timeout_seconds": 0.7, "backoff_seconds": 0.1})
    _put_slow(place.inbox / "a bomb.jpg")
    fill(place.inbox, 8)
    done = place.once()
    assert done.code == 1, done
    assert len(tree(place.output)) == 16
    (failed,) = place.status()["failed"]
    assert failed["path"].endswith("a bomb.jpg")
    assert "0.7 s" in failed["reason"], failed


def _started(place: Place, count: int) -> tuple[set[str], set[str]]:
    """Run the daemon on a backlog and kill it in the middle; all names, and those on record as done."""
    fill(place.inbox, count)
    (place.inbox / "big").mkdir()
    for number in range(4):
        (place.inbox / "big" / f"p{count + number:03}.jpg").write_bytes(camera(count + number, 3000, 2000))
    with place.run() as daemon:
        daemon.wait_for("photo.done", count // 4)
        daemon.send(signal.SIGKILL)
        daemon.process.wait()
        until(lambda: not place.left(), "no worker outlives the daemon by 2 s", 2.0)
    recorded = _recorded(place)
    assert set(daemon.made()) <= recorded, "what the log calls done is recorded"
    return set(tree(place.inbox)), recorded


def _recorded(place: Place) -> set[str]:
    """Return the photos that the state file calls done, by their paths in the inbox."""
    query = "SELECT folder.path, name FROM photo JOIN folder ON folder.id = folder WHERE phase = ?"
    with closing(sqlite3.connect(place.state)) as db:
        return {os.fsdecode(os.path.join(*row)) for row in db.execute(query, (Phase.DONE,))}


# that a single run gets through is tried again below
@pytest.mark.parametrize("command", ["run", pytest.param("once", marks=pytest.mark.soak)])
def test_after_a_kill_in_the_middle_all_is_made_and_nothing_called_done_twice(place: Place, command: str) -> None:
    names, recorded = _started(place, 40)
    if command == "run":
        with place.run() as daemon:
            until(lambda: place.status()["inboxes"][0]["done"] == len(names), "all are done")
            assert daemon.stop() == 0
            after = daemon.made()
    else:
        done = place.once()
        assert done.code == 0, done
        prefix = f"{place.inbox}/"
        after = Counter(line["path"].removeprefix(prefix) for line in done.events("photo.done") if line["renditions"])
    assert after == dict.fromkeys(names - recorded, 1), "each of the others is made once, and none again"
    for name in names:
        assert all(shows(path, int(Path(name).stem[1:])) for path in place.outputs(name))
    assert len(tree(place.output)) == 2 * len(names)
    assert not temporary(place.output)


def test_killed_over_and_over_it_gets_through(place: Place) -> None:
    fill(place.inbox, 40)
    for pause in (0.3, 0.35, 0.4, 0.45):  # more often than a photo may be tried
        daemon = place.run()
        try:
            time.sleep(pause)  # the moment of the kill is the world's
            daemon.send(signal.SIGKILL)
        finally:
            daemon.__exit__(None, None, None)
    done = place.once()
    assert done.code == 0, done
    assert len(tree(place.output)) == 80
    assert place.status()["inboxes"][0]["done"] == 40


def test_a_killed_worker_costs_no_photo(place: Place) -> None:
    with place.run() as daemon:
        fill(place.inbox, 2)
        daemon.settle(2)
        for pid in {line["pid"] for line in daemon.events("photo.done")}:
            with contextlib.suppress(ProcessLookupError):  # when one is gone, the pool ends the others
                os.kill(pid, signal.SIGKILL)
        fill(place.inbox, 10, 2)
        daemon.settle(12)
        assert place.status()["failed"] == []


# ---- stopping ----


# Ctrl-C is tried in tests/e2e/test_streams.py too
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
def test_asked_to_stop_it_finishes_what_is_in_the_workers_and_the_rest_is_made_later(
    place: Place, number: signal.Signals
) -> None:
    (place.inbox / "p000.jpg").write_bytes(camera(0, 5000, 4000))
    for other in range(1, 16):
        (place.inbox / f"p{other:03}.jpg").write_bytes(camera(other, 3000, 2000))
    with place.run() as daemon:
        daemon.wait_for("photo.done")
        daemon.send(number)
        assert daemon.process.wait(20) == 0
        (stopped,) = daemon.events("stopped")
        assert stopped["reason"] == number.name
        made = daemon.made()
    assert len(made) < 16, "it did not wait for the whole backlog"
    assert {path.name for path in tree(place.output / "web").values()} == set(made), (
        "all that was begun is made and told"
    )
    assert place.status()["inboxes"][0]["done"] == len(made)
    done = place.once()
    assert done.code == 0
    assert len(done.events("photo.done")) == 16 - len(made)


def test_a_second_signal_does_not_wait(place: Place) -> None:
    _put_slow(place.inbox / "slow.jpg")
    with place.run() as daemon:
        until(lambda: workers_at(place, place.inbox / "slow.jpg"), "it is in a worker")
        daemon.send(signal.SIGTERM)
        daemon.wait_for("daemon.stopping")
        assert daemon.events("daemon.stopping")[0]["in_flight"] == 1
        assert daemon.process.poll() is None, "the first one waits for the worker"
        time.sleep(0.1)  # two at one moment are one, as `timeout` sends them
        daemon.send(signal.SIGTERM)
        assert daemon.process.wait(TIMEOUT) == 0
    assert not tree(place.output), "the worker was not waited for"


def test_once_that_is_interrupted_stops_in_order_and_says_so(place: Place) -> None:
    for other in range(12):
        (place.inbox / f"p{other:03}.jpg").write_bytes(camera(other, 4000, 3000))
    place.configure(workers=1)
    with Running(place, "once", "--config", str(place.config)) as run:
        run.wait_for("photo.done")
        run.send(signal.SIGINT)
        assert run.process.wait(20) == 1
    before = fingerprint(place.output)
    assert 0 < len(before) < 24
    assert place.once().code == 0
    after = fingerprint(place.output)
    assert len(after) == 24
    assert {name: after[name] for name in before} == before


@pytest.mark.slow
def test_what_a_killed_worker_left_is_removed_while_the_daemon_runs(place: Place) -> None:
    slow = {"format": "avif", "width": 1300, "quality": 100}  # so that the first rendition is unfinished for a while
    place.configure({"large": {"width": 1600}, "slow": slow})
    with place.run() as daemon:
        (place.inbox / "a.jpg").write_bytes(photos.jpeg(photos.scene(1950, 1300)))
        until(lambda: temporary(place.output), "a rendition is on its way")
        (path, *_) = temporary(place.output)
        os.kill(int(path.name.split("-")[-3]), signal.SIGKILL)
        daemon.wait_for("worker.lost")
        daemon.settle(1)
        until(lambda: not temporary(place.output), "nothing is left")
        assert daemon.made() == {"a.jpg": 1}


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("chattr") is None, reason="only root may make a folder add-only")
def test_an_output_folder_that_can_only_be_added_to_is_told_as_what_it_is(place: Place) -> None:
    fill(place.inbox, 1)
    (place.output / "web").mkdir(parents=True)
    if subprocess.run(["chattr", "+a", place.output], capture_output=True, check=False).returncode:
        pytest.skip("this file system knows no such folders")
    try:
        finished = place.once()
    finally:
        subprocess.run(["chattr", "-a", place.output], check=True)
    assert finished.code == 0, finished  # what is below it can be written
    assert place.once().code == 0  # and what was left behind there is removed
