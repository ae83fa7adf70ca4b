"""What `status` and `check` tell people."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess

from tests.e2e.harness import COMMAND, Place, fill, until


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
    assert "  done        2, 2 of them in the last 5 minutes" in lines
    assert any(line.lstrip().startswith("5 \u00d7 not a JPEG: text0.jpg, text1.jpg, ") for line in lines)
    assert any(line.endswith("and 2 more") for line in lines)
    assert any("GB left for outputs" in line for line in lines)
    assert any(line.startswith("  last batch  ") and "5 of them failed" in line for line in lines)
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in told.out


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
    assert "rights are looked at for this one" in told
    place.once()
    assert "still to be made" not in place.watcher("check", "--config", place.config).out
