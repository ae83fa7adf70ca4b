"""One road from its start to its row: the place, the daemon, the witness, and the look at the end."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.e2e.harness import Place, Running
from tests.transports.card import ABANDONED, Card
from tests.transports.count import count
from tests.transports.drop import RENDITIONS, Journey
from tests.transports.road import Ground, Road
from tests.transports.row import Row
from tests.transports.witness import Witness

_LATER = 601  # seconds; what is incomplete and has not changed for ten minutes is given up


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
    place = Place(home)
    place.inbox = road.inbox
    place.configure(RENDITIONS, road.settings, batch={})
    return place


@contextmanager
def _ten_minutes_later(road: Road, place: Place) -> Iterator[Running]:
    """Start the daemon anew, with a file and books that say that nothing has happened to it for ten minutes."""
    abandoned = (road.landing or road.inbox) / ABANDONED
    with closing(sqlite3.connect(place.state)) as db:
        if abandoned.exists():
            found = abandoned.stat()
            os.utime(abandoned, ns=(found.st_atime_ns, found.st_mtime_ns - _LATER * 10**9))
            db.execute(
                "UPDATE photo SET mtime_ns = mtime_ns - ? * 1000000000 WHERE name = ?", (_LATER, ABANDONED.encode())
            )
        db.execute("UPDATE photo SET at = at - ?", (_LATER,))
        db.commit()
    with place.run(via=road.command) as daemon:
        yield daemon


def check(road_class: type[Road], card: Card, ground: Ground) -> None:
    """Hold a road to its goal; times are printed, since they depend on the machine."""
    row = travel(road_class, card, ground)
    print(row)
    assert not row.faults()
