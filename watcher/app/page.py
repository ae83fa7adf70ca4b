"""The page beside the daemon: its real parts, and what of the daemon's work it is told."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

from watcher import __version__
from watcher.config import Config
from watcher.core.history import HistoryEntry, took
from watcher.core.records import PhotoRecord
from watcher.core.status import InboxStatus
from watcher.core.types import PhotoId, Request, RequestsPending
from watcher.engine.notes import MADE
from watcher.engine.ports import Log, Message, Reloaded, Settings
from watcher.errors import StateError, WatcherError
from watcher.pool import open_files
from watcher.store import Queries, Store, ask
from watcher.text import printable

if TYPE_CHECKING:
    from watcher.http import Broadcaster, Shown  # only where a page is served


class ToldState(Store):
    """The state file as the daemon writes it, with the page told of all that was written."""

    news: Broadcaster | None = None

    def write(
        self,
        rows: Iterable[tuple[PhotoId, PhotoRecord | None]],
        notes: Iterable[HistoryEntry] = (),
        answered: Sequence[int] = (),
        *,
        durable: bool = False,
    ) -> None:
        """Put photos on the books, then tell of them; attempts that only begin are nobody's news."""
        rows, notes = list(rows), list(notes)
        super().write(rows, notes, answered, durable=durable)
        if self.news is not None and self.news.wanted:
            made = {note.photo: took(note.detail) for note in notes if note.what == MADE}
            self.news.tell(
                (photo, known, photo in made, made.get(photo))
                for photo, known in rows
                if known is None or not known.leased
            )

    def forget_folder(self, inbox: bytes, folder: bytes) -> None:
        """Take a folder off the books, then tell that much has changed."""
        super().forget_folder(inbox, folder)
        if self.news is not None:
            self.news.tell_much()

    def reopen_failed(self, inbox: bytes) -> int:
        """Let all that failed be tried again, then tell that much has changed."""
        reopened = super().reopen_failed(inbox)
        if self.news is not None and reopened:
            self.news.tell_much()
        return reopened

    def set_reports(self, reports: Iterable[InboxStatus]) -> None:
        """Record what the daemon knows of its inboxes, then tell that it has changed."""
        super().set_reports(reports)
        if self.news is not None:
            self.news.tell_reports()


@contextmanager
def page(
    config: Config, source: str, settings: Settings, store: ToldState, messages: SimpleQueue[Message], log: Log
) -> Iterator[Callable[[Reloaded], None]]:
    """Serve the page while this is open, if one is wanted; give the way for a config that was read again.

    Raises ConfigError where nobody can listen at that address.
    """
    if config.web.listen is None:
        yield messages.put
        return
    from watcher.http import Broadcaster, Site, listen  # noqa: PLC0415  # only where a page is served
    from watcher.http.server import Page  # noqa: PLC0415  # the same

    news = Broadcaster()
    current = [settings]

    def retry(requests: Iterable[Request]) -> None:
        ask(store.path, requests)
        messages.put(RequestsPending())

    site = Site(
        version=__version__,
        open_books=lambda: _open(store.path),
        story=lambda photo: _story(store.path, current[0], photo),
        retry=retry,
        shown=_shown(settings),
    )

    def take_on(reloaded: Reloaded) -> None:
        messages.put(reloaded)
        if not isinstance(reloaded.settings, WatcherError):
            current[0] = reloaded.settings
            site.shown = _shown(reloaded.settings)
            news.tell_much()

    address = listen(config.web.listen, source)
    serving = Page(site, news, address, f"{store.path}.token", log, open_files=open_files())
    try:
        serving.start()
        store.news = news
        yield take_on
    finally:
        store.news = None
        serving.close()


def _shown(settings: Settings) -> tuple[Shown, ...]:
    from watcher.http import Shown  # noqa: PLC0415  # only where a page is served

    return tuple(Shown(plan.inbox, plan.output, plan.wanted) for plan in settings.inboxes)


def _open(path: str) -> Queries:
    books = Queries.open_to_read(path)
    if books is None:
        raise StateError(f"there is no state file {path}")
    return books


def _story(path: str, settings: Settings, photo: PhotoId) -> dict[str, object]:
    """Tell what `why` tells of a photo."""
    from watcher.app import explain as why  # noqa: PLC0415  # only when somebody asks
    from watcher.app import explain_view as whyview  # noqa: PLC0415  # only when somebody asks
    from watcher.app.locate import KnownInbox  # noqa: PLC0415  # the same

    plan = next(plan for plan in settings.inboxes if plan.inbox == photo.inbox)
    named = os.fsencode(plan.config.path)
    story, _ = why.story_of(KnownInbox(path, plan.inbox, named, plan.output, plan.config, plan.wanted), photo)
    now = time.time()
    return {
        "state": story.state,
        "reason": story.reason,
        "next": story.next,
        "next_at": story.next_at,
        "forgotten": story.forgotten,
        "events": [{"at": event.at, "text": printable(whyview.sentence(event, now))} for event in story.events],
    }
