"""The photos, made once for each process of tests, and a place for each road."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.transports import card as cards
from tests.transports.card import Card
from tests.transports.road import Ground

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]  # the witness needs inotify


@pytest.fixture(scope="session")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    return cards.build(tmp_path_factory.mktemp("card"), cards.SMALL)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path / "road")
