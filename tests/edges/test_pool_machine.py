"""What workers need of a machine, and what is said where it is missing: by trying, on this machine made smaller."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest

from watcher.errors import PlaceError
from watcher.pool import launch as launching
from watcher.pool import machine

NAMES = ("TMPDIR", "TEMP", "TMP", "XDG_RUNTIME_DIR")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the folder that this process has, and every place but those that a test names."""
    settings = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    monkeypatch.delitem(settings, "tempdir", raising=False)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    yield
    settings.pop("tempdir", None)


def only(monkeypatch: pytest.MonkeyPatch, *places: object) -> None:
    monkeypatch.setattr(machine, "_places", lambda: iter(map(str, places)))


def test_a_place_that_is_too_long_or_not_there_or_a_file_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 110)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setenv("TEMP", str(tmp_path / "nothing"))
    monkeypatch.setenv("TMP", "here")  # may be anywhere
    found = machine.socket_folder()
    assert found.startswith("/tmp/pymp-")  # noqa: S108  # compared
    assert not list(long.iterdir())
    assert machine.socket_folder() == found
    assert multiprocessing.util.get_temp_dir() == found
    os.rmdir(found)


def test_a_place_that_was_chosen_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path("/tmp") / f"guard-{os.getpid()}"  # noqa: S108  # a short path is what is tried
    short.mkdir()
    try:
        monkeypatch.setenv("TMPDIR", str(short))
        found = machine.socket_folder()
        assert found.startswith(f"{short}/pymp-")
        os.rmdir(found)
    finally:
        short.rmdir()


def test_where_no_place_will_do_each_is_told_and_it_is_for_a_person_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "/nothing", tmp_path / ("x" * 110), "/proc")
    with pytest.raises(PlaceError, match="name one with a short path by TMPDIR") as caught:
        machine.require_machine(1)
    assert "/nothing: No such file or directory" in str(caught.value)
    assert "the path is too long for a socket" in str(caught.value)


def test_where_the_only_place_is_full_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "/nothing", "/full")

    def made(place: str) -> str:
        raise OSError(errno.ENOENT if place == "/nothing" else errno.ENOSPC, "no room")

    monkeypatch.setattr(machine, "_made", made)
    machine.require_machine(1)
    assert "/full: no room" in next(machine.shortages())


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.EACCES, "chmod 1777"),
        (errno.EROFS, "so that it can be written"),
        (errno.ENOENT, "mount a tmpfs at /dev/shm"),
        (errno.ENOSYS, "mount a tmpfs at /dev/shm"),
        (errno.EPERM, "look at /dev/shm"),
    ],
)
def test_where_there_are_no_semaphores_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, code: int, hint: str
) -> None:
    def refused(_: object) -> object:
        raise OSError(code, "")

    monkeypatch.setattr("multiprocessing.synchronize.Lock.__init__", lambda *_, **__: refused(None))
    with pytest.raises(PlaceError, match=hint):
        machine.require_machine(1)


def test_a_full_shm_is_told_and_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr("multiprocessing.synchronize.Lock.__init__", refused)
    machine.require_machine(1)
    assert [*machine.shortages()] == [
        "The workers' semaphores can't be made in /dev/shm (No space left on device): make room in /dev/shm"
    ]


def test_memory_is_shared_where_there_is_room_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    machine.require_room()
    monkeypatch.setattr(machine, "_ROOM", 1 << 62)
    with pytest.raises(OSError, match="has room to share memory"):
        machine.require_room()


def test_a_limit_of_threads_is_told_and_none_of_those_tried_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    before, started = threading.active_count(), []
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) > 5:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(PlaceError, match="fewer than 18 more threads"):
        machine.require_machine(2)
    assert threading.active_count() == before


def test_a_python_that_may_not_be_executed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(PlaceError, match="can't be executed by this user"):
        machine.require_machine(1)


@pytest.mark.parametrize(("limits", "refused"), [("-n 30", True), ("-Sn 30", False), ("-n 80", False)])
def test_few_descriptors_are_told_and_a_limit_that_may_be_raised_is_raised(limits: str, *, refused: bool) -> None:
    program = "from watcher.pool import require_machine, open_files; require_machine(4); print(open_files())"
    done = subprocess.run(
        ["sh", "-c", f'ulimit {limits}; exec "$@"', "sh", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    if refused:
        assert "30 files open at once, and 80 are needed with 4 workers" in done.stderr
    else:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        assert done.stdout.strip() in {"80", "1024", str(hard)}, done.stderr


def test_each_inbox_takes_some_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    machine.require_machine(2, inboxes=10)
    with pytest.raises(PlaceError, match="100 files open at once, and 104 are needed"):
        machine.require_machine(2, inboxes=11)


def test_the_servers_are_not_begun_where_they_could_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "/nothing")
    with pytest.raises(OSError, match="No folder can be had"):
        launching.start_servers([])
    launching.prepare([])  # says nothing: it shows when a pool is made


@pytest.mark.skipif(launching.METHOD != "forkserver", reason="there is none here")
@pytest.mark.parametrize("own", [None, "glibc.malloc.check=0"])
def test_workers_ask_for_huge_pages_where_the_user_has_no_settings_of_malloc(
    monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    seen = list[str | None]()
    monkeypatch.setattr(forkserver, "ensure_running", lambda: seen.append(os.environ.get("GLIBC_TUNABLES")))
    if own is None:
        monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    else:
        monkeypatch.setenv("GLIBC_TUNABLES", own)
    launching.start_servers([])
    assert seen == [own or "glibc.malloc.hugetlb=1"]
    assert os.environ.get("GLIBC_TUNABLES") == own
