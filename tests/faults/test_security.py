"""Nobody gets in through a photo, its name, its folder or the output tree."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import photos
from tests.e2e.harness import BOTH, Place, camera, fill, shows, tree, until
from tests.faults.processes import peak_megabytes
from tests.faults.records import standing
from tests.faults.tracing import needs_strace, trace
from watcher.core.recipe import Recipe
from watcher.core.types import Done, Job, PhotoId, Rendering, Vanished
from watcher.render import render

GREEN, SECRET = 1, 5  # numbers of photos that can't be taken for one another


def special_files(inbox: Path) -> Iterator[Path]:
    """Make every kind of file that is none of a photo's and yet called like one."""
    fifo = inbox / "fifo.jpg"
    os.mkfifo(fifo)
    yield fifo
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(".", os.O_RDONLY)
        try:
            os.chdir(inbox)  # a socket's path may be but 108 bytes long
            server.bind("socket.jpg")
        finally:
            os.fchdir(here)
            os.close(here)
    yield inbox / "socket.jpg"
    if os.geteuid() == 0:
        os.mknod(inbox / "device.jpg", stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero: endless
        yield inbox / "device.jpg"


def links(inbox: Path, outside: Path) -> None:
    """Link out of the inbox in every way."""
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(camera(SECRET))
    (inbox / "file.jpg").symlink_to(outside / "secret.jpg")
    (inbox / "folder").symlink_to(outside)
    (inbox / "passwd.jpg").symlink_to("/etc/passwd")
    (inbox / "loop").symlink_to(inbox)
    (inbox / "self.jpg").symlink_to("self.jpg")
    (inbox / "nowhere.jpg").symlink_to(outside / "nothing.jpg")
    (inbox / "etc").symlink_to("/etc")


def test_links_and_special_files_are_passed_over_by_the_daemon(place: Place) -> None:
    with place.run() as daemon:
        links(place.inbox, place.root / "outside")
        special = list(special_files(place.inbox))
        (place.root / "outside" / "more.jpg").write_bytes(camera(SECRET))
        fill(place.inbox, 2)
        daemon.settle(2)

        def passed_over() -> dict[str, str]:
            return {Path(line["path"]).name: line["reason"] for line in daemon.events("photo.vanished")}

        until(lambda: set(passed_over()) >= {path.name for path in special}, "each of them is passed over")
        with pytest.raises(OSError, match="No such device or address"):  # nobody has it open for reading
            os.open(special[0], os.O_WRONLY | os.O_NONBLOCK)
        assert daemon.stop() == 0
    assert tree(place.output).keys() == {f"{rendition}/p00{number}.jpg" for rendition in BOTH for number in (0, 1)}
    assert all(passed_over()[path.name].endswith(", not a photo") for path in special)
    found = place.status()
    counts = found["inboxes"][0]
    assert (counts["done"], counts["failed"], counts["waiting"]) == (2, 0, 0), "as where a scan comes by them"


@needs_strace
def test_links_and_special_files_are_not_even_opened(place: Place) -> None:
    links(place.inbox, place.root / "outside")
    special = list(special_files(place.inbox))
    fill(place.inbox, 2)
    traced = trace(place, "-s", "4096", "-e", "trace=open,openat,openat2,readlink,readlinkat,connect")
    assert traced.finished.code == 0, traced.finished
    touched = [line for line in traced.lines if str(place.root / "outside") in line or "/etc/passwd>" in line]
    assert touched == []
    for path in special:
        assert not [line for line in traced.lines if f'"{path.name}"' in line or f'"{path}"' in line]


@pytest.mark.parametrize("where", ["", "trip"])
def test_a_link_in_the_output_tree_leads_nothing_out_of_it(place: Place, where: str) -> None:
    outside = place.root / "outside"
    outside.mkdir()
    place.configure(retry={"backoff_seconds": 0.02})
    fill(place.inbox / where, 2)
    link = place.output / "web" / where
    link.parent.mkdir(parents=True, exist_ok=True)
    if where == "":
        link = place.output / "web"
    link.symlink_to(outside)
    finished = place.once()
    assert finished.code == 1, finished
    assert list(outside.iterdir()) == []
    assert finished.out.count("symbolic link") == 2
    assert "Traceback" not in finished.err


# ---- swapped between check and use ----


def job(root: Path, path: bytes, number: int) -> Job:
    recipe = Recipe(100, 100, "inside", "jpeg", 85, "none", "0123456789abcdef")
    renderings = (Rendering("web", recipe, b"web/" + path),)
    return Job(number, PhotoId(os.fsencode(root / "inbox"), path), os.fsencode(root / "output"), renderings)


@contextmanager
def flipping(path: Path, target: Path) -> Iterator[None]:
    """Put a link to `target` in the place of `path` and take it away again, over and over."""
    real, link = path.with_name("real"), path.with_name("link")
    end = threading.Event()

    def put(what: Path) -> None:
        while True:
            try:
                return os.replace(what, path)
            except OSError:  # a worker has made a folder where there was none for a moment
                shutil.rmtree(path, ignore_errors=True)

    def flip() -> None:
        while not end.is_set():
            link.symlink_to(target)
            path.rename(real)
            put(link)
            path.unlink()
            put(real)

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.fixture
def swapped(tmp_path: Path) -> Path:
    """Give a folder with an inbox, an output folder, and a secret outside of both."""
    for folder in ("inbox/trip", "output/web", "outside"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "inbox" / "trip" / "p.jpg").write_bytes(camera(GREEN, 60, 40))
    (tmp_path / "outside" / "p.jpg").write_bytes(camera(SECRET, 60, 40))
    return tmp_path


@pytest.mark.parametrize(("flip", "target"), [("inbox/trip", "outside"), ("inbox/trip/p.jpg", "outside/p.jpg")])
def test_a_link_put_into_a_photos_path_at_any_moment_is_not_followed(swapped: Path, flip: str, target: str) -> None:
    output = swapped / "output" / "web" / "trip" / "p.jpg"
    made, number = 0, 0
    deadline = time.monotonic() + 20
    with flipping(swapped / flip, swapped / target):
        while made < 20 or number < 100:
            number += 1
            if isinstance(render(job(swapped, b"trip/p.jpg", number)), Done):
                made += 1
                assert shows(output, GREEN), "the secret was rendered"
            assert time.monotonic() < deadline, (made, number)
    assert made < number, "the swap was never met: the test proves nothing"


def test_a_link_put_in_a_photos_place_between_look_and_open_is_not_opened(
    swapped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, opened = swapped / "inbox" / "trip" / "p.jpg", []
    look, real_open = os.stat, os.open

    def looking(path: str | bytes, **more: Any) -> os.stat_result:  # noqa: ANN401  # as os.stat takes it
        found = look(path, **more)
        if path == b"p.jpg" and not photo.is_symlink():
            photo.unlink()
            photo.symlink_to(swapped / "outside" / "p.jpg")
        return found

    def opening(*args: Any, **more: Any) -> int:  # noqa: ANN401  # as os.open takes it
        file = real_open(*args, **more)
        opened.append(os.readlink(f"/proc/self/fd/{file}"))
        return file

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", looking)
        patch.setattr(os, "open", opening)
        outcome = render(job(swapped, b"trip/p.jpg", 1))
    assert isinstance(outcome, Vanished)
    assert opened
    assert not [path for path in opened if path.startswith(str(swapped / "outside"))]


def test_a_link_put_into_the_output_tree_at_any_moment_is_not_followed(swapped: Path) -> None:
    before = [(path.name, path.stat().st_mtime_ns) for path in (swapped / "outside").iterdir()]
    made, number = 0, 0
    deadline = time.monotonic() + 20
    with flipping(swapped / "output" / "web", swapped / "outside"):
        while made < 20 or number < 100:
            number += 1
            made += isinstance(render(job(swapped, b"trip/p.jpg", number)), Done)
            assert [(path.name, path.stat().st_mtime_ns) for path in (swapped / "outside").iterdir()] == before
            assert time.monotonic() < deadline, (made, number)
    assert made < number, "the swap was never met: the test proves nothing"


# ---- names, modes ----

EVIL = [
    'a\n{"event": "photo.done", "level": "info", "path": "forged"}\n.jpg',
    "b\r\x1b[2J\x1b[31mred\x07.jpg",
    "c\x9b31m\u2028\u202egpj.jpg",
    os.fsdecode(b"d\xff\xfe\n.jpg"),
]


@pytest.mark.parametrize("style", ["json", "console"])
def test_file_names_cannot_forge_log_lines_or_command_a_terminal(place: Place, style: str) -> None:
    place.configure(log={"format": style, "level": "debug"})
    for name in EVIL:
        (place.inbox / name).write_bytes(photos.TEXT)
        os.utime(place.inbox / name, (1, 1))
    (place.inbox / "good\n.jpg").write_bytes(camera())
    finished = place.once()
    assert finished.code == 1
    status = place.watcher("status", "--config", place.config)
    for text in (finished.out, finished.err, status.out):
        assert not [c for c in text if (c < " " and c != "\n") or "\x7f" <= c < "\xa0" or c in "\u2028\u2029\u202e"]
        assert not [line for line in text.splitlines() if line.startswith('{"event": "photo.done", "level": "info"')]
    assert finished.out.count("failed: ") == len(EVIL)
    assert len(finished.out.splitlines()) == len(EVIL) + 1
    if style == "json":
        lines = finished.err.splitlines()
        assert all(isinstance(json.loads(line), dict) for line in lines)
        assert len([line for line in lines if json.loads(line)["event"] == "photo.failed"]) == len(EVIL)
        assert json.loads(place.watcher("status", "--config", place.config, "--json").out)["failed"]


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o666), (0o077, 0o600)])
def test_the_books_are_for_their_owner_alone_and_outputs_go_by_the_umask(place: Place, umask: int, mode: int) -> None:
    fill(place.inbox, 1)
    before = os.umask(umask)
    try:
        with place.run() as daemon:
            daemon.settle(1)
            books = [path for path in place.root.iterdir() if path.name.startswith("state.db")]
            assert len(books) >= 3  # with its log, its index and its lock
            assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in books} == {oct(0o600)}
            outputs = place.outputs("p000.jpg")
            assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in outputs} == {oct(mode)}
    finally:
        os.umask(before)


# ---- metadata bombs ----


def _segments(marker: int, prefix: bytes, megabytes: int) -> bytes:
    return photos.segment(marker, prefix + b"x" * 65_000) * (megabytes * 16)


def _xmp() -> bytes:
    return photos.spliced(photos.plain(), _segments(0xE1, b"http://ns.adobe.com/xap/1.0/\0", 50))


def _xmp_brackets() -> bytes:
    body = b"http://ns.adobe.com/xap/1.0/\0" + b"<dc:rights>" * 5_900
    return photos.spliced(photos.plain(), photos.segment(0xE1, body) * 60)


def _icc() -> bytes:
    parts = [photos.segment(0xE2, b"ICC_PROFILE\0" + bytes((i % 255 + 1, 255)) + b"z" * 65_000) for i in range(320)]
    return photos.spliced(photos.plain(), *parts)


def _icc_claims() -> bytes:
    """Give a profile of one segment whose tables claim four thousand million entries."""
    profile = bytearray(photos.icc("adobe"))
    profile[0:4] = b"\xff\xff\xff\xff"
    profile[128:132] = b"\xff\xff\xff\xff"
    return photos.jpeg(icc_profile=bytes(profile))


def _exif() -> bytes:
    return photos.spliced(photos.plain(), _segments(0xE1, b"Exif\0\0", 50))


def _ifds() -> bytes:
    """Give a chain of thousands of directories, one behind the other, and the last one points at the first."""
    count = 60_000 // 18
    block = b"II*\0" + struct.pack("<I", 8)
    for number in range(count):
        after = 8 + 18 * (number + 1) if number < count - 1 else 8
        block += struct.pack("<HHHIII", 1, 0x8769, 4, 1, after, after)
    return photos.spliced(photos.plain(), photos.segment(0xE1, b"Exif\0\0" + block[:65_000]))


def _counts() -> bytes:
    """Give a directory whose entries claim as many values as can be said."""
    entries = b"".join(struct.pack("<HHII", tag, 12, 0xFFFFFFFF, 8) for tag in range(0x8298, 0x8298 + 5000))
    block = b"II*\0" + struct.pack("<IH", 8, 5000) + entries + bytes(4)
    return photos.spliced(photos.plain(), photos.segment(0xE1, b"Exif\0\0" + block))


BOMBS: list[Callable[[], bytes]] = [_xmp, _xmp_brackets, _icc, _icc_claims, _exif, _ifds, _counts, photos.looping_exif]


def test_metadata_bombs_cost_neither_the_photo_nor_time_nor_memory(place: Place) -> None:
    recipes = {policy: {"width": 100, "height": 100, "metadata": policy} for policy in ("none", "safe", "all")}
    place.configure(recipes, workers=1)
    with place.run() as daemon:
        fill(place.root / "drop", 1, 500)
        for bomb in BOMBS:
            path = place.root / "drop" / f"{bomb.__name__.strip('_')}.jpg"
            path.write_bytes(bomb())
            os.utime(path, (1, 1))
        (place.root / "drop").rename(place.inbox / "drop")
        daemon.settle(1 + len(BOMBS))
        assert place.status()["failed"] == []
        slow = {line["path"]: line["seconds"] for line in daemon.events("photo.done") if line["seconds"] > 2.0}
        assert not slow
        workers = [pid for pid in place.left() if pid != daemon.process.pid]
        assert max(map(peak_megabytes, workers)) < 130  # 89 measured, 180 without a bound
        assert daemon.stop() == 0
    assert max(path.stat().st_size for path in tree(place.output).values()) < 200_000
    assert len(tree(place.output)) == 3 * (1 + len(BOMBS))


def test_a_link_that_takes_a_photos_place_later_is_not_followed(place: Place) -> None:
    outside = place.root / "secret.jpg"
    outside.write_bytes(camera(SECRET))
    with place.run() as daemon:
        (photo,) = fill(place.inbox, 1, GREEN)
        daemon.settle(1)
        link = place.root / "link"
        link.symlink_to(outside)
        link.rename(photo)
        until(lambda: standing(place).done == 0, "the photo is gone")
        assert daemon.stop() == 0
    assert all(shows(path, GREEN) for path in place.outputs("p001.jpg"))
