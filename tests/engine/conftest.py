"""The loop's world, over a state file of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.fakes import World

MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    made: list[World] = []

    def make(*, once: bool = False, memory: int = 0, workers: int = 2, alive_seconds: float | None = None) -> World:
        path = str(tmp_path / f"{len(made)}.db")
        made.append(World(path, once=once, memory=memory, workers=workers, alive_seconds=alive_seconds))
        return made[-1]

    yield make
    for world in made:
        world.store.close()


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Give a daemon that has looked through an empty inbox."""
    return make_world().start()
