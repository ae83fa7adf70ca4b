"""Requests of users, sent through the state file: to retry failed photos, to make renditions again, to remove outputs.

A request is deleted in the transaction that records what follows from it: none is lost, however the process ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from watcher.core.recipe import names_of
from watcher.core.records import Phase, PhotoRecord
from watcher.core.task import IN_FLIGHT, RetryAsked
from watcher.core.types import Origin, PhotoId, Request
from watcher.engine import notes
from watcher.engine.inbox import InboxState
from watcher.engine.orphans import Orphans
from watcher.engine.photos import Photos
from watcher.engine.ports import Log
from watcher.engine.reconcile import Reconciler
from watcher.engine.writer import WriteBuffer

_AT_ONCE = 1000  # requests that are handled together


BatchOf = Callable[[bytes], int]


class CommandHandler:
    """Handles the requests."""

    def __init__(
        self,
        inboxes: Mapping[bytes, InboxState],
        photos: Photos,
        records: WriteBuffer,
        reconciler: Reconciler,
        orphans: Orphans,
        log: Log,
    ) -> None:
        self._inboxes = inboxes
        self._photos = photos
        self._records = records
        self._reconciler = reconciler
        self._orphans = orphans
        self._log = log

    def take_up(self, now: float, wall: float) -> None:
        """Handle all requests so far; one that can't be written just now is handled at the next call."""
        while not self._records.blocked and (asked := self._records.store.requests(_AT_ONCE)):
            with self._photos.batches.by_inbox(now) as batch_of:
                for number, request in asked:
                    inbox = self._inboxes.get(request.inbox)
                    if inbox is None or self._one(inbox, request, batch_of, now, wall):
                        self._records.answer(number, now)
            self._records.flush(now, force=True)
            self._log.info("requests.received", requests=len(asked))

    def _one(self, inbox: InboxState, request: Request, batch_of: BatchOf, now: float, wall: float) -> bool:
        """Handle one request; return False if the state file can't be written just now."""
        if request.path is None:
            return self._all_failed(inbox, now)
        photo = PhotoId(request.inbox, request.path)
        if request.what == "prune":
            return self._orphans.remove(inbox, photo, request.renditions, now)
        known = self._records.known(photo)
        again = _opened(known, request) if known is not None else None
        if again is None or self._is_in_flight(photo):
            return True  # nothing to be done, or a worker is at it
        self._records.note(photo, wall, notes.ASKED, {"by": request.what, **_named(request)})
        self._again(photo, again, batch_of, now, wall)
        return True

    def make_again(self, photos: Iterable[PhotoId], now: float, wall: float) -> None:
        """Make all renditions of photos again: it is not known of which content those are that they have."""
        with self._photos.batches.by_inbox(now) as batch_of:
            for photo in photos:
                known = self._records.known(photo)
                if photo.inbox in self._inboxes and known is not None and not self._is_in_flight(photo):
                    self._again(photo, replace(known, recipes={}), batch_of, now, wall)

    def _again(self, photo: PhotoId, known: PhotoRecord, batch_of: BatchOf, now: float, wall: float) -> None:
        self._records.put(photo, known, now)
        self._photos.apply(photo, RetryAsked(wall, batch_of(photo.inbox)), now, wall)

    def _is_in_flight(self, photo: PhotoId) -> bool:
        task = self._photos.tracker.get(photo)
        return task is not None and task.state in IN_FLIGHT

    def _all_failed(self, inbox: InboxState, now: float) -> bool:
        reopened = self._records.reopen_failed(inbox.path, now)
        if reopened is None:
            return False
        self._log.info("failed.reopened", inbox=inbox.path, photos=reopened)
        if reopened and inbox.ready:
            self._reconciler.scan(inbox, Origin.SCAN, counts_missed=False)
        return True


def _named(request: Request) -> dict[str, object]:
    return {"renditions": names_of(request.renditions)} if request.renditions else {}


def _opened(known: PhotoRecord, request: Request) -> PhotoRecord | None:
    """Return the row of a photo that is to be tried again; None: there is nothing to be done about it."""
    match request.what:
        case "retry":
            if known.phase is Phase.DONE:
                return None
            return replace(known, phase=Phase.WAITING, attempts=0)
        case "remake":
            left = {name: recipe for name, recipe in known.recipes.items() if name not in request.renditions}
            if known.away is not None:  # there is nothing to make it of
                return None
            if known.phase is Phase.FAILED:
                return replace(known, recipes=left, phase=Phase.WAITING, attempts=0)
            return None if left == known.recipes else replace(known, recipes=left)
        case _:
            return None  # a later version's
