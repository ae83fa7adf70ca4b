"""What the network roads have in common: clients that are cut off half-way, and versions as programs print them."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tests.e2e.harness import until

_SECONDS = 1.5  # a client that is to be cut off would take this long for its photo


def rate(source: Path) -> int:
    """Give the bytes a second at which a client can be cut off half-way."""
    return round(source.stat().st_size / _SECONDS)


def cut(client: subprocess.Popen[bytes], source: Path, folder: Path, pattern: str) -> None:
    """Kill a client once 40 % of `source` lie in a file in `folder` that matches `pattern`; wait until it is let go.

    What was on its way is still written after the death of the client, and whoever asks for the size before that
    and goes on from there writes some bytes twice.
    """
    at = source.stat().st_size * 2 // 5
    with source.open("rb") as file:
        wanted = _piece(file, at)
    try:
        until(lambda: _holds(folder, pattern, at, wanted) or client.poll() is not None, f"half of {pattern}")
        assert client.poll() is None, f"{client.args!r} ended before it could be cut off"
    finally:
        client.kill()
        client.wait()
    until(lambda: not is_open(folder, pattern), f"{pattern} is let go")


def _piece(file: IO[bytes], at: int) -> bytes:
    file.seek(at)
    return file.read(64)


def _holds(folder: Path, pattern: str, at: int, wanted: bytes) -> bool:
    """Tell whether a file has these bytes there: its size says nothing where another photo is overwritten."""
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if _piece(file, at) == wanted:
                return True
    return False


def is_open(folder: Path, pattern: str) -> bool:
    """Tell whether any process that we may look at has such a file open."""
    wanted = {str(path) for path in folder.resolve().glob(pattern)}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is not ours to look at
            if any(_target(link) in wanted for link in (process / "fd").iterdir()):
                return True
    return False


def _target(link: Path) -> str:
    with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
        return os.readlink(link)
    return ""


def temporary(source: Path, name: str) -> str:
    """Give the name under which a client sends a photo that it will rename; no other client has it."""
    return f"{name}.{source.stem}.tmp"


def user() -> str:
    """Give the name of whose processes these are, whatever the environment says."""
    return pwd.getpwuid(os.getuid()).pw_name


def which(name: str) -> str:
    """Give the path of a program, which may be one for administrators; empty: there is none."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") or ""


def version_of(command: Sequence[str], pattern: str = r"\d+\.\d[\w.]*") -> str:
    """Give the first thing that looks like a version in what a program says of itself."""
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=10)
    found = re.search(pattern, said.stdout + said.stderr)
    return found[0] if found else "of unknown version"
