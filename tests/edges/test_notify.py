"""The service manager: what arrives at its socket, and the thread that stands in for it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from watcher.errors import EXIT_BUG
from watcher.service import notify as manager

# ---- systemd ----


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("abstract sockets are Linux's")
    name = str(tmp_path / "n") if request.param == "path" else f"@watcher-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name.replace("@", "\0"))
        receiver.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield receiver


def test_the_service_manager_gets_each_message_in_a_datagram_of_its_own(systemd: socket.socket) -> None:
    told = manager.Systemd()
    for send, expected in [
        (told.ready, b"READY=1"),
        (told.stopping, b"STOPPING=1"),
        (told.alive, b"WATCHDOG=1"),
        (lambda: told.status("12 waiting"), b"STATUS=12 waiting"),
        (lambda: told.status("a\nREADY=1\udcff"), b"STATUS=a READY=1\\udcff"),
        (lambda: told.extend(1.5), b"EXTEND_TIMEOUT_USEC=1500000"),
        (lambda: manager.notify("A=1", "B=2"), b"A=1\nB=2"),
    ]:
        send()
        assert systemd.recv(4096) == expected


def test_a_reload_is_announced_with_the_monotonic_clock_in_one_datagram(systemd: socket.socket) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    manager.Systemd().reloading()
    first, second = systemd.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    name, _, value = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody-listens", "vsock:2:1", "/x" * 200, "@\udcff"])
def test_without_a_service_manager_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    manager.Systemd().ready()
    monkeypatch.delenv("NOTIFY_SOCKET")
    manager.Systemd().ready()


@pytest.mark.parametrize(
    ("limit", "pid", "seconds"),
    [
        ("30000000", None, 15.0),
        ("30000000", "", 15.0),
        ("30000000", "own", 15.0),
        ("30000000", "1", None),
        ("30000000", "x", None),
        (None, None, None),
        ("0", None, None),
        ("soon", None, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time_limit(
    limit: str | None, pid: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in [("WATCHDOG_USEC", limit), ("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)]:
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert manager.Systemd().alive_seconds == seconds


def test_without_a_socket_in_the_environment_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert type(manager.find(print)) is manager.NoManager
    monkeypatch.setattr(sys, "platform", "darwin")
    assert type(manager.find(print)) is manager.OwnWatchdog
    monkeypatch.setenv("NOTIFY_SOCKET", "/somewhere")
    assert type(manager.find(print)) is manager.Systemd


# ---- our own watchdog ----

STUCK = """
    import os, signal, sys, time
    from watcher.service.notify import OwnWatchdog

    with OwnWatchdog(lambda reason: print(reason, flush=True), limit=0.8) as told:
        time.sleep(float(sys.argv[1]))  # as long as the start may take: nothing counts before the first sign
        told.alive()
        print("began", flush=True)
        for _ in range(int(sys.argv[3])):
            told.alive()
            time.sleep(0.05)
        print("well", flush=True)
        wedge = time.sleep
        if sys.argv[2] == "stuck":
            wedge(60)
"""


def own_watchdog(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(STUCK), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_where_no_manager_looks_a_stuck_process_ends_with_70_and_tells_where_it_was_stuck() -> None:
    process = own_watchdog("0", "stuck", "3")
    out, err = process.communicate(timeout=30)
    assert process.returncode == EXIT_BUG
    assert out == "began\nwell\nno progress for 0.8 s; this process ends, so that another one can begin\n"
    assert 'File "<string>", line 15 in <module>' in err  # the main thread's stack, at `wedge`


@pytest.mark.slow
def test_a_process_that_gives_signs_of_life_or_was_stopped_for_long_is_left_alone() -> None:
    process = own_watchdog("1", "well", "20")
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)  # far above the limit
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "well\n", "")
