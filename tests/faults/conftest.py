"""A place for each test, and a look behind it: no process and no temporary file may be left."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Place, temporary, until


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A home, an inbox, an output folder and a config."""
    place = Place(tmp_path)
    yield place
    try:
        until(lambda: not place.left(), "no process is left", 3.0)
    finally:
        for pid in place.left():
            os.kill(pid, signal.SIGKILL)
    if place.output.exists():
        assert not temporary(place.output)
