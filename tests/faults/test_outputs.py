"""The output tree at the mercy of others: the daemon says what is wrong, goes on, and makes what can be made."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import WEB, Place, camera, files, fill, fingerprint, reported, shows, tree, until
from tests.faults.mounting import can_mount, folding, mounted, needs_folding, needs_mounts, read_only, volume
from tests.faults.processes import without_privilege
from tests.faults.records import failures, standing, told


def _a_file(path: Path) -> None:
    path.write_text("not a folder")


def _a_full_folder(path: Path) -> None:
    (path / "something").mkdir(parents=True)


@pytest.mark.parametrize(
    ("where", "what", "reason"),
    [
        ("web/trip", _a_file, "a part of its path is a symbolic link or a file, not a folder"),
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
        fill(place.inbox / "home", 2, 1)
        until(lambda: failures(place), "the photo is given up")
        until(lambda: standing(place) == (True, 2, 1, 0), "the others are made")
        assert not daemon.events("output.unwritable")
        assert failures(place)["p000.jpg"][1] == 3
        assert reason in failures(place)["p000.jpg"][0]
        assert not (place.output / "thumb" / "trip" / "p000.jpg").exists(), "all renditions or none"
        assert obstacle.exists()
        shutil.rmtree(obstacle) if obstacle.is_dir() else obstacle.unlink()
        (place.inbox / "trip" / "p000.jpg").write_bytes(camera(9))
        daemon.settle(3)
        assert told(place) == (True, 3, 0, 0)
        assert daemon.stop() == 0


@contextmanager
def _not_a_folder(output: Path) -> Iterator[None]:
    aside = output.rename(output.with_name("aside"))
    output.write_text("not a folder")
    try:
        yield
    finally:
        output.unlink()
        aside.rename(output)


@contextmanager
def _forbidden(output: Path) -> Iterator[None]:
    (output / "web").chmod(0o500)
    try:
        yield
    finally:
        (output / "web").chmod(0o700)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(read_only, "the file system is read-only", marks=needs_mounts),
        (_not_a_folder, "a file, not a folder"),
        (_forbidden, "may not be written: give the user of watcher the right to (chmod u+rwx on its folder)"),
    ],
)
def test_while_an_output_tree_cannot_be_written_its_inbox_waits_and_goes_on_by_itself(
    place: Place, fault: Callable[[Path], AbstractContextManager[None]], reason: str
) -> None:
    place.configure(retry={"backoff_seconds": 0.02})
    with place.run(via=without_privilege()) as daemon:
        fill(place.inbox, 1)
        daemon.settle(1)
        with fault(place.output):
            fill(place.inbox, 6, 1)
            daemon.wait_for("output.unwritable")
            (said,) = daemon.events("output.unwritable")
            assert reason in said["reason"]
            until(lambda: standing(place).waiting == 6, "all wait")
            until(lambda: reported(place)["held_up"], "the daemon has told it")
            page = place.watcher("status", "--config", place.config).out
            assert [line for line in page.splitlines() if "held up" in line and reason in line], page
        daemon.settle(7)
        assert len(daemon.events("output.unwritable")) == 1
        assert len(daemon.events("output.back")) == 1
        assert not daemon.events("photo.failed")
        assert told(place) == (True, 7, 0, 0)
        assert daemon.stop() == 0


def test_an_output_that_was_replaced_or_deleted_by_hand_is_left_so_until_its_photo_changes(place: Place) -> None:
    (one, two) = fill(place.inbox, 2)
    assert place.once().code == 0
    place.outputs("p000.jpg")[0].write_bytes(b"my own")
    place.outputs("p001.jpg")[0].unlink()
    again = place.once()
    assert (again.code, again.events("photo.done")) == (0, [])
    assert place.outputs("p000.jpg")[0].read_bytes() == b"my own"
    for number, photo in ((3, one), (4, two)):
        photo.write_bytes(camera(number))
    assert place.once().code == 0
    assert all(shows(path, 3) for path in place.outputs("p000.jpg"))
    assert all(shows(path, 4) for path in place.outputs("p001.jpg"))


@needs_mounts
def test_nothing_is_written_to_the_mount_point_of_an_output_that_lost_its_volume(place: Place) -> None:
    place.output.mkdir()
    with mounted(place.root / "disk"), volume(place.root / "disk", place.output):
        fill(place.inbox, 2)
        assert place.once().code == 0  # the first start there
        with place.run() as daemon:
            subprocess.run(["umount", "--lazy", place.output], check=True)
            fill(place.inbox, 1, 2)
            daemon.wait_for("output.unwritable")
            assert "not mounted" in daemon.events("output.unwritable")[0]["reason"]
            assert daemon.stop() == 0
        fill(place.inbox, 1, 3)
        away = place.once()  # it is away at the start too
        assert away.code == 1
        assert "not mounted" in away.out
        assert "not mounted" in place.watcher("check", "--config", place.config).out
        assert not tree(place.output)
        subprocess.run(["mount", "--bind", place.root / "disk", place.output], check=True)
        with place.run() as daemon:
            daemon.settle(2)
            shutil.rmtree(place.output / "web")  # emptied on purpose: it lies where it lay
            shutil.rmtree(place.output / "thumb")
            fill(place.inbox, 1, 4)
            daemon.settle(3)
            assert daemon.stop() == 0
    (place.output / "web").mkdir()  # to begin anew without the volume
    fill(place.inbox, 1, 5)
    assert place.once().code == 0
    assert tree(place.output).keys() == {"web/p005.jpg", "thumb/p005.jpg"}


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


def _made_of(place: Place, rendition: str) -> dict[str, int]:
    """Tell for each output which photo it shows; each must show one."""
    found = {}
    for name, path in tree(place.output / rendition).items():
        (found[name],) = (number for number in range(9) if shows(path, number))
    return found


@needs_folding
def test_where_the_output_folds_case_names_that_differ_in_case_alone_both_get_an_output(place: Place) -> None:
    place.configure({"web": WEB, "small": {**WEB, "format": "webp"}})
    with folding(place.output):
        (place.inbox / "a.jpg").write_bytes(camera(1))
        (place.inbox / "A.jpg").write_bytes(camera(2))
        with place.run() as daemon:
            daemon.settle(2)
            (place.inbox / "b.jpg").write_bytes(camera(3))
            daemon.settle(3)
            (place.inbox / "B.JPG").write_bytes(camera(4))  # when the other is long there
            daemon.settle(4)
            for number, folder in ((7, "trip"), (8, "Trip")):  # one folder on the other side
                (place.inbox / folder).mkdir()
                (place.inbox / folder / "x.jpg").write_bytes(camera(number))
                daemon.settle(number - 2)
            assert daemon.stop() == 0
        made = {rendition: _made_of(place, rendition) for rendition in ("web", "small")}
        for found in made.values():
            assert sorted(found.values()) == [1, 2, 3, 4, 7, 8], "none is overwritten"
        assert made["web"]["b.jpg"] == 3
        assert made["web"]["B.JPG.jpg"] == 4
        assert made["small"]["B.JPG.webp"] == 4
        with place.run() as daemon:
            assert not daemon.made(), "a restart makes none again"
            (place.inbox / "a.jpg").write_bytes(camera(5))  # each keeps its name
            (place.inbox / "A.jpg").write_bytes(camera(6))
            daemon.settle(2)
            assert daemon.stop() == 0
        for rendition, before in made.items():
            assert _made_of(place, rendition) == {name: {1: 5, 2: 6}.get(n, n) for name, n in before.items()}


@needs_folding
@pytest.mark.slow
@pytest.mark.parametrize("watched", [True, False])
def test_where_the_inbox_folds_case_names_that_change_in_case_only_leave_no_old_rendition(
    place: Place, watched: bool
) -> None:
    def rename(old: str, new: str) -> None:
        (place.inbox / old).rename(place.inbox / new)
        if not watched:
            assert place.once().code == 0

    def is_shown(*names: str) -> bool:
        return sorted(tree(place.output)) == sorted(f"{each}/{name}" for each in ("web", "thumb") for name in names)

    with folding(place.inbox), ExitStack() as stack:
        (place.inbox / "DCIM").mkdir()
        for number, name in enumerate(("IMG_1.JPG", "IMG_2.JPG"), 1):
            (place.inbox / "DCIM" / name).write_bytes(camera(number))
        if watched:
            daemon = stack.enter_context(place.run())
            daemon.settle(2)
        else:
            assert place.once().code == 0
        rename("DCIM/IMG_1.JPG", "DCIM/img_1.jpg")
        until(lambda: is_shown("DCIM/img_1.jpg", "DCIM/IMG_2.JPG"), "the photo's old renditions are gone")
        rename("DCIM", "dcim")
        until(lambda: is_shown("dcim/img_1.jpg", "dcim/IMG_2.JPG"), "those of the folder are gone")


def test_a_file_that_lay_in_an_output_s_place_before_the_first_run_stays_and_is_told_of(place: Place) -> None:
    fill(place.inbox, 2)
    (place.output / "web").mkdir(parents=True)
    (place.output / "web/p000.jpg").write_bytes(b"my own")
    done = place.once()
    assert done.code == 0
    (said,) = done.events("output.kept")
    assert said["output"] == "web/p000.jpg"
    made = {"web/p000.jpg", "web/p000.jpg.jpg", "thumb/p000.jpg", "web/p001.jpg", "thumb/p001.jpg"}
    assert tree(place.output).keys() == made
    assert (place.output / "web/p000.jpg").read_bytes() == b"my own"
    assert shows(place.output / "web/p000.jpg.jpg", 0)
    why = place.watcher("why", "--config", place.config, place.inbox / "p000.jpg").out
    assert "a file that watcher did not make lies in its place" in why
    for path in place.root.glob("state.db*"):
        path.unlink()
    again = place.once()
    assert not [line for line in again.events("photo.done") if line["adopted"] != 2], "known again by what they are"
    (place.inbox / "p000.jpg").write_bytes(camera(5))
    assert place.once().code == 0
    assert tree(place.output).keys() == made
    assert shows(place.output / "web/p000.jpg.jpg", 5)
    assert (place.output / "web/p000.jpg").read_bytes() == b"my own"


def test_two_runs_that_know_nothing_of_each_other_do_not_share_an_output(place: Place) -> None:
    card, other = place.root / "card", place.root / "other"
    fill(card, 1)
    fill(other, 2, 5)
    (other / "p005.jpg").rename(other / "p000.jpg")
    assert place.watcher("once", card, place.output).code == 0
    before = fingerprint(place.output)
    for command in (["once"], ["once", "--dry-run"], ["run"]):
        refused = place.watcher(*command, other, place.output)
        assert refused.code == 78, refused
        assert f"which holds the renditions of another inbox, {card}" in refused.err
        assert f"setfattr -x user.watcher.output {place.output}" in refused.err
    assert fingerprint(place.output) == before
    assert place.watcher("once", card, place.output).code == 0
    os.removexattr(place.output, "user.watcher.output")
    done = place.watcher("once", other, place.output)
    assert done.code == 0, done
    after = fingerprint(place.output)
    assert {name: after[name] for name in before} == before, "what was there stays"
    assert after.keys() - before.keys() == {"web/p000.jpg.jpg", "web/p006.jpg"}


@contextmanager
def _a_share(folder: Path) -> Iterator[None]:
    """Mount what belongs to somebody else and may be written by everybody: nobody else can set a date there."""
    behind = folder.with_name("behind")
    behind.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    options = ("-u", "daemon", "-g", "daemon", "-p", "a=rwX", "--create-for-user=daemon", "--chown-ignore")
    subprocess.run(["bindfs", *options, "--chmod-ignore", "--xattr-none", behind, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


needs_bindfs = pytest.mark.skipif(not (can_mount() and shutil.which("bindfs")), reason="needs root and bindfs")


@pytest.mark.parametrize(
    ("disk", "weaker"),
    [
        pytest.param(folding, "", marks=[needs_folding, pytest.mark.slow], id="memory card"),
        pytest.param(_a_share, "dates can't be set there", marks=[needs_bindfs, pytest.mark.slow], id="share"),
    ],
)
def test_where_dates_are_kept_coarsely_or_not_at_all_copies_renames_and_verify_work_as_elsewhere(
    place: Place, disk: Callable[[Path], AbstractContextManager[None]], weaker: str
) -> None:
    via = ["setpriv", "--bounding-set", "-fowner"]  # root may set any date
    place.within = via
    (photo,) = fill(place.inbox, 1)
    with disk(place.output):
        with place.run(via=via) as daemon:
            daemon.settle(1)
            shutil.copy2(photo, place.inbox / "copy.jpg")
            daemon.settle(2)
            photo.rename(place.inbox / "renamed.jpg")
            daemon.settle(3)
            until(lambda: all(path.name != "p000.jpg" for path in files(place.output)), "what it left is gone")
            assert [line["copied"] for line in daemon.events("photo.done")] == [0, 2, 2]
            assert weaker in "".join(line["reason"] for line in daemon.events("output.weaker"))
            assert daemon.stop() == 0
        verified = place.watcher("verify", "--config", place.config)
        assert verified.code == 0, verified
        assert "4 renditions checked: 0 missing, 0 different, 0 unknown" in verified.out
        assert weaker in place.watcher("check", "--config", place.config).out
