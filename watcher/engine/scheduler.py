"""From the line of waiting photos to the workers: who is next, and who goes together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace

from watcher.config import Config
from watcher.core.queue import Queue, Sighting
from watcher.core.records import PhotoRecord
from watcher.core.types import Job, PhotoId
from watcher.engine.flight import Flight
from watcher.engine.inbox import InboxState
from watcher.engine.jobs import Limits, untouched
from watcher.engine.leasing import Leasing
from watcher.engine.ports import Pool
from watcher.engine.writer import WriteBuffer

# Of photos that a worker gets together: not much more work than one from a camera, for whoever comes next waits for it.
BUNDLE_BYTES = 4_000_000
ONCE_BYTES = 32_000_000  # where nobody comes next: some from a camera share their way to the disk and the loop's turns
LEASE = 32  # attempts that are written at once: a durable commit costs about as much as a small photo


class Scheduler:
    """Keeps the pool fed and the attempts on record."""

    def __init__(
        self,
        pool: Pool,
        ledger: WriteBuffer,
        desks: Mapping[bytes, InboxState],
        booking: Leasing,
        limits: Limits,
    ) -> None:
        self.limits = limits
        self.queue = Queue()
        self.flights: dict[PhotoId, Flight] = {}  # on record as begun: in the pool, or staged for it
        self.booking = booking
        self._pool = pool
        self._ledger = ledger
        self._desks = desks
        self._staged: deque[Flight] = deque()
        self._fresh = 0  # how many of them, the first ones, came just now
        self._alone: dict[PhotoId, Sighting] = {}  # to be tried where they can hurt nobody, in order
        self._alone_now: PhotoId | None = None
        self._heavy: dict[PhotoId, tuple[Sighting, int]] = {}  # need more than one worker's share of memory, in order
        self._heavy_now: Flight | None = None

    def __contains__(self, photo: PhotoId) -> bool:
        """Tell whether a photo waits for a worker or is in one."""
        return photo in self.flights or photo in self.queue or photo in self._alone or photo in self._heavy

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return not (self.flights or len(self.queue) or self._alone or self._heavy)

    def put(self, sighting: Sighting, *, live: bool, front: bool = False) -> Sighting | None:
        """Let a photo wait for its turn; handed back is a sighting of it that this one makes needless, if any."""
        photo = sighting.photo
        if photo in self.flights:
            self.flights[photo].again = True
            self.flights[photo].again_complete = sighting.complete
            return sighting
        if photo in self._alone or photo in self._heavy:
            return sighting
        if sighting.alone:
            self._alone[photo] = sighting
            return self.queue.remove(photo)
        return self.queue.put(sighting, live=live, front=front)

    def put_heavy(self, sighting: Sighting, memory_bytes: int) -> None:
        """Let a photo wait until there is that much memory for it."""
        self._heavy[sighting.photo] = sighting, memory_bytes

    def remove(self, photo: PhotoId) -> Sighting | None:
        """Take a photo out of the line; None: it did not wait."""
        heavy = self._heavy.pop(photo, None)
        return heavy[0] if heavy else self._alone.pop(photo, None) or self.queue.remove(photo)

    def drop(self, inbox: bytes) -> list[Sighting]:
        """Take all that waits in an inbox out of the line."""
        aside = [photo for photo in (*self._alone, *self._heavy) if photo.inbox == inbox]
        return self.queue.drop(inbox) + [sighting for photo in aside if (sighting := self.remove(photo))]

    def waiting(self, inbox: bytes) -> int:
        """How many photos of an inbox wait for a worker or are in one."""
        others = (*self.flights, *self._alone, *self._heavy)
        return self.queue.waiting(inbox) + sum(photo.inbox == inbox for photo in others)

    def oldest(self, inbox: bytes) -> float | None:
        """When, by the wall clock, the photo was seen that waits longest for a worker or is in one."""
        flying = [flight.sighting.seen for photo, flight in self.flights.items() if photo.inbox == inbox]
        queued = self.queue.oldest(inbox)
        return min([*flying, *([queued] if queued is not None else [])], default=None)

    def land(self, photo: PhotoId) -> Flight:
        """Take a photo that came back out of the air."""
        flight = self.flights.pop(photo)
        if self._alone_now == photo:
            self._alone_now = None
        if self._heavy_now is flight:
            self._heavy_now = None
        return flight

    def give_up(self) -> Iterator[tuple[PhotoId, PhotoRecord | None]]:
        """Take all out of the air whose answer nobody waits for; the books of each, without blame."""
        begun = set(self.flights) - {flight.job.photo for flight in self._staged}
        for photo in list(self.flights):
            flight = self.land(photo)
            before = flight.before
            if before is not None and photo in begun:
                before = replace(before, recipes=untouched(before, flight.job))
            yield photo, before
        self._staged.clear()
        self._fresh = 0

    def unstage(self) -> list[Flight]:
        """Take back what is on record as begun and has not begun."""
        flights = list(self._staged)
        self._staged.clear()
        self._fresh = 0
        for flight in flights:
            del self.flights[flight.job.photo]
        return flights

    def adjust(self, config: Config) -> None:
        """Take on new settings."""
        self.limits = replace(
            self.limits,
            attempts=config.retry.attempts,
            max_pixels=config.max_megapixels * 1_000_000,
            quiet_seconds=config.batch.quiet_seconds,
            open_seconds=config.batch.max_wait_seconds,
        )

    @property
    def in_workers(self) -> int:
        """How many photos were handed to the pool and have not come back."""
        return len(self.flights) - len(self._staged)

    @property
    def despair(self) -> str:
        """Why nobody is to wait for workers any longer; empty: they will come, or are there."""
        return self._pool.ailment if self._pool.hopeless else ""

    @property
    def spare(self) -> int:
        """How many photos could go to a worker now."""
        return self._pool.free

    # ---- feeding the pool ----

    def dispatch(self, now: float, wall: float) -> None:
        """Give the pool all that it takes."""
        self._dispatch_alone(now, wall)
        self._dispatch_heavy(now, wall)
        while not self._ledger.blocked and self._room() > 0:
            live = self._live(self._lively(), now)
            if live:
                self._stage_live(self._lease(live, now, wall, line=self.queue))
            elif not self._staged:
                backlog = self._backlog(now)
                if not backlog:
                    return
                self._staged.extend(self._lease(backlog, now, wall, line=self.queue))
                if self.booking.holds and not self._staged:
                    return  # what they wait for will be told; meanwhile the line is not emptied into the waiting room
            while self._staged and self._room() > 0:
                self._pool.submit(*self._bundle())

    def _lively(self) -> int:
        """How many photos that came just now are to be taken out of the line: as many as go to the pool at once."""
        return min(LEASE, self._room() * self._pool.share(len(self.queue))) - self._fresh

    def _stage_live(self, flights: list[Flight]) -> None:
        """Put photos that came just now before the backlog, but behind those that came before them."""
        self._staged.rotate(-self._fresh)
        self._staged.extendleft(reversed(flights))
        self._staged.rotate(self._fresh)
        self._fresh += len(flights)

    def _bundle(self) -> list[Job]:
        """Take what one worker gets at once: several photos if they are small and many wait."""
        most = self._pool.share(len(self._staged) + len(self.queue))
        first = self._staged.popleft()
        jobs = [first.job]
        if self._heavy or self._heavy_now:
            most = 1
        size, bound = _size(first), BUNDLE_BYTES if self.limits.patient else ONCE_BYTES
        while self._staged and (
            self._staged[0].follows or (len(jobs) < most and (size := size + _size(self._staged[0])) <= bound)
        ):
            jobs.append(self._staged.popleft().job)
        self._fresh = max(0, self._fresh - len(jobs))
        return jobs

    def _room(self) -> int:
        """How many more ordinary jobs, or bundles of them, may go to the pool now."""
        if not self._heavy and self._heavy_now is None:
            return self._pool.free
        # While a heavy photo waits or works, only so many others run beside it as the memory has room for.
        need = self._heavy_now.job.memory_bytes if self._heavy_now else next(iter(self._heavy.values()))[1]
        beside = max(0, self.limits.memory_bytes - need) // max(1, self.limits.share_bytes)
        return min(self._pool.free, beside - self._ordinary())

    def _ordinary(self) -> int:
        heavy = 1 if self._heavy_now else 0
        alone = 1 if self._alone_now else 0
        return len(self.flights) - len(self._staged) - heavy - alone

    def _dispatch_alone(self, now: float, wall: float) -> None:
        while self._alone_now is None and not self._ledger.blocked:
            in_turn = sorted(self._alone, key=lambda photo: self._alone[photo].tries)
            photo = next((photo for photo in in_turn if self._allowed(photo.inbox, now)), None)
            if photo is None:
                return
            for flight in self._lease([self._alone.pop(photo)], now, wall):
                self._alone_now = flight.job.photo
                self._pool.submit(flight.job)

    def _dispatch_heavy(self, now: float, wall: float) -> None:
        if not self._heavy or self._heavy_now is not None or self._ledger.blocked or self._pool.free < 1:
            return
        photo, (sighting, need) = next(iter(self._heavy.items()))
        if self._ordinary() * self.limits.share_bytes + need > self.limits.memory_bytes and self._ordinary() > 0:
            return
        if not self._allowed(photo.inbox, now):
            # Others may have room: it waits with the rest of its inbox, and is found to be heavy once more.
            del self._heavy[photo]
            self.put(sighting, live=True, front=True)
            return
        del self._heavy[photo]
        for flight in self._lease([sighting], now, wall):
            flight.job = replace(flight.job, memory_bytes=need)
            self._heavy_now = flight
            self._pool.submit(flight.job)

    def _live(self, limit: int, now: float) -> list[Sighting]:
        """Take photos that came just now: closed ones out of their bursts, and those of bursts that have ended."""
        taken: list[Sighting] = []
        while len(taken) < limit and (sighting := self.queue.take(lambda inbox: self._allowed(inbox, now), live=True)):
            taken.append(sighting)
        return taken

    def _backlog(self, now: float) -> list[Sighting]:
        taken: list[Sighting] = []
        while len(taken) < LEASE and (sighting := self.queue.take(lambda inbox: self._allowed(inbox, now))):
            taken.append(sighting)
        return taken

    def _allowed(self, inbox: bytes, now: float) -> bool:
        """Tell whether an inbox may work."""
        desk = self._desks.get(inbox)
        return desk is None or desk.hold.lets(now)

    def _lease(self, sightings: list[Sighting], now: float, wall: float, *, line: Queue | None = None) -> list[Flight]:
        """Put attempts on record; empty where that can't be done. Others may be taken out of `line` with them."""
        flights, back = self.booking.book(sightings, self.flights.values(), self.limits, now, wall, line=line)
        for sighting in reversed(back):
            self.put(sighting, live=True, front=True)
        self.flights.update((flight.job.photo, flight) for flight in flights)
        return flights


def _size(flight: Flight) -> int:
    """Tell how large a photo is, as far as anybody has looked."""
    looks = flight.job.evidence.seen
    return looks.size if looks else ONCE_BYTES
