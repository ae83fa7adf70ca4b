"""What people ask by way of the state file: to try again what has failed, to make again what is missing.

A request is taken out in the transaction that puts on the books what it leads to: none is lost, however this ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from watcher.core.queue import Sighting
from watcher.core.records import Phase, PhotoRecord
from watcher.core.types import Origin, PhotoId, Request
from watcher.engine import notes
from watcher.engine.inbox import InboxState
from watcher.engine.line import Line
from watcher.engine.ports import Log
from watcher.engine.reconcile import Reconciler
from watcher.engine.scheduler import Scheduler
from watcher.engine.timers import Waiting
from watcher.engine.writer import WriteBuffer

_AT_ONCE = 1000  # requests that are taken up in one go


class CommandHandler:
    """Takes up what people ask."""

    def __init__(
        self,
        desks: Mapping[bytes, InboxState],
        dispatcher: Scheduler,
        waiting: Waiting,
        ledger: WriteBuffer,
        line: Line,
        scans: Reconciler,
        log: Log,
    ) -> None:
        self._desks = desks
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._line = line
        self._waiting = waiting
        self._scans = scans
        self._log = log

    def take_up(self, now: float, wall: float) -> None:
        """Deal with what was asked so far; what can't be written just now is dealt with at the next call."""
        while not self._ledger.blocked and (asked := self._ledger.store.requests(_AT_ONCE)):
            batches: dict[bytes, int] = {}
            for number, request in asked:
                desk = self._desks.get(request.inbox)
                if desk is None or self._one(desk, request, batches, now, wall):
                    self._ledger.answer(number, now)
            for batch in batches.values():
                self._line.close(batch, now)
            self._ledger.flush(now, force=True)
            self._log.info("requests.received", requests=len(asked))

    def _one(self, desk: InboxState, request: Request, batches: dict[bytes, int], now: float, wall: float) -> bool:
        """Do as one request says; False: the state file can't be written just now."""
        if request.path is None:
            return self._all_failed(desk, now)
        photo = PhotoId(request.inbox, request.path)
        known = self._ledger.known(photo)
        again = _opened(known, request) if known is not None else None
        if again is None or photo in self._dispatcher.flights:
            return True  # nothing to be done, or a worker is at it
        self._ledger.note(photo, wall, notes.ASKED, {"by": request.what, **_named(request)})
        self._again(desk, photo, again, batches, now, wall)
        return True

    def make_again(self, photos: Iterable[PhotoId], now: float, wall: float) -> None:
        """Have all renditions of photos made again: nobody knows of which content those are that they have."""
        batches: dict[bytes, int] = {}
        for photo in photos:
            desk, known = self._desks.get(photo.inbox), self._ledger.known(photo)
            if desk is not None and known is not None and photo not in self._dispatcher.flights:
                self._again(desk, photo, replace(known, recipes={}), batches, now, wall)
        for batch in batches.values():
            self._line.close(batch, now)

    def _again(
        self, desk: InboxState, photo: PhotoId, known: PhotoRecord, batches: dict[bytes, int], now: float, wall: float
    ) -> None:
        self._ledger.put(photo, known, now)
        if desk.inbox not in batches:
            batches[desk.inbox] = self._line.begin(desk.inbox, now)
        waited = self._waiting.pop(photo)
        alone = waited is not None and waited.alone
        self._line.join(Sighting(photo, Origin.RETRY, wall, batches[desk.inbox], alone=alone), now, live=True)

    def _all_failed(self, desk: InboxState, now: float) -> bool:
        reopened = self._ledger.reopen_failed(desk.inbox, now)
        if reopened is None:
            return False
        self._log.info("failed.reopened", inbox=desk.inbox, photos=reopened)
        if reopened and desk.ready:
            self._scans.scan(desk, Origin.SCAN, counts_missed=False)
        return True


def _named(request: Request) -> dict[str, object]:
    return {"renditions": list(request.renditions)} if request.renditions else {}


def _opened(known: PhotoRecord, request: Request) -> PhotoRecord | None:
    """Give the books of a photo that is to be tried again; None: there is nothing to be done about it."""
    match request.what:
        case "retry":
            if known.phase is Phase.DONE:
                return None
            return replace(known, phase=Phase.WAITING, attempts=0)
        case "remake":
            left = {name: recipe for name, recipe in known.recipes.items() if name not in request.renditions}
            if left == known.recipes or known.away is not None:  # there is nothing to make it of
                return None
            phase = Phase.WAITING if known.phase is Phase.FAILED else known.phase
            return replace(known, recipes=left, phase=phase)
        case _:
            return None  # a later version's
