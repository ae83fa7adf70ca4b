"""From a sighting to a job, with the attempt on record before anybody works on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping

from watcher.core import naming
from watcher.core.queue import Queue, Sighting
from watcher.core.records import ContentRecord, Phase, PhotoRecord
from watcher.core.types import Job, PhotoId
from watcher.engine.archiver import Archiver
from watcher.engine.dedup import Deduplicator, Place
from watcher.engine.flight import Flight
from watcher.engine.inbox import InboxState
from watcher.engine.jobs import Limits, changed_since_tried, job_for, unanswered
from watcher.engine.store_health import Use
from watcher.engine.writer import WriteBuffer
from watcher.errors import StateError

_MOST_EXCHANGED = 8  # photos that have each other's names and are made together
CONVICTED_BY = 3  # ends of watcher itself that a photo was in: in two of them at the least it was tried alone


class _Beside:
    """What is on its way while another photo is looked at."""

    def __init__(self, flights: Iterable[Flight]) -> None:
        self.lent: dict[int, frozenset[Place]] = {}  # number of a job → what it may copy from
        self.sizes: set[int] = set()  # in bytes, of photos that will soon be made and not copied
        for flight in flights:
            self.add(flight)

    def lent_to_others(self, flights: Iterable[Flight]) -> list[frozenset[Place]]:
        """List what may be copied from by others than `flights`."""
        numbers = {flight.job.number for flight in flights}
        return [places for number, places in self.lent.items() if number not in numbers]

    def add(self, flight: Flight) -> None:
        if flight.lent:
            self.lent[flight.job.number] = flight.lent
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
        self,
        sightings: Collection[Sighting],
        flying: Iterable[Flight],
        limits: Limits,
        now: float,
        wall: float,
        *,
        line: Queue | None = None,
    ) -> tuple[list[Flight], list[Sighting]]:
        """Put attempts on record, durable when this returns; where that can't be done, all goes back (second list).

        A photo that waits in `line`, and whose content another one seems to have got, goes with that one (see
        `_Exchange`).
        """
        flights: list[Flight] = []
        left, beside = deque(sightings), _Beside(flying)
        exchange = _Exchange(left, line)
        try:
            while left:
                flight = self._prepare(left[0], beside, exchange, limits, wall)
                left.popleft()
                if flight is not None:
                    flights.append(flight)
                    beside.add(flight)
                exchange.go_on(flight)
        except StateError as error:
            self._ledger.block(error, Use.ATTEMPTS, now)
        if left or (flights and not self._ledger.commit(now)):
            for flight in flights:
                self._ledger.put(flight.job.photo, flight.before, now)
            return [], [*(flight.sighting for flight in flights), *left]
        return flights, []

    def _prepare(
        self, sighting: Sighting, beside: _Beside, exchange: _Exchange, limits: Limits, wall: float
    ) -> Flight | None:
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
        job = self._job(sighting, desk, before, exchange, limits, attempt)
        if (
            self._twins.in_the_way(job, beside.lent_to_others(exchange.flights))
            or self._twins.may_come(sighting, job, beside.sizes)
            or exchange.is_half_told(sighting, before, job)
            or (before is None and not sighting.held and _asks_for_old_name(desk, job))
        ):
            self._held.append(sighting)
            return None
        self.last_number += 1
        self._ledger.stage(photo, unanswered(sighting, before, job, wall))
        return Flight(sighting, job, before, lent=self._twins.lent_to(job), follows=bool(exchange.flights))

    def _job(
        self,
        sighting: Sighting,
        desk: InboxState,
        before: PhotoRecord | None,
        exchange: _Exchange,
        limits: Limits,
        attempt: int,
    ) -> Job:
        photo, looks, folds = sighting.photo, sighting.expected or sighting.hint, desk.plan.folds_case
        rivals = self._ledger.rivals(photo, folds_case=folds)
        haunted = before is None and self._ledger.haunted(photo)
        renderings = naming.renderings(
            photo.path, desk.plan.wanted, before, rivals, folds_case=folds, unseen=not haunted
        )
        return job_for(
            sighting,
            desk,
            before,
            renderings,
            limits,
            number=self.last_number + 1,
            attempt=attempt,
            returned=() if before and _made(before) else self._keeper.returned(photo, looks),
            twins=self._twins.of(photo, looks, renderings, exchange.replaced()),
            haunted=haunted,
        )


class _Exchange:
    """Photos that have each other's names: one worker gets them, and copies all before it replaces any output.

    After one whose renditions are on record, and that looks like another one of which the same holds, that other one
    is next, if it waits for a worker at all.
    """

    def __init__(self, left: deque[Sighting], line: Queue | None) -> None:
        self.flights: list[Flight] = []  # of the exchange that is being put together
        self._left = left
        self._line = line

    def replaced(self) -> list[ContentRecord]:
        """Return what may still be copied, although it is being replaced."""
        return [flight.before.claim(flight.job.photo) for flight in self.flights if flight.before is not None]

    def go_on(self, flight: Flight | None) -> None:
        """Put the photo next that seems to have lent its content to the one that was just put on record."""
        other = self._take(flight) if flight is not None and len(self.flights) < _MOST_EXCHANGED else None
        if flight is None or other is None:
            self.flights = []
        else:
            self.flights.append(flight)
            self._left.appendleft(other)

    def _take(self, flight: Flight) -> Sighting | None:
        for photo in self._moved_here(flight.sighting, flight.before, flight.job):
            for other in self._left:
                if other.photo == photo:
                    self._left.remove(other)
                    return other
            if self._line is not None and (waiting := self._line.remove(photo)) is not None:
                return waiting
        return None

    def is_half_told(self, sighting: Sighting, before: PhotoRecord | None, job: Job) -> bool:
        """Return whether nothing was heard yet of a photo that may have exchanged names with this one."""
        if self._line is None or self.flights or sighting.held:
            return False
        moved = self._moved_here(sighting, before, job)
        waiting = {other.photo for other in self._left}
        return bool(moved) and not any(photo in waiting or photo in self._line for photo in moved)

    def _moved_here(self, sighting: Sighting, before: PhotoRecord | None, job: Job) -> list[PhotoId]:
        """List photos that are there, by the records, and look exactly like this one, which has replaced another."""
        looks = sighting.expected or sighting.hint
        if looks is None or before is None or before.phase is not Phase.DONE:
            return []
        twins = (twin for twin in job.twins if not twin.gone and twin.photo != job.photo)
        return [twin.photo for twin in twins if twin.mtime_ns == looks.mtime_ns]


def _asks_for_old_name(desk: InboxState, job: Job) -> bool:
    """Have a photo looked for whose name in another spelling this one may be: its output has this one's place."""
    if not desk.plan.folds_case:
        return False
    name, candidates = naming.folded(job.photo.path), (twin.photo for twin in job.twins if not twin.gone)
    alike = [photo.path for photo in candidates if photo.inbox == desk.inbox and naming.folded(photo.path) == name]
    if alike:
        desk.parts.examine(alike, [])
    return bool(alike)


def _made(known: PhotoRecord) -> bool:
    """Return whether anything was made of a photo."""
    return any(fact.size for fact in known.made.values())
