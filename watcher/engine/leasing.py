"""From a sighting to a job, with the attempt on record before anybody works on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping

from watcher.core import naming
from watcher.core.queue import Sighting
from watcher.core.records import Phase, PhotoRecord
from watcher.engine.archiver import Archiver
from watcher.engine.dedup import Deduplicator, Place
from watcher.engine.flight import Flight
from watcher.engine.inbox import InboxState
from watcher.engine.jobs import Limits, changed_since_tried, job_for, unanswered
from watcher.engine.store_health import Use
from watcher.engine.writer import WriteBuffer
from watcher.errors import StateError

CONVICTED_BY = 3  # ends of watcher itself that a photo was in: in two of them at the least it was tried alone


class _Beside:
    """What is on its way while another photo is looked at."""

    def __init__(self, flights: Iterable[Flight]) -> None:
        self.lent: list[frozenset[Place]] = []
        self.sizes: set[int] = set()  # in bytes, of photos that will soon be made and not copied
        for flight in flights:
            self.add(flight)

    def add(self, flight: Flight) -> None:
        if flight.lent:
            self.lent.append(flight.lent)
        looks = flight.sighting.expected or flight.sighting.hint
        if looks is not None and not flight.job.twins:
            self.sizes.add(looks.size)


class Leasing:
    """Turns sightings into flights. What is not to be tried now is set apart: `take_refused`, `take_held`."""

    def __init__(
        self, ledger: WriteBuffer, desks: Mapping[bytes, InboxState], twins: Deduplicator, keeper: Archiver
    ) -> None:
        self.last_number = 0  # of a job
        self._refused: list[tuple[Sighting, PhotoRecord | None, str]] = []
        self._held: list[Sighting] = []
        self._ledger = ledger
        self._desks = desks
        self._twins = twins
        self._keeper = keeper

    def take_refused(self) -> list[tuple[Sighting, PhotoRecord | None, str]]:
        """Give photos that were not tried: what was known, and why they have failed (empty: nobody wants them)."""
        refused, self._refused = self._refused, []
        return refused

    def take_held(self) -> list[Sighting]:
        """Give photos that are to wait a moment: for one that may be the same, or for their place in the outputs."""
        held, self._held = self._held, []
        return held

    @property
    def holds(self) -> bool:
        """Whether there are any."""
        return bool(self._held)

    def book(
        self, sightings: Collection[Sighting], flying: Iterable[Flight], limits: Limits, now: float, wall: float
    ) -> tuple[list[Flight], list[Sighting]]:
        """Put attempts on record, durable when this returns; where that can't be done, all goes back (second list)."""
        flights: list[Flight] = []
        left, beside = deque(sightings), _Beside(flying)
        try:
            while left:
                flight = self._prepare(left[0], beside, limits, wall)
                left.popleft()
                if flight is not None:
                    flights.append(flight)
                    beside.add(flight)
        except StateError as error:
            self._ledger.block(error, Use.ATTEMPTS, now)
        if left or (flights and not self._ledger.commit(now)):
            for flight in flights:
                self._ledger.put(flight.job.photo, flight.before, now)
            return [], [*(flight.sighting for flight in flights), *left]
        return flights, []

    def _prepare(self, sighting: Sighting, beside: _Beside, limits: Limits, wall: float) -> Flight | None:
        photo = sighting.photo
        desk = self._desks.get(photo.inbox)
        if desk is None:
            self._refused.append((sighting, None, ""))
            return None
        before = self._ledger.known(photo)
        if before is None and self._keeper.busy_with(photo):
            self._held.append(sighting)  # it is on its way out of the inbox; or has changed, which will be told
            return None
        attempt = before.attempts + 1 if before and (before.phase is Phase.WAITING or before.leased) else 1
        if before and changed_since_tried(before, sighting.expected):
            attempt = 1  # any change starts over
        # The first time it was one of several; later those go first that were in fewer ends of watcher itself.
        if before and before.leased and attempt > max(limits.attempts, CONVICTED_BY):
            self._refused.append(
                (sighting, before, f"watcher itself ended {before.attempts} times while it worked on this photo")
            )
            return None
        looks = sighting.expected or sighting.hint
        rivals = self._ledger.rivals(photo, folds_case=desk.plan.folds_case)
        haunted = before is None and self._ledger.haunted(photo)
        folds = desk.plan.folds_case
        renderings = naming.renderings(
            photo.path, desk.plan.wanted, before, rivals, folds_case=folds, unseen=not haunted
        )
        job = job_for(
            sighting,
            desk,
            before,
            renderings,
            limits,
            number=self.last_number + 1,
            attempt=attempt,
            returned=() if before and _made(before) else self._keeper.returned(photo, looks),
            twins=self._twins.of(photo, looks, renderings),
            haunted=haunted,
        )
        if self._twins.in_the_way(job, beside.lent) or self._twins.may_come(sighting, job, beside.sizes):
            self._held.append(sighting)
            return None
        self.last_number += 1
        self._ledger.stage(photo, unanswered(sighting, before, job, wall))
        return Flight(sighting, job, before, lent=self._twins.lent_to(job))


def _made(known: PhotoRecord) -> bool:
    """Return whether anything was made of a photo."""
    return any(fact.size for fact in known.made.values())
