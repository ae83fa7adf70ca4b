"""`after`: what becomes of originals, with the real command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import BOTH, Place, camera, fill, shows, tree, until
from tests.faults.mounting import needs_mounts, volume


def configure(place: Place, after: str, **inbox: object) -> Path:
    originals = place.root / "originals"
    place.configure(inbox={"after": after, "originals": str(originals), "rescan_seconds": 1, **inbox})
    return originals


def test_originals_move_once_they_are_done_and_a_later_photo_of_the_same_name_costs_nobody_anything(
    place: Place,
) -> None:
    originals = configure(place, "move")
    first = camera(1)
    (place.inbox / "100CANON").mkdir()
    photo = place.inbox / "100CANON" / "IMG_0001.JPG"
    with place.run() as daemon:
        photo.write_bytes(first)
        until(lambda: not photo.exists() and place.status()["inboxes"][0]["done"] == 1, "the first has moved")
        photo.write_bytes(camera(2))  # the counter of the camera begins anew
        until(lambda: not photo.exists() and place.status()["inboxes"][0]["done"] == 2, "the second has moved")
        photo.write_bytes(b"this is no photo")
        until(lambda: place.status()["inboxes"][0]["failed"] == 1, "the third has failed")
        assert photo.exists()
        photo.unlink()
        until(lambda: place.status()["inboxes"][0]["failed"] == 0, "and is gone")
        assert daemon.stop() == 0
    found = tree(originals)
    assert sorted(found) == ["100CANON/IMG_0001 (1).JPG", "100CANON/IMG_0001.JPG"]
    assert found["100CANON/IMG_0001.JPG"].read_bytes() == first
    assert shows(place.output / "web/100CANON/IMG_0001.JPG", 1)
    assert shows(place.output / "web/100CANON/IMG_0001.JPG.jpg", 2)
    told = place.watcher("why", str(photo), "--json", "--config", place.config)
    story = json.loads(told.out)
    assert story["state"] == "done", told
    assert str(originals / "100CANON/IMG_0001 (1).JPG") in story["reason"]
    assert {item["path"] for item in story["renditions"]} == {
        str(place.output / rendition / "100CANON/IMG_0001.JPG.jpg") for rendition in BOTH
    }
    assert place.watcher("verify", "--config", place.config).code == 0


@pytest.mark.parametrize("keeps_dates", [True, False])
def test_a_photo_that_is_sent_once_more_is_another_one_only_if_it_has_another_date(
    place: Place, *, keeps_dates: bool
) -> None:
    originals = configure(place, "move")
    photo, sent = place.inbox / "IMG_0001.JPG", place.root / "IMG_0001.JPG"
    sent.write_bytes(camera(1))
    os.utime(sent, (1_700_000_000, 1_700_000_000))
    for send in (shutil.copy2, shutil.copy2 if keeps_dates else shutil.copy):
        send(sent, photo)
        done = place.watcher("once", "--config", place.config)
        assert done.code == 0, done
        assert not photo.exists()
    more = not keeps_dates
    assert sorted(tree(originals)) == ["IMG_0001 (1).JPG"] * more + ["IMG_0001.JPG"]
    assert sorted(tree(place.output / "web")) == ["IMG_0001.JPG"] + ["IMG_0001.JPG.jpg"] * more


@pytest.mark.slow
def test_originals_are_deleted_where_that_is_asked_for_and_those_that_wait_are_not(place: Place) -> None:
    fill(place.inbox / "x", 8)
    (place.inbox / "half.jpg").write_bytes(camera(9)[:2000])
    place.configure(inbox={"after": "delete"})
    finished = place.once()
    assert finished.code == 1, finished
    assert sorted(tree(place.inbox)) == ["half.jpg"]
    assert len(tree(place.output)) == 16
    assert place.status()["inboxes"][0]["done"] == 8
    assert not place.once().events("photo.done")


@pytest.mark.slow
def test_originals_that_can_not_be_moved_are_told_once_and_move_when_they_can(place: Place) -> None:
    originals = configure(place, "move")
    originals.mkdir()
    (originals / "x").write_bytes(b"in the way")
    fill(place.inbox / "x", 3)
    with place.run() as daemon:
        daemon.settle(3)
        daemon.wait_for("original.kept")
        assert place.status()["inboxes"][0]["done"] == 3
        daemon.wait_for("scan.done", 4)
        assert len(daemon.events("original.kept")) == 1
        assert not daemon.events("photo.failed")
        (originals / "x").unlink()
        until(lambda: len(tree(originals)) == 3 and not tree(place.inbox), "they have moved")
        assert daemon.stop() == 0
    assert sum(daemon.made().values()) == 3


@pytest.mark.slow
def test_what_was_done_before_moves_when_it_is_asked_for_and_a_card_that_is_copied_again_is_not_made_again(
    place: Place,
) -> None:
    photos = fill(place.root / "card", 4)
    for photo in photos:
        shutil.copy2(photo, place.inbox)
    assert place.once().code == 0
    originals = configure(place, "move")
    assert place.once().code == 0
    assert len(tree(originals)) == 4
    assert not tree(place.inbox)
    for photo in photos:
        shutil.copy2(photo, place.inbox)
    finished = place.once()
    assert not finished.events("photo.done"), finished
    assert not tree(place.inbox)
    assert len(tree(originals)) == 4
    assert len(tree(place.output)) == 8


def test_check_tells_whether_originals_can_be_taken_away(place: Place) -> None:
    originals = configure(place, "move")
    told = place.watcher("check", "--config", place.config)
    assert f"originals {originals}" in told.out
    place.configure(inbox={"after": "move", "originals": str(place.inbox / "done")})
    told = place.watcher("check", "--config", place.config)
    assert told.code == 78
    assert "inbox[0].originals" in told.err
    (place.root / "file").write_bytes(b"")
    place.configure(inbox={"after": "move", "originals": str(place.root / "file")})
    told = place.watcher("check", "--config", place.config)
    assert told.code == 78
    assert "which is no folder" in told.err
    assert os.path.isfile(place.root / "file")


@pytest.mark.slow  # several runs of the command
@needs_mounts
def test_originals_stay_while_their_volume_is_not_mounted_and_move_when_it_is_back(place: Place) -> None:
    originals = configure(place, "move")
    there, disk = place.root / "there", originals.parent / "disk"
    (there / "originals").mkdir(parents=True)
    disk.mkdir()
    place.configure(inbox={"after": "move", "originals": str(disk / "originals"), "rescan_seconds": 1})
    with volume(there, disk):
        fill(place.inbox, 1)
        assert place.once().code == 0
        assert len(tree(there)) == 1
    fill(place.inbox, 1, 1)
    away = place.once()  # and so it is at a start
    assert away.code == 1
    assert "1 original that could not be taken away" in away.out
    assert "not mounted" in away.events("original.kept")[0]["reason"]
    assert "not mounted" in place.watcher("check", "--config", place.config).out
    assert not tree(disk)
    with place.run() as daemon:
        daemon.wait_for("original.kept")
        with volume(there, disk):
            until(lambda: len(tree(there)) == 2, "it has moved")
            assert daemon.stop() == 0
    assert not tree(disk)
    assert not tree(place.inbox)


@pytest.mark.slow  # several runs of the command
@needs_mounts
def test_no_state_file_is_begun_in_the_mount_point_of_a_volume_that_is_away(place: Place) -> None:
    there, disk = place.root / "there", place.root / "disk"
    there.mkdir()
    disk.mkdir()
    place.configure(state=str(disk / "state.db"))
    with volume(there, disk):
        fill(place.inbox, 1)
        assert place.once().code == 0
    away = place.once()
    assert away.code == 78
    assert "not mounted now" in away.err
    subprocess.run(["mount", "--bind", there, disk], check=True)
    with place.run() as daemon:
        subprocess.run(["umount", "--lazy", disk], check=True)
        fill(place.inbox, 1, 1)
        daemon.wait_for("state.busy")
        assert not tree(disk)
        with volume(there, disk):
            daemon.wait_for("state.back")
            daemon.settle(1)
            assert daemon.stop() == 0
    place.configure(state=str(disk / "other.db"))  # one that was never there
    assert place.once().code == 0


@pytest.mark.parametrize("command", ["once", "status", "verify", "check"])
def test_a_state_file_that_is_none_is_refused_by_every_command_and_left_alone(place: Place, command: str) -> None:
    photo = place.root / "holiday.jpg"
    photo.write_bytes(camera(1))
    finished = place.watcher(command, "--config", place.config, "--state", photo)
    assert finished.code == 78, finished
    assert "no state file of watcher" in finished.err
    assert photo.read_bytes() == camera(1)
    assert [path.name for path in place.root.glob("holiday*")] == ["holiday.jpg"]
