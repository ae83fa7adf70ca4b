"""What is not whole, not a photo, hostile, or in motion: the right outcome, and nothing published for it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from tests import photos
from watcher.core.recipe import Recipe
from watcher.core.types import (
    Done,
    Evidence,
    Failed,
    FailureKind,
    FileSignature,
    Job,
    Made,
    NeedsMoreMemory,
    Outcome,
    PhotoId,
    Rendering,
    StabilitySettings,
    Unchanged,
    Unready,
    Vanished,
)
from watcher.fs.cleanup import clean_up, host, place, temporary_name
from watcher.fs.publish import ATTRIBUTE, CONTENT, Outputs, Publication
from watcher.render import pipeline, render
from watcher.render.source import Source

WEB = Rendering("web", Recipe(300, 300, "inside", "jpeg", 85, "safe", "0123456789abcdef"), b"web/x/a.jpg")
THUMB = Rendering("thumb", Recipe(64, 64, "cover", "jpeg", 85, "none", "fedcba9876543210"), b"thumb/x/a.jpg")
OLD_NS = 1_700_000_000_123_456_789


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "in" / "x").mkdir(parents=True)
    return tmp_path / "in"


def job(inbox: Path, path: str = "x/a.jpg", renderings: tuple[Rendering, ...] = (WEB, THUMB), **more: object) -> Job:
    """Return the job of a photo that a scan finds."""
    root = os.fsencode(inbox.parent / "out")
    more = {"evidence": Evidence(listed=True), **more}
    return Job(7, PhotoId(os.fsencode(inbox), os.fsencode(path)), root, renderings, **more)  # type: ignore[arg-type]  # fields by name


def put(inbox: Path, data: bytes, *, mtime_ns: int | None = OLD_NS) -> Path:
    photo = inbox / "x" / "a.jpg"
    photo.write_bytes(data)
    if mtime_ns is not None:
        os.utime(photo, ns=(mtime_ns, mtime_ns))
    return photo


def stamp(photo: Path) -> FileSignature:
    status = photo.stat()
    return FileSignature(status.st_size, status.st_mtime_ns, status.st_ino)


def timeless(outcome: Outcome) -> Outcome:
    """Give an outcome without the time at which the file's inode was changed."""
    return dataclasses.replace(outcome, changed_ns=0) if isinstance(outcome, Unready) else outcome


def outputs(inbox: Path) -> set[str]:
    root = inbox.parent / "out"
    return {str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir()}


# ---- whole photos ----


def test_all_renditions_appear_with_the_photos_time_and_their_recipe_and_no_temporary_file(inbox: Path) -> None:
    photo = put(inbox, photos.plain())
    outcome = render(job(inbox))
    assert isinstance(outcome, Done)
    assert (outcome.stamp, outcome.width, outcome.height, outcome.pid) == (stamp(photo), 600, 400, os.getpid())
    assert outputs(inbox) == {"web/x/a.jpg", "thumb/x/a.jpg"}
    for one, rendering in zip(outcome.made, (WEB, THUMB), strict=True):
        file = inbox.parent / "out" / os.fsdecode(rendering.output)
        digest = blake3(file.read_bytes()).digest(8)
        assert one == Made(rendering.name, rendering.output, one.width, one.height, file.stat().st_size, digest)
        assert file.stat().st_mtime_ns == OLD_NS
        if hasattr(os, "getxattr"):
            assert os.getxattr(file, ATTRIBUTE) == rendering.recipe.fingerprint.encode()


def test_only_what_is_missing_is_made_and_nothing_if_nothing_is(inbox: Path) -> None:
    photo = put(inbox, photos.plain())
    known = stamp(photo)._replace(inode=0)
    outcome = render(job(inbox, done=known, current=frozenset({"web"})))
    assert isinstance(outcome, Done)
    assert [m.name for m in outcome.made] == ["thumb"]
    assert render(job(inbox, done=known, current=frozenset({"web", "thumb"}))) == Unchanged(stamp(photo))
    changed = known._replace(size=known.size + 1)
    outcome = render(job(inbox, done=changed, current=frozenset({"web", "thumb"})))
    assert isinstance(outcome, Done)
    assert len(outcome.made) == 2


def test_names_of_255_bytes_and_names_that_are_not_utf8_are_made(inbox: Path) -> None:
    for name in (b"n" * 251 + b".jpg", b"\xff\xfe line\nbreak.jpg"):
        (inbox / "x" / os.fsdecode(name)).write_bytes(photos.plain())
        rendering = Rendering("web", WEB.recipe, b"web/" + name)
        outcome = render(job(inbox, f"x/{os.fsdecode(name)}", (rendering,)))
        assert isinstance(outcome, Done)
        assert (inbox.parent / "out" / "web" / os.fsdecode(name)).exists()


# ---- not whole yet ----


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (photos.EMPTY, "empty"),
        (photos.truncated(), "truncated"),
        (photos.truncated(0.01), "truncated"),
        (photos.truncated(0.6, photos.progressive()), "truncated"),
        (photos.truncated(0.9, photos.noisy()), "truncated"),
        (photos.progressive()[: photos.progressive().rindex(b"\xff\xc4")], "truncated"),  # its last scan is missing
        (photos.preallocated(), "ends in zeros"),
        (photos.preallocated(0.9, photos.noisy()), "ends in zeros"),
        (photos.preallocated(0.9, photos.progressive()), "ends in zeros"),
    ],
)
def test_an_unfinished_photo_is_unready_and_nothing_is_published(inbox: Path, data: bytes, reason: str) -> None:
    photo = put(inbox, data)
    outcome = render(job(inbox))
    assert isinstance(outcome, Unready), outcome
    assert (outcome.stamp, outcome.settling) == (stamp(photo), False)
    assert reason in outcome.reason
    assert outputs(inbox) == set()


@pytest.mark.parametrize(
    "data",
    [
        photos.without_end(),
        photos.with_hole(),
        bytes(20_000),
        bytes(8192) + photos.noisy()[8192:],
        photos.plain()[:2] + bytes(8192) + photos.noisy()[8192:],
    ],
)
def test_a_photo_that_looks_unfinished_is_waited_for_while_it_is_young(inbox: Path, data: bytes) -> None:
    put(inbox, data, mtime_ns=time.time_ns())
    outcome = render(job(inbox))
    assert isinstance(outcome, Unready)
    assert outcome.settling
    assert outputs(inbox) == set()


@pytest.mark.parametrize(
    "data",
    [photos.without_end(), photos.plain()[:-1], photos.progressive()[:-2], photos.grey()[:-2], photos.cmyk()[:-2]],
)
def test_a_photo_that_lacks_nothing_but_its_end_marker_is_made_once_it_has_been_still(inbox: Path, data: bytes) -> None:
    put(inbox, data)
    assert isinstance(render(job(inbox)), Done)


def test_a_photo_of_which_a_part_is_not_there_has_failed_once_it_has_been_still(inbox: Path) -> None:
    put(inbox, photos.with_hole())
    outcome = render(job(inbox))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.PHOTO
    assert re.match(r"damaged after (49|5\d) % of the picture: ", outcome.reason), outcome.reason
    assert outputs(inbox) == set()


def test_every_cut_of_a_photo_is_unready_but_that_of_its_end_marker(inbox: Path) -> None:
    whole = photos.jpeg(photos.scene(64, 48), quality=80)
    for end in range(1, len(whole) - 3, 7):
        put(inbox, whole[:end])
        outcome = render(job(inbox))
        assert isinstance(outcome, Unready), (end, outcome)
    assert outputs(inbox) == set()


@pytest.mark.parametrize("data", [photos.with_trailer(), photos.mpo(), photos.plain() + bytes(9000)])
def test_what_stands_behind_the_picture_is_no_reason_to_wait(inbox: Path, data: bytes) -> None:
    put(inbox, data, mtime_ns=time.time_ns())
    assert isinstance(render(job(inbox)), Done)


def test_a_photo_known_as_incomplete_changing_or_too_young_is_not_read(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.render.writers.has_writer", lambda _file: None)
    photo = put(inbox, photos.plain())
    now = stamp(photo)
    outcome = render(job(inbox, evidence=Evidence(incomplete=now._replace(inode=0))))
    assert timeless(outcome) == Unready(now, "it is unchanged since it was found incomplete")
    outcome = render(job(inbox, evidence=Evidence(seen=now._replace(size=1), listed=True)))
    assert timeless(outcome) == Unready(now, "still changing", settling=True)
    put(inbox, photos.plain(), mtime_ns=time.time_ns())
    outcome = render(job(inbox, stability=StabilitySettings(60.0, 60.0)))
    assert isinstance(outcome, Unready)
    assert outcome.settling
    put(inbox, photos.plain(), mtime_ns=time.time_ns() + 10**12)  # a clock that is ahead must not stop it for ever
    assert isinstance(render(job(inbox, stability=StabilitySettings(60.0, 60.0))), Done)


# ---- not photos, and bombs ----


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (photos.TEXT, ': it is text ("Shopping list - milk - '),
        (b"GIF89a", "it is a GIF"),
        (photos.deep(), "12-bit"),
        (photos.lossless(), "lossless"),
        (b"\n<!doctype HTML><title>404</title>", "a web page"),
        (photos.bomb(), "60000 \u00d7 60000 is 3600 megapixels, max_megapixels allows 200"),
        (photos.bomb(65_535, 9), "too large: 65535 \u00d7 9, at most 65500 pixels a side"),
        (photos.bomb(0, 10), "does not say how wide it is"),
        (photos.scan_bomb(), "scans"),
        (photos.spliced(photos.plain(), photos.segment(0xDD, bytes(2)) * 2000), "more than 1000 tables"),
        (b"\xff\xd8\xff\xd9", "without a picture"),
        (bytes(5000), "nothing but zeros"),
    ],
)
def test_what_can_never_be_rendered_fails_with_a_reason_for_people(inbox: Path, data: bytes, reason: str) -> None:
    photo = put(inbox, data)
    began = time.perf_counter()
    outcome = render(job(inbox))
    assert isinstance(outcome, Failed), outcome
    assert (outcome.kind, outcome.stamp) == (FailureKind.PHOTO, stamp(photo))
    assert reason in outcome.reason
    assert time.perf_counter() - began < 0.5
    assert outputs(inbox) == set()


def test_a_photo_above_the_memory_granted_is_heavy_before_it_is_decoded(inbox: Path) -> None:
    put(inbox, photos.bomb(9000, 9000))
    outcome = render(job(inbox, memory_bytes=1 << 20))
    assert isinstance(outcome, NeedsMoreMemory)
    # 9000 px at 1/8, grey, which is decoded twice
    assert 3 * 1125**2 < outcome.memory_bytes < 5 << 20
    put(inbox, photos.progressive())
    progressive = render(job(inbox, memory_bytes=1000))
    put(inbox, photos.plain())
    assert isinstance(progressive, NeedsMoreMemory)


def test_special_files_and_links_are_no_photos_and_never_opened(inbox: Path) -> None:
    os.mkfifo(inbox / "x" / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(inbox / "x" / "s.jpg"))
    (inbox / "x" / "folder.jpg").mkdir()
    secret = inbox.parent / "secret.jpg"
    secret.write_bytes(photos.plain())
    (inbox / "x" / "link.jpg").symlink_to(secret)
    for name, kind in (("fifo", "named pipe"), ("s", "socket"), ("folder", "folder"), ("link", "symbolic link")):
        outcome = render(job(inbox, f"x/{name}.jpg"))
        assert isinstance(outcome, Vanished), outcome  # not failed: it is passed over, as by a scan
        assert outcome.reason.startswith(f"it is a {kind}")
        assert outcome.reason.endswith("not a photo")
    (inbox / "linked").symlink_to(inbox / "x")
    put(inbox, photos.plain())
    for path in ("linked/a.jpg", "x/missing.jpg", "missing/a.jpg"):
        assert isinstance(render(job(inbox, path)), Vanished), path
    assert isinstance(render(job(inbox, "../secret.jpg")), Failed)
    assert outputs(inbox) == set()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.EACCES, FailureKind.INBOX),
        (errno.ENOTCONN, FailureKind.INBOX),  # a FUSE whose process has died
        (errno.ESTALE, FailureKind.INBOX),
        (errno.EIO, FailureKind.INBOX),
        (errno.EMFILE, FailureKind.PASSING),
        (errno.ENOENT, None),
    ],
)
def test_an_inbox_that_cannot_be_read_is_no_photos_fault(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: FailureKind | None
) -> None:
    put(inbox, photos.plain())
    real = os.open

    def opening(path: bytes | str, *args: object, **more: object) -> int:
        if path == os.fsencode(inbox):
            raise OSError(code, os.strerror(code))
        return real(path, *args, **more)  # type: ignore[arg-type]  # as they came

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opening)
        outcome = render(job(inbox))
    if kind is None:
        assert isinstance(outcome, Vanished)
    else:
        assert isinstance(outcome, Failed)
        assert outcome.kind is kind
        assert f"the inbox {inbox}" in outcome.reason


def test_the_inbox_itself_may_be_a_link(inbox: Path) -> None:
    put(inbox, photos.plain())
    (inbox.parent / "alias").symlink_to(inbox)
    assert isinstance(render(job(inbox.parent / "alias")), Done)


@pytest.mark.parametrize("seed", range(8))
def test_mutated_photos_give_only_our_own_outcomes(inbox: Path, seed: int) -> None:
    import random  # noqa: PLC0415 - here alone

    chance = random.Random(seed)
    kinds = (photos.talkative(6), photos.progressive(), photos.cmyk(), photos.mpo(), photos.with_profile("adobe"))
    for _ in range(12):
        data = bytearray(chance.choice(kinds))
        for _ in range(chance.randint(1, 30)):
            data[chance.randrange(len(data) if chance.random() < 0.3 else 1500)] = chance.randrange(256)
        put(inbox, bytes(data))
        outcome = render(job(inbox, max_pixels=20_000_000))
        assert isinstance(outcome, Done | Unready | Failed)


# ---- in motion ----


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let something happen after the photo was read and before it is looked at again."""

    def at_recheck(act: Callable[[], object]) -> None:
        recheck = Source.recheck

        def then(source: Source) -> None:
            act()
            recheck(source)

        monkeypatch.setattr(Source, "recheck", then)

    return at_recheck


def test_a_photo_replaced_or_grown_while_it_is_read_is_unready_and_nothing_appears(
    inbox: Path, meanwhile: Callable[[Callable[[], object]], None]
) -> None:  # invariant 6
    photo = put(inbox, photos.plain())

    def replace() -> None:
        other = inbox / "other"
        other.write_bytes(photos.noisy())
        other.rename(photo)

    meanwhile(replace)
    outcome = render(job(inbox))
    assert timeless(outcome) == Unready(stamp(photo), "it changed while it was read", settling=True)
    assert outputs(inbox) == set()


def test_a_photo_removed_while_it_is_read_has_vanished(
    inbox: Path, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    photo = put(inbox, photos.plain())
    meanwhile(photo.unlink)
    assert isinstance(render(job(inbox)), Vanished)
    assert outputs(inbox) == set()


# ---- the output side ----


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, FailureKind.DISK_FULL),
        (errno.EDQUOT, FailureKind.DISK_FULL),
        (errno.EIO, FailureKind.PASSING),
        (errno.EMFILE, FailureKind.PASSING),
        (errno.EBUSY, FailureKind.PASSING),
        (errno.ESTALE, FailureKind.PASSING),
        (errno.EROFS, FailureKind.PASSING),
        (errno.EACCES, FailureKind.PASSING),
    ],
)
def test_errors_of_the_disk_are_sorted_and_leave_no_temporary_file(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: FailureKind
) -> None:
    put(inbox, photos.plain())
    real = os.fsync
    calls: list[int] = []

    def failing(file: int) -> None:
        calls.append(file)
        # past the folders that are made first; the second rendition's own file
        if len(calls) >= 5:
            raise OSError(code, os.strerror(code))
        real(file)

    monkeypatch.setattr(os, "fsync", failing)
    outcome = render(job(inbox))
    assert isinstance(outcome, Failed)
    assert outcome.kind is kind
    assert "x/a.jpg" in outcome.reason
    assert outputs(inbox) == set()


def test_a_real_full_disk_is_told_from_other_faults(inbox: Path) -> None:
    full = inbox.parent / "out"
    full.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", full], check=False).returncode
    ):
        pytest.skip("needs the right to mount a tmpfs")
    try:
        put(inbox, photos.noisy())
        outcome = render(job(inbox))
        assert isinstance(outcome, Failed)
        assert outcome.kind is FailureKind.DISK_FULL
        assert outputs(inbox) == set()
    finally:
        subprocess.run(["umount", full], check=True)


def _file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")


def _link(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path.parent)


@pytest.mark.parametrize(
    ("obstacle", "put_there", "kind"),
    [
        ("out", _file, FailureKind.OUTPUT),
        ("out/web", _file, FailureKind.OUTPUT),
        ("out/web", _link, FailureKind.OUTPUT),
        ("out/web/x", _file, FailureKind.PASSING),
        ("out/thumb/x", _link, FailureKind.PASSING),
    ],
)
def test_what_is_in_the_way_of_every_photo_is_told_from_what_is_in_the_way_of_one(
    inbox: Path, obstacle: str, put_there: Callable[[Path], None], kind: FailureKind
) -> None:
    put(inbox, photos.plain())
    put_there(inbox.parent / obstacle)
    outcome = render(job(inbox))
    assert isinstance(outcome, Failed)
    assert outcome.kind is kind
    where = f"{inbox.parent}/out/web" if kind is FailureKind.OUTPUT else f"{obstacle.removeprefix('out/')}/a.jpg"
    assert outcome.reason.startswith(where)
    assert "a symbolic link or a file, not a folder; move that away" in outcome.reason
    assert not [path for path in outputs(inbox) if path.endswith((".jpg", ".tmp"))]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ESTALE])
@pytest.mark.parametrize("everywhere", [True, False])
def test_a_tree_that_nobody_may_write_is_told_from_a_folder_that_nobody_may_write(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, code: int, everywhere: bool
) -> None:
    put(inbox, photos.plain())
    real = os.open

    def opening(path: bytes | str, flags: int, *args: object, **more: object) -> int:
        if flags & os.O_CREAT:
            folder = os.readlink(f"/dev/fd/{more['dir_fd']}")
            if everywhere or folder.endswith("/x"):
                raise OSError(code, os.strerror(code))
        return real(path, flags, *args, **more)  # type: ignore[arg-type]  # as they came

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opening)
        outcome = render(job(inbox))
    assert isinstance(outcome, Failed)
    assert outcome.kind is (FailureKind.OUTPUT if everywhere else FailureKind.PASSING)
    assert outputs(inbox) == set()


@pytest.mark.parametrize("name", ["n" * 251, "\N{SNOWMAN}" * 83 + "nn"])
def test_an_output_whose_name_is_too_long_fails_at_once_and_nothing_of_the_photo_is_shown(
    inbox: Path, name: str
) -> None:
    (inbox / "x" / f"{name}.jpg").write_bytes(photos.plain())
    same = Rendering("web", WEB.recipe, os.fsencode(f"web/{name}.jpg"))
    longer = Rendering("small", THUMB.recipe, os.fsencode(f"small/{name}.webp"))
    assert isinstance(render(job(inbox, f"x/{name}.jpg", (same,))), Done)
    (inbox.parent / "out" / "web" / f"{name}.jpg").unlink()
    outcome = render(job(inbox, f"x/{name}.jpg", (same, longer)))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.PHOTO
    assert "too long for the file system; rename the photo" in outcome.reason
    assert outputs(inbox) == set()


def test_an_output_that_is_a_folder_or_lies_behind_a_link_is_refused(inbox: Path) -> None:
    put(inbox, photos.plain())
    out, elsewhere = inbox.parent / "out", inbox.parent / "elsewhere"
    (out / "thumb" / "x" / "a.jpg").mkdir(parents=True)
    outcome = render(job(inbox))
    assert isinstance(outcome, Failed)
    assert "a folder lies in its place" in outcome.reason
    assert outputs(inbox) == set()  # not even the other rendition
    elsewhere.mkdir()
    (out / "thumb").mkdir(exist_ok=True)
    for name in ("x", "y"):
        if not (out / "thumb" / name).exists():
            (out / "thumb" / name).symlink_to(elsewhere)
    rendering = Rendering("thumb", THUMB.recipe, b"thumb/y/a.jpg")
    outcome = render(job(inbox, renderings=(rendering,)))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.PASSING
    assert "symbolic link" in outcome.reason
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_the_place_of_an_output_is_replaced_and_not_written_through(inbox: Path) -> None:
    put(inbox, photos.plain())
    out, victim = inbox.parent / "out", inbox.parent / "victim"
    victim.write_bytes(b"precious")
    (out / "web" / "x").mkdir(parents=True)
    (out / "web" / "x" / "a.jpg").symlink_to(victim)
    assert isinstance(render(job(inbox)), Done)
    assert victim.read_bytes() == b"precious"
    assert not (out / "web" / "x" / "a.jpg").is_symlink()


def test_no_exception_gets_out_of_render(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(inbox, photos.plain())
    for error, kind in (
        (MemoryError(), FailureKind.PASSING),
        (ValueError("odd"), FailureKind.PHOTO),
        (OSError(errno.ENOMEM, "x"), FailureKind.PASSING),
    ):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(pipeline, "encode", fail)
        outcome = render(job(inbox))
        assert isinstance(outcome, Failed)
        assert outcome.kind is kind


def test_fsync_comes_before_rename_and_the_folder_after_it(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(inbox, photos.plain())
    render(job(inbox))
    trace: list[str] = []
    for name in ("fsync", "rename"):
        real = getattr(os, name)

        def traced(*args: object, name: str = name, real: Callable[..., object] = real, **more: object) -> object:
            kind = "folder" if name == "fsync" and os.path.isdir(f"/dev/fd/{args[0]}") else name
            trace.append(kind)
            return real(*args, **more)

        monkeypatch.setattr(os, name, traced)
    assert isinstance(render(job(inbox)), Done)
    assert trace == ["fsync", "fsync", "rename", "rename", "folder", "folder"]


# ---- file systems that can do less ----


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS, errno.EACCES])
def test_where_folders_cannot_be_synced_photos_are_made_all_the_same(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.fsync

    def of_files_only(file: int) -> None:
        if os.path.isdir(f"/dev/fd/{file}"):
            raise OSError(code, os.strerror(code))
        real(file)

    monkeypatch.setattr(os, "fsync", of_files_only)
    put(inbox, photos.plain())
    assert isinstance(render(job(inbox)), Done)
    assert outputs(inbox) == {"web/x/a.jpg", "thumb/x/a.jpg"}


def test_a_folder_that_fails_to_be_synced_is_no_folder_that_cannot_be(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, photos.plain())
    render(job(inbox))  # the folders are there
    real = os.fsync

    def failing(file: int) -> None:
        if os.path.isdir(f"/dev/fd/{file}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(file)

    monkeypatch.setattr(os, "fsync", failing)
    outcome = render(job(inbox))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.PASSING


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EILSEQ, errno.ENOENT])
def test_a_name_that_the_output_s_file_system_does_not_take_is_told_as_that(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    put(inbox, photos.plain())
    monkeypatch.setattr(os, "rename", refuse)
    outcome = render(job(inbox))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.PHOTO
    assert "takes no such name" in outcome.reason
    assert outputs(inbox) == set()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_where_nothing_can_be_synced_photos_are_made_all_the_same(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    put(inbox, photos.plain())
    monkeypatch.setattr(os, "fsync", refuse)
    assert isinstance(render(job(inbox)), Done)


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_where_dates_cannot_be_set_photos_are_made_all_the_same(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    put(inbox, photos.plain())
    monkeypatch.setattr(os, "utime", refuse)
    assert isinstance(render(job(inbox)), Done)
    assert outputs(inbox) == {"web/x/a.jpg", "thumb/x/a.jpg"}


# ---- adoption and sweeping ----


def test_outputs_that_prove_current_are_adopted_without_a_decode(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(inbox, photos.oriented(6))
    first = render(job(inbox))
    assert isinstance(first, Done)
    monkeypatch.setattr(pipeline, "decode_whole", None)
    outcome = render(job(inbox, adopt=True))
    assert isinstance(outcome, Done)
    assert outcome.made == tuple(dataclasses.replace(item, adopted=True) for item in first.made)


@pytest.mark.parametrize("spoil", ["time", "size", "recipe", "label", "quality", "content", "cut", "link", "gone"])
def test_an_output_that_does_not_prove_current_is_made_again(inbox: Path, spoil: str) -> None:
    put(inbox, photos.plain())
    assert isinstance(render(job(inbox)), Done)
    output = inbox.parent / "out" / "web" / "x" / "a.jpg"
    recipe = WEB.recipe
    match spoil:
        case "time":
            os.utime(output, ns=(OLD_NS + 1,) * 2)
        case "size":
            recipe = Recipe(200, 200, "inside", "jpeg", 85, "safe", recipe.fingerprint)
        case "recipe":
            recipe = Recipe(300, 300, "inside", "jpeg", 85, "all", "1111111111111111")
        case "label" | "quality":
            os.removexattr(output, ATTRIBUTE)
            if spoil == "quality":
                recipe = Recipe(300, 300, "inside", "jpeg", 60, "safe", "1111111111111111")
        case "content":
            os.removexattr(output, CONTENT)
        case "cut":
            output.write_bytes(output.read_bytes()[:-9])
            os.utime(output, ns=(OLD_NS,) * 2)
        case "link":
            output.rename(output.with_name("real"))
            output.symlink_to("real")
        case "gone":
            output.unlink()
    web = Rendering("web", recipe, WEB.output)
    outcome = render(job(inbox, renderings=(web, THUMB), adopt=True))
    assert isinstance(outcome, Done)
    # without a label of the recipe the encoder's tables and the size are proof enough, never of the content
    assert {m.name: m.adopted for m in outcome.made} == {"web": spoil == "label", "thumb": True}


def test_an_output_of_another_photo_that_looks_the_same_is_not_adopted(inbox: Path) -> None:
    put(inbox, photos.plain())
    assert isinstance(render(job(inbox)), Done)
    before = (inbox.parent / "out" / "web" / "x" / "a.jpg").read_bytes()
    put(inbox, photos.noisy())
    outcome = render(job(inbox, adopt=True))
    assert isinstance(outcome, Done)
    assert not any(made.adopted for made in outcome.made)
    assert (inbox.parent / "out" / "web" / "x" / "a.jpg").read_bytes() != before


def test_sweep_removes_what_dead_workers_left_and_nothing_else(inbox: Path) -> None:
    out = inbox.parent / "out"
    (out / "web" / "x").mkdir(parents=True)
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            "from watcher.fs.cleanup import host, temporary_name as t;print(t(1,2).decode(),end='')",
        ],
        check=True,
        capture_output=True,
        cwd=Path(pipeline.__file__).parents[2],
    )
    dead, alive = child.stdout.decode(), temporary_name(3, 4).decode()
    other, hidden = ".watcher-elsewhere-1-1-1.tmp", ".watcher-notes"
    for name in (dead, alive, other, hidden, ".b.jpg.tmp", "a.jpg"):
        (out / "web" / "x" / name).write_bytes(b"x")
    outside = inbox.parent / "outside"
    outside.mkdir()
    (outside / dead).write_bytes(b"x")
    (out / "link").symlink_to(outside)
    assert clean_up(os.fsencode(out)) == 1
    assert outputs(inbox) - {"link"} == {f"web/x/{n}" for n in (alive, other, hidden, ".b.jpg.tmp", "a.jpg")}
    assert clean_up(os.fsencode(out), now=time.time() + 3700) == 1
    assert clean_up(os.fsencode(out), now=time.time() + 90_000) == 1
    assert (outside / dead).exists()
    assert clean_up(os.fsencode(out / "missing")) == 0


def test_sweep_leaves_what_a_container_of_the_same_name_is_at_work_on(inbox: Path) -> None:
    here = temporary_name(3, 4)
    elsewhere = here.replace(place(), b"0123abcd")
    assert elsewhere != here
    name = os.fsdecode(elsewhere.replace(b"-%d-" % os.getpid(), b"-999999999-"))  # no such process here
    (inbox.parent / "out").mkdir()
    (inbox.parent / "out" / name).touch()
    assert clean_up(os.fsencode(inbox.parent / "out")) == 0
    assert clean_up(os.fsencode(inbox.parent / "out"), now=time.time() + 3700) == 1


def test_temporary_names_are_short_and_safe_whatever_the_host_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "my/host " * 40)
    host.cache_clear()
    name = temporary_name(10**18, 10**5)
    host.cache_clear()
    assert name.startswith(b".watcher-my_host_my_host_")
    assert len(name) <= 255


def test_a_stale_file_under_the_same_temporary_name_is_no_obstacle(inbox: Path) -> None:
    put(inbox, photos.plain())
    folder = inbox.parent / "out" / "web" / "x"
    folder.mkdir(parents=True)
    (folder / os.fsdecode(temporary_name(7, 0))).write_bytes(b"stale")
    assert isinstance(render(job(inbox)), Done)
    assert outputs(inbox) == {"web/x/a.jpg", "thumb/x/a.jpg"}


def test_what_was_not_committed_is_removed(inbox: Path) -> None:
    with Outputs() as folders, contextlib.closing(Publication(folders, os.fsencode(inbox.parent / "out"), 1)) as one:
        one.add(b"web/a.jpg", b"data", OLD_NS, "f")
        assert len(outputs(inbox)) == 1
    assert outputs(inbox) == set()


# ---- the worker ----


def test_importing_the_room_brings_no_pillow_into_the_daemon_and_a_warm_worker_is_small() -> None:
    script = """
import sys
import watcher.render as r
assert not [m for m in sys.modules if m.startswith(('PIL', 'cykooz'))]
r.warm()
if sys.platform == 'linux':
    print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))
"""
    root = Path(pipeline.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=root)
    # not ru_maxrss: it is inherited from the process that started this one
    assert sys.platform != "linux" or int(done.stdout) < 40 << 10


def test_a_worker_leaks_no_file_descriptor(inbox: Path) -> None:
    put(inbox, photos.plain())
    render(job(inbox))
    before = len(os.listdir("/dev/fd"))
    for data in (photos.plain(), photos.truncated(), photos.TEXT, photos.bomb(), photos.mpo()):
        put(inbox, data)
        render(job(inbox))
        render(job(inbox, adopt=True))
        render(job(inbox, "x/none.jpg"))
    assert len(os.listdir("/dev/fd")) == before
