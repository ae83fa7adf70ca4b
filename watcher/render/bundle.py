"""A bundle of jobs: each photo is made and written before the next is looked at, then all are published together.

So their files go to the disk while the next photo is made, and their folders are synced once.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace

from watcher.core.output_paths import top_folders
from watcher.core.types import Done, Failed, FailureKind, FileSignature, Job, Outcome, Unready
from watcher.fs.faults import Abort, short
from watcher.fs.publish import Outputs, Publication
from watcher.fs.volume import check as check_volume
from watcher.render.pipeline import make
from watcher.render.source import Source, open_photo


def render_all(jobs: Iterable[Job]) -> list[Outcome]:
    """Make what each of `jobs` asks for, taken up one by one, then publish it all; never raises an `Exception`."""
    with Outputs() as outputs, ExitStack() as stack:
        runs = []
        for job in jobs:
            run = _JobRun(job, outputs)
            stack.callback(run.close)
            run.take(_JobRun.make)
            runs.append(run)
        for step in (_JobRun.settle, _JobRun.show, _JobRun.harden):
            for run in runs:
                run.take(step)
        return [run.outcome for run in runs]


class _JobRun:
    """One job on its way through a bundle: what is open of it, and what became of it so far."""

    outcome: Outcome

    def __init__(self, job: Job, outputs: Outputs) -> None:
        self._job = job
        self._outputs = outputs
        folders = top_folders({item.name: item.recipe for item in job.renderings})
        self._publication = Publication(outputs, job.output_root, job.number, folders)
        self._source: Source | None = None
        self._going = True

    def close(self) -> None:
        """Release the photo, and what was not published."""
        self._going = False
        self._publication.close()
        if self._source:
            self._source.close()
            self._source = None

    def take(self, step: Callable[[_JobRun], None]) -> None:
        """Take a step unless the run has ended; an error ends it, with its outcome."""
        if not self._going:
            return
        try:
            step(self)
        except Exception as error:  # noqa: BLE001 - other photos are unaffected
            self.outcome = _outcome_of(error, self._source.stamp if self._source else None)
            if isinstance(self.outcome, Unready) and self._source:
                self.outcome = replace(self.outcome, changed_ns=self._source.changed_ns)
            self.close()

    def make(self) -> None:
        """Make the renditions and write them to temporary files."""
        self._source = source = open_photo(self._job.photo)
        check_volume(self._job)
        tree = self._outputs.tree(self._job)
        started = time.perf_counter()
        self.outcome = make(self._job, source, self._publication, tree)
        if isinstance(self.outcome, Done):
            seconds = time.perf_counter() - started
            self.outcome = replace(self.outcome, seconds=seconds, nested=source.is_nested())

    def settle(self) -> None:
        """Make what was written durable."""
        self._publication.settle()

    def show(self) -> None:
        """Put everything in its place, if the photo is still what was read."""
        if self._source and self._publication.pending:
            self._source.recheck()
            self._publication.show()

    def harden(self) -> None:
        """Make durable that it is in its place."""
        self._publication.harden()
        if isinstance(self.outcome, Done):
            self.outcome = replace(self.outcome, old_stays=self._publication.relocation.old_stays)


def _outcome_of(error: Exception, stamp: FileSignature | None) -> Outcome:
    """Return the outcome of an error; `stamp` is None where the photo could not even be opened."""
    when = "made" if stamp else "opened"
    match error:
        case Abort(outcome=Failed(stamp=None) as failed):
            return replace(failed, stamp=stamp)
        case Abort(outcome=outcome):
            return outcome
        case MemoryError():
            return Failed(f"out of memory while it was {when}", FailureKind.PASSING, stamp)
        case OSError() if stamp:
            return _system(error, stamp)
    reason = f"it can't be {when}: {type(error).__name__}: {short(error)}"
    return Failed(reason, FailureKind.PHOTO if stamp else FailureKind.PASSING, stamp)


def _system(error: OSError, stamp: FileSignature) -> Outcome:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Failed(f"no space: {error.strerror}", FailureKind.DISK_FULL, stamp)
    if error.errno is not None:
        return Failed(f"it could not be made: {error.strerror}", FailureKind.PASSING, stamp)
    return Failed(f"it can't be made: {short(error)}", FailureKind.PHOTO, stamp)  # Pillow's own, about the data
