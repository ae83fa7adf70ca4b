"""The output tree at the mercy of others: the daemon says what is wrong, goes on, and makes what can be made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.harness import Place, camera, fill, tree, until
from tests.faults.books import failures, standing, told


def _a_file(path: Path) -> None:
    path.write_text("not a folder")


def _a_full_folder(path: Path) -> None:
    (path / "something").mkdir(parents=True)


@pytest.mark.parametrize(
    ("where", "what", "reason"),
    [
        ("web", _a_file, "a part of its path is a symbolic link or a file, not a folder"),
        pytest.param(
            "web/trip", _a_file, "a part of its path is a symbolic link or a file, not", marks=pytest.mark.slow
        ),
        pytest.param("web/trip/p000.jpg", _a_full_folder, "a folder lies in its place", marks=pytest.mark.slow),
    ],
)
def test_what_stands_in_the_way_of_an_output_is_named_and_left_alone(
    place: Place, where: str, what: object, reason: str
) -> None:
    place.configure(retry={"backoff_seconds": 0.02})
    obstacle = place.output / where
    obstacle.parent.mkdir(parents=True)
    assert callable(what)
    what(obstacle)
    with place.run() as daemon:
        fill(place.inbox / "trip", 1)
        until(lambda: failures(place), "the photo is given up")
        assert failures(place)["p000.jpg"][1] == 3
        assert reason in failures(place)["p000.jpg"][0]
        assert not (place.output / "thumb" / "trip" / "p000.jpg").exists(), "all renditions or none"
        assert obstacle.exists()
        shutil.rmtree(obstacle) if obstacle.is_dir() else obstacle.unlink()
        (place.inbox / "trip" / "p000.jpg").write_bytes(camera(9))
        daemon.settle(1)
        assert told(place) == (True, 1, 0, 0)
        assert daemon.stop() == 0


def test_an_output_tree_that_is_removed_under_the_daemon_is_made_again_for_what_comes(place: Place) -> None:
    with place.run() as daemon:
        fill(place.inbox / "trip", 2)
        daemon.settle(2)
        shutil.rmtree(place.output)
        fill(place.inbox / "trip", 2, 2)
        daemon.settle(4)
        until(lambda: standing(place) == (True, 4, 0, 0), "all is on the books")
        assert tree(place.output).keys() == {f"{name}/trip/p00{n}.jpg" for name in ("web", "thumb") for n in (2, 3)}
        assert not daemon.events("photo.failed")
        assert daemon.stop() == 0
