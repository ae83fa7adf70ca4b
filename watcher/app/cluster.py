"""A pool on other machines, as the config asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable

from watcher.app import dask_worker as workshop
from watcher.cluster import Cluster, Fallback, Paths, Target
from watcher.config import Config
from watcher.core.types import WorkerReport
from watcher.engine.ports import Log, Workers
from watcher.pool import Pool

PATIENCE_SECONDS = 15.0  # how long `once` waits for a cluster that is away


def target(config: Config) -> Target:
    """Say where the cluster is."""
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
        workshop.serve,
        post=post,
        timeout_seconds=config.retry.timeout_seconds,
        say=say,
        patience_seconds=PATIENCE_SECONDS if once else None,
    )
    return Fallback(made, here, say) if config.executor.fallback == "processes" else made
