"""Start what takes longest first: workers' imports, while this process still does its own.

They take 0.15 s each, on two cores. Nothing is begun for a config that is wrong. Import nothing heavy here.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from watcher.app.settings import Source
from watcher.config import Config
from watcher.errors import ConfigError, Fault
from watcher.pool import available_cpus, prepare, require_machine

PRELOAD = ("watcher.render.preloaded", "watcher.logs")


class Startup(NamedTuple):
    """What `run` and `once` start from."""

    source: Source
    config: Config
    name: str  # of where the config came from


def begin(source: Source, *, must_exist: bool = False) -> Startup:
    """Read the config, and begin to start what makes photos by it. Raises ConfigError or PlaceError.

    `must_exist`: an inbox named on the command line has to be there.
    """
    pair = source.pair
    config, name = source.read()
    if must_exist and pair is not None and not os.path.isdir(config.inboxes[0].path):
        fault = Fault("inbox[0].path", f"found no folder {config.inboxes[0].path!r}", "name a folder that exists")
        raise ConfigError(name, [fault])
    if config.executor.kind == "processes":
        require_machine(config.workers or available_cpus(), len(config.inboxes))
        prepare(PRELOAD)
    return Startup(source, config, name)
