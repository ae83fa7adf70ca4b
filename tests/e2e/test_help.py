"""The man page and the shell's completion."""

from __future__ import annotations

import shutil
import subprocess
import types
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.e2e.harness import COMMAND, Place
from tests.scripts import loaded
from watcher import __version__
from watcher.cli.app import app
from watcher.config.tables import DEFAULTS

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = (
    *("run", "once", "init", "check", "status", "why", "retry", "verify", "list"),
    *("service install", "service uninstall", "service show"),
)


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
    assert 'inbox.include = ["*.jpg", "*.jpeg"]' in done.stdout


def test_every_command_has_help_with_an_example_and_its_exit_codes_and_without_names_of_types() -> None:
    def told(*words: str) -> str:
        return CliRunner().invoke(app, [*words, "--help"]).output

    overview = told()
    for command in COMMANDS:
        assert command.split()[0] in overview
        text = told(*command.split())
        assert f"Example: watcher {command}" in text
        assert "--state" in text, command
        assert "<" not in text, command
        assert "[[" not in text, command
        assert "{" not in text, command
        assert "Exit codes: 0 " in text, command
        assert "--config" in text, command
    words = " ".join(told("once").replace("\u2502", "").split())
    assert "1 some photos failed or are incomplete" in words
    assert "~/.config/watcher/config.toml" in words


def test_help_and_the_version_are_found_where_people_look_for_them(place: Place) -> None:
    assert place.watcher("help", "once").out == place.watcher("once", "--help").out
    assert "`man watcher`" in place.watcher("--help").out
    assert place.watcher("help", "nothing").code == 2
    assert place.watcher("-V").out == f"watcher {__version__}\n"
    told = place.watcher("check", "good.toml")
    assert told.code == 2
    assert "Did you mean --config good.toml?" in " ".join(told.err.replace("\u2502", "").split())
    told = place.watcher("check", place.inbox, place.output)
    assert told.code == 2
    assert "`watcher once INBOX OUTPUT --dry-run`" in " ".join(told.err.replace("\u2502", "").split())


def test_the_man_page_has_every_key_of_the_config_and_both_names_of_an_option(man: types.ModuleType) -> None:
    page = man.page().replace("\\-", "-")
    assert all(f".B {key}" in page for key in DEFAULTS)
    assert "--system, --user" in page


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
