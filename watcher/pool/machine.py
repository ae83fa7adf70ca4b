"""What workers need from this machine before any can be started; checked by trying, with errors that say what to do.

- A Python that this user may execute.
- A folder for sockets: the forkserver is reached through one, and their paths are short (107 bytes on Linux). `$TMPDIR`
  may be longer, full, read-only or missing, and then another folder is used.
- Semaphores, which Linux keeps in `/dev/shm`, and a little shared memory, there or in that folder.
- Descriptors, threads and processes.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import util
from typing import cast

from watcher.errors import PlaceError

PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}  # others cause these
_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107  # bytes
_NAMES = len("/pymp-12345678/listener-12345678")  # the names that multiprocessing uses, with some margin
_WANTED_FILES = 1024  # the default of most systems
_OWN_FILES = 44  # used by the daemon itself
_FILES_PER_INBOX = 4
_FILES_PER_WORKER = 8
_THREADS = 16  # of a daemon that watches one inbox, and the processes that start its workers
_ROOM = 1 << 20  # bytes of shared memory: a table of some pages


def require_machine(workers: int, inboxes: int = 1) -> None:
    """Check whether `workers` can be started here; raises PlaceError if the user must fix something.

    A shortage that may pass by itself, such as a full `/dev/shm`, does not raise: the code that starts workers waits.
    """
    if sys.executable and not os.access(sys.executable, os.X_OK):
        raise PlaceError(f"{sys.executable} can't be executed by this user: install watcher where this user may go.")
    _require_files(workers, inboxes)
    _require_threads(_THREADS + workers)
    for need in (socket_folder, try_semaphores):
        try:
            need()
        except OSError as error:
            if error.errno not in PASSING:
                raise PlaceError(f"{error.strerror}.") from error


def shortages() -> Iterator[str]:
    """Yield what workers lack at this moment that may pass by itself."""
    for need in (socket_folder, try_semaphores, require_room):
        try:
            need()
        except OSError as error:
            if error.errno in PASSING:
                yield error.strerror or str(error)


def _require_files(workers: int, inboxes: int) -> None:
    """Raise this process's own limit of descriptors as far as allowed, if needed; raise PlaceError if it is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in {soft, hard} and soft < _WANTED_FILES:
        soft = min(hard, _WANTED_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    needed = _OWN_FILES + _FILES_PER_WORKER * workers + _FILES_PER_INBOX * inboxes
    if soft != resource.RLIM_INFINITY and soft < needed:
        raise PlaceError(
            f"This process may have {soft} files open at once, and {needed} are needed with {workers} workers: raise"
            " the limit (`ulimit -n`, LimitNOFILE= of a service), or write fewer `workers`."
        )


def _require_threads(number: int) -> None:
    """Start `number` threads briefly, to check the limit; processes count as threads do."""
    over = threading.Event()
    threads = [threading.Thread(target=over.wait, name="tried", daemon=True) for _ in range(number)]
    try:
        for thread in threads:
            thread.start()
    except RuntimeError:
        raise PlaceError(
            f"This user may start fewer than {number} more threads and processes: raise the limit (`ulimit -u`,"
            " TasksMax= of a service, --pids-limit of a container), or that of memory (`ulimit -v`)."
        ) from None
    finally:
        over.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def socket_folder() -> str:
    """Return the folder for sockets, made once for this process; raises OSError if no place is usable."""
    settings = cast("dict[str, str]", multiprocessing.current_process()._config)  # type: ignore[attr-defined]  # noqa: SLF001 - `util.get_temp_dir` reads it
    if (found := settings.get("tempdir")) is not None:
        return found
    refusals: dict[str, OSError] = {}
    for place in _places():
        try:
            folder = _made(place)
        except OSError as error:
            refusals[place] = error
            continue
        util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)
        settings["tempdir"] = folder
        return folder
    told = "; ".join(f"{place}: {error.strerror}" for place, error in refusals.items())
    passing = [error.errno for error in refusals.values() if error.errno in PASSING]
    text = f"No folder can be had for the workers' sockets ({told}): name one with a short path by TMPDIR"
    raise OSError(passing[0] if passing else errno.ENOENT, text)


def _places() -> Iterator[str]:
    """Yield the folders that sockets may be put into, those that the user chose first."""
    chosen = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    usual = ["/tmp", "/var/tmp", os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"]  # noqa: S108 - a folder of our own is made in it
    for place in dict.fromkeys(filter(None, [*chosen, *usual])):
        if os.path.isabs(place):
            yield place


def _made(place: str) -> str:
    """Make a folder in which sockets can be made; raises OSError."""
    if len(os.fsencode(place)) + _NAMES > _LONGEST_SOCKET:
        raise OSError(errno.ENAMETOOLONG, "the path is too long for a socket")
    folder = tempfile.mkdtemp(prefix="pymp-", dir=place)
    try:
        with socket.socket(socket.AF_UNIX) as tried:
            tried.bind(f"{folder}/listener-tried")
        os.unlink(f"{folder}/listener-tried")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def try_semaphores() -> None:
    """Make a semaphore, and release it; raises OSError, with a sentence that explains it, if none can be made."""
    try:
        multiprocessing.get_context("fork").Lock()  # with this start method, its name is unlinked at once
    except OSError as error:
        hints = {
            errno.ENOSPC: "make room in /dev/shm",
            errno.EDQUOT: "make room in /dev/shm",
            errno.EACCES: "let this user write in /dev/shm (chmod 1777)",
            errno.EROFS: "mount /dev/shm so that it can be written",
            errno.ENOENT: "mount a tmpfs at /dev/shm",
            errno.ENOSYS: "mount a tmpfs at /dev/shm",
        }
        hint = hints.get(error.errno or 0, "look at /dev/shm and its limits")
        told = f"The workers' semaphores can't be made in /dev/shm ({os.strerror(error.errno or 0)}): {hint}"
        raise OSError(error.errno, told) from error


def require_room() -> None:
    """Raise OSError if memory can't be shared: a mapped file on a full file system ends its process by SIGBUS."""
    for place in ("/dev/shm", socket_folder()):  # noqa: S108 - as multiprocessing does
        with suppress(OSError):
            found = os.statvfs(place)
            if found.f_bavail * found.f_frsize >= _ROOM:
                return
    raise OSError(errno.ENOSPC, f"Neither /dev/shm nor {socket_folder()} has room to share memory: make some in either")
