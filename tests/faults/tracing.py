"""The program under strace: what it calls in which order, and a crash or an error at any of its calls.

Source: strace(1), "Syscall filtering" and "Tampering". `when=N` counts per thread. That is what is needed here: with
one worker, all calls that change outputs come from one thread, and all that change the state file from another.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.harness import COMMAND, Finished, Place


def _can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


needs_strace = pytest.mark.skipif(not _can_trace(), reason="strace is not installed, or may not trace")


@dataclass(frozen=True)
class Traced:
    """What a command that ran under strace did."""

    lines: list[str]
    finished: Finished
    hit: bool  # the call that was to be tampered with was reached


def trace(place: Place, *options: str, crash: bool = False, command: str = "once") -> Traced:
    """Run the command under strace with these options; `crash`: once one process is killed, kill them all.

    Killing all is what a power cut does to a program; its workers are none the wiser either.
    """
    reading, writing = os.pipe()
    # a filter in the kernel is quicker, but strace 6.1 then sends no signal
    quicker = [] if crash else ["--seccomp-bpf"]
    strace = ["strace", "-f", *quicker, "-y", "-s", "0", "-o", f"/dev/fd/{writing}", *options]
    log = place.root / "stderr.txt"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*strace, COMMAND, command, "--config", str(place.config)],
            env=place.env,
            cwd=place.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=[writing],
            start_new_session=True,
        )
    os.close(writing)
    lines = []
    hit = False
    with open(reading, encoding="utf-8", errors="replace") as output:
        for line in output:
            lines.append(line.rstrip("\n"))
            hit = hit or "(INJECTED)" in line or "killed by SIGKILL" in line
            if crash and "killed by SIGKILL" in line:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    code = process.wait(60)
    return Traced(lines, Finished(code, "", log.read_text(encoding="utf-8", errors="replace")), hit)


@contextlib.contextmanager
def injected(pid: int, fault: str) -> Iterator[None]:
    """Have a fault put into calls of a process that runs, as `pwrite64:error=EROFS`, for as long as this is entered."""
    call = fault.partition(":")[0]
    strace = ["strace", "-f", "-o", os.devnull, "-p", str(pid), "-e", f"trace={call}", "-e", f"inject={fault}"]
    with subprocess.Popen(strace, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "attached" in process.stderr.readline()
        try:
            yield
        finally:
            process.terminate()
