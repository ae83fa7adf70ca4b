"""The daemon and whoever started it: what the installed command tells systemd and its journal."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

import pytest

from tests.e2e.harness import COMMAND, Place, Running, camera, marked, until
from watcher.errors import EXIT_BUG, EXIT_CONFIG


class Socket:
    """systemd's end of the notification socket, and all that it was told."""

    def __init__(self, path: Path) -> None:
        self.told: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def _listen(self) -> None:
        while text := self._socket.recv(4096).decode():
            self.told.append(text)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def count(self, text: str) -> int:
        return self.told.count(text)

    def news(self) -> list[str]:
        """Give what was told beside signs of life and status lines, without clocks."""
        names = [text.partition("MONOTONIC")[0].strip() for text in self.told]
        return [name for name in names if not name.startswith(("WATCHDOG", "STATUS"))]


def niceness(mark: str) -> set[int]:
    """Return how nice the processes are that have a mark."""
    found = set()
    for pid in marked(mark):
        with suppress(ProcessLookupError):  # one that has ended meanwhile
            found.add(os.getpriority(os.PRIO_PROCESS, pid))
    return found


@pytest.fixture
def systemd(place: Place) -> Iterator[Socket]:
    path = place.root / "notify"
    place.env |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
    with Socket(path) as listener:
        yield listener


def test_systemd_is_told_of_the_start_the_work_reloads_good_and_bad_and_the_stop(place: Place, systemd: Socket) -> None:
    place.configure(nice=19)
    with place.run() as daemon:
        until(lambda: systemd.count("READY=1"), "ready is told")
        (place.inbox / "a.jpg").write_bytes(camera())
        until(lambda: "STATUS=1 inbox, 0 waiting, 1 done, 0 failed" in systemd.told, "the photo is counted")
        assert niceness(place.mark) <= {os.nice(0)}, "the unit says how nice they are"
        for text, event in (("workers = 1\n", "config.reloaded"), ("workers = -1\n", "config.rejected")):
            place.config.write_text(text + place.config.read_text())
            daemon.send(signal.SIGHUP)
            daemon.wait_for(event)
        until(lambda: systemd.count("READY=1") == 3, "both reloads are over")
        assert daemon.stop() == 0
    assert systemd.news()[:5] == ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1"]
    assert systemd.news()[5:] == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=30000000"]


@pytest.mark.slow
def test_a_start_that_waits_for_a_busy_state_file_asks_for_more_time_and_says_why(
    place: Place, systemd: Socket
) -> None:
    with closing(sqlite3.connect(place.state, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with Running(place, "run", "--config", str(place.config), ready=False) as daemon:
            until(lambda: systemd.count("EXTEND_TIMEOUT_USEC=30000000"), "more time is asked for")
            assert any(text.startswith("STATUS=") and str(place.state) in text for text in systemd.told)
            assert not systemd.count("READY=1")
            other.execute("ROLLBACK")
            daemon.wait_for("scan.done")
            until(lambda: systemd.count("READY=1"), "it starts after all")


@pytest.mark.slow
def test_a_process_that_is_held_up_gives_no_sign_of_life_and_one_that_runs_does(place: Place, systemd: Socket) -> None:
    with place.run() as daemon:
        until(lambda: systemd.count("WATCHDOG=1") >= 3, "signs of life")
        daemon.send(signal.SIGSTOP)
        until(lambda: _silent(systemd), "silence")
        count = systemd.count("WATCHDOG=1")
        daemon.send(signal.SIGCONT)
        until(lambda: systemd.count("WATCHDOG=1") >= count + 2, "signs of life again")


def _silent(systemd: Socket) -> bool:
    """Tell whether nothing comes for longer than systemd would wait."""
    before = len(systemd.told)
    threading.Event().wait(0.5)
    return len(systemd.told) == before


def test_a_daemon_that_aborts_leaves_the_stack_of_every_thread_in_the_log(place: Place) -> None:
    with place.run() as daemon:
        daemon.send(signal.SIGABRT)  # what systemd sends when signs of life fail to come
        daemon.process.wait(30)
        until(lambda: any("Fatal Python error: Aborted" in line for line in daemon.lines), "it says so")
        until(lambda: any("/engine/loop.py" in line for line in daemon.lines), "the loop's place is shown")


# ---- the journal ----


def in_journal(command: list[str], place: Place) -> tuple[int, str]:
    """Run a command whose standard error is, as it is told, the journal's; its exit code, and what arrived."""
    reading, writing = os.pipe()
    found = os.fstat(writing)
    env = place.env | {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
    with open(reading, "rb") as stream:
        try:
            done = subprocess.run(command, env=env, stderr=writing, stdout=subprocess.DEVNULL, check=False, timeout=60)
        finally:
            os.close(writing)
        return done.returncode, stream.read().decode()


def test_faults_of_the_config_are_errors_in_the_journal_line_by_line(place: Place) -> None:
    place.config.write_text("workers = -1\n[batch]\nmax_files = 0\n")
    code, text = in_journal([COMMAND, "run", "--config", str(place.config)], place)
    assert code == EXIT_CONFIG
    assert {line[:3] for line in text.splitlines()} == {"<3>"}
    assert "workers: found -1" in text
    assert "batch.max_files: found 0" in text


def test_a_fault_of_the_program_is_an_error_in_the_journal_each_line_of_its_traceback_too(place: Place) -> None:
    program = "from watcher import cli\nfrom watcher.cli import app\napp.app = lambda: 1 // 0\ncli.main()"
    code, text = in_journal([sys.executable, "-c", program], place)
    assert code == EXIT_BUG
    assert {line[:3] for line in text.splitlines()} == {"<3>"}
    assert text.endswith("<3>ZeroDivisionError: integer division or modulo by zero\n")


@pytest.mark.slow
def test_a_fault_in_a_thread_is_an_error_in_the_log(place: Place) -> None:
    program = """
import threading
from watcher import logs
from watcher.app.background import ThreadFaults
logs.setup("json")
threading.excepthook = ThreadFaults(logs.log).hook
for target in (lambda: 1 // 0, lambda: exit(3)):
    thread = threading.Thread(target=target, name="bad one")
    thread.start()
    thread.join()
"""
    done = subprocess.run([sys.executable, "-c", program], env=place.env, capture_output=True, check=True, timeout=60)
    line = json.loads(done.stderr)
    assert (line["event"], line["level"], line["thread"]) == ("internal.error", "error", "bad one")
    assert "ZeroDivisionError" in line["exception"]
