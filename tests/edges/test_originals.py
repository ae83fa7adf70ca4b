"""Originals are moved or deleted: never over another file, never through a link, never one that has changed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.faults.mounting import can_mount, mounted
from watcher import originals
from watcher.model import PhotoId, Stamp
from watcher.originals import Taken, take_away

NAME = "x/y/DSC 1.JPG"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    put(folder / NAME)
    return folder


def put(path: Path, data: bytes = b"a photo", seconds: float = 1_700_000_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (seconds, seconds))
    return path


def stamp_of(path: Path) -> Stamp:
    found = path.stat()
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


def take(inbox: Path, target: Path | None, name: str = NAME, stamp: Stamp | None = None) -> Taken:
    photo = PhotoId(os.fsencode(inbox), os.fsencode(name))
    return take_away(photo, stamp or stamp_of(inbox / name), os.fsencode(target) if target else None)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("links", [True, False])
def test_an_original_moves_with_its_folders_time_and_rights(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        no_links(monkeypatch)
    (inbox / NAME).chmod(0o640)
    before = stamp_of(inbox / NAME)
    target = tmp_path / "originals"
    assert take(inbox, target) == Taken(os.fsencode(target / NAME))
    assert files(inbox) == {}
    assert files(target) == {NAME: b"a photo"}
    assert (target / NAME).stat().st_mtime_ns == before.mtime_ns
    assert (target / NAME).stat().st_mode & 0o777 == 0o640
    assert ((target / NAME).stat().st_ino == before.inode) == links


@pytest.mark.skipif(not can_mount(), reason="mounting takes root")
def test_an_original_moves_to_another_file_system(inbox: Path, tmp_path: Path) -> None:
    target = tmp_path / "disk"
    with mounted(target, "-t", "tmpfs", "-o", "size=1m"):
        put(target / NAME, b"another")
        assert take(inbox, target).where == os.fsencode(target / "x/y/DSC 1 (1).JPG")
        assert files(target) == {NAME: b"another", "x/y/DSC 1 (1).JPG": b"a photo"}
        big = put(inbox / "big.jpg", bytes(2_000_000))
        taken = take(inbox, target, "big.jpg")
        assert "No space left" in taken.fault
        assert big.exists()
        assert set(files(target)) == {NAME, "x/y/DSC 1 (1).JPG"}


@pytest.mark.parametrize("links", [True, False])
def test_a_name_that_is_taken_is_left_to_whoever_has_it(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        no_links(monkeypatch)
    target = tmp_path / "originals"
    put(target / NAME, b"another")
    put(target / "x/y/DSC 1 (1).JPG", b"a photo", 5)  # the same content of another time
    (target / "x/y/DSC 1 (2).JPG").symlink_to("nowhere")
    assert take(inbox, target).where == os.fsencode(target / "x/y/DSC 1 (3).JPG")
    assert files(target)[NAME] == b"another"
    assert not (target / "x/y/nowhere").exists()
    assert files(inbox) == {}


@pytest.mark.parametrize("links", [True, False])
def test_what_an_interrupted_move_left_is_as_good_as_moved(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    target = tmp_path / "originals"
    if links:
        (target / NAME).parent.mkdir(parents=True)
        os.link(inbox / NAME, target / NAME)
    else:
        no_links(monkeypatch)
        put(target / NAME)
        put(target / "x/y" / os.fsdecode(originals._temporary(PhotoId(os.fsencode(inbox), NAME.encode()))), b"half")
    assert take(inbox, target).where == os.fsencode(target / NAME)
    assert files(target) == {NAME: b"a photo"}
    assert files(inbox) == {}


def test_an_original_is_deleted_where_that_is_asked_for(inbox: Path) -> None:
    put(inbox / "x/other.jpg")
    assert take(inbox, None) == Taken(b"")
    assert files(inbox) == {"x/other.jpg": b"a photo"}


@pytest.mark.parametrize("target", ["originals", None])
def test_one_that_has_changed_or_gone_or_become_a_link_is_not_touched(
    inbox: Path, tmp_path: Path, target: str | None
) -> None:
    where = tmp_path / target if target else None
    stamp = stamp_of(inbox / NAME)
    put(inbox / NAME, b"changed", 1_700_000_001)
    assert take(inbox, where, stamp=stamp) == Taken(None)
    put(tmp_path / "new")
    (tmp_path / "new").rename(inbox / NAME)
    assert take(inbox, where, stamp=stamp) == Taken(None)  # the same time and size, and another file
    (inbox / NAME).rename(tmp_path / "away")
    assert take(inbox, where, stamp=stamp) == Taken(None)
    (inbox / NAME).symlink_to(tmp_path / "away")
    assert take(inbox, where, stamp=stamp_of(tmp_path / "away")) == Taken(None)
    (inbox / "x").rename(tmp_path / "elsewhere")
    (inbox / "x").symlink_to(tmp_path / "elsewhere")
    put(tmp_path / "elsewhere/y/b.jpg")
    assert take(inbox, where, "x/y/b.jpg") == Taken(None)
    assert (tmp_path / "elsewhere/y/b.jpg").exists()
    assert not where or not files(where)


def test_one_that_is_replaced_while_it_is_moved_leaves_the_new_one_in_place(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, link = tmp_path / "originals", os.link

    def meanwhile(*args: Any, **options: Any) -> None:  # noqa: ANN401
        link(*args, **options)
        put(tmp_path / "new", b"a new one")
        (tmp_path / "new").rename(inbox / NAME)

    monkeypatch.setattr(os, "link", meanwhile)
    assert take(inbox, target).where == os.fsencode(target / NAME)
    assert files(target) == {NAME: b"a photo"}
    assert files(inbox) == {NAME: b"a new one"}


def test_a_link_among_the_folders_of_originals_is_not_followed(inbox: Path, tmp_path: Path) -> None:
    target = tmp_path / "originals"
    target.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (target / "x").symlink_to(tmp_path / "elsewhere")
    taken = take(inbox, target)
    assert taken.where is None
    assert "can't be moved" in taken.fault
    assert files(inbox) == {NAME: b"a photo"}
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_fault_of_the_disk_is_told_and_nothing_is_lost(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    taken = take(inbox, tmp_path / "originals")
    assert "Input/output error" in taken.fault
    assert files(inbox) == {NAME: b"a photo"}


def test_a_copy_that_reads_back_otherwise_does_not_replace_the_original(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_links(monkeypatch)
    monkeypatch.setattr(originals, "_same", lambda *_: False)
    taken = take(inbox, tmp_path / "originals")
    assert "not what is read" in taken.fault or "Input/output error" in taken.fault
    assert files(inbox) == {NAME: b"a photo"}
    assert files(tmp_path / "originals") == {}


def test_names_stay_within_what_a_file_system_holds_and_need_not_be_utf8(inbox: Path, tmp_path: Path) -> None:
    target = tmp_path / "originals"
    name = os.fsdecode(b"\xff" * 251 + b".jpg")
    put(inbox / name)
    put(target / name, b"another")
    taken = take(inbox, target, name)
    assert taken.where is not None
    assert taken.where.endswith(b"\xff (1).jpg")
    assert len(taken.where.rpartition(b"/")[2]) == 255
