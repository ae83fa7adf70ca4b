"""Where the scheduler is, and by which keys it is spoken to."""

from __future__ import annotations

from dataclasses import dataclass, field

from distributed import Security

from watcher.cluster.path_map import Paths


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster, as the config names it: by the scheduler's address, or by the file that it writes."""

    address: str | None = None
    scheduler_file: str | None = None
    tls_ca_file: str | None = None  # these three: where one is left out, Dask's own config says it
    tls_client_cert: str | None = None
    tls_client_key: str | None = None
    paths: Paths = field(default_factory=Paths)

    @property
    def place(self) -> str:
        """Name it for people."""
        return self.address or self.scheduler_file or ""

    def security(self) -> Security | None:
        """Give Dask's own object for it; None: nothing is said here, and Dask's config counts."""
        keys = {name: getattr(self, name) for name in ("tls_ca_file", "tls_client_cert", "tls_client_key")}
        given = {name: value for name, value in keys.items() if value is not None}
        return Security(require_encryption=True, **given) if given else None  # type: ignore[no-untyped-call] # Dask's
