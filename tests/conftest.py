"""Guards around every test: nobody's real home is touched, no thread is left behind. `test_guards.py` tests them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

_LEAVING_SECONDS = 5.0  # a thread that was told to end may take a moment
_HOMES = ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_DIRS")
_OTHERS = (
    "WATCHER_CONFIG",
    "STATE_DIRECTORY",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "INVOCATION_ID",
)


def _real_places() -> list[Path]:
    """List where a watcher that escaped its test would write."""
    home = Path(os.path.expanduser("~"))  # as the program finds it
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state")
    support = home / "Library" / "Application Support"
    return [folder / "watcher" for folder in (config, state, support)]


def _looks(folders: list[Path]) -> dict[Path, int]:
    """Tell of everything in those folders when it was last changed."""
    found = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return {path: path.lstat().st_mtime_ns for path in found if path.exists() and path.suffix != ".db-shm"}


@pytest.fixture(scope="session", autouse=True)
def _nobody_writes_to_the_real_home() -> Iterator[None]:
    places = _real_places()
    before = _looks(places)
    yield
    assert _looks(places) == before, "a test wrote to the real config or state folder"


@pytest.fixture(autouse=True)
def _home_is_elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    for name in _HOMES:
        monkeypatch.setenv(name, str(home if name == "HOME" else home / name.lower()))
    for name in _OTHERS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + _LEAVING_SECONDS
    while left := [thread for thread in threading.enumerate() if thread not in before]:
        assert time.monotonic() < deadline, f"left behind: {left}"
        left[0].join(0.05)
