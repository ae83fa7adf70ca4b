"""All roads, in the order of the README's table."""

from __future__ import annotations

from types import ModuleType

from tests.transports import archives, editors, local
from tests.transports.road import Road

MODULES: tuple[ModuleType, ...] = (local, archives, editors)


def everything() -> list[type[Road]]:
    return [road for module in MODULES for road in module.ROADS]
