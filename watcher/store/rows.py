"""What is read from the state file at once: the little that a scan compares, counts, and what was made of a photo."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import NamedTuple

from watcher.core.records import RenditionRecord

_INT64 = 2**63


class Brief(NamedTuple):
    """The little that a scan compares."""

    size: int
    mtime_ns: int
    phase: int
    recipes: int  # see `State.recipes_of`
    leased: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many photos of an inbox stand where."""

    waiting: int = 0
    done: int = 0
    failed: int = 0


def decode_made(text: str) -> dict[str, RenditionRecord]:
    """Read what stands in the column `made`."""
    return {name: RenditionRecord(*fact[:3], *map(os.fsencode, fact[3:])) for name, fact in json.loads(text).items()}


def fits(mtime_ns: int) -> int | bytes:
    """Return a time as the state file keeps it: as digits where it takes more than 64 bits."""
    return mtime_ns if -_INT64 <= mtime_ns < _INT64 else b"%d" % mtime_ns
