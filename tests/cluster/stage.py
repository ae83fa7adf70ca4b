"""What every story about a cluster begins with, and what has to be right in the end."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack

from tests.cluster.cluster import Cluster, Member, descendants
from tests.cluster.people import SMALL, Dropper, Murderer, Witness
from tests.e2e.harness import Place, Running, temporary, until
from tests.faults.poison import drop, lengthy
from tests.faults.records import contents, failures
from watcher.fs.cleanup import clean_up

SLOW_SCANS = 10  # two seconds on a CPU of 2020: it is decoded twice


class Stage:
    """A cluster, a daemon for it, and who is about. In the inbox lie a slow photo and one that is deadly."""

    def __init__(
        self,
        place: Place,
        stack: ExitStack,
        *,
        via: Sequence[str] = (),
        host: str = "127.0.0.1",
        **executor: object,
    ) -> None:
        self.place = place
        self.cluster = stack.enter_context(Cluster(place.root, place.env, via, host))
        self.witness = stack.enter_context(Witness(place.output, SMALL))
        keys = {"kind": "dask", "address": self.cluster.scheduler.address, **executor}
        place.configure(SMALL, executor=keys, retry={"backoff_seconds": 0.1})
        (self.poison,) = drop(lengthy(place.root / "endless.jpg"), place.inbox, 1)
        (self.slow,) = drop(lengthy(place.root / "slow.jpg", SLOW_SCANS), place.inbox, 1)
        self._unheard: set[int] = set()
        self._daemon: Running | None = None
        self._via = via
        self._stack = stack
        # threads begin to act when they are entered: all that they look at is there
        self.murderer = stack.enter_context(Murderer(self._workers, self.poison))
        self.dropper = stack.enter_context(Dropper(place.inbox, self.witness.count))

    def begin(self) -> None:
        """Start the daemon."""
        self._daemon = self._stack.enter_context(self.place.run(via=self._via))

    @property
    def daemon(self) -> Running:
        assert self._daemon is not None
        return self._daemon

    def _workers(self) -> list[int]:
        """Give the processes of all workers, here too."""
        return self.cluster.processes() + (descendants(self._daemon.process.pid) if self._daemon else [])

    def drop(self, photos: int) -> None:
        """Drop so many photos more, as they are made."""
        self.dropper.wanted += photos

    def goes_on(self, photos: int = 50) -> None:
        """Wait until so many more photos are made."""
        self.witness.wait_for(self.witness.count() + photos)

    def away(self) -> bool:
        """Tell whether `status` says that the cluster is away."""
        return self.place.status()["executor"]["away_since"] is not None

    def cannot_report(self, member: Member) -> None:
        """Leave out what is killed in a worker that can't report it: what is not heard of does not count."""
        self._unheard.update(member.family())

    def killed(self) -> int:
        """Return how many workers the poison photo has cost, as far as the daemon can know."""
        return len(self.murderer.killed - self._unheard)

    def all_is_right(self, killed_before: int = 0) -> None:
        """Hold what was made against what is made without a cluster.

        `killed_before`: how many workers the poison photo had cost when the scheduler died; the next one counts anew.
        """
        names = {f"p{number:05}.jpg" for number in range(self.dropper.wanted)} | {self.slow.name}
        until(lambda: sum(self.daemon.made().values()) >= len(names), "all are told", 120)
        until(lambda: failures(self.place), "the poison photo is given up", 60)
        until(lambda: self.place.status()["inboxes"][0]["waiting"] == 0, "nothing waits")
        assert list(failures(self.place)) == [self.poison.name], failures(self.place)
        for killed in (killed_before, self.killed() - killed_before):
            assert killed <= 3, f"{killed} workers were killed for one photo under one scheduler"
        assert self.daemon.made() == dict.fromkeys(names, 1), "each is recorded once"
        assert not self.witness.broken, f"not whole when it appeared: {self.witness.broken[:3]}"
        if self._via:  # what another host has left goes with the first clean-up that finds it a day old
            clean_up(os.fsencode(self.place.output), now=time.time() + 90_000)
        until(lambda: not temporary(self.place.output), "no temporary file is left")
        assert self.daemon.stop() == 0
        made = contents(self.place.output)
        assert made == self._as_made_at_home()
        assert made.keys() == {f"{rendition}/{name}" for rendition in SMALL for name in names}

    def _as_made_at_home(self) -> dict[str, tuple[str, int]]:
        """Make all that lies in the inbox by `watcher once` on this machine alone, elsewhere; the outputs' contents."""
        place = self.place
        place.state, place.output = place.root / "home.db", place.root / "at home"
        place.configure(SMALL, {"exclude": [self.poison.name]})
        done = place.once(seconds=600.0)  # there may be twenty thousand
        assert done.code == 0, done
        return contents(place.output)
