"""The data about the daemon that describes it to a service manager."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

UNIT = "watcher.service"  # systemd's name for it
LABEL = "photo-watcher"  # launchd's


@dataclass(frozen=True, slots=True)
class Record:
    """What an installed service was made for, as recorded in its unit or plist."""

    config: str
    state: str  # the path of its state file
    user: str  # the user who owns the service, or as whom it runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One daemon. All paths are absolute, with symbolic links resolved where the service manager does not."""

    record: Record
    command: tuple[str, ...]  # the daemon's whole command line
    program: tuple[str, ...]  # the folders that contain its Python
    reads: tuple[str, ...]  # inboxes in which nothing is changed, and files that the config names
    writes: tuple[str, ...]  # outputs, folders for originals, inboxes from which originals are moved
    inboxes: tuple[str, ...] = ()  # all of them
    mounted: tuple[str, ...] = ()  # those of them on a disk that may be mounted and unmounted
    state_folder: str = ""  # writable too; empty: the service manager makes one
    environment: tuple[tuple[str, str], ...] = ()
    drain_seconds: float  # how long the jobs in the workers may take after SIGTERM
    nice: int = 10
    commands: tuple[str, ...] = ()  # programs that hooks run, by their paths where the config has them
    listens: bool = False  # serves a page or metrics, or has hooks, for this machine alone, or also for others:
    beyond_loopback: bool = False
    log: str = ""  # where launchd writes the daemon's output

    @property
    def places(self) -> tuple[str, ...]:
        """Every path that it must access."""
        config = os.path.dirname(self.record.config)
        return (*self.reads, *self.writes, config, *self.program, *self.commands, *filter(None, [self.state_folder]))

    def needs(self, *folders: str) -> bool:
        """Return whether any of its paths is in one of `folders`."""
        return any(within(path, folder) for path in self.places for folder in folders)


def within(path: str, folder: str) -> bool:
    """Return whether `path` is `folder` or is in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def outermost(paths: Iterable[str]) -> list[str]:
    """Return the paths that are in none of the others, each once, in their order."""
    unique = list(dict.fromkeys(paths))
    return [path for path in unique if not any(other != path and within(path, other) for other in unique)]


def unsayable(service: Service) -> Iterator[str]:
    """Yield the paths that can't be written in a unit or plist: those with control characters, or not in UTF-8."""
    for path in dict.fromkeys((*service.places, *service.command, service.record.state)):
        if any(sign < " " or sign == "\x7f" or "\ud800" <= sign <= "\udfff" for sign in path):
            yield path
