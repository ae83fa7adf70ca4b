"""The walk of an inbox, with real files and a real thread."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.photos import nest
from watcher.core.messages import Entry, Gone, Listing, Looked, ScanDone
from watcher.core.selection import PathFilter
from watcher.core.stability import Look
from watcher.core.types import FileSignature, Origin
from watcher.fs.openat import folder_identity
from watcher.scan import Scanner, Walk, walk

JPEGS = PathFilter(("*.jpg",), (), recursive=True)
TIMEOUT = 10.0  # seconds until a test gives up on an answer


class InboxState:
    """Takes what the scanner posts, and answers each Listing where it is told to."""

    def __init__(self, inbox: Path, selection: PathFilter = JPEGS, *, chunk: int = 1000, outstanding: int = 4) -> None:
        self.queue: queue.SimpleQueue[Listing | Looked | ScanDone | Gone] = queue.SimpleQueue()
        self.scanner = Scanner(os.fsencode(inbox), selection, self.queue.put, chunk=chunk, outstanding=outstanding)

    def take(self) -> Listing | Looked | ScanDone | Gone:
        message = self.queue.get(timeout=TIMEOUT)
        if isinstance(message, Listing):
            self.scanner.ack()
        return message

    def scan(self, number: int, folder: bytes = b"", *, deep: bool = True) -> tuple[list[Listing], ScanDone]:
        assert self.scanner.request(number, Origin.SCAN, folder, deep=deep)
        listings: list[Listing] = []
        while True:
            message = self.take()
            if isinstance(message, ScanDone):
                return listings, message
            assert isinstance(message, Listing)
            listings.append(message)


@contextmanager
def desk(
    inbox: Path, selection: PathFilter = JPEGS, *, chunk: int = 1000, outstanding: int = 4
) -> Iterator[InboxState]:
    made = InboxState(inbox, selection, chunk=chunk, outstanding=outstanding)
    try:
        yield made
    finally:
        made.scanner.close()


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Path]:
    """Give an inbox that nobody but `rm` may be able to remove."""
    path = tmp_path / "inbox"
    path.mkdir()
    yield path
    subprocess.run(["rm", "-rf", "inbox"], cwd=tmp_path, check=True)


def test_a_folder_of_a_thousand_levels_is_walked_to_its_end(inbox: Path) -> None:
    nest(inbox, 1000)
    (inbox / "/".join(["n"] * 1000) / "a.jpg").write_bytes(b"x")
    with desk(inbox) as made:
        listings, done = made.scan(1)
    assert (done.complete, done.folders, done.photos) == (True, 1001, 1)
    assert listings[-1].folder == b"/".join([b"n"] * 1000)


def test_a_folder_whose_path_nobody_can_open_is_told_and_the_rest_is_walked(inbox: Path) -> None:
    nest(inbox, 20, "ä" * 127)  # 254 bytes each
    (inbox / "z").mkdir()
    (inbox / "z" / "a.jpg").write_bytes(b"x")
    with desk(inbox) as made:
        _, done = made.scan(1)
    assert done.photos == 1
    assert not done.complete
    assert "its path is longer than the system can open" in done.reason
    assert len(done.reason) < 1000


def test_a_scan_that_fails_is_answered_and_the_next_one_is_done(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda fault: told.append(fault.exc_type))
    (inbox / "a.jpg").write_bytes(b"x")
    with desk(inbox) as made:
        with monkeypatch.context() as patch:
            patch.setattr(Walk, "_list", lambda *_: 1 // 0)
            _, done = made.scan(1)
        assert not done.complete
        assert "by a fault of the program: ZeroDivisionError" in done.reason
        assert done.root is not None
        assert told == [ZeroDivisionError]
        _, done = made.scan(2)
    assert (done.complete, done.photos) == (True, 1)


def ends(thread: threading.Thread) -> bool:
    thread.join(TIMEOUT)
    return not thread.is_alive()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that any user can reach; pytest's own are private."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def touch(root: Path, *names: str | bytes) -> None:
    for name in names:
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass


def paths(listings: list[Listing]) -> set[bytes]:
    return {os.path.join(part.folder, entry.name) for part in listings for entry in part.entries}


def test_every_photo_is_told_once_with_its_stamp_and_nothing_else(tmp_path: Path) -> None:
    names = {
        b"a.jpg",
        b"sub/b.JPG",
        b"sub/deep/c.jpg",
        b"two\nlines.jpg",
        b"\xff\xfe.jpg",
        b"x.jpg/inside.jpg",
        b"y" * 251 + b".jpg",
    }
    touch(tmp_path, *names, "note.txt", ".hidden.jpg", "@eaDir/a.jpg", "sub/t.jpg.part")
    os.mkfifo(tmp_path / "fifo.jpg")
    with desk(tmp_path) as it:
        listings, done = it.scan(7)
    assert paths(listings) == names
    assert sum(len(part.entries) for part in listings) == len(names) == done.photos
    assert {part.scan for part in listings} == {7}
    found = next(e for part in listings for e in part.entries if e.name == b"a.jpg")
    there = os.lstat(tmp_path / "a.jpg")
    assert found == Entry(b"a.jpg", FileSignature(there.st_size, there.st_mtime_ns, there.st_ino), there.st_ctime_ns)
    assert (done.complete, done.reason, done.folders, done.folder, done.origin) == (True, "", 4, b"", Origin.SCAN)
    assert done.root == folder_identity(os.fsencode(tmp_path))


def test_a_large_folder_comes_in_parts_and_an_empty_one_as_one_empty_last_part(tmp_path: Path) -> None:
    touch(tmp_path, *(f"big/{n}.jpg" for n in range(10)))
    (tmp_path / "empty").mkdir()
    with desk(tmp_path, chunk=4) as it:
        listings, _ = it.scan(1)
    assert [(len(p.entries), p.last) for p in listings if p.folder == b"big"] == [(4, False), (4, False), (2, True)]
    assert [(p.entries, p.last) for p in listings if p.folder == b"empty"] == [((), True)]
    assert [p.last for p in listings if p.folder == b""] == [True]


def test_jpegs_come_before_photos_whose_copies_could_take_their_names(tmp_path: Path) -> None:
    names = [f"{number}.{ending}" for number in range(8) for ending in ("heic", "JPG", "png", "jpeg")]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    (listing,) = walk(os.fsencode(tmp_path), PathFilter(("*",), (), recursive=True))
    found = [os.fsdecode(entry.name) for entry in listing.entries]
    assert sorted(found) == sorted(names)
    assert {name[-3:] for name in found[:16]} == {"JPG", "peg"}


def test_symbolic_links_are_followed_neither_to_files_nor_to_folders(tmp_path: Path) -> None:
    outside, inbox = tmp_path / "outside", tmp_path / "inbox"
    touch(outside, "secret.jpg")
    touch(inbox, "a.jpg")
    (inbox / "link.jpg").symlink_to(outside / "secret.jpg")
    (inbox / "folder").symlink_to(outside)
    (inbox / "loop").symlink_to(inbox)
    with desk(inbox) as it:
        assert paths(it.scan(1)[0]) == {b"a.jpg"}
        it.scanner.request(2, Origin.FOLDER, b"folder")
        assert it.take() == Gone(os.fsencode(inbox), folders=(b"folder",), root=folder_identity(os.fsencode(inbox)))
        assert isinstance(it.take(), ScanDone)


def test_an_excluded_folder_is_not_even_opened(tmp_path: Path) -> None:
    touch(tmp_path, "drafts/a.jpg", "b.jpg")
    opened: list[bytes] = []

    class Spy(PathFilter):
        def enters(self, folder: bytes) -> bool:
            opened.append(folder)
            return super().enters(folder)

    found = walk(os.fsencode(tmp_path), Spy(("*.jpg",), ("drafts/",), recursive=True))
    assert paths(list(found)) == {b"b.jpg"}
    assert found.folders == 1
    assert b"drafts" in opened


def test_a_shallow_request_tells_one_folder_only(tmp_path: Path) -> None:
    touch(tmp_path, "sub/a.jpg", "sub/deep/b.jpg")
    with desk(tmp_path) as it:
        listings, done = it.scan(1, b"sub", deep=False)
    assert paths(listings) == {b"sub/a.jpg"}
    assert done.folder == b"sub"


def test_a_tree_deeper_than_the_recursion_limit_is_walked(tmp_path: Path) -> None:
    depth = 1200
    start = os.open(tmp_path, os.O_RDONLY)
    at = start
    for _ in range(depth):  # one step at a time: the whole path is longer than a system call takes
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    found = walk(os.fsencode(tmp_path), JPEGS)
    assert len(list(found)) == depth + 1
    assert found.complete
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # shutil.rmtree is recursive here


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody who may not read")
def test_a_folder_that_cannot_be_read_makes_the_scan_incomplete_and_is_named(open_folder: Path) -> None:
    touch(open_folder, "closed/a.jpg", "open/b.jpg")
    (open_folder / "closed").chmod(0)
    found = walk(os.fsencode(open_folder), JPEGS)
    os.seteuid(65534)
    try:
        listings = list(found)
    finally:
        os.seteuid(0)
    assert paths(listings) == {b"open/b.jpg"}
    assert b"closed" not in {part.folder for part in listings}
    assert not found.complete
    assert f"{open_folder}/closed can't be read" in found.reason
    assert "chmod u+rx" in found.reason


def test_an_inbox_that_is_not_there_is_said_so_and_nothing_is_concluded(tmp_path: Path) -> None:
    with desk(tmp_path / "away") as it:
        listings, done = it.scan(1)
        it.scanner.examine([b"a.jpg"], [b"sub"])
        it.scan(2)
        assert it.queue.empty()
    assert listings == []
    assert (done.root, done.complete) == (None, False)
    assert "is not there" in done.reason


def test_an_inbox_that_is_replaced_under_the_scan_makes_it_incomplete(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    touch(inbox, "a.jpg", "sub/b.jpg")
    found = Walk(os.fsencode(inbox), JPEGS)
    parts = iter(found)
    next(parts)
    inbox.rename(tmp_path / "old")
    inbox.mkdir()
    list(parts)
    assert not found.complete
    assert "changed under the scan" in found.reason


def test_a_folder_that_vanishes_under_the_walk_is_no_fault(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "sub/b.jpg")
    found = Walk(os.fsencode(tmp_path), JPEGS)
    parts = iter(found)
    assert next(parts).folder == b""
    shutil.rmtree(tmp_path / "sub")
    assert list(parts) == []
    assert found.complete


def test_a_requested_folder_that_is_gone_is_told_as_gone(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        it.scanner.request(3, Origin.FOLDER, b"no/such")
        assert it.take() == Gone(
            os.fsencode(tmp_path), folders=(b"no/such",), root=folder_identity(os.fsencode(tmp_path))
        )
        done = it.take()
        assert isinstance(done, ScanDone)
        assert (done.scan, done.complete, done.photos) == (3, True, 0)


def test_examining_tells_what_is_gone_in_one_message_and_keeps_silent_on_the_rest(tmp_path: Path) -> None:
    touch(tmp_path, "here.jpg", "sub/b.jpg")
    (tmp_path / "link.jpg").symlink_to("here.jpg")
    with desk(tmp_path) as it:
        it.scanner.examine([b"here.jpg", b"gone.jpg", b"here.jpg/x.jpg", b"link.jpg"], [b"sub", b"nosub", b"here.jpg"])
        paths, folders = (b"gone.jpg", b"here.jpg/x.jpg", b"link.jpg"), (b"nosub", b"here.jpg")
        assert it.take() == Gone(os.fsencode(tmp_path), paths, folders, folder_identity(os.fsencode(tmp_path)))
        it.scanner.examine([b"here.jpg"], [b"sub"])
        assert isinstance(it.scan(1)[1], ScanDone)
        assert it.queue.empty()


def test_no_more_listings_than_agreed_are_unanswered(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{n}/a.jpg" for n in range(8)))
    with desk(tmp_path, outstanding=2) as it:
        it.scanner.request(1, Origin.START)
        first = [it.queue.get(timeout=TIMEOUT), it.queue.get(timeout=TIMEOUT)]
        assert all(isinstance(message, Listing) for message in first)
        with pytest.raises(queue.Empty):
            it.queue.get(timeout=0.2)  # nothing may come: the wait is the assertion
        it.scanner.ack()
        assert isinstance(it.queue.get(timeout=TIMEOUT), Listing)
        with pytest.raises(queue.Empty):
            it.queue.get(timeout=0.2)


def test_a_waiting_request_is_not_queued_twice_and_the_whole_inbox_covers_its_folders(tmp_path: Path) -> None:
    touch(tmp_path, "sub/a.jpg", "other/b.jpg")
    with desk(tmp_path, outstanding=1) as it:
        assert it.scanner.request(1, Origin.FOLDER, b"sub")
        held = it.queue.get(timeout=TIMEOUT)  # unanswered; a second listing has no room
        assert isinstance(held, Listing)
        assert isinstance(it.queue.get(timeout=TIMEOUT), ScanDone)
        assert it.scanner.request(2, Origin.FOLDER, b"other")
        while it.scanner._requests:
            time.sleep(0.001)  # until the thread has taken it and waits for room
        assert it.scanner.request(3, Origin.FOLDER, b"sub")
        assert not it.scanner.request(4, Origin.FOLDER, b"sub")
        assert not it.scanner.request(5, Origin.FOLDER, b"sub", deep=False)
        assert it.scanner.request(6, Origin.SCAN)
        assert not it.scanner.request(7, Origin.SCAN)
        assert not it.scanner.request(8, Origin.FOLDER, b"other")
        it.scanner.ack()
        done: list[int] = []
        while len(done) < 2:
            message = it.take()
            if isinstance(message, ScanDone):
                done.append(message.scan)
        assert done == [2, 6]


def test_a_request_for_one_folder_overtakes_a_walk_of_the_whole_inbox(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{n:02}/a.jpg" for n in range(20)), "urgent/now.jpg")
    with desk(tmp_path, outstanding=1) as it:
        it.scanner.request(1, Origin.START)
        assert isinstance(it.queue.get(timeout=TIMEOUT), Listing)
        it.scanner.request(2, Origin.FOLDER, b"urgent")
        it.scanner.examine([b"gone.jpg"], [])
        it.scanner.ack()
        order = [it.take() for _ in range(6)]
        rest: list[Listing | Looked | Gone] = []
        while not isinstance(message := it.take(), ScanDone):
            rest.append(message)
    overtaking = [m for m in order if isinstance(m, Listing) and m.scan == 2]
    assert [e.name for m in overtaking for e in m.entries] == [b"now.jpg"]
    assert [m.scan for m in order if isinstance(m, ScanDone)] == [2]
    assert [m.paths for m in order if isinstance(m, Gone)] == [(b"gone.jpg",)]
    assert (message.scan, message.photos) == (1, 21)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"longer"),
        lambda path: os.utime(path, (1, 1)),
        lambda path: path.chmod(0o600),
        lambda path: Path(shutil.copy2(path, f"{path}~")).replace(path),
    ],
    ids=["size", "mtime", "ctime", "inode"],
)
def test_a_look_tells_of_photos_that_look_otherwise_and_of_no_others(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    touch(tmp_path, "a.jpg", "same.jpg")
    looks = []
    for name in ("a.jpg", "same.jpg"):
        found = (tmp_path / name).stat()
        looks.append(
            Look(name.encode(), FileSignature(found.st_size, found.st_mtime_ns, found.st_ino), found.st_ctime_ns)
        )
    change(tmp_path / "a.jpg")
    found = (tmp_path / "a.jpg").stat()
    with desk(tmp_path) as it:
        it.scanner.look([*looks, Look(b"gone.jpg", FileSignature(1, 1))])
        stamp = FileSignature(found.st_size, found.st_mtime_ns, found.st_ino)
        assert it.take() == Looked(os.fsencode(tmp_path), ((b"a.jpg", stamp),))


def test_closing_ends_the_thread_even_while_it_waits_for_answers(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "sub/b.jpg")
    it = InboxState(tmp_path, outstanding=1)
    it.scanner.request(1, Origin.START)
    assert isinstance(it.queue.get(timeout=TIMEOUT), Listing)
    it.scanner.close()
    assert ends(it.scanner._thread)
    assert it.queue.empty()


def test_closing_does_not_wait_for_a_mount_that_hangs(tmp_path: Path) -> None:
    released = threading.Event()

    class Hung(PathFilter):
        def enters(self, folder: bytes) -> bool:
            del folder
            return released.wait(TIMEOUT)  # stands for a system call that does not come back

    it = InboxState(tmp_path, Hung(("*.jpg",), (), recursive=True))
    it.scanner.request(1, Origin.START)
    began = time.monotonic()
    it.scanner.close()
    assert time.monotonic() - began < 2
    released.set()
    assert ends(it.scanner._thread)


def test_files_that_include_does_not_take_are_counted_by_ending_without_junk_and_what_is_excluded(
    tmp_path: Path,
) -> None:
    touch(
        tmp_path,
        *("a.jpg", "sub/b.MOV", "sub/c.mov", "d.HEIC", "notes", "tar.gz", "what.is this", ".hidden"),
        *(".DS_Store", "e.mov.part", "Thumbs.db", "draft.mov", "@eaDir/f.mov", "out/g.mov", "draft.jpg"),
    )
    os.symlink("a.jpg", tmp_path / "link.mov")
    os.mkfifo(tmp_path / "pipe.mov")
    found = walk(os.fsencode(tmp_path), PathFilter(("*.jpg",), ("draft*", "out/"), recursive=True))
    assert [entry.name for part in found for entry in part.entries] == [b"a.jpg"]
    assert found.left_alone == (("", 2), (".mov", 2), (".gz", 1), (".heic", 1))
    with desk(tmp_path) as made:
        assert made.scan(1)[1].left_alone[0] == (".mov", 4)


def test_the_endings_that_are_counted_are_bounded(tmp_path: Path) -> None:
    touch(tmp_path, *(f"a.{number}" for number in range(1000)))
    found = walk(os.fsencode(tmp_path), JPEGS)
    assert list(found)
    assert len(found.left_alone) == 101
    assert found.left_alone[0] == ("", 900)
