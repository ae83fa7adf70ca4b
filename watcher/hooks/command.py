"""Run the command of a hook, with a document on its standard input."""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from io import FileIO

from watcher.hooks import guard

_PASSED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR")
_PREFIXES = ("LC_", "XDG_")
_PATH = "/usr/local/bin:/usr/bin:/bin"
_LAST_BYTES = 2000  # of what the command wrote, for the reason
_KILL_SECONDS = 5.0  # until a guard that was told to end its command has ended
_BLOCK = 65_536


def environment(whole: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that a command gets."""
    passed = {name: value for name, value in whole.items() if name in _PASSED or name.startswith(_PREFIXES)}
    return {"PATH": _PATH, **passed}


def find_program(command: Sequence[str], whole: Mapping[str, str]) -> str:
    """Return why a command can't be run; empty: its program is there."""
    path = environment(whole)["PATH"]
    if shutil.which(command[0], path=path):
        return ""
    if "/" not in command[0]:
        return f"there is no program {command[0]!r} on PATH ({path})"
    if not os.path.exists(command[0]):
        return f"there is no file {command[0]!r}"
    return f"{command[0]!r} is not executable by this user"


class Stopped(Exception):  # noqa: N818  # no error: the daemon ends
    """The delivery was ended from outside."""


def run(command: Sequence[str], document: bytes, seconds: float, stop: int) -> str:
    """Run a command to its end; return what went wrong, empty: nothing did.

    Raise Stopped when `stop`, a file descriptor, can be read, with the command ended.
    """
    until = time.monotonic() + seconds
    with ExitStack() as stack:
        alive, held = _pipe(stack)
        over, done = _pipe(stack)
        given = stack.enter_context(tempfile.TemporaryFile())  # so that a command that does not read it delays nothing
        given.write(document)
        given.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(alive.fileno()), str(done.fileno()), *command],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment(os.environ),
            pass_fds=[alive.fileno(), done.fileno()],
            start_new_session=True,
        )
        stack.enter_context(process)
        done.close()
        said, how = _listen(process, over.fileno(), stop, until)
        held.close()  # which ends the command, if it still runs
        try:
            code = process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    if how == "stop":
        raise Stopped
    last = said.decode(errors="replace").strip().rpartition("\n")[2].strip()
    reason = f"it was ended after {seconds:g} s" if how == "time" else f"exit code {code}" if code else ""
    return f"{reason}: {last}" if reason and last else reason


def _pipe(stack: ExitStack) -> tuple[FileIO, FileIO]:
    """Return both ends of a pipe, to read and to write, closed with `stack`."""
    read, write = os.pipe()
    return stack.enter_context(FileIO(read, "r")), stack.enter_context(FileIO(write, "w"))


def _listen(process: subprocess.Popen[bytes], over: int, stop: int, until: float) -> tuple[bytes, str]:
    """Read what a command writes until it ends; return the last of it, and what ended this: "end", "time" or "stop"."""
    said, output = b"", process.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(over, selectors.EVENT_READ, "end")
        selector.register(stop, selectors.EVENT_READ, "stop")
        if output is not None:
            os.set_blocking(output.fileno(), False)
            selector.register(output, selectors.EVENT_READ, "output")
        while (left := until - time.monotonic()) > 0:
            ready = {key.data for key, _ in selector.select(left)}
            if output is not None and ready:
                block = _block(output.fileno())
                said = (said + block)[-_LAST_BYTES:]
                if not block and "output" in ready:
                    selector.unregister(output)
                    output = None
            for how in ("stop", "end"):
                if how in ready:
                    return said, how
    return said, "time"


def _block(output: int) -> bytes:
    try:
        return os.read(output, _BLOCK)
    except BlockingIOError:
        return b""
