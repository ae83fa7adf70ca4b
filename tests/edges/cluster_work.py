"""What the cluster's tests let its workers do: the deeds of `pool_work`, and what only a Dask worker can."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pool_work import do, say

from watcher.core.types import Done, Failed, FailureKind, FileSignature, Job, Outcome, Result, Vanished


def serve(jobs: Sequence[Job], timeout: float) -> list[Result]:
    """Do what the jobs say, in this worker's own process."""
    return [Result(job, act(job, timeout)) for job in jobs]


def act(job: Job, timeout: float) -> Outcome | None:
    name, _, value = job.photo.path.decode().partition(":")
    match name:
        case "vanished":
            return Vanished("there is no such file")
        case "unwritable":
            return Failed("it can't be written", FailureKind.OUTPUT)
        case "names":
            return say(f"{os.fsdecode(job.photo.inbox)} {os.fsdecode(job.output_root)} {timeout}")
        case "terms":
            return say(f"{job.memory_bytes} {job.alone}")
        case "duplicate":
            return Done(FileSignature(1, 2), (), 3, 4, 0.0, os.getpid(), duplicate=job.duplicates[int(value)])
        case "undone":
            return None
        case "refuse":
            raise RuntimeError(value)
        case "once":  # the worker that is first to come by dies of it
            try:
                Path(value).touch(exist_ok=False)
            except FileExistsError:
                return say("done by another one")
            os._exit(9)
    return do(job)
