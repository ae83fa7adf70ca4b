"""Signals as messages, and the single-instance lock.

The lock is `flock` on `<state>.lock`, and not another kind of file lock, because
- it belongs to the open file, not to the process: a POSIX lock is lost as soon as anything in the process closes
  any descriptor of that file, for example a status query in the same process;
- it ends with the last descriptor, so the kernel releases it no matter what kills the daemon; O_CLOEXEC prevents
  workers (forkserver and spawn both exec) from inheriting it, so a worker that outlives the daemon does not hold it;
- it is the same on Linux and macOS, which has no open-file-description locks in Python.

A process that checks whether a daemon runs takes the lock *shared* for a moment; the daemon takes it exclusively. A
starting daemon that is refused therefore tries it shared as well. If that is granted, only such checks hold the lock,
and it tries again. Only an exclusive holder makes it give up. The file is never deleted: a process that had opened it
before would lock a file that no other process sees.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import stat
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple, Self

from watcher.core.messages import Reload, RequestsPending, Stop
from watcher.errors import BusyError, StateError
from watcher.text import iso, shown

# ---- signals ----


class Signals:
    """While entered, SIGTERM and SIGINT post `Stop`, SIGHUP posts `Reload`, SIGUSR1 posts `RequestsPending`.

    At exit the previous handlers are restored; with `ignored_after` all four are ignored from then on, without a gap.

    `post` is called on a separate thread. A handler in Python would work most of the time, but not always. It runs
    between two bytecodes of the main thread. A signal that comes after the last of them and before that thread sleeps
    in `get(timeout=…)` neither ends the sleep nor runs the handler before the sleep ends (seen on CPython 3.11). The
    byte that CPython's own handler writes to the wake-up descriptor arrives at once.
    """

    def __init__(
        self, post: Callable[[Stop | Reload | RequestsPending], object], *, ignored_after: bool = False
    ) -> None:
        self._post = post
        self._ignored_after = ignored_after
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}
        self._reads = self._writes = self._wakeup_before = -1  # descriptors
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)

    def __enter__(self) -> Self:
        self._reads, self._writes = os.pipe()
        os.set_blocking(self._writes, False)  # CPython requires it
        self._wakeup_before = signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
        self._thread.start()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            self._before[number] = signal.signal(number, _nothing)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # None: it was not set from Python, and Python can't restore it
            given = signal.SIG_DFL if handler is None else handler
            signal.signal(number, signal.SIG_IGN if self._ignored_after else given)
        self._before.clear()
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._writes)  # this ends the thread, after it has read all that was written
        self._thread.join()
        os.close(self._reads)

    def _listen(self) -> None:
        while numbers := os.read(self._reads, 64):
            for number in numbers:  # one byte each
                if number == signal.SIGHUP:
                    self._post(Reload())
                elif number == signal.SIGUSR1:
                    self._post(RequestsPending())
                elif number in {signal.SIGTERM, signal.SIGINT}:
                    self._post(Stop(signal.Signals(number).name))


def _nothing(number: int, frame: FrameType | None) -> None:
    """Do nothing: without a handler in Python, CPython writes nothing to the wake-up descriptor."""


# ---- the single-instance lock ----

_PAUSE = 0.005  # seconds between tries while other processes only check
_CHECK_SECONDS = 5.0  # seconds: thousands of times what a check needs
_WRITING = 0.2  # seconds that a holder has to write its pid, once it has the lock


class Holder(NamedTuple):
    """The process that holds a state file."""

    pid: int  # 0: not known
    since: str  # ISO 8601, UTC; empty: not known


class Lock:
    """The lock of a state file, held by one process at a time; as a context manager it is held while entered."""

    def __init__(self, state_path: str) -> None:
        self._state_path = state_path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock; make the state file's folder (0700) if it is missing.

        Raises BusyError if another process, or another Lock of this one, has it; StateError if the lock file can't be
        used.
        """
        path = _lock_path(self._state_path)
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            fd = _locked(path)
        except OSError as error:
            remedy = "let this user write in its folder, or name another state file with --state"
            raise StateError(f"The lock file {shown(path)} can't be used: {_why(error)}; {remedy}.") from error
        if fd is None:
            pid = holder(self._state_path)
            who = f"process {pid}" if pid else "another process"
            state = shown(self._state_path)
            raise BusyError(f"The state file {state} is in use by {who}: stop that, or name another with --state.")
        since = iso(time.time())
        _write(fd, f"{os.getpid()}\n{json.dumps({'pid': os.getpid(), 'since': since})}\n".encode())
        self._fd = fd

    def release(self) -> None:
        """Release the lock; does nothing if it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def holder(state_path: str) -> int | None:
    """Return the pid of the process that holds a state file; None: none does; 0: it is not known."""
    found = holding(state_path)
    return found and found.pid


def holding(state_path: str) -> Holder | None:
    """Return the holder of a state file, without affecting that process or one that is about to start."""
    fd = -1
    try:
        fd = _open(_lock_path(state_path), os.O_RDONLY)
        deadline = time.monotonic() + _WRITING
        while not _try(fd, fcntl.LOCK_SH):
            found = _read(fd)
            if (found.pid and _alive(found.pid)) or time.monotonic() > deadline:
                return found
            time.sleep(_PAUSE)  # its pid is not written yet: the file still contains that of the previous holder
    except OSError:
        pass  # it was never held, or this user may not read it
    finally:
        if fd >= 0:
            os.close(fd)
    return None


def nudge(state_path: str) -> bool:
    """Signal the process that holds a state file that it contains requests; return whether that succeeded."""
    pid = holder(state_path)
    if not pid or not _has_open(pid, _lock_path(state_path)):
        return False
    try:
        os.kill(pid, signal.SIGUSR1)
    except (OSError, OverflowError):
        return False
    return True


def _has_open(pid: int, path: str) -> bool:
    """Return whether a process has a file open: in a container with its own pids, the pid may be another process's."""
    if not os.path.isdir("/proc/self/fd"):
        return True  # a platform without such containers
    try:
        links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    return path in links


def _lock_path(state_path: str) -> str:
    return os.path.realpath(state_path) + ".lock"  # resolved: two names of one state file have the same lock


def _open(path: str, flags: int) -> int:
    # O_NONBLOCK: opening a FIFO in its place must not block
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return fd


def _locked(path: str) -> int | None:
    """Open and lock the file exclusively; None: another process has it."""
    deadline = time.monotonic() + _CHECK_SECONDS
    while True:
        fd = _open(path, os.O_RDWR | os.O_CREAT)
        try:
            if _try(fd, fcntl.LOCK_EX):
                if _is_still(fd, path):
                    kept, fd = fd, -1
                    return kept
            elif not _try(fd, fcntl.LOCK_SH):
                return None
            if time.monotonic() > deadline:
                return None  # other processes never stop checking, or the file is deleted repeatedly
        finally:
            if fd >= 0:
                os.close(fd)
        time.sleep(_PAUSE)


def _try(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(fd: int, path: str) -> bool:
    """Return whether `path` still names the open file: it may have been deleted before it was locked."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _write(fd: int, text: bytes) -> None:
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, text, 0)
    except OSError:
        pass  # the disk is full: the lock is held all the same, only the pid is not recorded


def _read(fd: int) -> Holder:
    lines = os.pread(fd, 4096, 0).split(b"\n")
    try:
        return Holder(int(lines[0]), str(json.loads(lines[1])["since"]))
    except (ValueError, LookupError, TypeError):
        return Holder(0, "")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _why(error: OSError) -> str:
    return "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
