"""Originals are moved or deleted: never over another file, never through a link, never one that has changed."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.mounting import can_mount, mounted
from watcher.app.background import FileTasks
from watcher.core.messages import TakenAway
from watcher.core.selection import hidden_name, name_of_hidden
from watcher.core.types import FileSignature, PhotoId
from watcher.engine.ports import Original
from watcher.fs.archive import Folders, Taken, placing, put_back, take_away, taking
from watcher.render import has_writer
from watcher.render.content import digest_of

NAME = "x/y/DSC 1.JPG"
MARK = "0123456789abcdef"


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


def stamp_of(path: Path) -> FileSignature:
    found = path.stat()
    return FileSignature(found.st_size, found.st_mtime_ns, found.st_ino)


def take(
    inbox: Path,
    target: Path | None,
    name: str = NAME,
    stamp: FileSignature | None = None,
    holds: Callable[[int], bool] = lambda _: True,
    folders: Folders | None = None,
) -> Taken:
    photo = PhotoId(os.fsencode(inbox), os.fsencode(name))
    where = os.fsencode(target) if target else None
    return take_away(photo, stamp or stamp_of(inbox / name), where, holds, folders or Folders())


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def no_links(monkeypatch: pytest.MonkeyPatch, *, renames: bool = False) -> None:
    """Have a file system without hard links, and without renames that replace nothing unless told otherwise."""

    def refuse(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "link", refuse)
    if not renames:
        monkeypatch.setattr(placing, "rename_over_nothing", refuse)
        monkeypatch.setattr(taking, "rename_over_nothing", refuse)


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
        put(target / "x/y" / os.fsdecode(taking._temporary(PhotoId(os.fsencode(inbox), NAME.encode()))), b"half")
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


@pytest.mark.parametrize("target", ["originals", None])
def test_one_that_looks_the_same_and_holds_something_else_stays(
    inbox: Path, tmp_path: Path, target: str | None
) -> None:
    where = tmp_path / target if target else None
    assert take(inbox, where, holds=lambda _: False) == Taken(None, other=True)
    assert files(inbox) == {NAME: b"a photo"}
    assert not where or not files(where)


class Meanwhile:
    """Has somebody rename a new version into the original's place at the n-th of our calls that change a folder."""

    def __init__(self, inbox: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.inbox = number, inbox
        for call in ("link", "rename", "unlink", "open", "fsync"):
            monkeypatch.setattr(os, call, partial(self.do, getattr(os, call)))

    def do(self, real: Callable[..., object], *args: object, **options: object) -> object:
        if self.left == 0:
            self.left = -1
            put(self.inbox / "new", b"a new one")
            (self.inbox / "new").replace(self.inbox / NAME)
        elif self.left > 0:
            self.left -= 1
        return real(*args, **options)


@pytest.mark.parametrize("target", ["originals", "copied", "renamed", None])
def test_a_new_version_that_comes_at_any_moment_is_never_taken_away(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str | None
) -> None:
    for number in range(60):
        with monkeypatch.context() as patch:
            if target in {"copied", "renamed"}:
                no_links(patch, renames=target == "renamed")
                patch.setattr(taking, "_apart", lambda *_: target == "copied")
            meanwhile = Meanwhile(inbox, number, patch)
            take(inbox, tmp_path / target if target else None)
        found = files(inbox)
        assert set(found) <= {NAME}, (number, found)
        if meanwhile.left >= 0:
            assert found == {}
            break
        assert found == {NAME: b"a new one"}, number
        put(inbox / NAME)
    assert 3 < number < 59, "every moment was tried"


@pytest.mark.parametrize("links", [True, False])
def test_what_was_put_in_its_place_gets_its_name_back_over_nothing(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        no_links(monkeypatch)
    hidden = (inbox / NAME).with_name(os.fsdecode(hidden_name(b"DSC 1.JPG", MARK)))
    (inbox / NAME).rename(hidden)
    path = os.fsencode(hidden.relative_to(inbox))
    put(inbox / NAME, b"another")
    assert put_back(os.fsencode(inbox), path)
    assert files(inbox) == {NAME: b"another", "x/y/DSC 1 (1).JPG": b"a photo"}
    assert not put_back(os.fsencode(inbox), path)


def test_a_put_back_that_was_interrupted_leaves_one_file(inbox: Path) -> None:
    hidden = (inbox / NAME).with_name(os.fsdecode(hidden_name(b"DSC 1.JPG", MARK)))
    os.link(inbox / NAME, hidden)
    assert put_back(os.fsencode(inbox), os.fsencode(hidden.relative_to(inbox)))
    assert files(inbox) == {NAME: b"a photo"}


def test_a_hidden_name_tells_the_original_s_and_is_one_that_a_file_system_holds() -> None:
    for name in (b"a.jpg", b"\xff b.JPG", b".x", b"no extension", b"x" * 251 + b".jpg", b"y" * 255):
        hidden = hidden_name(name, MARK)
        assert len(hidden) <= 255
        assert hidden.startswith(b".")
        back = name_of_hidden(hidden)
        assert back is not None
        assert (back == name) == (len(name) < 222)
        assert name.startswith(back[:-4])
        assert back[-4:] == name[-4:]
    for other in (b"a.jpg", b".a.jpg.watcher-leaving", b".watcher-leaving", b"a.0123456789abcdef.watcher-leaving"):
        assert name_of_hidden(other) is None


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
    monkeypatch.setattr(placing, "same", lambda *_: False)
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


# ---- what is kept ----


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if not can_mount():
        pytest.skip("mounting takes root")
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m"):
        yield tmp_path / "disk"


def test_a_copy_keeps_owner_group_rights_and_times_and_so_do_the_folders_made_for_it(inbox: Path, disk: Path) -> None:
    photo, folders = inbox / NAME, Folders()
    put(photo.with_name("b.jpg"))
    for number, path in enumerate((photo, photo.parent, photo.parent.parent)):
        os.chown(path, 54321 + number, 54331 + number)
    photo.chmod(0o600)
    photo.parent.chmod(0o2750)
    os.utime(photo.parent, (5, 6))
    os.utime(photo.parent.parent, (7, 8))
    assert take(inbox, disk, folders=folders).where is not None
    assert take(inbox, disk, "x/y/b.jpg", folders=folders).where is not None
    kept = [
        (found.st_uid, found.st_gid, found.st_mode & 0o7777, found.st_mtime)
        for path in (NAME, "x/y", "x")
        if (found := (disk / path).stat())
    ]
    assert kept == [
        (54321, 54331, 0o600, 1_700_000_000),
        (54322, 54332, 0o2750, 6),
        (54323, 54333, 0o755, 8),
    ]


@pytest.mark.parametrize("how", ["copied", "linked", "renamed"])
def test_nothing_that_lets_a_file_run_as_its_owner_is_kept(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how != "linked":
        no_links(monkeypatch, renames=how == "renamed")
    (inbox / NAME).chmod(0o6755)
    assert take(inbox, tmp_path / "originals").where is not None
    assert (tmp_path / "originals" / NAME).stat().st_mode & 0o7777 == 0o755


def attribute(path: Path, name: str, value: bytes = b"x") -> None:
    try:
        os.setxattr(path, name, value)
    except OSError:
        pytest.skip("no attributes here")


def test_attributes_are_kept_each_for_itself(inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_links(monkeypatch)
    real = os.setxattr

    def some(file: int, name: str, value: bytes) -> None:
        if not name.startswith("user.x"):
            raise OSError(errno.EPERM, "Operation not permitted")
        real(file, name, value)

    for name in ("user.DOSATTRIB", "user.xdg.tags", "user.xrating"):
        attribute(inbox / NAME, name)
    if os.geteuid() == 0:
        attribute(inbox / NAME, "trusted.label")
    monkeypatch.setattr(os, "setxattr", some)
    assert take(inbox, tmp_path / "originals").where is not None
    assert sorted(os.listxattr(tmp_path / "originals" / NAME)) == ["user.xdg.tags", "user.xrating"]


@pytest.mark.parametrize("lost", ["attribute", "owner", "group", "folder"])
def test_an_original_stays_that_would_lose_what_matters(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    no_links(monkeypatch)

    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if lost == "attribute":
        attribute(inbox / NAME, "user.xdg.tags")
        monkeypatch.setattr(os, "setxattr", refuse)
    else:
        if os.geteuid():
            pytest.skip("only root gives files away")
        os.chown(inbox / NAME, 54321, 54321)
        (inbox / NAME).chmod(0o640 if lost == "group" else 0o600)
        if lost == "folder":
            (inbox / NAME).chmod(0o644)
            os.chown((inbox / NAME).parent, 54321, 54321)
            (inbox / NAME).parent.chmod(0o700)
        monkeypatch.setattr(os, "fchown", refuse)
    taken = take(inbox, tmp_path / "originals")
    assert taken.where is None
    reason = {"attribute": "its attribute user.xdg.tags", "group": "user 54321", "folder": "user 54321"}
    assert reason.get(lost, "its owner (user 54321)") in taken.fault
    assert files(inbox) == {NAME: b"a photo"}
    assert not files(tmp_path / "originals")


def test_one_whose_owner_can_not_be_kept_moves_if_everybody_can_read_it(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid():
        pytest.skip("only root gives files away")
    no_links(monkeypatch)
    os.chown(inbox / NAME, 54321, 54321)
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    assert take(inbox, tmp_path / "originals").where is not None
    assert files(inbox) == {}


def test_an_access_control_list_is_kept_and_one_of_the_new_folder_is_not_taken_on(inbox: Path, disk: Path) -> None:
    if shutil.which("setfacl") is None:
        pytest.skip("no setfacl here")
    for path, entry in ((inbox / NAME, "u:54321:r"), (disk, "d:u:54322:rw")):
        if subprocess.run(["setfacl", "-m", entry, path], check=False, capture_output=True).returncode:
            pytest.skip("no access control lists here")
    put(inbox / "plain.jpg")
    assert take(inbox, disk).where is not None
    assert take(inbox, disk, "plain.jpg").where is not None
    told = subprocess.run(["getfacl", "-pn", disk / NAME, disk / "plain.jpg"], check=True, capture_output=True)
    assert b"user:54321:r--" in told.stdout
    assert b"54322" not in told.stdout


def test_originals_that_lead_to_the_inbox_itself_are_refused(inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "originals").symlink_to(inbox)
    assert "leads to the inbox itself" in take(inbox, tmp_path / "originals").fault
    assert files(inbox) == {NAME: b"a photo"}


def test_an_empty_file_that_an_interrupted_move_has_left_gets_the_original_and_another_one_stays(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_links(monkeypatch)
    target, rename = tmp_path / "originals", os.rename
    temporary = taking._temporary(PhotoId(os.fsencode(inbox), os.fsencode(NAME)))

    def killed(source: bytes, *more: Any, **options: Any) -> None:  # noqa: ANN401
        if source == temporary:
            raise KeyboardInterrupt  # as near as a test comes to it: what is left is put there by hand
        rename(source, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            take(inbox, target)
    assert files(target) == {NAME: b""}
    put((target / NAME).with_name(os.fsdecode(temporary)), b"a ph")
    assert take(inbox, target).where == os.fsencode(target / NAME)
    assert files(target) == {NAME: b"a photo"}
    put(inbox / "b.jpg")
    put(target / "b.jpg", b"")
    assert take(inbox, target, "b.jpg").where == os.fsencode(target / "b (1).jpg")


# ---- asked for by the daemon ----


@pytest.mark.parametrize("spoil", ["", "content", "missing", "short", "zeros", "label", "writer"])
def test_an_original_goes_if_it_holds_what_was_made_and_its_renditions_stand(
    inbox: Path, tmp_path: Path, spoil: str
) -> None:
    output = put(tmp_path / "a.jpg", b"a rendition")
    digest = digest_of(b"another" if spoil == "content" else b"a photo")
    match spoil:
        case "missing":
            output.unlink()
        case "short":
            output.write_bytes(b"a rend")
        case "zeros":
            output.write_bytes(bytes(11))
        case "label":
            attribute(output, "user.watcher.content", digest_of(b"another").hex().encode())
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()
    file_tasks = FileTasks(answers.put)
    photo = PhotoId(os.fsencode(inbox), os.fsencode(NAME))
    with contextlib.ExitStack() as stack:
        if spoil == "writer":
            stack.enter_context((inbox / NAME).open("r+b"))
            reader = stack.enter_context((inbox / NAME).open("rb"))
            if has_writer(reader.fileno()) is None:
                pytest.skip("who writes can't be asked here")
        file_tasks.take_away(Original(photo, stamp_of(inbox / NAME), digest, [(os.fsencode(output), 11)], None))
        taken = answers.get(timeout=10)
        file_tasks.close()
    assert isinstance(taken, TakenAway)
    assert (taken.where == b"") == (not spoil)
    assert taken.other == (spoil == "content")
    assert bool(taken.fault) == (spoil not in {"", "content"})
    assert files(inbox) == ({NAME: b"a photo"} if spoil else {})
