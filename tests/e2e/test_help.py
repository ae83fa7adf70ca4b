"""The man page and the shell's completion."""

from __future__ import annotations

import shutil
import subprocess
import types
from pathlib import Path

import pytest

from tests.e2e.harness import COMMAND, Place
from tests.scripts import loaded

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def man() -> types.ModuleType:
    return loaded(DOCS / "man.py")


def test_the_man_page_is_what_the_command_line_says_of_itself(man: types.ModuleType) -> None:
    assert (DOCS / "watcher.1").read_text() == man.page(), "run `python docs/man.py`"


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
def test_the_man_page_can_be_read_without_a_warning() -> None:
    done = subprocess.run(
        ["man", "--warnings", "-l", str(DOCS / "watcher.1")],
        env={"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "MANWIDTH": "100"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert "watcher status" in done.stdout


def test_one_command_installs_completion_for_the_shell_and_it_knows_the_commands(place: Place) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    home = place.root / "home"
    home.mkdir(exist_ok=True)
    command = ["bash", "-c", "watcher --install-completion bash && cat ~/.bashrc"]
    path = str(Path(COMMAND).parent) + ":/usr/bin:/bin"
    done = subprocess.run(
        command, env=place.env | {"HOME": str(home), "PATH": path}, capture_output=True, text=True, check=True
    )
    assert "watcher" in (home / ".bashrc").read_text()
    asked = place.env | {"_WATCHER_COMPLETE": "complete_bash", "COMP_WORDS": "watcher st", "COMP_CWORD": "1"}
    told = subprocess.run([COMMAND], env=asked, capture_output=True, text=True, check=False)
    assert told.stdout.split() == ["status"], (done, told)
