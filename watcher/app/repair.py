"""`verify --repair`: what is missing or different is made again, by the daemon that runs or by ourselves."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from watcher.app import run
from watcher.app.commands import bring_up_to_date, check_access, hand_over
from watcher.app.settings import Source
from watcher.core.messages import ScanDone, WatchReady
from watcher.core.records import Phase
from watcher.core.stability import Look
from watcher.core.types import Origin, PhotoId, Request
from watcher.engine.ports import InboxPlan, Post
from watcher.errors import BusyError
from watcher.fs.openat import folder_identity
from watcher.service import process
from watcher.store import Queries, ask
from watcher.text import shown

_AT_ONCE = 1000  # photos that are asked for in one go: what waits in the state file stays small
_LOOK_SECONDS = 0.2  # between two looks at how far the daemon is
_PATIENCE_SECONDS = 60.0  # without any photo done; the daemon goes on all the same


class Wanted(NamedTuple):
    """A photo, and the renditions of it that are to be made again."""

    photo: PhotoId
    renditions: tuple[str, ...]


class NullInbox:
    """An inbox in which nothing is looked for: only what is asked for is made."""

    def __init__(self, plan: InboxPlan, post: Post) -> None:
        self._inbox = plan.inbox
        self._post = post

    def open(self) -> None:
        """Post that there is no watch."""
        self._post(WatchReady(self._inbox, False, "only what is asked for is made"))

    def scan(self, number: int, origin: Origin, folder: bytes = b"") -> bool:
        """Find nothing, and say that this means nothing."""
        self._post(
            ScanDone(
                self._inbox,
                number,
                origin,
                folder,
                photos=0,
                folders=0,
                seconds=0.0,
                complete=False,
                reason="only what is asked for is looked at",
                root=folder_identity(self._inbox),
            )
        )
        return True

    def examine(self, paths: Sequence[bytes], folders: Sequence[bytes]) -> None:
        """Leave it to the next real scan."""

    def look(self, looks: Sequence[Look]) -> None:
        """Leave it to the next real scan."""

    def ack(self) -> None:
        """There are no listings."""

    def digested(self, events: int) -> None:
        """There are no events."""

    def close(self) -> None:
        """There is nothing to end."""


def serve_here(source: Source, state: str, requests: Sequence[Request]) -> bool:
    """Do what `requests` ask for in this process; return False if a daemon runs, or begins to run meanwhile."""
    if process.holding(state) is not None:
        return False
    try:
        bring_up_to_date(state)
        ask(state, requests)
        run.serve_requests(source, NullInbox)
    except BusyError:
        return False
    return True


class Repair:
    """Has renditions made again, some photos at a time; `advance` is told how many renditions are through."""

    def __init__(self, source: Source, state: str, reader: Queries, advance: Callable[[int], None]) -> None:
        check_access(state, write=True)
        self.repaired = 0  # renditions
        self._source = source
        self._state = state
        self._reader = reader
        self._advance = advance

    def mend(self, wanted: Iterable[Wanted]) -> None:
        """Have these made again, some at a time, and count those that are."""
        there = (item for item in wanted if self._is_there(item.photo))
        while some := list(islice(there, _AT_ONCE)):
            requests = [Request("remake", *item.photo, item.renditions) for item in some]
            if not serve_here(self._source, self._state, requests):
                hand_over(self._state, requests)
                self._wait(some, requests)
            for item in some:
                self._count(item)
            self._advance(sum(len(item.renditions) for item in some))

    def _is_there(self, photo: PhotoId) -> bool:
        if os.path.lexists(photo.absolute):
            return True
        print(f"not repaired: {shown(photo.absolute)} is no longer there", file=sys.stderr)
        return False

    def _wait(self, some: Sequence[Wanted], requests: Sequence[Request]) -> None:
        """Wait until the daemon has dealt with them."""
        left, since = len(some), time.monotonic()
        asked = set(requests)
        while time.monotonic() - since < _PATIENCE_SECONDS and process.holding(self._state) is not None:
            taken = not any(request in asked for _, request in self._reader.requests())
            now = sum(not self._is_settled(item) for item in some)
            if taken and not now:
                return
            if now < left:
                left, since = now, time.monotonic()
            time.sleep(_LOOK_SECONDS)
        print("the daemon has not finished the repair: run verify again later", file=sys.stderr)

    def _is_settled(self, item: Wanted) -> bool:
        known = self._reader.known(item.photo)
        if known is None or known.leased:
            return known is None
        return known.phase is Phase.FAILED or set(item.renditions) <= set(known.recipes)

    def _count(self, item: Wanted) -> None:
        known = self._reader.known(item.photo)
        if known is None:  # with its renditions made, its original may have been taken away
            known = next((aside for _, aside in self._reader.taken_away(item.photo)), None)
        made = set(item.renditions) & set(known.recipes) if known is not None and not known.leased else set()
        self.repaired += len(made)
        if len(made) < len(item.renditions):
            why = known.reason if known is not None and known.reason else "it was not made"
            print(f"not repaired: {shown(item.photo.absolute)}: {why}", file=sys.stderr)
