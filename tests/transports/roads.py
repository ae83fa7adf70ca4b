"""All roads, in the order of the README's table."""

from __future__ import annotations

from types import ModuleType

from tests.transports import archives, editors, ftp, local, rsync, ssh, webdav
from tests.transports.road import Road

MODULES: tuple[ModuleType, ...] = (local, archives, ssh, rsync, ftp, webdav, editors)


def everything() -> list[type[Road]]:
    return [road for module in MODULES for road in module.ROADS]
