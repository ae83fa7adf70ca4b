"""What `once` shows while it runs."""

from __future__ import annotations

import pytest

from watcher.app.once_view import rate_text, stopping
from watcher.paths import nearby
from watcher.text import counted


@pytest.mark.parametrize(
    ("made", "ahead", "seconds", "shown"),
    [
        (0, 3000, 2.0, "0:02 elapsed"),  # no rate yet, and so no time left
        (160, 2840, 17.7, "9.0/s, 0:18 elapsed, about 5:14 left"),
        (3000, 0, 3700.0, "0.8/s, 1:01:40 elapsed"),
    ],
)
def test_the_time_that_passed_and_the_time_left_are_named(made: int, ahead: int, seconds: float, shown: str) -> None:
    assert rate_text(made, ahead, seconds) == shown


def test_who_stops_a_run_is_told_what_is_finished_and_what_a_second_ctrl_c_does() -> None:
    assert stopping(0, 64).startswith("Stopping: 64 photos already begun will be finished. Press Ctrl-C again")
    assert stopping(0, 0) == "Stopping."
    assert stopping(1, 64).startswith("Stopping at once")


def test_numbers_have_their_noun_in_its_number() -> None:
    assert [counted(number, "copy") for number in (0, 1, 2500)] == ["0 copies", "1 copy", "2,500 copies"]
    assert [counted(number, "photo") for number in (1, 2)] == ["1 photo", "2 photos"]


def test_a_path_below_the_current_folder_is_shown_relative_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr")
    assert [nearby(path) for path in ("/usr/share/a", "/usr", "/usrs/a", "/var")] == [
        "share/a",
        "/usr",
        "/usrs/a",
        "/var",
    ]
