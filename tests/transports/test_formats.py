"""Photos in other formats than JPEG, on the quickest roads."""

from __future__ import annotations

import pytest

from tests.transports import card as cards
from tests.transports.road import Ground, Road
from tests.transports.roads import QUICK
from tests.transports.travel import check


@pytest.fixture(scope="module", params=cards.FORMATS)
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> cards.Card:
    return cards.build(tmp_path_factory.mktemp("card"), cards.FEW, request.param)


@pytest.mark.soak  # six seconds each, on a quiet machine
@pytest.mark.parametrize("road", QUICK, ids=lambda road: road.name)
def test_every_photo_in_another_format_arrives_whole_and_once(
    road: type[Road], other: cards.Card, ground: Ground
) -> None:
    check(road, other, ground)
