"""What the pool's tests let workers do; a module of its own, so that workers find it by name.

A job says what to do by its photo's path: `sleep:0.5`, `exit:3`. Its output root is a folder for signs: a job that has
begun leaves its number there.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from watcher.core.types import Done, Failed, FailureKind, FileSignature, Job, Outcome, PhotoId

MEGABYTE = 1 << 20


def make_job(number: int, what: str = "nothing", signs: Path | None = None, *, alone: bool = False) -> Job:
    """Make a job that does `what` in its worker."""
    root = b"" if signs is None else os.fsencode(signs)
    return Job(number, PhotoId(b"/in", what.encode()), root, (), alone=alone)


def done() -> Done:
    return Done(FileSignature(1, 2), (), 3, 4, 0.0, os.getpid())


def say(text: str) -> Outcome:
    """Answer with a text: the only outcome that carries one."""
    return Failed(text, FailureKind.PHOTO)


def wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.002)


def tear_a_result() -> None:
    """Die in the middle of sending a result."""
    frame = sys._getframe()
    while "result_queue" not in frame.f_locals:
        assert frame.f_back
        frame = frame.f_back
    os.write(frame.f_locals["result_queue"]._writer.fileno(), struct.pack("!i", 1000) + b"torn")
    os._exit(9)


def take_memory(megabytes: str) -> Outcome:
    return say(f"took {len(bytearray(int(megabytes) * MEGABYTE))}")


def hold_the_gil(seconds: str) -> None:
    ctypes.PyDLL(None).sleep(int(seconds))  # PyDLL: without letting go of the GIL, as decoders do


def complain(text: str) -> None:
    raise ValueError(text)


DEEDS: dict[str, Callable[[str], Outcome | None]] = {
    "nothing": lambda _: done(),
    "then": lambda _: done(),
    "sleep": lambda seconds: time.sleep(float(seconds)),
    "wait": lambda file: wait_for(Path(file)),
    "exit": lambda code: os._exit(int(code)),
    "signal": lambda name: os.kill(os.getpid(), signal.Signals[name]),
    "stop": lambda _: os.kill(os.getpid(), signal.SIGSTOP),
    "raise": complain,
    "tear": lambda _: tear_a_result(),
    "gil": hold_the_gil,
    "memory": take_memory,
    "main": lambda name: say(str(getattr(sys.modules["__main__"], name, "none"))),
    "module": lambda name: say(str(name in sys.modules)),
    "status": lambda key: say(next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key))),
    "nice": lambda _: say(str(os.nice(0))),
    "env": lambda name: say(os.environ.get(name, "")),
}


def work(jobs: Iterable[Job]) -> list[Outcome]:
    """Do what the jobs say one by one, then what they say behind `then:`, as if that were publishing."""
    made = [(job, do(job)) for job in jobs]
    for job, _ in made:
        before, _, after = job.photo.path.decode().partition("then:")
        if not before:
            act(after)
    return [outcome for _, outcome in made]


def do(job: Job) -> Outcome:
    if job.output_root:
        (Path(os.fsdecode(job.output_root)) / str(job.number)).touch()
    return act(job.photo.path.decode())


def act(what: str) -> Outcome:
    name, _, value = what.partition(":")
    return DEEDS[name](value) or done()


def warm() -> list[tuple[str, str]]:
    return []


def warm_and_tell() -> list[tuple[str, str]]:
    return [("worker.warm", str(os.getpid()))]


def fail_to_warm() -> list[tuple[str, str]]:
    raise ImportError("no such resizer")


def settle_logs() -> None:
    os.environ["LOGS"] = "settled"
