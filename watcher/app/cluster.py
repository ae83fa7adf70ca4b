"""A pool on other machines, as the config asks for it, and the cluster's part of `check`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Literal

from watcher.app import dask_worker
from watcher.app.dask_worker import Inspection, Read, Write, inspect
from watcher.cluster import Cluster, Fallback, Paths, Survey, Target, survey
from watcher.config import Config, Executor
from watcher.core.messages import WorkerReport
from watcher.engine.ports import InboxPlan, Log, Workers
from watcher.fs.cleanup import temporary_name
from watcher.pool import Pool
from watcher.render import describe
from watcher.text import counted

GIVE_UP_SECONDS = 15.0  # how long `once` waits for a cluster that is away
Point = tuple[Literal["ok", "warning", "fault"], str, str]
_LOOKED_AT = 2000  # names of an inbox, to find a photo among


def target(config: Config) -> Target:
    """Return where the cluster is."""
    executor = config.executor
    pairs = [(os.path.realpath(os.fsencode(ours)), os.fsencode(theirs)) for ours, theirs in executor.paths.items()]
    return Target(
        address=executor.address,
        scheduler_file=executor.scheduler_file,
        tls_ca_file=executor.tls_ca_file,
        tls_client_cert=executor.tls_client_cert,
        tls_client_key=executor.tls_client_key,
        paths=Paths(tuple(pairs)),
    )


def cluster(
    config: Config, here: Callable[[], Pool], post: Callable[[WorkerReport], None], log: Log, *, once: bool
) -> Workers:
    """Make a pool of the cluster's workers; `here` makes one of this machine's, to fall back on."""

    def say(level: str) -> Callable[..., object]:
        return log.info if level == "info" else log.warning

    made = Cluster(
        target(config),
        dask_worker.serve,
        post=post,
        timeout_seconds=config.retry.timeout_seconds,
        say=say,
        give_up_seconds=GIVE_UP_SECONDS if once else None,
    )
    return Fallback(made, here, say) if config.executor.fallback == "processes" else made


# ---- check ----


def look_at_cluster(config: Config, plans: Sequence[InboxPlan]) -> Iterator[Point]:
    """Let every worker make a photo, read each inbox and write to each output; yield each point with its remedy."""
    to = target(config)
    reads = [_read(plan, to.paths.theirs(plan.inbox)) for plan in plans if os.path.isdir(plan.inbox)]
    writes, markers = [], []
    try:
        for number, plan in enumerate(plans):
            if marker := _marker(plan.output, number):
                markers.append(marker)
                folder, _, name = marker.rpartition(b"/")
                writes.append(Write(to.paths.theirs(folder), name, name))
        found = survey(to, inspect, reads, writes, config.retry.timeout_seconds)
    finally:
        for marker in markers:
            with suppress(OSError):
                os.unlink(marker)
    yield from _points(found, config.executor)


def _read(plan: InboxPlan, theirs: bytes) -> Read:
    """Find a photo that lies in the inbox, so that a worker can tell whether it has the same folder."""
    with suppress(OSError), os.scandir(plan.inbox) as entries:
        for entry, _ in zip(entries, range(_LOOKED_AT), strict=False):
            if entry.is_file(follow_symlinks=False) and not entry.name.startswith(b"."):
                return Read(theirs, entry.name, entry.stat().st_size)
    return Read(theirs, b"", 0)


def _marker(output: bytes, number: int) -> bytes:
    """Write a file to the output, or to the folder that it will be made in; empty: that can't be done."""
    folder = output
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    path = os.path.join(folder, temporary_name(0, number))  # a name that the clean-up knows, should it be left
    with suppress(OSError):
        with open(path, "wb") as file:
            file.write(os.path.basename(path))
        return path
    return b""


def _points(found: Survey, config: Executor) -> Iterator[Point]:
    level: Literal["warning", "fault"] = "fault" if config.fallback == "none" else "warning"
    cluster = f"cluster {config.address or config.scheduler_file}"
    if found.reason:
        key = "address" if config.address else "scheduler_file"
        hint = f"start it (`dask scheduler`), or correct `executor.{key}`"
        yield level, cluster, f"the scheduler can't be asked: {found.reason}; {hint}"
        return
    ours, theirs = found.dask
    if not found.threads:
        yield level, cluster, "the scheduler has no workers: start `dask worker` on each machine that is to make photos"
        return
    workers, threads = len(found.threads), sum(found.threads.values())
    there = f"{counted(workers, 'worker')} with {counted(threads, 'thread')}, distributed {theirs}"
    if ours != theirs:
        yield "warning", cluster, f"{there}, and {ours} here: install the same"
    else:
        yield "ok", cluster, there
    mine = {"python": sys.version.split()[0], "distributed": version("distributed"), **describe()}
    for worker in sorted(found.threads):
        answer = found.answers.get(worker)
        if isinstance(answer, Inspection):
            yield from _worker(f"worker {worker} on {answer.host}", answer, mine)
        else:
            yield "fault", f"worker {worker}", found.refusals.get(worker, "it gave no answer")


def _worker(what: str, answer: Inspection, mine: Mapping[str, str]) -> Iterator[Point]:
    for fault in answer.faults:
        yield "fault", what, fault
    other = [
        f"{name} {theirs} there and {mine.get(name)} here"
        for name, theirs in answer.versions.items()
        if theirs != mine.get(name) and name != "decoder"  # whichever decodes, the bytes are the same
    ]
    decoder = f"decoder {answer.versions.get('decoder', 'pillow')}"
    if other:
        yield "warning", what, f"{', '.join(other)}: the same photo may become other bytes; install the same; {decoder}"
    elif not answer.faults:
        yield (
            "ok",
            what,
            f"a tiny photo in {answer.seconds:.2f} s, every folder read and written, versions as here, {decoder}",
        )
