"""Temporary files: their names, and the removal of files that a dead worker left behind."""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256

from watcher.fs.openat import open_below, open_root

# The names of earlier versions have no `place`.
_NAME = re.compile(
    rb"\.watcher-(?P<host>[A-Za-z0-9._-]{1,64})-(?P<pid>\d{1,10})-\d{1,20}-\d{1,6}(\.(?P<place>[0-9a-f]{8}))?\.tmp"
    rb"(\xc3\xa9|e\xcc\x81)?"  # added by `traits`
)
_OWN_SECONDS, _OTHER_SECONDS = 3600.0, 86400.0  # age of what this machine left, and of what another one did
_FIRST_PIDS = "pid:[4026531836]"  # the kernel's name for the PID namespace outside of all containers


@lru_cache(maxsize=1)
def host() -> bytes:
    """Return this machine's name in the form used in temporary names."""
    return re.sub(rb"[^A-Za-z0-9._-]", b"_", os.fsencode(socket.gethostname()))[:64] or b"_"


@lru_cache(maxsize=1)
def place() -> bytes:
    """Return 8 hex digits for the PID namespace: containers of the same name each have their own process numbers."""
    numbers, here = "", b""
    with suppress(OSError):  # a platform without /proc has no containers either
        numbers = os.readlink("/proc/self/ns/pid")
        # A machine is the same after a restart; a container is a different one.
        name = "/etc/machine-id" if numbers == _FIRST_PIDS else "/proc/sys/kernel/random/boot_id"
        with open(name, "rb") as file:
            here = file.read()
    return sha256(numbers.encode() + here).hexdigest()[:8].encode()


def temporary_name(job: int, number: int) -> bytes:
    """Return a name for the `number`-th temporary file of a job: hidden, always short, and marked as watcher's."""
    return b".watcher-%b-%d-%d-%d.%b.tmp" % (host(), os.getpid(), job, number, place())


def clean_up(output_root: bytes, *, now: float | None = None) -> int:
    """Remove stale temporary files below `output_root`. Return their number.

    A file is stale if a process of this machine left it that no longer runs. As the process number may be in use again,
    it is also stale if it is older than an hour; this also applies to a container with the name of this machine.
    A file that another machine on a share left is stale after a day. Links are not followed, other names are
    not touched, and folders that can't be read are skipped. Only directories are read.

    The age is the file's change time: its modification time is the photo's.
    """
    try:
        root = open_root(output_root, create=False)
    except OSError:
        return 0
    at = time.time() if now is None else now
    removed, waiting = 0, [b""]
    try:
        while waiting:
            path = waiting.pop()
            with suppress(OSError):  # gone or unreadable: nothing can be removed there
                folder = open_below(root, path, create=False)
                try:
                    removed += _clean_up_folder(folder, path, waiting, at)
                finally:
                    os.close(folder)
    finally:
        os.close(root)
    return removed


def _clean_up_folder(folder: int, path: bytes, waiting: list[bytes], now: float) -> int:
    """Clean up one open folder, and add its sub-folders to `waiting` by path: open descriptors would be too many."""
    removed = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path + b"/" + os.fsencode(entry.name))
            elif entry.name.startswith(".watcher-") and (match := _NAME.fullmatch(os.fsencode(entry.name))):
                limit = _OWN_SECONDS if match["host"] == host() else _OTHER_SECONDS
                ours = match["host"] == host() and match["place"] in {None, place()}
                dead = ours and not _alive(int(match["pid"]))
                if dead or now - entry.stat(follow_symlinks=False).st_ctime > limit:
                    removed += _remove(entry.name, folder)
    return removed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may contain anything. Z: it has ended, and its parent has not read its exit code.
            return file.read().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except (OSError, IndexError):  # a platform without /proc
        return True


def _remove(name: str, folder: int) -> int:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        return 0
    return 1
