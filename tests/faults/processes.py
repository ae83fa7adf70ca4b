"""The daemon's processes from outside: who works on what, and what they have used."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.harness import Beside, Place

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Tell how much CPU time a process has used, all its threads counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_megabytes(pid: int) -> float:
    """Tell how much memory a process has had resident at most."""
    return _megabytes(pid, "VmHWM")


def resident_megabytes(pid: int) -> float:
    """Tell how much memory a process has resident."""
    return _megabytes(pid, "VmRSS")


def _megabytes(pid: int, what: str) -> float:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def open_files(pid: int) -> int:
    """Count a process's file descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    """Count a process's threads."""
    return len(os.listdir(f"/proc/{pid}/task"))


def workers_at(place: Place, photo: Path) -> list[int]:
    """Give the pids of the workers that have a photo open."""
    found = []
    for pid in place.left():
        with contextlib.suppress(OSError):
            if any(os.readlink(entry) == str(photo) for entry in Path(f"/proc/{pid}/fd").iterdir()):
                found.append(pid)
    return found


class Killer(Beside):
    """Somebody who kills every worker that opens one of some photos, as the system does when memory runs out."""

    def __init__(self, place: Place, *photos: Path) -> None:
        super().__init__(0.01)
        self.killed: set[int] = set()  # pids
        self._place = place
        self._photos = photos

    def act(self) -> None:
        for photo in self._photos:
            for pid in workers_at(self._place, photo):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed.add(pid)


def without_privilege() -> list[str]:
    """Give what starts a command that may read no more than file modes say, whoever runs this."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed: root may read everything")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
