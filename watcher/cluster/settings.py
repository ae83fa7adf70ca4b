"""Where the scheduler is, the TLS keys for it, and the names that its workers have for our folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from distributed import Security

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
        duplicates = tuple(self._outward_duplicate(duplicate) for duplicate in job.duplicates)
        photo = job.photo._replace(inbox=self.theirs(job.photo.inbox))
        output, volume = self.theirs(job.output_root), self.theirs(job.volume)
        return replace(job, photo=photo, output_root=output, volume=volume, duplicates=duplicates)

    def _outward_duplicate(self, duplicate: DuplicateCandidate) -> DuplicateCandidate:
        photo = duplicate.photo._replace(inbox=self.theirs(duplicate.photo.inbox))
        return duplicate._replace(photo=photo, output_root=self.theirs(duplicate.output_root))

    def homeward(self, job: Job, outcome: Outcome | None) -> Outcome | None:
        """Return the outcome of `job`, which has local paths, with local paths.

        Remote paths are not translated back: two local paths may have the same remote name.
        """
        if not self.pairs or not isinstance(outcome, Done) or outcome.duplicate is None:
            return outcome
        away = [self._outward_duplicate(duplicate) for duplicate in job.duplicates]
        return replace(outcome, duplicate=job.duplicates[away.index(outcome.duplicate)])


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster as the config names it: by the scheduler's address, or by the file that the scheduler writes."""

    address: str | None = None
    scheduler_file: str | None = None
    tls_ca_file: str | None = None  # for each of these three that is left out, Dask's own config counts
    tls_client_cert: str | None = None
    tls_client_key: str | None = None
    paths: Paths = field(default_factory=Paths)

    @property
    def place(self) -> str:
        """The cluster's name in messages."""
        return self.address or self.scheduler_file or ""

    def security(self) -> Security | None:
        """Return Dask's object for the TLS keys. None: none is set here, and Dask's own config counts."""
        keys = {name: getattr(self, name) for name in ("tls_ca_file", "tls_client_cert", "tls_client_key")}
        given = {name: value for name, value in keys.items() if value is not None}
        return Security(require_encryption=True, **given) if given else None  # type: ignore[no-untyped-call] # Dask's
