"""Photos of which no events tell, and those on file systems that take a kernel of their own."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.transports import mounts, remote
from tests.transports.card import Card
from tests.transports.road import Ground, Road
from tests.transports.row import Row
from tests.transports.travel import travel

ROADS = (*mounts.ROADS, *remote.ROADS)


@pytest.fixture(scope="module")
def rows(card: Card, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Future[Row]]:
    """Take all roads at once: most of their time is waiting."""
    grounds = {road: Ground(tmp_path_factory.mktemp("ground") / "road") for road in ROADS if not road.missing()}
    with ThreadPoolExecutor(len(ROADS)) as threads:
        return {road.name: threads.submit(travel, road, card, ground) for road, ground in grounds.items()}


@pytest.mark.slow
@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.name)
def test_every_photo_arrives_whole_and_once(road: type[Road], rows: Mapping[str, Future[Row]]) -> None:
    if missing := road.missing():
        pytest.skip(missing)
    row = rows[road.name].result()
    print(row)
    assert not row.faults()
