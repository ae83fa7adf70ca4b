"""Thousands of photos through a cluster whose parts die and come back: each is made once, whole, and as at home."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack

import pytest

from tests.cluster.cluster import Member
from tests.cluster.people import at_work
from tests.cluster.stage import Stage
from tests.e2e.harness import Place, until
from tests.faults.records import failures


@pytest.mark.slow
def test_two_thousand_photos_are_made_once_each_while_workers_and_scheduler_die(place: Place) -> None:
    with ExitStack() as stack:
        stage = Stage(place, stack)
        cluster, scheduler = stage.cluster, stage.cluster.scheduler
        pair = [cluster.worker(), cluster.worker(threads=2)]
        stage.begin()
        silent = at_work(pair, stage.slow)
        silent.freeze()
        stage.cannot_report(silent)
        stage.drop(800)
        stage.goes_on()
        next(member for member in pair if member is not silent).kill()
        more = [cluster.worker(), cluster.worker(threads=2)]
        until(lambda: len(scheduler.workers()) == 2, "the silent one is taken for dead, like the killed one", 60)
        until(lambda: stage.daemon.made()[stage.slow.name], "the slow photo is made elsewhere", 120)
        stage.cannot_report(silent)
        silent.thaw_children()  # they go on where they were, and publish what others have made meanwhile
        until(lambda: stage.witness.appeared[f"web/{stage.slow.name}"] == 2, "the slow photo was published twice")
        silent.thaw()
        stage.drop(600)
        stage.goes_on()

        scheduler.kill()
        until(stage.away, "it is noticed")
        killed = stage.killed()
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
        stage.drop(600)
        for member in again:
            member.stop()
            stage.goes_on()
        assert [member for member in cluster.members if member.process.poll() is None] == relief
        stage.all_is_right(killed_before=killed)


@pytest.mark.soak  # the everyday run has a shorter one in tests/e2e
def test_what_comes_while_the_scheduler_is_away_is_made_at_home(place: Place) -> None:
    with ExitStack() as stack:
        stage = Stage(place, stack, fallback="processes")
        scheduler = stage.cluster.scheduler
        worker = stage.cluster.worker(threads=2)
        scheduler.wait_for(1)
        stage.begin()
        at_work([worker], stage.slow)
        until(lambda: failures(place), "the poison photo is given up")  # what is not heard of does not count against it
        scheduler.kill()
        stage.drop(300)
        stage.goes_on(200)
        assert stage.away()
        scheduler.start()
        stage.cluster.worker(threads=2)
        until(lambda: not stage.away(), "the cluster is used again", 60)
        stage.all_is_right()


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_twenty_thousand_photos_are_made_once_each_whatever_dies_in_whatever_order(place: Place, seed: int) -> None:
    chance = random.Random(seed)
    with ExitStack() as stack:
        stage = Stage(place, stack)
        cluster, scheduler = stage.cluster, stage.cluster.scheduler

        def staffed() -> list[Member]:
            """Do what service managers do: have at least two workers."""
            alive = [member for member in cluster.members if member.process.poll() is None]
            return [*alive, *(cluster.worker(chance.randrange(1, 3)) for _ in range(2 - len(alive)))]

        def reach(count: int) -> None:
            until(lambda: staffed() and stage.witness.count() >= count, f"{count} are made", 120)

        staffed()
        stage.begin()
        until(lambda: failures(place), "the poison photo is given up", 60)
        for _ in range(80):
            stage.drop(250)
            reach(stage.dropper.wanted - chance.randrange(200))
            victim = chance.choice(staffed())
            match chance.choice(["kill", "stop", "freeze", "add", "add", "kill scheduler", "stop scheduler"]):
                case "kill":
                    victim.kill()
                case "stop":
                    victim.stop()
                case "freeze":
                    victim.freeze()
                    time.sleep(chance.random() * 12)  # it is taken for dead meanwhile, or not
                    victim.thaw()
                case "add":
                    cluster.worker(chance.randrange(1, 3))
                case "kill scheduler":
                    scheduler.kill()
                    scheduler.start()
                case _:
                    scheduler.stop()
                    scheduler.start()
        until(staffed, "somebody is there for the rest")
        stage.all_is_right()
