"""One road from its start to its row: the place, the daemon, the witness, and the look at the end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.e2e.harness import Place, Running
from tests.transports.card import Card
from tests.transports.count import count
from tests.transports.drop import RENDITIONS, Journey
from tests.transports.road import Ground, Road
from tests.transports.row import Row
from tests.transports.witness import Witness


def travel(road_class: type[Road], card: Card, ground: Ground) -> Row:
    """Send everything over a road; all that it started has ended when this returns, its files are still there."""
    with ground.stack:
        road = road_class(ground)
        road.open()
        place = _place(road)
        with Witness(place.output, road.landing) as witness:
            journey = Journey(road, card, place, witness)
            with place.run(via=road.command) as daemon:
                journey.send()
                journey.look()
            journey.log = daemon.log
            with _ten_minutes_later(road, place) as daemon:
                journey.give_up(daemon)
            journey.later = daemon.log
        return count(journey)


def _place(road: Road) -> Place:
    home = road.ground.root / "watcher"
    home.mkdir()
    place = road.place(home)
    place.inbox = road.inbox
    place.configure(RENDITIONS, road.settings, batch={})
    return place


@contextmanager
def _ten_minutes_later(road: Road, place: Place) -> Iterator[Running]:
    """Start the daemon anew, with books that say that nothing has changed for ten minutes."""
    with closing(sqlite3.connect(place.state)) as db:
        db.execute("UPDATE photo SET at = at - 601")
        db.commit()
    with place.run(via=road.command) as daemon:
        yield daemon


def check(road_class: type[Road], card: Card, ground: Ground) -> None:
    """Hold a road to its goal; times are printed, since they depend on the machine."""
    if missing := road_class.missing():
        pytest.skip(missing)
    row = travel(road_class, card, ground)
    print(row)
    assert not row.faults()
