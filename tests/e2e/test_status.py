"""What `status` and `check` tell people."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import COMMAND, Place, Running, fill, until
from watcher import paths
from watcher.cli import status_subject
from watcher.errors import ConfigError


def test_status_tells_in_a_block_for_each_inbox_what_was_done_lately_and_why_photos_failed(place: Place) -> None:
    fill(place.inbox, 2)
    for number in range(5):
        (place.inbox / f"text{number}.jpg").write_text(
            f"{number}: no photo\n" * (50 + number)
        )  # one size would have them wait for each other
    place.once()
    told = place.watcher("status", "--config", place.config)
    assert told.err == ""
    lines = told.out.splitlines()
    assert f"{place.inbox} \u2192 {place.output}" in lines
    assert "  done        2" in lines
    assert "  lately      2 made in the last 5 minutes" in lines
    assert any(re.match(r" *5 \u00d7 not a JPEG.*: text0\.jpg, text1\.jpg, ", line) for line in lines)
    assert any(line.endswith("and 2 more") for line in lines)
    assert any("B left for outputs" in line for line in lines)
    assert any(line.startswith("  last batch  ") and "5 of them failed" in line for line in lines)
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in told.out


def test_what_is_not_known_is_no_zero_and_a_folder_that_is_missing_is_named(place: Place) -> None:
    (fill(place.inbox, 1)[0]).rename(place.inbox / "a.jpg")
    told = place.watcher("status", place.inbox, place.root / "misspelt").out
    assert "not running; it has never run with this state file" in told
    assert "  output  there is no such folder; the first copy makes it" in told
    assert "done" not in told
    assert "waiting" not in told
    assert "  inbox   there is no such folder" in place.watcher("status", place.root / "gone", place.output).out
    place.once()
    shutil.rmtree(place.output)
    told = place.watcher("status", "--config", place.config).out
    assert "  done        1\n" in told
    assert "  waiting     not known; new photos are not counted" in told
    assert "  output      there is no such folder, though copies were made in it" in told


def test_a_daemon_that_runs_on_two_folders_is_found_by_itself(place: Place) -> None:
    fill(place.inbox, 1)
    bare = place.watcher("status")
    assert bare.code == 78
    assert "no config file" in bare.err
    with Running(place, "run", str(place.inbox), str(place.output)) as daemon:
        told = place.watcher("status")
        assert told.code == 0, told
        assert f"as process {daemon.process.pid}" in told.out
        assert f"{place.inbox} \u2192 {place.output}" in told.out
        beside = place.watcher("status", "--config", place.config).out
        assert f"watcher status {place.inbox} {place.output}" in beside


def test_where_several_daemons_run_on_two_folders_each_is_named_with_what_to_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, "candidates", lambda: [str(tmp_path / "none.toml")])
    pairs = [status_subject.RunningPair("s.db", number, f"/in{number}", f"/out{number}") for number in (1, 2)]
    monkeypatch.setattr(status_subject, "_pairs", lambda: iter(pairs))
    with pytest.raises(ConfigError) as caught:
        status_subject.find_subject(None, None, None)
    text = "process 2 runs on /in2 \u2192 /out2; ask for one: `watcher status INBOX OUTPUT`"
    assert text in str(caught.value)


def test_status_can_be_followed_and_tells_programs_each_change_in_a_line(place: Place) -> None:
    fill(place.inbox, 2)
    command = [COMMAND, "status", "--config", str(place.config), "--json", "--follow"]
    with subprocess.Popen(command, env=place.env, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["inboxes"][0]["done"] == 0
        place.once()
        for line in following.stdout:
            if json.loads(line)["inboxes"][0]["done"] == 2:
                break
        following.send_signal(2)
        assert following.wait(10) == 0


def test_status_follows_in_place_on_a_terminal_and_keeps_to_no_color(place: Place) -> None:
    fill(place.inbox, 1)
    place.once()
    for extra, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        leader, follower = pty.openpty()
        env = place.env | {"TERM": "xterm-256color", "COLUMNS": "100"} | extra
        command = [COMMAND, "status", "--config", str(place.config), "--follow"]
        with subprocess.Popen(command, env=env, stdout=follower, stdin=follower) as following:
            os.close(follower)
            shown = b""

            def complete(leader: int = leader) -> bool:
                nonlocal shown
                if select.select([leader], [], [], 0.1)[0]:
                    shown += os.read(leader, 65536)
                return b"state file" in shown

            until(complete, "everything is shown")
            following.send_signal(2)
            assert following.wait(10) == 0
        os.close(leader)
        assert b"in the last 5 minutes" in shown
        assert (b"\x1b[33m" in shown) == coloured, shown


def test_check_holds_the_room_that_is_left_against_what_is_still_to_be_made(place: Place) -> None:
    fill(place.inbox, 3)
    told = place.watcher("check", "--config", place.config).out
    assert "3 photos in 1 folder" in told
    assert "are still to be made" in told
    assert "permissions are checked for this user" in told
    place.once()
    assert "still to be made" not in place.watcher("check", "--config", place.config).out
