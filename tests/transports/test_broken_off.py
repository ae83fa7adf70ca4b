"""An overwrite that is broken off leaves the head of a new photo with the tail of the old one, which decodes."""

from __future__ import annotations

import pytest

from tests.e2e.harness import Place, until
from tests.transports.card import Card, shown_by
from tests.transports.drop import RENDITIONS
from tests.transports.road import Ground, Road
from tests.transports.rsync import RsyncInPlace
from tests.transports.ssh import Scp
from tests.transports.witness import Witness

NAME = "IMG_0001.JPG"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Scp, RsyncInPlace], ids=lambda road: road.name)
def test_a_broken_off_overwrite_is_never_shown_and_the_one_that_follows_is(
    kind: type[Road], card: Card, ground: Ground
) -> None:
    if missing := kind.missing():
        pytest.skip(missing)
    with ground.stack:
        road = kind(ground)
        road.open()
        home = ground.root / "watcher"
        home.mkdir()
        place = Place(home)
        place.inbox = road.inbox
        place.configure(RENDITIONS, batch={})
        with Witness(place.output, road.inbox) as witness, place.run() as daemon:
            road.put(card.old.source, NAME)
            daemon.wait_for("photo.done")
            road.interrupt(card.new.source, NAME)
            assert shown_by(road.inbox / NAME) is None, "it is neither photo"
            daemon.wait_for("photo.waiting")
            assert shown_by(place.output / "web" / NAME) == card.old.version
            road.put(card.new.source, NAME)
            until(lambda: shown_by(place.output / "web" / NAME) == card.new.version, "the new photo is made")
            daemon.settle(2)
        assert {seen.version for seen in witness.appearances} == {card.old.version, card.new.version}
