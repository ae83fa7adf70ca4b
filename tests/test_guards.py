"""The guards of `conftest.py`, each seen to fail what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

GUARDS = Path(__file__).with_name("conftest.py")


@pytest.fixture
def guarded(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of tests with the same guards."""
    text = GUARDS.read_text().replace("_LEAVING_SECONDS = 5.0", "_LEAVING_SECONDS = 0.2")
    pytester.makeconftest(text.replace('pytest_plugins = ["pytester"]', ""))
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nfilterwarnings = ["error"]\n')
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(pytester.mkdir("real-home")))
    return pytester


def test_a_thread_that_is_left_behind_fails_its_test(guarded: pytest.Pytester) -> None:
    guarded.makepyfile(
        """
        import threading, time
        def test_leaks():
            threading.Thread(target=time.sleep, args=(1.5,), daemon=True, name="stray").start()
        """
    )
    result = guarded.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*left behind: *stray*"])


def test_a_test_sees_a_home_of_its_own(guarded: pytest.Pytester) -> None:
    guarded.makepyfile(
        """
        import os, pathlib
        def test_home():
            assert "real-home" not in str(pathlib.Path.home())
            assert all("real-home" not in value for name, value in os.environ.items() if name.startswith("XDG_"))
        """
    )
    guarded.runpytest_subprocess().assert_outcomes(passed=1)


def test_writing_to_the_real_state_folder_fails_the_run(guarded: pytest.Pytester) -> None:
    guarded.makepyfile(
        f"""
        import pathlib
        def test_escapes():
            folder = pathlib.Path({str(guarded.path)!r}, "real-home/.local/state/watcher")
            folder.mkdir(parents=True)
        """
    )
    result = guarded.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*a test wrote to the real config or state folder*"])


def test_a_warning_in_a_thread_fails_the_run(guarded: pytest.Pytester) -> None:
    guarded.makepyfile(
        """
        import threading
        def test_raises_unseen():
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()
        """
    )
    result = guarded.runpytest_subprocess()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*ZeroDivisionError*"])
