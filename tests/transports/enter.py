"""Run a command in a guest that `guest.py` has booted: `python enter.py GUEST [--books FOLDER] COMMAND...`.

A script of its own, so that a daemon can be started through it: its error output comes as it is written, SIGTERM is
handed on, and it ends with the command's exit code.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
import uuid
from pathlib import Path


def enter(guest: Path, books: str, command: list[str]) -> int:
    number = uuid.uuid4().hex
    job = guest / number
    env = {**os.environ, "TMPDIR": "/run"}  # a socket can't be made on the host's file system
    lines = [f"export {name}={shlex.quote(value)}" for name, value in env.items() if name.isidentifier()]
    lines += [f"cd {shlex.quote(os.getcwd())}"]
    # SQLite's memory that is shared between processes does not go through to the host: its files stay in the guest
    lines += [f"mkdir -p {guest}/books /run/books", f"cp -a {books}/. /run/books/"] if books else []
    lines += [shlex.join(command) + f" & echo $! > /run/{number}; wait $!; code=$?"]
    lines += [f"cp -a /run/books/. {books}/"] if books else []
    job.with_suffix(".sh").write_text("\n".join([*lines, "exit $code"]) + "\n")
    requests = os.open(guest / "requests", os.O_RDWR)
    signal.signal(signal.SIGTERM, lambda *_: os.write(requests, f"end {number}\n".encode()))
    os.write(requests, f"run {number}\n".encode())
    told = 0
    while not (ended := job.with_suffix(".code").exists()) or told < _size(job.with_suffix(".err")):
        told = _tell(job.with_suffix(".err"), told)
        if not ended:
            time.sleep(0.01)
    os.close(requests)
    sys.stdout.buffer.write(job.with_suffix(".out").read_bytes())
    return int(job.with_suffix(".code").read_text())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tell(path: Path, told: int) -> int:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(told)
        told += sys.stderr.buffer.write(file.read())
        sys.stderr.buffer.flush()
    return told


if __name__ == "__main__":
    place, *rest = sys.argv[1:]
    kept = rest[1] if rest[0] == "--books" else ""
    sys.exit(enter(Path(place), kept, rest[2:] if kept else rest))
