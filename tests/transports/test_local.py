"""Photos that come from the machine itself."""

from __future__ import annotations

import pytest

from tests.transports import local
from tests.transports.card import Card
from tests.transports.road import Ground, Road
from tests.transports.travel import check


@pytest.mark.slow
@pytest.mark.parametrize(
    "road",
    # without a file system that knows reflinks this is `cp` once more
    [pytest.param(road, marks=pytest.mark.soak) if road is local.Reflink else road for road in local.ROADS],
    ids=lambda road: road.name,
)
def test_every_photo_arrives_whole_and_once(road: type[Road], card: Card, ground: Ground) -> None:
    check(road, card, ground)
