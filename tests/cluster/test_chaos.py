"""Thousands of photos through a cluster whose parts die and come back: each is made once, whole, and as at home."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.cluster.people import at_work
from tests.cluster.stage import Stage
from tests.e2e.harness import Place, until
from tests.faults.books import failures


@pytest.mark.slow
def test_two_thousand_photos_are_made_once_each_while_workers_and_scheduler_die(place: Place) -> None:
    with ExitStack() as stack:
        stage = Stage(place, stack, 2000)
        cluster, scheduler = stage.cluster, stage.cluster.scheduler
        pair = [cluster.worker(), cluster.worker(threads=2)]
        stage.begin()
        silent = at_work(pair, stage.slow)
        silent.freeze()
        stage.drop_all()
        stage.goes_on()
        next(member for member in pair if member is not silent).kill()
        more = [cluster.worker(), cluster.worker(threads=2)]
        until(lambda: len(scheduler.workers()) == 2, "the silent one is taken for dead, like the killed one", 60)
        until(lambda: stage.daemon.made()[stage.slow.name], "the slow photo is made elsewhere")
        silent.thaw()  # it goes on where it was, and publishes what others have made meanwhile
        until(lambda: stage.witness.appeared[f"web/{stage.slow.name}"] == 2, "the slow photo was published twice")
        stage.goes_on()

        scheduler.kill()
        until(stage.away, "it is noticed")
        made = stage.witness.count()
        scheduler.start()
        again = [cluster.worker(), cluster.worker(threads=2)]
        for member in (silent, *more):
            member.process.wait(60)  # they end with their scheduler, and a service manager would start them again
        stage.goes_on()
        assert stage.witness.count() > made
        assert not stage.away()

        relief = [cluster.worker(), cluster.worker()]
        scheduler.wait_for(4)
        for member in again:
            member.stop()
            stage.goes_on()
        assert [member for member in cluster.members if member.process.poll() is None] == relief
        stage.all_is_right()


@pytest.mark.slow
def test_what_comes_while_the_scheduler_is_away_is_made_at_home(place: Place) -> None:
    with ExitStack() as stack:
        stage = Stage(place, stack, 300, fallback="processes")
        scheduler = stage.cluster.scheduler
        worker = stage.cluster.worker(threads=2)
        scheduler.wait_for(1)
        stage.begin()
        at_work([worker], stage.slow)
        until(lambda: failures(place), "the poison photo is given up")  # what is not heard of does not count against it
        scheduler.kill()
        stage.drop_all()
        stage.goes_on(200)
        assert stage.away()
        scheduler.start()
        stage.cluster.worker(threads=2)
        until(lambda: not stage.away(), "the cluster is used again", 60)
        stage.all_is_right()
