"""Start the pool's processes so that a killed daemon leaves nothing of them behind.

- multiprocessing keeps the forkserver's socket in a folder (`pymp-…` among the temporary files) that the daemon
  removes when it ends. A killed daemon can't, but the forkserver, which ends a moment later, can.
- multiprocessing's resource tracker then frees what is left, and reports it in a warning: a line in the log that is
  not JSON, and that needs no action.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import shutil
import signal
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from typing import cast

from watcher.pool.machine import socket_folder, try_semaphores
from watcher.pool.worker import GROUP_SIGNALS

METHOD = "spawn" if sys.platform == "darwin" else "forkserver"  # forking is not safe on macOS
_LOADED = ("watcher.pool.worker", "watcher.pool.executors")  # every worker needs these, whatever its work is
_FOLDER = "WATCHER_POOL_FOLDER"  # set only for the forkserver, which loads this module when it starts
# Memory comes 2 MB at a time and not 4 KB, where the kernel gives huge pages to programs that ask (its mode `madvise`):
# `once` over 16 TIFFs of 24 megapixels, not compressed, takes 30,000 page faults and 4.4 s of CPU, 854,000 and 5.5 s
# without; 16 WebPs 8.4 and 10.3 s. JPEGs take the same, and a worker's memory peaks 1 to 2 MB higher.
_MALLOC, _HUGE_PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"

if _FOLDER in os.environ:
    # the forkserver's children, the workers, end without running this
    atexit.register(shutil.rmtree, os.environ.pop(_FOLDER), ignore_errors=True)


def prepare(preload: Sequence[str]) -> None:
    """Begin the workers' imports early, so that they are done when the workers are started.

    An error here is ignored: it appears again when a pool is made.
    """
    if METHOD == "forkserver":
        with suppress(OSError):
            start_servers(preload)


def start_servers(preload: Sequence[str]) -> None:
    """Start the resource tracker and the forkserver if they do not run; raises OSError."""
    folder = socket_folder()
    try_semaphores()
    forkserver.set_forkserver_preload([*_LOADED, *preload])
    # the tracker first and separately: starting it unblocks the signals that it blocked
    with launching(PYTHONWARNINGS="ignore"):
        resource_tracker.ensure_running()
    # what a user has set stays
    with launching(**{_FOLDER: folder, _MALLOC: os.environ.get(_MALLOC) or _HUGE_PAGES}):
        forkserver.ensure_running()


@contextmanager
def launching(**environment: str) -> Iterator[None]:
    """Start processes that are shielded from signals to their parent, and that inherit from it only what they need.

    - A blocked signal stays blocked in the started process. So the forkserver, and a worker that is not ready yet,
      survive signals sent to the whole process group. The parent's other threads and its handlers miss no signal.
    - multiprocessing would run the parent's main script again in each worker: the whole command line, needlessly.
    - `python -c`, with which it starts processes, searches the current folder for modules first: that may be an inbox.
    - It passes on the current folder, and fails if that no longer exists.
    """
    environment["PYTHONSAFEPATH"] = "1"
    before = {name: os.environ.get(name) for name in environment}
    main = sys.modules["__main__"]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    try:
        try:
            os.getcwd()
        except FileNotFoundError:
            os.chdir("/")
        os.environ.update(environment)
        sys.modules["__main__"] = types.ModuleType("__main__")
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def allow_children() -> None:
    """Allow this process to have children, even if it was started by multiprocessing as one that may not.

    Such a process is ended with its parent, and its children would be left behind. Ours exit by themselves.
    """
    me = cast("multiprocessing.Process", multiprocessing.current_process())
    if me.daemon:
        me.daemon = False
