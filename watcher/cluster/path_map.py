"""Map paths between this machine and workers that have the same folders under other names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from watcher.core.types import Done, DuplicateCandidate, Job, Outcome


@dataclass(frozen=True, slots=True)
class Paths:
    """Pairs of absolute folders, local and remote. Whole components are compared; the longest local folder wins."""

    pairs: Sequence[tuple[bytes, bytes]] = ()

    def theirs(self, path: bytes) -> bytes:
        """Return the workers' name for a local path."""
        fitting = [pair for pair in self.pairs if path == pair[0] or path.startswith(pair[0].rstrip(b"/") + b"/")]
        if not fitting:
            return path
        ours, theirs = max(fitting, key=lambda pair: len(pair[0].rstrip(b"/")))
        rest = path[len(ours.rstrip(b"/")) :].lstrip(b"/")
        return theirs.rstrip(b"/") + b"/" + rest if rest else theirs

    def outward(self, job: Job) -> Job:
        """Return the job with the paths that its worker knows."""
        if not self.pairs:
            return job
        twins = tuple(self._outward_twin(twin) for twin in job.twins)
        photo = job.photo._replace(inbox=self.theirs(job.photo.inbox))
        output, volume = self.theirs(job.output_root), self.theirs(job.volume)
        return replace(job, photo=photo, output_root=output, volume=volume, twins=twins)

    def _outward_twin(self, twin: DuplicateCandidate) -> DuplicateCandidate:
        photo = twin.photo._replace(inbox=self.theirs(twin.photo.inbox))
        return twin._replace(photo=photo, output_root=self.theirs(twin.output_root))

    def homeward(self, job: Job, outcome: Outcome | None) -> Outcome | None:
        """Return the outcome of `job`, which has local paths, with local paths.

        Remote paths are not translated back: two local paths may have the same remote name.
        """
        if not self.pairs or not isinstance(outcome, Done) or outcome.twin is None:
            return outcome
        away = [self._outward_twin(twin) for twin in job.twins]
        return replace(outcome, twin=job.twins[away.index(outcome.twin)])
