"""Photos that change, or ought to: the last content wins, and one that stays incomplete is given up in time."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from tests import photos
from tests.e2e.harness import Place, camera, is_whole, shows, tree, until
from tests.faults.processes import workers_at
from tests.faults.records import failures


def test_of_a_photo_that_is_replaced_while_it_is_decoded_the_new_content_wins(place: Place) -> None:
    new = place.root / "new.jpg"
    new.write_bytes(camera(3))
    photo = place.inbox / "a.jpg"
    with place.run() as daemon:
        old = place.root / "old.jpg"
        old.write_bytes(photos.scan_bomb(99, 9_000, 9_000))  # takes a worker most of a second
        os.utime(old, (1, 1))
        old.rename(photo)
        until(lambda: workers_at(place, photo), "it is being decoded")
        assert not tree(place.output)
        new.rename(photo)
        daemon.settle(1)
        assert daemon.made() == {"a.jpg": 1}, "the old content was never published"
        assert all(shows(path, 3) for path in place.outputs("a.jpg"))
        assert daemon.stop() == 0


@pytest.mark.slow
def test_a_photo_that_has_been_truncated_for_ten_minutes_has_failed_until_it_changes(place: Place) -> None:
    photo = place.inbox / "a.jpg"
    photo.write_bytes(photos.truncated())
    os.utime(photo, (1, 1))  # no longer doubted for its age
    assert place.once().code == 1
    assert not failures(place)
    with closing(sqlite3.connect(place.state)) as db:
        db.execute("UPDATE photo SET at = at - 601")  # when it changed last, as far as watcher knows
        db.commit()
    finished = place.once()
    assert finished.code == 1, finished
    reason, _ = failures(place)["a.jpg"]
    assert reason.startswith("truncated")
    assert reason.endswith("unchanged for 10 minutes")
    assert not tree(place.output)
    photo.write_bytes(photos.plain())
    assert place.once().code == 0
    assert not failures(place)
    assert all(is_whole(path) for path in place.outputs("a.jpg"))
