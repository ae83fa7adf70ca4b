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


def test_writing_to_a_state_folder_that_is_no_test_s_own_fails_the_run(guarded: pytest.Pytester) -> None:
    guarded.makepyfile(
        """
        import os, pathlib, pytest
        @pytest.fixture(scope="module")
        def daemon():
            pathlib.Path(os.environ["XDG_STATE_HOME"], "watcher").mkdir(parents=True)
        def test_escapes(daemon):
            pass
        """
    )
    result = guarded.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*a test wrote to a config or state folder that is not its own: *xdg_state_home/watcher*"]
    )


def test_what_the_user_s_own_watcher_writes_meanwhile_fails_nothing(guarded: pytest.Pytester) -> None:
    guarded.makepyfile(
        f"""
        import pathlib
        def test_meanwhile():
            folder = pathlib.Path({str(guarded.path)!r}, "real-home/.local/state/watcher")
            folder.mkdir(parents=True)
        """
    )
    guarded.runpytest_subprocess().assert_outcomes(passed=1)


def test_what_is_skipped_for_want_of_a_tool_is_counted_and_named_before_the_closing_line(
    guarded: pytest.Pytester,
) -> None:
    guarded.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.skipif(True, reason="rsync is not installed")
        def test_one(): pass
        def test_two(): pass
        """,
        test_other="""
        import pytest
        module = pytest.importorskip("no_such_module", reason="the driver is not installed")
        """,
        test_third="""
        import pytest
        def test_root(): pytest.skip("only root may mount")
        def test_passes(): pass
        """,
    )
    lines = guarded.runpytest_subprocess().outlines
    told = next(number for number, line in enumerate(lines) if "for want of a tool" in line)
    assert lines[told + 1 : told + 4] == [
        "3 tests were skipped, since something is not installed:",
        "    2 rsync is not installed",
        "    1 the driver is not installed",
    ]
    assert "1 passed, 4 skipped" in lines[-1]
    guarded.makepyfile("def test_passes(): pass", test_other="", test_third="")
    assert not [line for line in guarded.runpytest_subprocess().outlines if "want of a tool" in line]


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
