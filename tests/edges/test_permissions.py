"""What another user may do, asked as root of real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from watcher.service.permissions import Account, RequiredAccess, account, obstacles

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can look as somebody else")
NOBODY = Account("nobody", 65534, 65534, "/nonexistent")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in (tmp_path, *tmp_path.parents):
        if path.name.startswith(("pytest-", "popen-", "test_")):
            path.chmod(0o755)  # pytest's own are closed to others
    return tmp_path


def found(folder: Path, rights: str) -> list[tuple[str, str]]:
    return [(item.path, item.rights) for item in obstacles(NOBODY, [RequiredAccess(str(folder), rights)])]


@needs_root
def test_what_is_open_is_no_obstacle(folder: Path) -> None:
    (folder / "a.jpg").touch()
    assert not found(folder, "tree")
    folder.chmod(0o777)
    assert not found(folder, "rwx")


@needs_root
def test_the_outermost_closed_door_is_told(folder: Path) -> None:
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    inner.chmod(0o700)
    (folder / "a").chmod(0o700)
    assert found(inner, "tree") == [(str(folder / "a"), "x")]
    (folder / "a").chmod(0o711)
    assert found(inner, "tree") == [(str(inner), "tree")]


@needs_root
def test_a_photo_that_cannot_be_read_is_found_in_a_folder_below(folder: Path) -> None:
    photo = folder / "sub" / "a.jpg"
    photo.parent.mkdir()
    photo.touch(0o600)
    assert found(folder, "tree") == [(str(photo), "tree")]


@needs_root
def test_a_folder_that_can_only_be_read_is_told_where_it_is_to_be_written(folder: Path) -> None:
    assert found(folder, "rwx") == [(str(folder), "rwx")]


@needs_root
def test_what_is_missing_is_told_as_missing(folder: Path) -> None:
    assert found(folder / "none" / "below", "tree") == [(str(folder / "none"), "")]
    assert found(folder / "none", "r") == [(str(folder / "none"), "")]


def test_one_s_own_rights_are_looked_at_without_root(tmp_path: Path) -> None:
    own = Account("me", os.geteuid(), os.getegid(), "/")
    assert not obstacles(own, [RequiredAccess(str(tmp_path), "rwx")])
    assert obstacles(own, [RequiredAccess(str(tmp_path / "none"), "r")])


def test_accounts_are_looked_up_by_name() -> None:
    root = account("root")
    assert root is not None
    assert root.uid == 0
    assert account("nobody-of-that-name") is None
