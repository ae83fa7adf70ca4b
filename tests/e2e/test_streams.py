"""The standard streams may be closed, full, or unable to hold half of what there is to say: nobody pays for that."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.harness import COMMAND, Place, Running, fill, until


def _shell(place: Place, redirections: str, *args: str, **env: str) -> tuple[int, str]:
    """Run a command on the config as a shell would with its streams redirected; exit code and standard error."""
    done = subprocess.run(
        ["sh", "-c", f'"$0" "$@" {redirections}', COMMAND, args[0], "--config", str(place.config), *args[1:]],
        cwd=place.root, env=place.env | env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_with_streams_that_are_closed_the_work_is_done_and_no_file_takes_their_place(place: Place) -> None:
    fill(place.inbox, 2)
    assert _shell(place, "<&- >&- 2>&-", "once") == (0, "")
    assert all(path.read_bytes()[:2] == b"\xff\xd8" for path in place.outputs("p000.jpg", "p001.jpg"))
    assert _shell(place, "2>&-", "verify") == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_what_can_not_be_said_is_no_fault_of_the_program_and_no_success(place: Place) -> None:
    for args in (["status"], ["check"], ["once", "--help"]):
        code, err = _shell(place, ">/dev/full", *args)
        assert code == 1
        assert err.splitlines()[-1].endswith("Cannot write to standard output: No space left on device.")
        assert "Traceback" not in err
        assert "Exception" not in err
    assert _shell(place, "2>/dev/full", "once")[0] == 0  # the log alone is lost
    code, err = _shell(place, "| true", "status")
    assert (code, err) == (0, "")


def test_a_terminal_that_lacks_a_character_gets_its_code(place: Place) -> None:
    fill(place.inbox, 1)
    photo = (place.inbox / "p000.jpg").rename(place.inbox / "caf\u00e9 \u2603.jpg")
    for args in (["once", "--dry-run"], ["status"], ["why", str(photo)]):
        assert _shell(place, "", *args, PYTHONIOENCODING="ascii") == (0, "")


def test_run_on_a_terminal_says_what_is_watched_where_copies_go_and_how_to_stop(place: Place) -> None:
    fill(place.inbox, 1)
    leader, follower = pty.openpty()
    command = [COMMAND, "run", str(place.inbox), str(place.output)]
    with subprocess.Popen(command, env=place.env, cwd=place.root, stderr=follower, stdin=follower) as running:
        os.close(follower)
        shown = b""
        while b" \xe2\x86\x92 web (" not in shown:
            shown += os.read(leader, 65536)
        running.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # Linux says EIO where no one writes any more
            while more := os.read(leader, 65536):
                shown += more
        assert running.wait(20) == 0
    os.close(leader)
    lines = shown.decode().splitlines()
    greeting = [f"Watching {place.inbox.name}", f"Copies go to {place.output.name}/web", "Press Ctrl-C to stop."]
    assert lines[:3] == greeting
    assert "p000.jpg" in shown.decode()
    assert lines[-1].endswith("Stopped.")
    assert b"=" not in shown


def test_quiet_says_only_what_is_wrong_and_verbose_logs_each_photo(place: Place) -> None:
    fill(place.inbox, 1)
    folders = (place.inbox, place.output)
    done = place.watcher("once", *folders, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    text = place.inbox / "text.jpg"
    text.write_text("no photo\n" * 60)
    done = place.watcher("once", *folders, "--quiet")
    assert done.code == 1
    assert done.out.startswith(f"failed: {text}: not a JPEG")
    assert [line["event"] for line in done.log] == ["photo.failed"]
    fill(place.inbox, 1, 5)
    assert place.watcher("once", *folders, "-v").events("photo.done")
    assert place.watcher("once", *folders, "-q", "-v").code == 2


def test_a_daemon_that_is_asked_to_stop_before_it_has_begun_stops_in_order(place: Place) -> None:
    assert place.once().code == 0
    with closing(sqlite3.connect(place.state, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with Running(place, "run", "--config", str(place.config), ready=False) as daemon:
            daemon.wait_for("state.busy")
            daemon.send(signal.SIGHUP)
            assert daemon.stop() == 0
            until(lambda: not place.left(), "nothing is left of it", 5.0)
