"""Photos that go on changing when they seem to have come: made once for each content, and never as a mixture."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from tests import photos
from tests.e2e.harness import Looker, Place, camera, shows, tint, tree, until

LONG_AGO = 1_600_000_000


def _dates(place: Place, *names: str) -> set[int]:
    return {int(path.stat().st_mtime) for path in place.outputs(*names)}


def test_a_date_that_is_set_long_after_the_close_is_taken_on_and_nothing_made_again(place: Place) -> None:
    """As FTP's MFMT, Finder over Samba and WebDAV servers do it; `missed` would count what a scan alone finds."""
    place.configure(inbox={"rescan_seconds": 0.5})
    with place.run() as daemon:
        (place.inbox / "p001.jpg").write_bytes(camera(1))
        daemon.settle(1)
        inodes = {path.stat().st_ino for path in place.outputs("p001.jpg")}
        os.utime(place.inbox / "p001.jpg", (LONG_AGO, LONG_AGO))
        until(lambda: _dates(place, "p001.jpg") == {LONG_AGO}, "the renditions have the date")
        daemon.settle(1)
        daemon.wait_for("scan.done", len(daemon.events("scan.done")) + 2)
        assert daemon.made() == {"p001.jpg": 1}
        assert {path.stat().st_ino for path in place.outputs("p001.jpg")} == inodes
        found = place.status()["inboxes"][0]
        assert (found["done"], found["missed_events"]) == (1, 0)
        told = place.watcher("why", "--config", place.config, place.inbox / "p001.jpg").out
        assert "only its date has changed" in told


def test_photos_that_are_dated_right_after_their_close_are_made_once_and_at_once(place: Place) -> None:
    """As `scp -O -p`, `rsync --inplace` and unzip do it."""
    with place.run() as daemon:
        for number in range(20):
            path = place.inbox / f"p{number:03}.jpg"
            path.write_bytes(camera(number))
            os.utime(path, (LONG_AGO, LONG_AGO))
        daemon.settle(20)
        until(lambda: _dates(place, *daemon.made()) == {LONG_AGO}, "all renditions have the date")
        assert set(daemon.made().values()) == {1}


def _put(path: Path, data: bytes) -> None:
    """Write a photo in its place and date it, as a client does that keeps dates."""
    with open(path, "r+b" if path.exists() else "wb", buffering=0) as file:
        file.write(data)
    os.utime(path, (LONG_AGO, LONG_AGO))


def test_a_photo_that_is_dated_before_its_first_bytes_come_is_waited_for(place: Place) -> None:
    """As two clients leave it that send to one name: the second empties it, the first writes on and dates it."""
    photo, data = place.inbox / "p001.jpg", camera(1)
    with place.run() as daemon:
        _put(photo, bytes(8192) + data[8192:])
        until(lambda: "zeros where data is missing" in str(place.status()["waiting"]), "it waits for the rest")
        _put(photo, data)
        daemon.settle(1)
        assert all(shows(path, 1) for path in place.outputs("p001.jpg"))
    assert not daemon.events("photo.failed")


def test_a_failed_photo_that_is_sent_again_with_the_same_size_and_date_is_made(place: Place) -> None:
    photo, data = place.inbox / "p001.jpg", camera(1)
    with place.run() as daemon:
        _put(photo, b"not yet".ljust(len(data)))
        daemon.wait_for("photo.failed")
        _put(photo, data)
        until(lambda: place.status()["inboxes"][0]["done"] == 1, "it is made")
        assert all(shows(path, 1) for path in place.outputs("p001.jpg"))


def _overwrite(path: Path, data: bytes, until_set: threading.Event) -> None:
    """Write a newer version over a photo in its place, and stall amid it."""
    with open(path, "r+b", buffering=0) as file:
        file.write(data[: len(data) // 2])
        assert until_set.wait(20)
        file.write(data[len(data) // 2 :])
        file.truncate()


def test_a_photo_that_is_written_anew_in_its_place_is_not_made_of_new_and_old(place: Place) -> None:
    """As scp and `rsync --inplace` overwrite, which don't empty the file first; a scan comes by while it stalls."""
    place.configure(inbox={"rescan_seconds": 0.5})
    photo = place.inbox / "p001.jpg"
    with place.run() as daemon, Looker(place.output) as looker:
        photo.write_bytes(camera(1, 900, 600))
        daemon.settle(1)
        go_on = threading.Event()
        writer = threading.Thread(target=_overwrite, args=(photo, camera(2, 900, 600), go_on))
        writer.start()
        daemon.wait_for("photo.waiting", len(daemon.events("photo.waiting")) + 1)
        assert daemon.events("photo.waiting")[-1]["reason"] == "it is being written anew"
        assert all(shows(path, 1) for path in place.outputs("p001.jpg"))
        go_on.set()
        writer.join()
        until(lambda: all(shows(path, 2) for path in place.outputs("p001.jpg")), "the new content", 5)
        daemon.settle(2)
        assert daemon.made() == {"p001.jpg": 2}
    assert not looker.broken


def test_a_photo_that_a_second_writer_is_still_at_when_the_first_has_closed_it_is_made_of_the_last(
    place: Place,
) -> None:
    photo = place.inbox / "p001.jpg"
    one, two = camera(1, 900, 600), camera(2, 900, 600)
    with place.run() as daemon, Looker(place.output) as looker:
        with open(photo, "wb", buffering=0) as late:
            with open(photo, "wb", buffering=0) as early:
                early.write(one)
                late.write(two[: len(two) // 2])
            daemon.wait_for("photo.waiting")
            assert "another process" in daemon.events("photo.waiting")[-1]["reason"]
            late.write(two[len(two) // 2 :])
            late.truncate()
        daemon.settle(1)
        assert daemon.made() == {"p001.jpg": 1}
        assert all(shows(path, 2) for path in place.outputs("p001.jpg"))
    assert not looker.broken


def test_a_whole_photo_whose_writer_never_closes_it_is_made_when_it_has_been_still(place: Place) -> None:
    with place.run() as daemon, open(place.inbox / "p001.jpg", "wb", buffering=0) as file:
        file.write(camera(1))
        wrote = time.time()
        daemon.settle(1)
        seen = max(path.stat().st_ctime for path in place.outputs("p001.jpg"))
        assert seen - wrote < 5.0
        file.write(b"")
    assert daemon.made() == {"p001.jpg": 1}


def test_an_upload_that_ended_early_is_told_of_with_what_came_and_is_made_when_it_is_resumed(place: Place) -> None:
    photo = place.inbox / "p001.jpg"
    data = photos.noisy(900, 600)
    half = len(data) // 2
    with place.run() as daemon:
        photo.write_bytes(data[:half])
        until(lambda: "truncated" in str(place.status()["waiting"]), "it waits for the rest")
        assert "p001.jpg: truncated: it ends early, " in place.watcher("status", "--config", place.config).out
        (waits,) = place.status()["waiting"]
        assert re.fullmatch(r"truncated: it ends early, after (4|5)\d % of the picture, \d+ kB", waits["reason"])
        assert not tree(place.output)
        with open(photo, "ab") as file:
            file.write(data[half:])
        daemon.settle(1)
        told = place.watcher("why", "--config", place.config, photo).out
        assert told.index("not whole yet: truncated: it ends early, after ") < told.index("made web, thumb")


def test_an_overwrite_that_is_broken_off_and_closed_is_not_made_of_new_and_old(place: Place) -> None:
    """As scp and `rsync --inplace` leave it when their client is killed: a new head in the old length."""
    photo = place.inbox / "p001.jpg"
    old, new = camera(1, 1000, 700), camera(2, 900, 600)
    with place.run() as daemon, Looker(place.output) as looker:
        photo.write_bytes(old)
        daemon.settle(1)
        with open(photo, "r+b") as file:
            file.write(new[: len(new) // 2])
        until(lambda: place.status()["waiting"], "it waits")
        (waits,) = place.status()["waiting"]
        assert "overwrite" in waits["reason"]
        assert all(shows(path, 1) for path in place.outputs("p001.jpg"))
        with open(photo, "r+b") as file:
            file.write(new)
            file.truncate()
        until(lambda: all(shows(path, 2) for path in place.outputs("p001.jpg")), "the new content", 5)
        daemon.settle(2)
        assert daemon.made() == {"p001.jpg": 2}
    assert not looker.broken


def _halting(path: Path, data: bytes, pause: float) -> None:
    """Write a newer version over a photo in its place, in four parts."""
    with open(path, "r+b", buffering=0) as file:
        for part in range(4):
            file.write(data[len(data) * part // 4 : len(data) * (part + 1) // 4])
            time.sleep(pause)  # this is the outside world: a slow line
        file.truncate()


def _noisy(number: int, *, progressive: bool) -> bytes:
    scene = photos.scene(900, 600)
    scene.paste(tint(number), (300, 200, 600, 400))
    noise = Image.effect_noise(scene.size, 40).convert("RGB")
    return photos.jpeg(Image.blend(scene, noise, 0.2), progressive=progressive)


@pytest.mark.slow
def test_in_an_inbox_without_events_a_photo_that_is_overwritten_in_its_place_is_never_made_of_new_and_old(
    place: Place, tmp_path: Path
) -> None:
    """Its writer halts for longer than any time that watcher waits without a reason; nobody tells when it is over."""
    place.configure(inbox={"watch": "poll", "poll_seconds": 0.2}, batch={"quiet_seconds": 0.2, "max_wait_seconds": 0.6})
    (tmp_path / "aside").mkdir()
    aside = Place(tmp_path / "aside")
    new: dict[str, bytes] = {}
    for name, progressive in (("baseline.jpg", False), ("progressive.jpg", True)):
        versions = sorted((_noisy(number, progressive=progressive) for number in (1, 2)), key=len)
        new[name] = versions[0]  # the shorter one: until the end the file has its old length, and its old end
        (place.inbox / name).write_bytes(versions[1])
        (aside.inbox / f"old {name}").write_bytes(versions[1])
        (aside.inbox / f"new {name}").write_bytes(versions[0])
    assert aside.once().code == 0
    meant = {name: {path.read_bytes() for path in aside.output.rglob(f"* {name}")} for name in new}
    with place.run() as daemon:
        daemon.settle(2)
        writers = [
            threading.Thread(target=_halting, args=(place.inbox / name, data, 1.5)) for name, data in new.items()
        ]
        for writer in writers:
            writer.start()

        def is_over() -> bool:
            for name in new:
                assert all(path.read_bytes() in meant[name] for path in place.outputs(name)), "of new and old"
            return set(daemon.made().values()) == {2}

        until(is_over, "both are made anew")
        for writer in writers:
            writer.join()
    for name in new:
        assert place.outputs(name)[0].read_bytes() == (aside.output / "web" / f"new {name}").read_bytes()
