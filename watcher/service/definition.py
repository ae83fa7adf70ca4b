"""What must be known of the daemon to describe it to a service manager."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

UNIT = "watcher.service"  # systemd's name for it
LABEL = "photo-watcher"  # launchd's


@dataclass(frozen=True, slots=True)
class Record:
    """What an installed service was made for, as it is noted in its unit or plist."""

    config: str
    state: str  # where its state file lies
    user: str  # whose service it is, or which user it runs as


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One daemon. All paths are absolute, with symbolic links resolved where the service manager does not."""

    record: Record
    command: tuple[str, ...]  # the daemon's whole command line
    program: tuple[str, ...]  # the folders that its Python lies in
    reads: tuple[str, ...]  # inboxes that nothing is changed in
    writes: tuple[str, ...]  # outputs, where originals go, inboxes that originals are taken out of
    inboxes: tuple[str, ...] = ()  # all of them
    mounted: tuple[str, ...] = ()  # those of them that lie on a disk which may come and go
    state_folder: str = ""  # writable too; empty: it is the service manager's business to make one
    environment: tuple[tuple[str, str], ...] = ()
    drain_seconds: float  # what is in the workers may take so long after SIGTERM
    listens: bool = False  # serves a page or metrics to this machine, or to others as well:
    beyond_loopback: bool = False
    log: str = ""  # where launchd puts what the daemon says

    @property
    def places(self) -> tuple[str, ...]:
        """Every path that it must get at."""
        config = os.path.dirname(self.record.config)
        return (*self.reads, *self.writes, config, *self.program, *filter(None, [self.state_folder]))

    def needs(self, *folders: str) -> bool:
        """Tell whether any of its paths lies in one of `folders`."""
        return any(within(path, folder) for path in self.places for folder in folders)


def within(path: str, folder: str) -> bool:
    """Tell whether `path` is `folder` or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def outermost(paths: Iterable[str]) -> list[str]:
    """Give the paths that lie in none of the others, each once, in their order."""
    unique = list(dict.fromkeys(paths))
    return [path for path in unique if not any(other != path and within(path, other) for other in unique)]


def unsayable(service: Service) -> Iterator[str]:
    """Give the paths that can't stand in a unit or plist: those with control characters, or no UTF-8."""
    for path in dict.fromkeys((*service.places, *service.command, service.record.state)):
        if any(sign < " " or sign == "\x7f" or "\ud800" <= sign <= "\udfff" for sign in path):
            yield path
