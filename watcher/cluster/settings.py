"""Where the scheduler is, and the TLS keys for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from distributed import Security

from watcher.cluster.path_map import Paths


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
