"""Hosts with addresses and names of their own that share a folder, and whose cables can be pulled."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.cluster import hosts
from tests.cluster.cluster import Member
from tests.cluster.people import at_work
from tests.cluster.stage import Stage
from tests.e2e.harness import Place, until

REASON = hosts.unable()


@pytest.mark.slow
@pytest.mark.skipif(bool(REASON), reason=REASON)
def test_a_host_that_is_cut_off_and_one_that_loses_its_power_cost_nothing_but_time(place: Place) -> None:
    seen = place.root.with_name(f"{place.root.name} elsewhere")  # where the hosts see what they share
    seen.mkdir()
    with ExitStack() as stack:
        network = stack.enter_context(hosts.Network(place.root, seen))
        cables = {cable: network.join(cable, "studio") for cable in ("left", "right")}  # like containers: the same name
        paths = {str(place.root): str(seen)}
        stage = Stage(place, stack, via=network.hub(), host="tcp://", paths=paths)
        cluster, scheduler = stage.cluster, stage.cluster.scheduler

        def worker(cable: str) -> Member:
            host = cables[cable]
            return cluster.worker(2, scheduler=f"tcp://{host.hub}:{scheduler.port}", via=host.via())

        there = {worker(cable): cable for cable in cables}
        stage.begin()
        cut_off = at_work(there, stage.slow)
        network.pull(there[cut_off])
        cut_off.freeze()  # the photo takes it longer than anybody waits for a sign of life
        stage.cannot_report(cut_off)
        stage.drop(200)
        until(lambda: len(scheduler.workers()) == 1, "the one that is cut off is taken for dead", 60)
        until(lambda: stage.daemon.made()[stage.slow.name], "the slow photo is made elsewhere", 120)
        stage.cannot_report(cut_off)
        cut_off.thaw()
        until(lambda: stage.witness.appeared[f"web/{stage.slow.name}"] == 2, "it publishes too, cut off as it is")
        network.plug(there[cut_off])
        cut_off.process.wait(60)  # it hears that it is dead; a service manager would start it again
        worker(there[cut_off])
        scheduler.wait_for(2)
        stage.drop(200)
        stage.goes_on()
        cables[next(cable for member, cable in there.items() if member is not cut_off)].cut_power()
        stage.all_is_right()
