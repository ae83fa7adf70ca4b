"""Photos come into the daemon's inbox in every way that people use: each is made exactly once, whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.harness import Looker, Place, camera, fill, shows, tree, until

PHOTOS = 30
Drop = Callable[[Path, Path], None]


def _cp(source: Path, inbox: Path) -> None:
    subprocess.run(["cp", "-r", source, inbox / "in"], check=True)


def _mv(source: Path, inbox: Path) -> None:
    subprocess.run(["mv", source, inbox / "in"], check=True)


def _rsync(source: Path, inbox: Path, *options: str) -> None:
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    subprocess.run(["rsync", "-a", *options, f"{source}/", f"{inbox}/in/"], check=True)


def _rsync_inplace(source: Path, inbox: Path) -> None:
    _rsync(source, inbox, "--inplace", "--bwlimit=4000")


def _tar(source: Path, inbox: Path) -> None:
    archive = source.parent / "photos.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(source, "in")
    subprocess.run(["tar", "xf", archive, "-C", inbox], check=True)


def _check_all(place: Place, names: set[str]) -> None:
    assert tree(place.output).keys() == {f"{rendition}/{name}" for rendition in ("web", "thumb") for name in names}
    for name in names:
        number = int(Path(name).stem[1:])
        assert all(shows(path, number) for path in place.outputs(name)), name


# the others, and many more, are taken in tests/transports
@pytest.mark.parametrize(
    "drop",
    [_mv, _rsync_inplace, *(pytest.param(drop, marks=pytest.mark.soak) for drop in (_cp, _rsync, _tar))],
    ids=lambda drop: drop.__name__[1:],
)
def test_each_photo_is_made_exactly_once_and_never_seen_half(place: Place, drop: Drop) -> None:
    source = place.root / "card"
    fill(source, PHOTOS - 10)
    fill(source / "100ABC" / "deep", 10, PHOTOS - 10)
    names = {f"in/{name}" for name in tree(source)}
    with place.run() as daemon, Looker(place.output) as looker:
        drop(source, place.inbox)
        daemon.settle(PHOTOS)
        time.sleep(1.0)  # what comes twice would come now
        assert daemon.made() == dict.fromkeys(names, 1)
        assert daemon.stop() == 0
    assert looker.looks > 0
    assert not looker.broken
    _check_all(place, names)


@pytest.mark.soak  # with fewer photos above
@pytest.mark.parametrize("drop", [_cp, _mv, _rsync, _rsync_inplace, _tar], ids=lambda drop: drop.__name__[1:])
def test_four_hundred_photos_are_made_exactly_once(place: Place, drop: Drop) -> None:
    source = place.root / "card"
    for folder in range(8):
        fill(source / f"{folder}", 50, folder * 50)
    names = {f"in/{name}" for name in tree(source)}
    with place.run() as daemon, Looker(place.output) as looker:
        drop(source, place.inbox)
        daemon.settle(400, 90)
        time.sleep(1.0)  # what comes twice would come now
        assert daemon.made() == dict.fromkeys(names, 1)
    assert not looker.broken
    _check_all(place, names)


def _write_slowly(path: Path, data: bytes, parts: int, pause: float, *, reopen: bool) -> None:
    """Write a file in byte ranges, as an upload does; `reopen`: the file is closed in between."""
    file = open(path, "wb", buffering=0)  # noqa: SIM115  # closed and opened again below
    for part in range(parts):
        file.write(data[len(data) * part // parts : len(data) * (part + 1) // parts])
        if reopen and part < parts - 1:
            file.close()
            time.sleep(pause)  # this is the outside world: a slow line
            file = open(path, "ab", buffering=0)  # noqa: SIM115  # as above
        else:
            time.sleep(pause)
    file.close()


@pytest.mark.parametrize("reopen", [False, True], ids=["one writer", "closed in between"])
def test_a_photo_written_slowly_is_made_once_when_it_is_whole(place: Place, reopen: bool) -> None:
    with place.run() as daemon, Looker(place.output) as looker:
        _write_slowly(place.inbox / "p007.jpg", camera(7, 1500, 1000), 7, 0.35, reopen=reopen)
        daemon.settle(1)
        assert daemon.made() == {"p007.jpg": 1}
    assert not looker.broken
    _check_all(place, {"p007.jpg"})


@pytest.mark.soak  # for two seconds and a half above
def test_a_photo_written_for_twenty_seconds_is_made_once_when_it_is_whole(place: Place) -> None:
    with place.run() as daemon, Looker(place.output) as looker:
        _write_slowly(place.inbox / "p007.jpg", camera(7, 1500, 1000), 20, 1.0, reopen=True)
        daemon.settle(1)
        assert daemon.made() == {"p007.jpg": 1}
    assert not looker.broken


def test_a_photo_that_fills_reserved_room_is_made_once_when_it_is_whole(place: Place) -> None:
    """As `rsync --inplace --preallocate` and many download programs write: the size is right from the start."""
    data = camera(3, 1500, 1000)
    with place.run() as daemon, Looker(place.output) as looker:
        with open(place.inbox / "p003.jpg", "wb", buffering=0) as file:
            file.truncate(len(data))
            for at in range(0, len(data), len(data) // 5):
                file.write(data[at : at + len(data) // 5])
                time.sleep(0.4)  # this is the outside world: a slow line
        daemon.settle(1)
        assert daemon.made() == {"p003.jpg": 1}
    assert not looker.broken
    _check_all(place, {"p003.jpg"})


def test_an_edit_in_place_is_made_again_and_a_rename_within_makes_the_new_name(place: Place) -> None:
    with place.run() as daemon:
        (first,) = fill(place.inbox, 1)
        daemon.settle(1)
        first.write_bytes(camera(9))
        until(lambda: daemon.made()["p000.jpg"] == 2, "made again")
        until(lambda: shows(place.outputs("p000.jpg")[0], 9), "the new content")
        first.rename(place.inbox / "p009.jpg")
        until(lambda: all(path.exists() for path in place.outputs("p009.jpg")), "the new name")
        until(lambda: place.status()["inboxes"][0]["done"] == 1, "the old name is forgotten")
    assert not any(path.exists() for path in place.outputs("p000.jpg")), "its outputs went along"


def test_a_deleted_photo_and_a_deleted_folder_are_forgotten_and_their_outputs_stay(place: Place) -> None:
    with place.run() as daemon:
        fill(place.inbox, 2)
        fill(place.inbox / "trip", 2, 2)
        daemon.settle(4)
        (place.inbox / "p000.jpg").unlink()
        until(lambda: place.status()["inboxes"][0]["done"] == 3, "a photo is forgotten")
        shutil.rmtree(place.inbox / "trip")
        until(lambda: place.status()["inboxes"][0]["done"] == 1, "a folder is forgotten")
    assert len(tree(place.output)) == 8


def test_photos_that_came_while_the_daemon_was_away_are_made_at_its_start(place: Place) -> None:
    fill(place.inbox, 2)
    with place.run() as daemon:
        daemon.settle(2)
    fill(place.inbox, 2, 2)
    with place.run() as daemon:
        daemon.settle(2)
        assert set(daemon.made()) == {"p002.jpg", "p003.jpg"}
    with place.run() as daemon:
        assert not daemon.made()


@pytest.mark.slow
def test_an_inbox_that_went_away_is_scanned_when_it_is_back_and_nothing_is_forgotten(place: Place) -> None:
    fill(place.inbox, 2)
    away = place.root / "away"
    place.configure(inbox={"poll_seconds": 1})
    with place.run() as daemon:
        daemon.settle(2)
        place.inbox.rename(away)
        daemon.wait_for("watch.lost")
        until(lambda: not place.status()["inboxes"][0]["reachable"], "status says that it is away")
        fill(away, 2, 2)
        away.rename(place.inbox)
        daemon.wait_for("watch.back")
        daemon.settle(4)
        fill(place.inbox, 1, 4)
        daemon.settle(5)
        assert set(daemon.made().values()) == {1}
        found = place.status()["inboxes"][0]
        assert (found["reachable"], found["done"], found["failed"]) == (True, 5, 0)


@pytest.mark.parametrize("named", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_inbox_that_is_not_there_at_the_start_is_waited_for(place: Place, named: bool) -> None:
    place.inbox.rmdir()
    place.configure(inbox={"poll_seconds": 1})
    with place.run(*([str(place.inbox), str(place.output)] if named else [])) as daemon:
        assert "the inbox is not there" in daemon.events("watch.degraded")[0]["reason"]
        until(lambda: not place.status()["inboxes"][0]["reachable"], "status says that it is not there")
        fill(place.inbox, 2)
        daemon.settle(2)
        fill(place.inbox, 1, 2)
        daemon.settle(3)
        assert daemon.process.poll() is None


def test_an_inbox_can_be_looked_through_on_an_interval_instead(place: Place) -> None:
    place.configure(inbox={"watch": "poll", "poll_seconds": 1})
    with place.run() as daemon:
        fill(place.inbox / "a", 3)
        daemon.settle(3)
        found = place.status()["inboxes"][0]
        assert (found["watch"], found["missed_events"]) == ("poll", 0)
        assert set(daemon.made().values()) == {1}


def test_a_burst_is_told_in_few_lines_and_missed_events_stay_at_none(place: Place) -> None:
    with place.run() as daemon:
        fill(place.root / "card", 20)
        os.rename(place.root / "card", place.inbox / "in")
        daemon.settle(20)
        daemon.wait_for("batch.done")
        until(lambda: sum(line["files"] for line in daemon.events("batch.done")) == 20, "all batches told")
        assert len(daemon.events("batch.done")) <= 3
        assert all(
            line["failed"] == 0 and line["renditions"] == 2 * line["files"] for line in daemon.events("batch.done")
        )
        assert place.status()["inboxes"][0]["missed_events"] == 0
