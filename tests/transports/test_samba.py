"""Photos that come by Samba."""

from __future__ import annotations

import pytest

from tests.transports import samba
from tests.transports.card import Card
from tests.transports.road import Ground, Road
from tests.transports.travel import check


@pytest.mark.slow
@pytest.mark.parametrize("road", samba.ROADS, ids=lambda road: road.name)
def test_every_photo_arrives_whole_and_once(road: type[Road], card: Card, ground: Ground) -> None:
    check(road, card, ground)
