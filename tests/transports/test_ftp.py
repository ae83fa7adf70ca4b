"""Photos that come by FTP, as from a tethered camera."""

from __future__ import annotations

import pytest

from tests.transports import ftp
from tests.transports.card import Card
from tests.transports.road import Ground, Road
from tests.transports.travel import check


@pytest.mark.slow
@pytest.mark.parametrize("road", ftp.ROADS, ids=lambda road: road.name)
def test_every_photo_arrives_whole_and_once(road: type[Road], card: Card, ground: Ground) -> None:
    check(road, card, ground)
