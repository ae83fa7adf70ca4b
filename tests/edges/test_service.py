"""Signals, the lock and the service manager's protocol, with real processes, locks and sockets."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import queue
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from watcher.core.messages import Reload, RequestsPending, Stop
from watcher.errors import EXIT_BUSY, EXIT_CONFIG, BusyError, StateError
from watcher.service import process as service


@contextlib.contextmanager
def child(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run code in another process; it is gone afterwards."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# ---- signals ----

LOOP = """
    import queue
    from watcher.service.process import Signals

    messages = queue.SimpleQueue()
    with Signals(messages.put):
        print("ready", flush=True)
        while True:
            message = messages.get(timeout=10)
            print(message, flush=True)
"""


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGTERM, "Stop(reason='SIGTERM')"),
        (signal.SIGINT, "Stop(reason='SIGINT')"),
        (signal.SIGHUP, "Reload()"),
        (signal.SIGUSR1, "RequestsPending()"),
    ],
)
def test_a_signal_wakes_the_loop_with_a_message_each_time(number: signal.Signals, message: str) -> None:
    with child(LOOP) as process:
        assert line(process) == "ready"
        for _ in range(2):
            process.send_signal(number)
            assert line(process) == message


def test_a_signal_is_told_while_the_main_thread_runs_no_bytecode() -> None:
    # So it is in the instant before the loop falls asleep: a handler in Python would not run before the sleep ends.
    code = """
    import hashlib, os, queue, signal, threading, time
    from watcher.service.process import Signals

    messages = queue.SimpleQueue()
    ended = threading.Event()

    def ask():
        time.sleep(0.2)  # the main thread is in the hash by then
        os.kill(os.getpid(), signal.SIGTERM)
        print(messages.get(timeout=30), "late" if ended.is_set() else "at once", flush=True)

    with Signals(messages.put):
        asking = threading.Thread(target=ask)
        asking.start()
        hashlib.pbkdf2_hmac("sha256", b"x", b"y", 3_000_000)  # about two seconds in C, without the interpreter's lock
        ended.set()
        asking.join()
    """
    with child(code) as process:
        assert line(process) == "Stop(reason='SIGTERM') at once"


def test_after_it_the_handlers_of_before_are_back() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    messages: queue.SimpleQueue[Stop | Reload | RequestsPending] = queue.SimpleQueue()
    with service.Signals(messages.put):
        assert all(signal.getsignal(number) not in before for number in numbers)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
    assert [signal.getsignal(number) for number in numbers] == before
    assert [messages.get_nowait(), messages.get_nowait()] == [Stop("SIGTERM"), Reload()]
    assert messages.empty()


def test_a_signal_that_comes_while_it_is_entered_or_left_is_not_lost_and_ends_nobody_afterwards() -> None:
    code = """
        import os, queue, signal, threading
        from watcher.service import process as service
        heard, messages, start = [], queue.SimpleQueue(), threading.Thread.start

        def slow_start(self):  # as on a machine that has other things to do
            os.kill(os.getpid(), signal.SIGTERM)
            start(self)

        signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
        threading.Thread.start = slow_start
        with service.Signals(messages.put, ignored_after=True):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        print(len(heard), messages.qsize(), flush=True)
    """
    with child(code) as process:
        assert line(process) == "1 1"  # whoever was there before heard it, and the loop does
        assert process.wait(10) == 0


def test_a_program_that_left_it_dies_of_a_signal_again() -> None:
    code = """
        from watcher.service.process import Signals
        with Signals(print):
            pass
        print("left", flush=True)
        input()
    """
    with child(code) as process:
        assert line(process) == "left"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM


# ---- the lock ----

HOLD = """
    import sys
    from watcher.service.process import Lock
    with Lock(sys.argv[1]):
        print("held", flush=True)
        sys.stdin.read()
"""


def test_a_second_instance_is_told_who_holds_the_state_file_and_what_to_do(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    with child(HOLD, state) as process:
        assert line(process) == "held"
        with pytest.raises(BusyError) as caught:
            service.Lock(state).acquire()
        assert caught.value.exit_code == EXIT_BUSY
        for part in (str(process.pid), state, "--state"):
            assert part in str(caught.value)
        assert service.holder(state) == process.pid


def test_two_locks_of_one_process_exclude_each_other_and_a_query_from_within_changes_nothing(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    with service.Lock(state):
        for _ in range(2):
            assert service.holder(state) == os.getpid()
            with pytest.raises(BusyError):
                service.Lock(state).acquire()
    assert service.holder(state) is None
    with service.Lock(state):
        pass


def test_the_holder_tells_since_when(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    start = dt.datetime.now(dt.UTC).replace(microsecond=0)
    assert service.holding(state) is None
    with service.Lock(state):
        found = service.holding(state)
    assert found is not None
    assert found.pid == os.getpid()
    assert start <= dt.datetime.fromisoformat(found.since) <= dt.datetime.now(dt.UTC)


def test_the_lock_ends_with_a_killed_process_but_its_pid_stays_to_be_read(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with child(HOLD, str(state)) as process:
        assert line(process) == "held"
        process.kill()
        process.wait()
        assert Path(f"{state}.lock").read_text(encoding="utf-8").splitlines()[0] == str(process.pid)
        assert service.holder(str(state)) is None
        with service.Lock(str(state)):
            assert service.holder(str(state)) == os.getpid()


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_worker_that_outlives_a_killed_daemon_holds_no_lock(tmp_path: Path, method: str) -> None:
    module = tmp_path / "program.py"
    module.write_text(
        textwrap.dedent("""
            import multiprocessing, os, sys, time
            from watcher.service.process import Lock

            def work(fifo):
                with open(fifo, "w") as file:
                    print(os.getpid(), file=file, flush=True)
                    time.sleep(60)

            if __name__ == "__main__":
                with Lock(sys.argv[1]):
                    multiprocessing.get_context(sys.argv[3]).Process(target=work, args=(sys.argv[2],)).start()
                    time.sleep(60)
        """),
        encoding="utf-8",
    )
    state, fifo = str(tmp_path / "state.db"), str(tmp_path / "fifo")
    os.mkfifo(fifo)
    with subprocess.Popen([sys.executable, str(module), state, fifo, method]) as daemon:
        with open(fifo, encoding="utf-8") as file:
            worker = int(file.readline())
        try:
            assert service.holder(state) == daemon.pid
            daemon.kill()
            daemon.wait()
            os.kill(worker, 0)  # it lives
            with service.Lock(state):
                pass
        finally:
            os.kill(worker, signal.SIGKILL)


def test_askers_never_make_a_starting_daemon_fail(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    with service.Lock(state):
        pass
    ask = """
        import sys
        from watcher.service.process import holder
        print("asking", flush=True)
        while True:
            holder(sys.argv[1])
    """
    with child(ask, state) as one, child(ask, state) as other:
        assert line(one) == line(other) == "asking"
        for _ in range(100):
            with service.Lock(state):
                pass


def test_a_daemon_waits_for_an_asker_that_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "state.db.lock"
    lock.touch()
    code = """
        import fcntl, sys
        with open(sys.argv[1]) as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            print("asking", flush=True)
            sys.stdin.readline()
        print("asked", flush=True)
        sys.stdin.readline()
    """
    waited: list[float] = []
    with child(code, str(lock)) as asker:
        assert line(asker) == "asking"

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            print(file=stdin_of(asker), flush=True)
            assert line(asker) == "asked"

        monkeypatch.setattr(time, "sleep", sleep)
        with service.Lock(str(tmp_path / "state.db")):
            assert len(waited) == 1


def test_of_many_that_start_at_once_one_gets_the_lock(tmp_path: Path) -> None:
    code = """
        import sys
        from watcher.errors import BusyError
        from watcher.service.process import Lock
        lock = Lock(sys.argv[1])
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            lock.acquire()
        except BusyError:
            print("busy", flush=True)
        else:
            print("held", flush=True)
        sys.stdin.readline()
    """
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(child(code, str(tmp_path / "s.db"))) for _ in range(6)]
        assert {line(process) for process in processes} == {"ready"}
        for process in processes:
            print(file=stdin_of(process), flush=True)
        assert sorted(line(process) for process in processes) == ["busy"] * 5 + ["held"]


def stdin_of(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdin is not None
    return process.stdin


def test_a_lock_file_that_was_deleted_meanwhile_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, lock = str(tmp_path / "state.db"), tmp_path / "state.db.lock"
    real = fcntl.flock
    deleted: list[Path] = []

    def flock(fd: int, how: int) -> None:
        if not deleted:  # between open and lock, somebody tidies up
            lock.unlink()
            deleted.append(lock)
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with service.Lock(state):
        assert deleted
        assert service.holder(state) == os.getpid()
        with pytest.raises(BusyError):
            service.Lock(state).acquire()


def test_the_pid_of_the_instance_before_is_not_told_while_the_next_one_writes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "state.db.lock"
    with child("pass") as dead:
        dead.wait()
    lock.write_text(f'{dead.pid}\n{{"pid": {dead.pid}, "since": "2026-01-01T00:00:00+00:00"}}\n', encoding="utf-8")
    code = """
        import fcntl, os, sys
        with open(sys.argv[1], "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            print("locked", flush=True)
            sys.stdin.readline()
            file.truncate(0)
            print(os.getpid(), '{"since": ""}', sep="\\n", file=file, flush=True)
            print("written", flush=True)
            sys.stdin.readline()
    """
    waited: list[float] = []
    with child(code, str(lock)) as writer:
        assert line(writer) == "locked"

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            print(file=stdin_of(writer), flush=True)
            assert line(writer) == "written"

        monkeypatch.setattr(time, "sleep", sleep)
        assert service.holder(str(tmp_path / "state.db")) == writer.pid
        assert len(waited) == 1


def test_a_lock_file_that_is_deleted_again_and_again_does_not_hold_a_start_up_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "state.db.lock"
    real = fcntl.flock

    def flock(fd: int, how: int) -> None:
        lock.unlink(missing_ok=True)
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(service, "_CHECK_SECONDS", 0.05)
    with pytest.raises(BusyError):
        service.Lock(str(tmp_path / "state.db")).acquire()


@pytest.mark.parametrize("content", [b"", b"\xff\n{}", b"12", b"-\n[]\n", b"9" * 5000 + b"\n{}\n"])
def test_a_holder_whose_pid_cannot_be_read_is_told_as_unknown(tmp_path: Path, content: bytes) -> None:
    state, lock = str(tmp_path / "state.db"), tmp_path / "state.db.lock"
    lock.write_bytes(content)
    with open(lock, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert service.holder(state) == 0
        with pytest.raises(BusyError, match="another process"):
            service.Lock(state).acquire()


def test_the_folder_and_the_lock_file_are_the_user_s_alone_and_another_name_is_the_same_lock(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state.db"
    with service.Lock(str(state)):
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "new" / "state.db.lock").stat().st_mode) == 0o600
        (tmp_path / "link.db").symlink_to(state)
        with pytest.raises(BusyError):
            service.Lock(str(tmp_path / "link.db")).acquire()


def test_what_cannot_be_a_lock_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.lock").symlink_to(tmp_path / "victim")
    os.mkfifo(tmp_path / "b.lock")
    (tmp_path / "c.lock").mkdir()
    (tmp_path / "file").touch()
    for name, reason in [("a", "symbolic link"), ("b", "regular file"), ("c", "directory"), ("file/d", "exists")]:
        with pytest.raises(StateError, match=reason) as caught:
            service.Lock(str(tmp_path / name)).acquire()
        assert caught.value.exit_code == EXIT_CONFIG
        assert service.holder(str(tmp_path / name)) is None
    assert not (tmp_path / "victim").exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="asks Linux which files are open")
def test_a_released_lock_leaves_no_descriptor(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    name = os.path.basename(service._lock_path(state))

    def opened() -> int:
        fds = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        return sum(os.path.islink(fd) and os.path.basename(os.readlink(fd)) == name for fd in fds)

    with service.Lock(state) as lock:
        with contextlib.suppress(BusyError):
            service.Lock(state).acquire()
        service.holder(state)
        assert opened() == 1
        lock.release()
        lock.release()
    assert opened() == 0
