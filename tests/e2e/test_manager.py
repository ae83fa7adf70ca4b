"""The daemon and whoever started it: what the installed command sends to systemd's socket."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.e2e.harness import Place, camera, until


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


@pytest.fixture
def systemd(place: Place) -> Iterator[Socket]:
    path = place.root / "notify"
    place.env |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
    with Socket(path) as listener:
        yield listener


def test_systemd_is_told_of_the_start_the_work_reloads_good_and_bad_and_the_stop(place: Place, systemd: Socket) -> None:
    with place.run() as daemon:
        until(lambda: systemd.count("READY=1"), "ready is told")
        (place.inbox / "a.jpg").write_bytes(camera())
        until(lambda: "STATUS=1 inbox, 0 waiting, 1 done, 0 failed" in systemd.told, "the photo is counted")
        for text, event in (("workers = 1\n", "config.reloaded"), ("workers = -1\n", "config.rejected")):
            place.config.write_text(text + place.config.read_text())
            daemon.send(signal.SIGHUP)
            daemon.wait_for(event)
        until(lambda: systemd.count("READY=1") == 3, "both reloads are over")
        assert daemon.stop() == 0
    assert systemd.news()[:5] == ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1"]
    assert systemd.news()[5:] == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=30000000"]


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
        until(lambda: any("_next_message" in line for line in daemon.lines), "the loop's place is shown")
