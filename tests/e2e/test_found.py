"""Faults that were found by using the program, each as its user would meet it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests import photos
from tests.e2e.harness import COMMAND, Place, fill, temporary, tree, until

SLOW = {
    "format": "avif",
    "width": 1800,
    "quality": 100,
}  # so that the first rendition lies there unfinished for a while


def test_what_a_killed_worker_left_is_removed_while_the_daemon_runs(place: Place) -> None:
    place.configure({"large": {"width": 2000}, "slow": SLOW})
    with place.run() as daemon:
        (place.inbox / "a.jpg").write_bytes(photos.jpeg(photos.scene(2400, 1600)))
        until(lambda: temporary(place.output), "a rendition is on its way")
        (path, *_) = temporary(place.output)
        os.kill(int(path.name.split("-")[-3]), signal.SIGKILL)
        daemon.wait_for("worker.lost")
        daemon.settle(1)
        until(lambda: not temporary(place.output), "nothing is left")
        assert daemon.made() == {"a.jpg": 1}


def test_another_output_folder_in_the_config_gets_its_renditions(place: Place) -> None:
    fill(place.inbox, 3)
    assert place.once().code == 0
    made = tree(place.output).keys()
    elsewhere = place.root / "elsewhere"
    place.configure(inbox={"output": str(elsewhere)})
    assert "web: 3 new, 0 again" in place.once("--dry-run").out
    assert place.once().out.startswith("3 photos, 6 copies made in ")
    assert tree(elsewhere).keys() == made
    assert place.once().out.startswith("nothing to do \u00b7 3 up to date")


def test_an_empty_name_is_refused_and_not_taken_for_the_folder_we_are_in_or_for_none(place: Place) -> None:
    config = ("--config", str(place.config))
    for args in (["", "out"], ["inbox", ""], ["--config", ""], [*config, "--state", ""]):
        refused = place.watcher("once", *args)
        assert refused.code == 2
        assert "empty name" in refused.err
    assert not (place.root / "out").exists()
    for args in (["why", ""], ["retry", "a.jpg", ""], ["init", ""]):
        assert place.watcher(*args, *config).code == 2


def test_what_cannot_be_used_is_said_with_what_to_do(place: Place) -> None:
    place.state.write_text("no database")
    Path(f"{place.state}.lock").write_text("1\n{}\n")  # it was a state file once
    damaged = place.watcher("status", "--config", place.config)
    assert damaged.code == 78
    assert "is damaged" in damaged.err
    assert "set it aside" in damaged.err
    refused = place.once("--state", "/proc/state.db")
    assert refused.code == 78
    assert "--state" in refused.err


def test_what_init_says_to_type_next_can_be_typed(place: Place) -> None:
    done = place.watcher("init", "my config.toml")
    typed = done.out.splitlines()[1].partition("#")[0]
    assert shlex.split(typed) == [COMMAND, "check", "--config", str(place.root / "my config.toml")]


def test_a_photo_that_was_too_large_is_made_once_the_config_allows_it(place: Place) -> None:
    (place.inbox / "large.jpg").write_bytes(photos.jpeg(photos.scene(1500, 1000)))
    place.configure(max_megapixels=1)
    assert "max_megapixels" in place.once().out
    assert place.once().out.startswith("failed: ")
    assert "web: 0 new" in place.once("--dry-run").out
    place.configure(max_megapixels=2)
    assert "web: 1 new" in place.once("--dry-run").out
    assert place.once().code == 0
    assert len(tree(place.output)) == 2


def test_a_folder_that_we_are_in_and_that_is_gone_is_no_traceback(place: Place) -> None:
    gone = place.root / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD" && exec "$0" once in out', COMMAND],
        cwd=gone, env=place.env, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert "no longer exists" in done.stderr


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
    assert place.once().code == 0  # and what was left behind there is swept
