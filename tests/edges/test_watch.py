"""watchdog on real folders: what is reported, and every way in which it falls silent."""

from __future__ import annotations

import ctypes
import errno
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

from tests.photos import nest
from watcher.core.messages import FolderSeen, Gone, Seen, WatchBack, WatchLost
from watcher.core.selection import PathFilter
from watcher.fs.openat import folder_identity
from watcher.watch import Message, Supervisor, Watch, WatchError
from watcher.watch.observer import NativeObserver

if sys.platform != "linux":
    pytest.skip("the traps are inotify's", allow_module_level=True)

TIMEOUT = 10.0  # seconds until a test gives up on a message
JPEGS = PathFilter(("*.jpg",), ("drafts/",), recursive=True)
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount, or to become somebody else")


class Ear:
    """A watch over one inbox, and what it has said."""

    def __init__(
        self,
        inbox: Path,
        *,
        takes: Callable[[bytes], bool] = JPEGS.takes,
        enters: Callable[[bytes], bool] = JPEGS.enters,
        recursive: bool = True,
        silence: Callable[[], str] = lambda: "",
        budget: int = 20_000,
        pause: float = 0.0,
        retry: float = 0.0,
    ) -> None:
        self.inbox = os.fsencode(inbox)
        self.heard: list[Message] = []
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.watch = Watch(
            self.inbox,
            recursive=recursive,
            takes=takes,
            enters=enters,
            post=self._queue.put,
            silence=silence,
            budget=budget,
            pause=pause,
            retry=retry,
        )

    def until(self, wanted: Callable[[Message], bool], *, doing: Callable[[], None] = lambda: None) -> Message:
        """Listen until a message fits, calling `doing` meanwhile."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            doing()
            try:
                message = self._queue.get(timeout=0.05)
            except queue.Empty:
                continue
            self.heard.append(message)
            if wanted(message):
                return message
        pytest.fail(f"waited in vain; heard {self.heard}")

    def sees(self, path: bytes, *, complete: bool | None = None) -> bool:
        message = self.until(lambda m: isinstance(m, Seen) and m.path == path and complete in {None, m.complete})
        return isinstance(message, Seen)

    def lost(self, *, healed: bool = False) -> str:
        message = self.until(lambda m: isinstance(m, WatchLost) and m.healed == healed, doing=self.watch.check)
        assert isinstance(message, WatchLost)
        return message.reason

    def back(self) -> None:
        self.until(lambda m: isinstance(m, WatchBack), doing=self.watch.check)

    def hears_again(self, inbox: Path) -> bool:
        """Tell whether a new photo is heard of; one name each time, so that no old message answers."""
        name = f"again-{time.monotonic_ns()}.jpg"
        put(inbox / name)
        return self.sees(os.path.relpath(os.fsencode(inbox / name), self.inbox), complete=True)

    def barrier(self, inbox: Path) -> list[Message]:
        """Give all that was heard up to now: everything before a photo that is made now."""
        before = len(self.heard)
        assert self.hears_again(inbox)
        return self.heard[before:-2]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "inbox"
    path.mkdir()
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "outside"
    path.mkdir()
    return path


@pytest.fixture
def listen(inbox: Path) -> Iterator[Callable[..., Ear]]:
    """Give a factory of started ears, which end with the test and must leave no thread and no descriptor."""
    threads, descriptors = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    ears: list[Ear] = []

    def make(path: Path = inbox, *, start: bool = True, **settings: object) -> Ear:
        ear = Ear(path, **settings)  # type: ignore[arg-type]  # handed on as they are
        ears.append(ear)
        if start:
            ear.watch.start()
        return ear

    yield make
    for ear in ears:
        ear.watch.close()
    for thread in set(threading.enumerate()) - threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive(), f"left over: {thread.name}"
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that any user can reach; pytest's own are private."""
    path = Path(tempfile.mkdtemp()).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def put(path: Path | bytes, content: bytes = b"x") -> None:
    with open(path, "wb") as file:
        file.write(content)


Listen = Callable[..., Ear]

# ---- what is reported ----


def test_a_photo_that_is_written_is_seen_and_then_seen_complete(inbox: Path, listen: Listen) -> None:
    ear = listen()
    put(inbox / "a.jpg")
    assert ear.sees(b"a.jpg", complete=True)
    assert ear.heard == [
        Seen(ear.inbox, b"a.jpg", complete=False, created=True),
        Seen(ear.inbox, b"a.jpg", complete=True),
    ]


def test_a_photo_that_is_linked_into_its_place_is_complete_at_once_and_not_new(
    inbox: Path, outside: Path, listen: Listen
) -> None:
    put(outside / "a.jpg")
    ear = listen()
    (inbox / "a.jpg").hardlink_to(outside / "a.jpg")
    assert ear.sees(b"a.jpg")
    assert ear.heard == [Seen(ear.inbox, b"a.jpg", complete=True)]


def exchange(one: Path, other: Path) -> None:
    """Exchange two names in one step."""
    call = ctypes.CDLL(None, use_errno=True).renameat2
    if call(-100, os.fsencode(one), -100, os.fsencode(other), 2):
        pytest.skip(f"this file system exchanges no names: {os.strerror(ctypes.get_errno())}")


def test_of_two_photos_that_exchange_their_names_none_is_gone(inbox: Path, listen: Listen) -> None:
    put(inbox / "a.jpg", b"a")
    put(inbox / "b.jpg", b"bb")
    ear = listen()
    exchange(inbox / "a.jpg", inbox / "b.jpg")
    heard = ear.barrier(inbox)
    assert [(m.path, m.complete, m.touched) for m in heard if isinstance(m, Seen)][:3] == [
        (b"b.jpg", True, False),
        (b"a.jpg", False, True),  # somebody has it already
        (b"a.jpg", True, False),
    ]
    assert not [m for m in heard if isinstance(m, Gone)]


def test_of_two_folders_that_exchange_their_names_none_is_gone(inbox: Path, listen: Listen) -> None:
    for folder in ("x", "y"):
        (inbox / folder).mkdir()
        put(inbox / folder / "a.jpg")
    ear = listen()
    exchange(inbox / "x", inbox / "y")
    heard = ear.barrier(inbox)
    assert {m.folder for m in heard if isinstance(m, FolderSeen)} == {b"x", b"y"}
    assert not [m for m in heard if isinstance(m, Gone)]


def test_a_photo_that_is_moved_in_from_outside_is_complete_at_once(inbox: Path, outside: Path, listen: Listen) -> None:
    put(outside / "a.jpg")
    ear = listen()
    (outside / "a.jpg").rename(inbox / "a.jpg")
    assert ear.sees(b"a.jpg")
    assert ear.heard == [Seen(ear.inbox, b"a.jpg", complete=True)]


def test_a_photo_that_is_moved_in_does_not_wait_behind_one_that_is_moved_out(
    inbox: Path, outside: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(outside / "in.jpg")
    put(inbox / "out.jpg")
    monkeypatch.setattr(InotifyMoveEventGrouper, "delay", 2 * TIMEOUT)  # what it holds back the next event for
    ear = listen()
    (inbox / "out.jpg").rename(outside / "out.jpg")
    (outside / "in.jpg").rename(inbox / "in.jpg")
    assert ear.sees(b"in.jpg", complete=True)


def test_a_temporary_file_that_gets_its_name_is_complete_and_a_photo_that_loses_it_is_gone(
    inbox: Path, outside: Path, listen: Listen
) -> None:
    ear = listen()
    put(inbox / ".a.jpg.Xy12zQ")
    (inbox / ".a.jpg.Xy12zQ").rename(inbox / "a.jpg")
    assert ear.sees(b"a.jpg")
    (inbox / "a.jpg").rename(inbox / "b.jpg")
    assert ear.sees(b"b.jpg")
    (inbox / "b.jpg").rename(outside / "b.jpg")
    put(inbox / "c.jpg")
    assert ear.sees(b"c.jpg", complete=True)
    (inbox / "c.jpg").unlink()
    ear.until(lambda m: m == Gone(ear.inbox, paths=(b"c.jpg",)))
    assert ear.heard == [
        Seen(ear.inbox, b"a.jpg", complete=True),
        Seen(ear.inbox, b"b.jpg", complete=True),
        Gone(ear.inbox, paths=(b"a.jpg",)),
        Gone(ear.inbox, paths=(b"b.jpg",)),
        Seen(ear.inbox, b"c.jpg", complete=False, created=True),
        Seen(ear.inbox, b"c.jpg", complete=True),
        Gone(ear.inbox, paths=(b"c.jpg",)),
    ]


def test_folders_are_told_when_they_come_move_and_go(inbox: Path, outside: Path, listen: Listen) -> None:
    (outside / "tree" / "below").mkdir(parents=True)
    put(outside / "tree" / "below" / "x.jpg")
    ear = listen()
    (outside / "tree").rename(inbox / "tree")
    ear.until(lambda m: m == FolderSeen(ear.inbox, b"tree"))
    put(inbox / "tree" / "below" / "y.jpg")
    assert ear.sees(b"tree/below/y.jpg", complete=True)
    assert Seen(ear.inbox, b"tree/below/x.jpg", complete=False) not in ear.heard  # the folder stands for all in it
    (inbox / "tree").rename(inbox / "bush")
    ear.until(lambda m: m == Gone(ear.inbox, folders=(b"tree",)))
    assert FolderSeen(ear.inbox, b"bush") in ear.heard
    put(inbox / "bush" / "below" / "z.jpg")
    assert ear.sees(b"bush/below/z.jpg", complete=True)
    shutil.rmtree(inbox / "bush")
    ear.until(lambda m: m == Gone(ear.inbox, folders=(b"bush",)))


def test_what_is_no_photo_is_not_told(inbox: Path, listen: Listen) -> None:
    (inbox / "drafts").mkdir()
    ear = listen()
    put(inbox / "note.txt")
    put(inbox / ".hidden.jpg")
    (inbox / "@eaDir").mkdir()
    put(inbox / "drafts" / "a.jpg")
    (inbox / "note.txt").unlink()
    assert ear.barrier(inbox) == []


@pytest.mark.parametrize("name", [b"two\nlines.jpg", b"\xff\xfe.jpg", b"x" * 251 + b".jpg"])
def test_any_name_arrives_as_it_is(inbox: Path, listen: Listen, name: bytes) -> None:
    ear = listen()
    put(os.fsencode(inbox) + b"/" + name)
    assert ear.sees(name, complete=True)


def test_without_recursive_sub_folders_are_left_alone(inbox: Path, listen: Listen) -> None:
    flat = PathFilter(("*.jpg",), (), recursive=False)
    (inbox / "sub").mkdir()
    ear = listen(recursive=False, takes=flat.takes, enters=flat.enters)
    put(inbox / "sub" / "a.jpg")
    (inbox / "new").mkdir()
    assert ear.barrier(inbox) == []


def kernel_watches() -> int:
    """Count the inotify watches of this process, as the kernel lists them."""
    count = 0
    for number in os.listdir("/proc/self/fdinfo"):
        try:
            with open(f"/proc/self/fdinfo/{number}", "rb") as file:
                count += sum(line.startswith(b"inotify ") for line in file)
        except OSError:
            continue
    return count


def test_a_folder_that_holds_no_photos_takes_no_watch(inbox: Path, listen: Listen) -> None:
    for name in ("a", "@eaDir/x", "drafts/y", ".stversions/z"):
        (inbox / name).mkdir(parents=True)
    before = kernel_watches()
    listen()
    assert kernel_watches() - before == 2  # the inbox and `a`


def test_a_deep_tree_that_is_copied_in_is_watched_in_every_folder(inbox: Path, listen: Listen) -> None:
    # Folders are found twice here, once by the event and once by watchdog's walk: its warning would be an error.
    ear = listen()
    for number in range(20):
        (inbox / f"{number}/a/b/c").mkdir(parents=True)
    ear.until(lambda m: m == FolderSeen(ear.inbox, b"19"))
    # What is put there before the watch has come so deep is found by looking through the folder.
    ear.until(
        lambda m: isinstance(m, Seen) and m.complete and m.path.startswith(b"19/a/b/c/"),
        doing=lambda: put(inbox / f"19/a/b/c/{time.monotonic_ns()}.jpg"),
    )


@pytest.fixture
def abyss(tmp_path: Path) -> Iterator[Path]:
    """Give a folder 1,000 levels deep: more than anything may call itself. Nobody but `rm` can remove it."""
    top = tmp_path / "abyss"
    nest(top, 1000)
    yield top
    for name in ("abyss", "inbox"):
        subprocess.run(["rm", "-rf", name], cwd=tmp_path, check=True)


def test_a_folder_of_a_thousand_levels_is_watched_to_its_end_when_it_comes_and_from_the_start(
    inbox: Path, abyss: Path, listen: Listen
) -> None:
    ear = listen()
    before = kernel_watches()
    abyss.rename(inbox / "n")
    ear.until(lambda m: m == FolderSeen(ear.inbox, b"n"))
    again = listen()
    deadline = time.monotonic() + TIMEOUT
    while kernel_watches() - before < 1001 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert kernel_watches() - before >= 1001
    assert [watch.watch.reason for watch in (ear, again)] == ["", ""]
    put(inbox / "n" / "a.jpg")
    deepest = inbox / "/".join(["n"] * 1001)
    put(deepest / "b.jpg")
    for one in (ear, again):
        for folder in ("n", os.path.relpath(deepest, inbox)):
            path = os.fsencode(f"{folder}/{'a' if folder == 'n' else 'b'}.jpg")
            one.until(lambda m: isinstance(m, Seen) and m.complete and m.path == path)  # noqa: B023  # called here


def test_whatever_keeps_it_from_being_set_up_is_told_as_the_reason_and_tried_again(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda fault: told.append(fault.exc_type))
    ear = listen(start=False, pause=0.0)
    with monkeypatch.context() as patch:
        patch.setattr("watcher.watch.observer._walk", lambda _: 1 // 0)
        with pytest.raises(WatchError, match="by a fault of the program: ZeroDivisionError"):
            ear.watch.start()
    assert told == [ZeroDivisionError]
    ear.watch.check()
    ear.until(lambda m: isinstance(m, WatchBack))


# ---- every way in which it falls silent ----


def kill_the_reader(inbox: Path, outside: Path) -> None:
    """Raise KeyError in watchdog's reader by five steps, each of which it must see before the next.

    They are taken with two folders: the one whose removal is the last straw, and one that stays in watchdog's books.
    """
    number = time.monotonic_ns()
    names = [f"a{number}", f"b{number}"]
    for step in ("make", "move out", "make", "remove"):
        for name in names:
            if step == "make":
                (inbox / name).mkdir()
            elif step == "move out":
                (inbox / name).rename(outside / name)
            else:
                (inbox / name).rmdir()
        time.sleep(0.1)  # watchdog's pairing of moves is a matter of time
    (outside / names[0]).rmdir()


def test_a_dead_reader_thread_is_noticed_at_once_and_replaced(inbox: Path, outside: Path, listen: Listen) -> None:
    ear = listen()
    supervisor = Supervisor(interval=3600)  # so that only the thread's own last word can wake it
    supervisor.add(ear.watch)
    try:
        kill_the_reader(inbox, outside)
        lost = ear.until(lambda m: isinstance(m, WatchLost))
        assert isinstance(lost, WatchLost)
        assert not lost.healed
        assert "died of KeyError" in lost.reason
        ear.until(lambda m: isinstance(m, WatchBack))
        assert ear.hears_again(inbox)
    finally:
        supervisor.close()


def test_a_watch_that_keeps_dying_is_set_up_anew_no_more_often_than_agreed(
    inbox: Path, outside: Path, listen: Listen
) -> None:
    ear = listen(pause=3600.0)
    kill_the_reader(inbox, outside)
    ear.lost()
    ear.back()
    kill_the_reader(inbox, outside)
    ear.lost()
    ear.watch.check()
    assert "KeyError" in ear.watch.reason
    assert ear._queue.empty()


def test_an_exception_in_what_it_calls_ends_no_thread_and_asks_for_a_scan(inbox: Path, listen: Listen) -> None:
    def takes(path: bytes) -> bool:
        if path == b"bad.jpg":
            raise ZeroDivisionError
        return True

    ear = listen(takes=takes)
    put(inbox / "bad.jpg")
    assert "ZeroDivisionError" in ear.lost(healed=True)
    assert ear.hears_again(inbox)


def test_an_overflow_of_the_kernels_queue_asks_for_a_scan(inbox: Path, listen: Listen) -> None:
    gate = threading.Event()
    ear = listen(enters=lambda folder: folder != b"slow" or gate.wait(60))
    with open("/proc/sys/fs/inotify/max_queued_events", "rb") as file:
        room = int(file.read())
    if room > 50_000:
        pytest.skip("the queue is set so large that filling it takes too long")
    (inbox / "slow").mkdir()  # holds the reader up, as a process that gets no CPU
    for number in range(room // 2 + 500):  # two events each
        put(inbox / f"{number}.jpg")
    gate.set()
    assert "overflowed" in ear.lost(healed=True)
    assert ear.hears_again(inbox)


def test_more_events_than_the_budget_become_one_demand_for_a_scan(inbox: Path, listen: Listen) -> None:
    ear = listen(budget=10)
    for number in range(50):
        put(inbox / f"{number}.jpg")
    reason = ear.lost(healed=True)
    assert "more events than 10" in reason
    (inbox / "last.jpg").touch()
    with pytest.raises(queue.Empty):
        ear._queue.get(timeout=0.3)  # nothing may come: the wait is the assertion
    assert len(ear.heard) == 11
    ear.watch.digested(10)
    assert ear.hears_again(inbox)


def test_events_that_are_digested_in_time_are_never_given_up(inbox: Path, listen: Listen) -> None:
    ear = listen(budget=10)
    for number in range(30):
        put(inbox / f"{number}.jpg")
        assert ear.sees(f"{number}.jpg".encode(), complete=True)
        ear.watch.digested(2)
    assert not any(isinstance(m, WatchLost) for m in ear.heard)


def test_an_inbox_that_is_removed_and_made_again_is_watched_again(inbox: Path, listen: Listen) -> None:
    ear = listen()
    inbox.rmdir()
    assert "the inbox is not there" in ear.lost()
    ear.watch.check()
    assert ear.watch.reason
    inbox.mkdir()
    ear.back()
    assert ear.watch.reason == ""
    assert ear.hears_again(inbox)
    assert sum(isinstance(m, WatchLost) for m in ear.heard) == 1  # said once


def test_an_inbox_that_is_renamed_away_and_replaced_is_noticed(inbox: Path, outside: Path, listen: Listen) -> None:
    ear = listen()
    inbox.rename(outside / "old")
    inbox.mkdir()
    assert "another folder is at" in ear.lost()
    ear.back()
    assert ear.hears_again(inbox)
    put(outside / "old" / "stray.jpg")
    assert ear.barrier(inbox) == []


def test_an_inbox_that_is_not_there_at_the_start_is_waited_for(tmp_path: Path, listen: Listen) -> None:
    path = tmp_path.resolve() / "later"
    ear = listen(path, start=False)
    with pytest.raises(WatchError, match="the inbox is not there"):
        ear.watch.start()
    ear.watch.check()
    path.mkdir()
    ear.back()
    assert ear.heard == [WatchBack(ear.inbox)]
    assert ear.hears_again(path)


def test_where_nothing_is_announced_nothing_is_watched_until_it_is_and_each_is_said_once(
    inbox: Path, outside: Path, listen: Listen
) -> None:
    said = [""]
    ear = listen(silence=lambda: said[0])
    assert ear.hears_again(inbox)
    said[0] = "a share was mounted there"
    assert ear.lost() == "a share was mounted there"
    assert [m.silent for m in ear.heard if isinstance(m, WatchLost)] == [True]
    put(inbox / "unheard.jpg")
    inbox.rename(outside / "away")  # whether it is there is told by scans
    for _ in range(3):
        ear.watch.check()
    (outside / "away").rename(inbox)
    ear.watch.check()
    said[0] = ""
    ear.back()
    assert ear.watch.reason == ""
    assert sum(isinstance(m, WatchLost) for m in ear.heard) == 1
    assert not any(isinstance(m, Seen) and m.path == b"unheard.jpg" for m in ear.heard)
    assert ear.hears_again(inbox)


def test_where_nothing_is_announced_at_the_start_it_says_why_and_waits(inbox: Path, listen: Listen) -> None:
    said = ["on a share"]
    ear = listen(start=False, silence=lambda: said[0])
    with pytest.raises(WatchError, match="on a share"):
        ear.watch.start()
    ear.watch.check()
    said[0] = ""
    ear.back()
    assert ear.heard == [WatchBack(ear.inbox)]
    assert ear.hears_again(inbox)


def test_healing_over_and_over_leaves_no_thread_and_no_descriptor(inbox: Path, outside: Path, listen: Listen) -> None:
    ear = listen()
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for number in range(20):
        inbox.rename(outside / f"old{number}")
        inbox.mkdir()
        ear.lost()
        ear.back()
    kill_the_reader(inbox, outside)  # leaves watchdog's own books in disorder
    ear.lost()
    ear.back()
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert ear.hears_again(inbox)


@ROOT
def test_an_inbox_that_may_not_be_read_is_refused_and_watched_once_it_may(open_folder: Path, listen: Listen) -> None:
    closed = open_folder / "closed"
    closed.mkdir()
    closed.chmod(0)
    ear = listen(closed, start=False)
    os.seteuid(65534)
    try:
        with pytest.raises(WatchError, match=r"closed can't be watched: permission denied; .*chmod u\+rx"):
            ear.watch.start()
        ear.watch.check()
        assert ear._queue.empty()
        os.seteuid(0)
        closed.chmod(0o777)
        os.seteuid(65534)
        ear.back()
    finally:
        os.seteuid(0)
    assert ear.hears_again(closed)


@ROOT
def test_a_sub_folder_that_may_not_be_read_is_named_once_and_watched_once_it_may(
    open_folder: Path, listen: Listen
) -> None:
    closed = open_folder / "sub" / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0)
    ear = listen(open_folder, start=False)
    os.seteuid(65534)
    try:
        ear.watch.start()
        assert "sub/closed can't be watched: permission denied" in ear.lost(healed=True)
        assert ear.watch.unwatched == 1
        ear.watch.check()
        assert ear._queue.empty()
        os.seteuid(0)
        closed.chmod(0o777)
        os.seteuid(65534)
        ear.back()
    finally:
        os.seteuid(0)
    assert ear.watch.unwatched == 0
    assert ear.hears_again(closed)


# ---- in namespaces of their own: limits and mounts ----

CHILD = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_watch import Ear, put
from watcher.watch import WatchError
inbox = Path(sys.argv[1])
def limit(name, value):
    Path("/proc/sys/user/max_inotify_" + name).write_text(str(value))
"""


def in_namespaces(code: str, inbox: Path, *flags: str) -> str:
    """Run Python code in namespaces made by `unshare`, and give what it printed; skip where there are none."""
    root = Path(__file__).parents[2]
    probe = subprocess.run(["unshare", *flags, "true"], check=False, capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"no namespaces here: {probe.stderr.strip()}")
    run = subprocess.run(
        ["unshare", *flags, sys.executable, "-c", CHILD.format(tests=str(root / "tests" / "edges")) + code, inbox],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_when_the_kernel_has_no_more_watches_below_the_root_it_is_said_with_the_remedy_and_healed(inbox: Path) -> None:
    for number in range(30):
        (inbox / f"{number:02}").mkdir()
    code = """
limit("watches", 10)
ear = Ear(inbox)
ear.watch.start()
print(ear.lost()); print(ear.watch.unwatched)
ear.watch.check(); print(ear._queue.empty())
limit("watches", 1000)
ear.back(); print(ear.watch.unwatched)
for number in range(30):
    put(inbox / f"{number:02}" / "a.jpg"); assert ear.sees(b"%02d/a.jpg" % number)
ear.watch.close()
"""
    reason, unwatched, silent, left = in_namespaces(code, inbox, "-Ur").splitlines()
    assert "user.max_inotify_watches is 10; type: sudo sysctl -w user.max_inotify_watches=524288" in reason
    assert (unwatched, silent, left) == ("21", "True", "0")


def test_a_folder_made_later_for_which_there_is_no_watch_is_noticed(inbox: Path) -> None:
    code = """
limit("watches", 3)
ear = Ear(inbox)
ear.watch.start()
for name in "abcd": (inbox / name).mkdir()
print("max_inotify_watches is 3" in ear.lost())
for name in "cd": (inbox / name).rmdir()
ear.back()
ear.watch.close()
"""
    assert in_namespaces(code, inbox, "-Ur") == "True\n"


@pytest.mark.parametrize("what", ["watches", "instances"])
def test_when_inotify_refuses_the_inbox_itself_the_start_says_what_to_type(inbox: Path, what: str) -> None:
    code = f"""
limit("{what}", 0)
ear = Ear(inbox)
try: ear.watch.start()
except WatchError as error: print(error)
ear.watch.check()
limit("{what}", 5)
ear.back(); assert ear.hears_again(inbox)
ear.watch.close()
"""
    assert f"no more inotify {what}: user.max_inotify_{what} is 0; type: sudo sysctl -w" in in_namespaces(
        code, inbox, "-Ur"
    )


@ROOT
def test_an_inbox_that_is_mounted_over_unmounted_and_remounted_is_watched_each_time(inbox: Path) -> None:
    code = """
ear = Ear(inbox)
ear.watch.start()
mount, umount = f"mount -t tmpfs none '{inbox}'", f"umount '{inbox}'"
for command in (mount, umount, mount, f"{umount} && {mount}"):  # the last may give the same device and inode numbers
    assert os.system(command) == 0
    print(ear.lost().partition(" at ")[0]); ear.back(); assert ear.hears_again(inbox)
ear.watch.close()
"""
    first, *rest = in_namespaces(code, inbox, "-m").splitlines()
    assert first == "another folder is"
    assert len(rest) == 3


# ---- a mount that hangs ----


def test_a_check_that_hangs_is_reported_and_holds_up_neither_other_inboxes_nor_the_end(
    outside: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watcher.watch import watch as room  # noqa: PLC0415 - to let one system call of it hang

    hung, fine = listen(), listen(outside)
    released = threading.Event()

    def identity(path: bytes) -> tuple[int, int] | None:
        if path == hung.inbox:
            released.wait(TIMEOUT)  # stands for a stat that does not come back
        return folder_identity(path)

    monkeypatch.setattr(room, "folder_identity", identity)
    supervisor = Supervisor(interval=0.05, silence=0.2)
    try:
        supervisor.add(hung.watch)
        supervisor.add(fine.watch)
        lost = hung.until(lambda m: isinstance(m, WatchLost))
        assert isinstance(lost, WatchLost)
        assert "does not answer" in lost.reason
        outside.rmdir()
        fine.until(lambda m: isinstance(m, WatchLost))
        released.set()
        hung.until(lambda m: isinstance(m, WatchBack))
        released.clear()
        began = time.monotonic()
        supervisor.close()
        assert time.monotonic() - began < 3
    finally:
        released.set()
        supervisor.close()


def test_a_watch_that_is_ended_while_it_is_being_set_up_leaves_nothing(
    inbox: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.watch.watch.JOIN_SECONDS", 0.1)
    (inbox / "slow").mkdir()
    begun, gate = threading.Event(), threading.Event()

    def enters(folder: bytes) -> bool:
        del folder
        begun.set()
        return gate.wait(60)  # stands for a large tree, or a mount that is slow to answer

    before = kernel_watches()
    ear = listen(enters=enters, start=False)
    starting = threading.Thread(target=ear.watch.start, daemon=True)
    starting.start()
    assert begun.wait(TIMEOUT)
    ear.watch.close()
    gate.set()
    starting.join(TIMEOUT)
    assert not starting.is_alive()
    deadline = time.monotonic() + TIMEOUT
    while kernel_watches() != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert kernel_watches() == before


# ---- what only another process could cure ----


class Refused:
    """Stands for an observer that can't be had."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, *_: object, **__: object) -> NativeObserver:
        raise self._error


def test_a_watch_that_died_and_cannot_be_had_again_is_a_fault_until_it_is_back(
    inbox: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(interval=3600, unhealed=0.05)
    ear = listen()
    supervisor.add(ear.watch)
    try:
        ear.watch.check()
        assert supervisor.fault() == ""
        inbox.rmdir()
        ear.lost()
        time.sleep(0.1)
        assert supervisor.fault() == ""  # it is not there: nobody could watch it
        inbox.mkdir()
        with monkeypatch.context() as patch:
            patch.setattr("watcher.watch.watch.NativeObserver", Refused(OSError(errno.EMFILE, "too many open files")))
            assert "ulimit -n" in ear.lost()
            supervisor._unhealed = 3600.0
            assert supervisor.fault() == ""  # it may heal yet
            supervisor._unhealed = 0.05
            time.sleep(0.1)
            assert "can't be set up again: the kernel has no more inotify instances" in supervisor.fault()
            patch.setattr("watcher.watch.watch.NativeObserver", Refused(PermissionError(errno.EACCES, "denied")))
            ear.watch.check()
            assert supervisor.fault() == ""
            patch.setattr("watcher.watch.watch.NativeObserver", Refused(OSError(errno.EMFILE, "too many open files")))
            ear.watch.check()
            time.sleep(0.1)
            assert supervisor.fault()
            inbox.rmdir()
            ear.watch.check()
            assert supervisor.fault() == ""
            inbox.mkdir()
            ear.watch.check()
            time.sleep(0.1)
            assert supervisor.fault()
        ear.back()
        assert supervisor.fault() == ""
    finally:
        supervisor.close()


def test_an_inbox_that_could_never_be_watched_is_no_fault_of_this_process(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(interval=3600, unhealed=0.0)
    monkeypatch.setattr("watcher.watch.watch.NativeObserver", Refused(OSError(errno.EMFILE, "too many open files")))
    ear = listen(start=False)
    try:
        with pytest.raises(WatchError):
            ear.watch.start()
        supervisor.add(ear.watch)
        ear.watch.check()
        assert supervisor.fault() == ""
    finally:
        supervisor.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_supervision_outlives_a_turn_that_fails(
    inbox: Path, outside: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(interval=0.02)
    ear = listen()
    with monkeypatch.context() as patch:
        turns: list[int] = []

        def fail(*_: object) -> None:
            turns.append(1)
            raise ZeroDivisionError

        patch.setattr(supervisor, "_have_checked", fail)
        supervisor.add(ear.watch)
        deadline = time.monotonic() + TIMEOUT
        while len(turns) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    try:
        assert supervisor.fault() == ""
        kill_the_reader(inbox, outside)
        ear.until(lambda m: isinstance(m, WatchBack))
    finally:
        supervisor.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_check_that_ends_in_an_error_of_ours_is_told_and_is_a_fault(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(interval=0.02, unhealed=0.05)
    ear = listen()
    monkeypatch.setattr(ear.watch, "_broken", lambda _: 1 // 0)
    try:
        supervisor.add(ear.watch)
        lost = ear.until(lambda m: isinstance(m, WatchLost))
        assert isinstance(lost, WatchLost)
        assert "ZeroDivisionError" in lost.reason
        deadline = time.monotonic() + TIMEOUT
        while not supervisor.fault() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "ZeroDivisionError" in supervisor.fault()
    finally:
        supervisor.close()


def test_supervision_that_has_ended_is_a_fault() -> None:
    supervisor = Supervisor(interval=0.02)
    assert supervisor.fault() == ""
    supervisor.close()
    assert supervisor.fault() == "the thread that supervises the watches has ended"
