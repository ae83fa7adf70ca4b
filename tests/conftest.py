"""Guards around every test: a home of its own, no thread left, missing tools named. `test_guards.py` tests them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("busy", deadline=None)  # on a machine that is busy with other things an example may take long
settings.load_profile("busy")
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
    "PYTHONUNBUFFERED",
)


def _move(home: Path, patch: pytest.MonkeyPatch) -> None:
    """Have `home` be where a watcher finds its user's config and state, and nothing else be known to it."""
    for name in _HOMES:
        patch.setenv(name, str(home if name == "HOME" else home / name.lower()))
    for name in _OTHERS:
        patch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def _nobody_writes_outside_of_a_test_s_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("nobody")  # not the user's, who may run a watcher meanwhile
    with pytest.MonkeyPatch.context() as patch:
        _move(home, patch)
        yield
    found = [str(path) for path in home.rglob("*watcher*")]
    assert not found, f"a test wrote to a config or state folder that is not its own: {found}"


@pytest.fixture(autouse=True)
def _home_is_elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    _move(tmp_path_factory.mktemp("home"), monkeypatch)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + _LEAVING_SECONDS
    while left := [thread for thread in threading.enumerate() if thread not in before]:
        assert time.monotonic() < deadline, f"left behind: {left}"
        left[0].join(0.05)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have files with many slow tests come first, so that at the end no process waits for one that began late."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was not tested for want of a tool, and how much that is."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and "not installed" in report.longrepr[2]
    )
    if reasons:
        terminalreporter.write_sep("=", "for want of a tool")
        terminalreporter.line(f"{reasons.total()} tests were skipped, since something is not installed:")
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count:5} {reason}")
