"""Commands that run to their end are forked from a process that has loaded the program.

Most of the CPU of such a test is Python's imports otherwise. All else is as in a new process: arguments, environment,
current folder, streams, signals, and the workers, which are started as ever. Daemons, and whatever depends on how a
process starts, are started as new ones.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, NoReturn

POSSIBLE = sys.platform == "linux"
COMMAND = str(Path(sys.executable).with_name("watcher"))
_LOADED = (
    *("watcher.cli.app", "watcher.app.run", "watcher.app.explain", "watcher.app.estimate"),
    *(f"watcher.cli.{name}" for name in ("check", "init", "prune", "retry", "status", "status_view", "verify")),
)
_MOST_BYTES = 1 << 20  # of a request


# ---- the side of the tests ----


@lru_cache(maxsize=1)
def _server() -> socket.socket:
    """Start the process that commands are forked from, once for each process of tests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        pipe = subprocess.PIPE  # as the commands have, so that Python's streams are made for one
        process = subprocess.Popen([sys.executable, __file__], stdin=theirs.fileno(), stdout=pipe, stderr=pipe)

    def end() -> None:
        ours.close()
        process.communicate()

    atexit.register(end)
    return ours


def run(args: Sequence[str], env: Mapping[str, str], folder: Path, seconds: float) -> tuple[int, bytes, bytes]:
    """Run a command of watcher to its end; its exit code, and what it wrote to its two streams."""
    pipes = [os.pipe() for _ in range(3)]
    request = json.dumps([args, dict(env), str(folder)]).encode()
    socket.send_fds(_server(), [request], [write for _, write in pipes])
    for _, write in pipes:
        os.close(write)
    streams = [open(read, "rb") for read, _ in pipes]  # noqa: SIM115  # what a process that is left over holds stays open
    pid = int(streams[-1].readline())
    found: dict[int, bytes] = {}
    readers = [threading.Thread(target=_read, args=(found, *item), daemon=True) for item in enumerate(streams)]
    deadline = time.monotonic() + seconds
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(max(0.0, deadline - time.monotonic()))
    if len(found) < len(readers):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise subprocess.TimeoutExpired([COMMAND, *args], seconds)
    for stream in streams:
        stream.close()
    return int(found[2]), found[0], found[1]


def _read(found: dict[int, bytes], number: int, stream: IO[bytes]) -> None:
    found[number] = stream.read()


# ---- the side of the server ----


def _serve() -> NoReturn:
    """Fork a command for each request, until nobody can ask any more."""
    control = socket.socket(fileno=os.dup(0))
    for name in _LOADED:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for commands
    while True:
        data, pipes, _, _ = socket.recv_fds(control, _MOST_BYTES, 3)
        if not data:
            sys.exit()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _fork(json.loads(data), *pipes)
        for pipe in pipes:
            os.close(pipe)


def _fork(request: tuple[list[str], dict[str, str], str], out: int, err: int, result: int) -> NoReturn:
    """Fork the command, and tell its number and how it ended."""
    pid = os.fork()
    if pid != 0:
        os.close(out)
        os.close(err)
        os.write(result, b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(result, b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    args, env, folder = request
    for stream, number in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(stream, number)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(folder)
    sys.argv = [COMMAND, *args]
    from watcher.cli import main  # noqa: PLC0415  # not for the side of the tests

    main()
    sys.exit()


if __name__ == "__main__":
    sys.path[0] = os.path.dirname(COMMAND)
    _serve()
