"""How the pool's processes are started, and that a daemon which is killed leaves nothing of them behind.

- multiprocessing keeps the forkserver's socket in a folder (`pymp-…` among the temporary files) that the daemon
  removes at its end. One that is killed can't, but the forkserver, which ends a moment later, can.
- Its resource tracker then frees what is left, and says so in a warning: a line in the log that is no JSON, about
  nothing that anybody need do.
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

METHOD = "spawn" if sys.platform == "darwin" else "forkserver"  # forking is not safe there
_LOADED = ("watcher.pool.worker", "watcher.pool.executors")  # what every worker needs, whatever its work is
_FOLDER = "WATCHER_POOL_FOLDER"  # set for the forkserver alone, which loads this module when it starts

if _FOLDER in os.environ:
    # workers, its children, end without running this
    atexit.register(shutil.rmtree, os.environ.pop(_FOLDER), ignore_errors=True)


def prepare(preload: Sequence[str]) -> None:
    """Have workers' imports begin already, so that they are done when the workers are started.

    Where that can't be had, it shows when a pool is made.
    """
    if METHOD == "forkserver":
        with suppress(OSError):
            start_servers(preload)


def start_servers(preload: Sequence[str]) -> None:
    """Start the resource tracker and the forkserver, where they do not run; raises OSError."""
    folder = socket_folder()
    try_semaphores()
    forkserver.set_forkserver_preload([*_LOADED, *preload])
    # the tracker first and apart: starting it unblocks the signals that it blocked
    with launching(PYTHONWARNINGS="ignore"):
        resource_tracker.ensure_running()
    with launching(**{_FOLDER: folder}):
        forkserver.ensure_running()


@contextmanager
def launching(**environment: str) -> Iterator[None]:
    """Start processes that nothing disturbs that is meant for their parent, and that take from it only what they need.

    - A blocked signal stays blocked in what is started: so the forkserver, and a worker that is not ready yet, outlive
      what is sent to the whole process group. The parent's other threads and its handlers miss nothing.
    - multiprocessing would run the parent's main script once more in each worker: the whole command line, in vain.
    - `python -c`, by which it starts processes, looks for modules in the current folder first: that may be an inbox.
    - It hands over the current folder, and fails if that is gone.
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
    """Let this process have children, though whoever started it by multiprocessing said that it may not.

    Such a process is ended with its parent, and its children would be left: ours leave by themselves.
    """
    me = cast("multiprocessing.Process", multiprocessing.current_process())
    if me.daemon:
        me.daemon = False
