"""After `service install`: links for the command and its man page, and who can drop photos into an inbox."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests import photos
from watcher.app.service import describe, wishes
from watcher.app.settings import Source
from watcher.cli import service_people as people
from watcher.service.definition import Record, Service
from watcher.service.permissions import Account


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed command with its man page, which no shell finds; the home folder is `tmp_path/home`."""
    command = tmp_path / "venv" / "bin" / "watcher"
    page = tmp_path / "venv" / "share" / "man" / "man1" / "watcher.1"
    for path in (command, page):
        path.parent.mkdir(parents=True)
        path.touch(0o755)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(sys, "argv", [str(command)])
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "home" / ".local" / "bin"))
    return command


def test_links_are_made_once_and_only_those_are_removed(
    program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = tmp_path / "home" / ".local"
    people.link(system=False)
    assert (local / "bin" / "watcher").readlink() == program
    assert (local / "share" / "man" / "man1" / "watcher.1").is_file()
    assert capsys.readouterr().out.count("Made the link") == 2
    people.link(system=False)
    assert capsys.readouterr().out == "", "the command is found now"
    people.unlink(system=False)
    assert [path for path in local.rglob("*") if not path.is_dir()] == []


def test_what_has_the_name_of_a_link_stays(program: Path, tmp_path: Path) -> None:
    local = tmp_path / "home" / ".local" / "bin"
    local.mkdir(parents=True)
    other = tmp_path / "other"
    other.touch(0o755)
    (local / "watcher").symlink_to(other)
    people.link(system=False)
    people.unlink(system=False)
    assert (local / "watcher").readlink() == other
    assert program.exists()


def test_a_folder_that_no_shell_looks_in_is_said(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    people.link(system=False)
    assert program.exists()
    assert "log in anew" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
@pytest.mark.parametrize(
    ("owner", "group", "mode", "said"),
    [
        (0, 0, 0o755, "Only root can drop photos into "),
        (0, 0, 0o775, "Only root can drop photos into "),
        (2, 0, 0o755, "Only root and bin can drop photos into "),  # the service's own user
        (0, 3, 0o755, "Only root can drop photos into "),
        (0, 3, 0o775, "members of the group sys can drop photos into "),
        (1, 0, 0o755, "daemon can drop photos into "),
        (1, 3, 0o775, "daemon and members of the group sys can drop photos into "),
        (0, 0, 0o777, "Everybody can drop photos into "),
    ],
)
def test_who_can_drop_photos_is_said_and_how_to_let_others(
    tmp_path: Path, owner: int, group: int, mode: int, said: str
) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    os.chown(inbox, owner, group)
    inbox.chmod(mode)
    record = Record("/c", "/s", "bin")
    service = Service(
        record=record, command=("/w",), program=(), reads=(), writes=(), inboxes=(str(inbox), "/gone"), drain_seconds=1
    )
    (line,) = people.droppers(service)
    assert line.startswith(said), line
    assert ("--drop-group" in line) == said.startswith("Only")


def test_the_service_s_user_must_be_able_to_read_a_watermark(program: Path, tmp_path: Path) -> None:
    assert program.exists()
    logo = tmp_path / "logo.png"
    logo.write_bytes(photos.png(Image.new("RGBA", (4, 2))))
    config = tmp_path / "config.toml"
    marked = "width = 9\nwatermark = 'logo.png'\n"
    inbox = f"[[inbox]]\npath = '{tmp_path}/in'\noutput = '{tmp_path}/out'\n"
    config.write_text(f"nice = 7\n[rendition.a]\n{marked}[rendition.b]\n{marked}{inbox}")
    described = describe(Source(None, str(config), None), Account("anna", 1000, 1000, "/home/anna"), system=False)
    assert described.nice == 7
    assert described.reads.count(str(logo)) == 1
    assert [wish.rights for wish in wishes(described) if wish.path == str(logo)] == ["r"]
