"""`watcher service` where nothing may be changed: what it prints, and how it refuses. The rest takes a systemd."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import COMMAND, Place

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the units are systemd's")
no_systemd = pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="systemd runs this machine")


def unit(place: Place) -> Path:
    return Path(place.env["XDG_CONFIG_HOME"]) / "systemd" / "user" / "watcher.service"


@pytest.mark.parametrize("whose", ["--user", "--system"])
def test_a_unit_is_shown_for_this_config_and_this_python(place: Place, whose: str) -> None:
    shown = place.watcher("service", "show", whose, "--config", place.config)
    assert shown.code == 0, shown
    lines = shown.out.splitlines()
    assert f"ExecStart={COMMAND} run --config {place.config}" in lines
    assert f"RequiresMountsFor={place.root} {place.inbox} {place.output}" in lines  # the state file lies in the first
    assert "is not there" in shown.err
    dry = place.watcher("service", "install", "--dry-run", whose, "--config", place.config)
    assert dry.code == 0, dry
    assert shown.out in dry.out
    assert not unit(place).exists()
    assert not place.output.exists()


def test_what_takes_originals_out_of_an_inbox_may_write_there_and_where_they_go(place: Place) -> None:
    for path in (place.inbox, place.output, place.root / "originals"):
        path.mkdir(exist_ok=True)
    place.configure(inbox={"after": "move", "originals": str(place.root / "originals")})
    shown = place.watcher("service", "show", "--system", "--config", place.config)
    assert f"ReadWritePaths={place.root}" in shown.out.splitlines()  # the state file's folder, which holds them all
    mounts = next(line for line in shown.out.splitlines() if line.startswith("RequiresMountsFor="))
    assert {str(place.inbox), str(place.output), str(place.root / "originals")} <= set(mounts.split("=")[1].split())


def test_a_wrong_config_is_refused_before_anything_else(place: Place) -> None:
    place.config.write_text("workers = -1\n")
    for command in (["show"], ["install", "--dry-run"], ["install"]):
        done = place.watcher("service", *command, "--user", "--config", place.config)
        assert done.code == 78
        assert "workers: found -1" in done.err


def test_a_path_that_no_unit_can_hold_is_refused(place: Place) -> None:
    place.configure(inbox={"path": str(place.root / "a\nb")})
    done = place.watcher("service", "show", "--user", "--config", place.config)
    assert done.code == 78
    assert "no control characters" in done.err


def test_a_user_that_is_not_there_is_refused(place: Place) -> None:
    done = place.watcher("service", "show", "--system", "--as", "nobody-of-that-name", "--config", place.config)
    assert done.code == 78
    assert "There is no user 'nobody-of-that-name'" in done.err
    done = place.watcher("service", "show", "--user", "--as", "root", "--config", place.config)
    assert done.code == 78
    assert "--as goes with --system" in done.err


def test_another_state_file_than_the_config_s_is_refused(place: Place) -> None:
    done = place.watcher("service", "show", "--user", "--config", place.config, "--state", place.root / "other.db")
    assert done.code == 2
    assert "leave --state out" in done.err


def test_a_unit_of_somebody_else_is_left_alone(place: Place) -> None:
    unit(place).parent.mkdir(parents=True)
    unit(place).write_text("[Service]\nExecStart=/bin/true\n")
    done = place.watcher("service", "uninstall", "--user")
    assert done.code == 78
    assert "was not written by watcher" in done.err
    assert unit(place).exists()


@no_systemd
def test_without_a_systemd_it_is_said_what_else_will_do(place: Place) -> None:
    done = place.watcher("service", "install", "--user", "--config", place.config)
    assert done.code == 78
    assert "works under any supervisor" in done.err
    assert not unit(place).exists()
