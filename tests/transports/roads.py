"""All roads, in the order of the table in docs/roads.md."""

from __future__ import annotations

from types import ModuleType

from tests.transports import archives, editors, ftp, local, mounts, remote, rsync, samba, ssh, syncthing, webdav
from tests.transports.road import Road

MODULES: tuple[ModuleType, ...] = (
    *(local, archives, ssh, rsync, ftp, webdav, samba, syncthing),
    *(editors, mounts, remote),
)

QUICK: tuple[type[Road], ...] = (local.Copy, local.Move, local.Connection, local.Blocks, archives.Tar)


def everything() -> list[type[Road]]:
    return [road for module in MODULES for road in module.ROADS]
