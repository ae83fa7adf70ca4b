"""The same content under another name, as a user does it: with cp, mv, ln, and while nobody watches."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.harness import Place, Running, camera, fill, is_whole, shows, tree, until


def decoded(daemon: Running) -> int:
    return sum(line["megapixels_per_second"] > 0 for line in daemon.events("batch.done"))


def total(daemon: Running, what: str) -> int:
    return sum(line[what] for line in daemon.events("batch.done"))


def put(place: Place, name: str, number: int) -> Path:
    path = place.inbox / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(camera(number))
    os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))
    return path


def outputs(place: Place) -> list[str]:
    return sorted(tree(place.output))


def both(*names: str) -> list[str]:
    return sorted(f"{rendition}/{name}" for rendition in ("web", "thumb") for name in names)


def exchange(one: Path, other: Path) -> None:
    """Exchange two names in one step."""
    call = ctypes.CDLL(None, use_errno=True).renameat2
    if call(-100, os.fsencode(one), -100, os.fsencode(other), 2):
        pytest.skip(f"this file system exchanges no names: {os.strerror(ctypes.get_errno())}")


def dated_alike(place: Place, name: str) -> bool:
    photo = place.inbox / name
    return all(path.stat().st_mtime_ns == photo.stat().st_mtime_ns for path in place.outputs(name))


def test_copies_links_and_renames_are_not_decoded_and_renames_take_the_renditions_along(place: Place) -> None:
    photo = put(place, "a.jpg", 1)
    with place.run() as daemon:
        daemon.settle(1)
        shutil.copy2(photo, place.inbox / "with its time.jpg")
        shutil.copy(photo, place.inbox / "without.jpg")
        os.link(photo, place.inbox / "link.jpg")
        until(lambda: total(daemon, "copied") == 3, "three copies")
        photo.rename(place.inbox / "renamed.jpg")
        until(lambda: total(daemon, "moved") == 1, "one move")
        names = ["link.jpg", "renamed.jpg", "with its time.jpg", "without.jpg"]
        until(lambda: outputs(place) == both(*names), "the old renditions are gone")
        assert decoded(daemon) == 1
        for name in names:
            assert dated_alike(place, name)
            assert all(is_whole(path) for path in place.outputs(name))
            assert shows(place.output / "web" / name, 1)
        assert len({path.stat().st_ino for path in place.outputs(*names)}) == 8, "files of their own"
        assert daemon.stop() == 0


@pytest.mark.slow
def test_a_folder_that_is_renamed_while_it_is_watched_or_not_takes_its_renditions_along(place: Place) -> None:
    fill(place.inbox / "x" / "y", 20)
    with place.run() as daemon:
        daemon.settle(20)
        (place.inbox / "x").rename(place.inbox / "z")
        until(lambda: total(daemon, "moved") == 20, "all moved")
        names = [f"z/y/p{number:03}.jpg" for number in range(20)]
        until(lambda: outputs(place) == both(*names), "the old renditions are gone")
        assert not (place.output / "web" / "x").exists()
        assert daemon.stop() == 0
    (place.inbox / "z").rename(place.inbox / "w")
    finished = place.once()
    assert finished.code == 0, finished
    assert sum(line["moved"] + line["copied"] for line in finished.events("batch.done")) == 20, finished
    assert not any(line["megapixels_per_second"] for line in finished.events("batch.done"))
    assert outputs(place) == both(*[name.replace("z/", "w/") for name in names])
    assert not place.once().events("photo.done")


def test_names_that_change_in_case_only_or_are_exchanged_leave_no_old_rendition(place: Place) -> None:
    for number, name in enumerate(("DCIM/IMG_1.JPG", "DCIM/IMG_2.JPG"), 1):
        put(place, name, number)
    (place.root / "CASE").touch()
    if (place.root / "case").exists():
        pytest.skip("this file system folds case")
    with place.run() as daemon:
        daemon.settle(2)
        exchange(place.inbox / "DCIM" / "IMG_1.JPG", place.inbox / "DCIM" / "IMG_2.JPG")
        shown = place.output / "web" / "DCIM"
        until(lambda: shows(shown / "IMG_1.JPG", 2) and shows(shown / "IMG_2.JPG", 1), "each shows the other one's")
        until(lambda: total(daemon, "copied") == 2, "neither was decoded again")
        for name in ("IMG_1", "IMG_2"):
            (place.inbox / "DCIM" / f"{name}.JPG").rename(place.inbox / "DCIM" / f"{name.lower()}.jpg")
        until(lambda: outputs(place) == both("DCIM/img_1.jpg", "DCIM/img_2.jpg"), "the photos' old renditions are gone")
        (place.inbox / "DCIM").rename(place.inbox / "dcim")
        until(lambda: outputs(place) == both("dcim/img_1.jpg", "dcim/img_2.jpg"), "those of the folder are gone")
        assert daemon.stop() == 0


@pytest.mark.slow
def test_identical_photos_that_are_dropped_together_are_decoded_once(place: Place) -> None:
    with place.run() as daemon:
        data = camera(3)
        for number in range(6):
            (place.inbox / f"{number}.jpg").write_bytes(data)
        daemon.settle(6)
        assert total(daemon, "copied") == 5
        assert all(shows(path, 3) for path in tree(place.output / "web").values())
        assert daemon.stop() == 0


@pytest.mark.slow
def test_names_that_are_swapped_or_given_to_another_content_leave_each_photo_with_its_own(place: Place) -> None:
    a, b = put(place, "a.jpg", 1), put(place, "b.jpg", 2)
    os.utime(b, (1_700_000_001, 1_700_000_001))
    with place.run() as daemon:
        daemon.settle(2)
        a.rename(place.inbox / "t")
        b.rename(a)
        (place.inbox / "t").rename(b)

        def show(one: int, other: int) -> bool:
            a, b = place.output / "web/a.jpg", place.output / "web/b.jpg"
            return a.exists() and b.exists() and shows(a, one) and shows(b, other)

        until(lambda: show(2, 1), "each has its own")
        b.write_bytes(a.read_bytes())
        until(lambda: show(2, 2), "the new content")
        put(place, "a.jpg", 5)
        until(lambda: show(5, 2), "another one")
        assert outputs(place) == both("a.jpg", "b.jpg")
        assert daemon.stop() == 0


def test_the_renditions_of_a_photo_that_is_deleted_stay_and_serve_it_when_it_comes_back(place: Place) -> None:
    photo = put(place, "a.jpg", 1)
    with place.run() as daemon:
        daemon.settle(1)
        away = place.root / "away.jpg"
        photo.rename(away)
        until(lambda: place.status()["inboxes"][0]["done"] == 0, "it is forgotten")
        assert outputs(place) == both("a.jpg")
        away.rename(place.inbox / "other.jpg")
        until(lambda: outputs(place) == both("other.jpg"), "it came back by another name")
        assert decoded(daemon) == 1
        assert daemon.stop() == 0


@pytest.mark.slow
def test_a_thousand_photos_in_a_folder_that_is_renamed_are_not_decoded(place: Place) -> None:
    (place.inbox / "x").mkdir()
    for number in range(1000):
        (place.inbox / "x" / f"{number}.jpg").write_bytes(camera(number, 90, 60))
    assert place.once().code == 0
    with place.run() as daemon:
        (place.inbox / "x").rename(place.inbox / "y")
        until(lambda: total(daemon, "moved") == 1000, "all moved", 60)
        assert decoded(daemon) == 0
        assert total(daemon, "copied") == 0
        until(lambda: len(outputs(place)) == 2000, "the old renditions are gone")
        assert daemon.stop() == 0
