"""What the daemon serves over HTTP: the page and the metrics, out of their real parts."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

from watcher import __version__
from watcher.app.settings import Source
from watcher.config import Config
from watcher.core.formats import to_install
from watcher.core.history import ASK, HistoryEntry, took
from watcher.core.hooks import Answered, Outgoing
from watcher.core.messages import RequestsPending
from watcher.core.records import PhotoRecord
from watcher.core.status import InboxStatus
from watcher.core.types import PhotoId, Request
from watcher.engine.notes import MADE
from watcher.engine.ports import Log, Message, Reloaded, Settings
from watcher.errors import ConfigError, Fault, StateError, WatcherError
from watcher.pool import open_files
from watcher.store import Queries, Store, ask
from watcher.text import printable

if TYPE_CHECKING:
    from watcher.http import Broadcaster, Shown, Site  # only where a page is served
    from watcher.http.server import Listener

_PACKAGES = {  # what each extra brings
    "web": ("starlette", "uvicorn"),
    "metrics": ("prometheus_client", "starlette", "uvicorn"),
    "dask": ("distributed",),
}


def require_extras(config: Config, source: str, *, once: bool = False) -> None:
    """Raise ConfigError where the config asks for what is not installed; `once`: by a run that serves nothing."""
    faults = []
    asked = (
        ("web", "web.listen", config.web.listen, "leave `listen` out"),
        ("metrics", "metrics.listen", config.metrics.listen, "leave `listen` out"),
        ("dask", "executor.kind", "dask" if config.executor.kind == "dask" else None, 'write "processes"'),
    )
    for extra, key, value, otherwise in asked:
        wanted = value and not (once and key.endswith(".listen"))
        missing = [name for name in _PACKAGES[extra] if wanted and importlib.util.find_spec(name) is None]
        if missing:
            found = f"found {value!r}, and the Python package {missing[0].replace('_', '-')} is not there"
            faults.append(Fault(key, found, f"type `{to_install(extra)}`, or {otherwise}"))
    if faults:
        raise ConfigError(source, faults)


class PublishingStore(Store):
    """The state file as the daemon writes it; what was written is sent to the page."""

    events: Broadcaster | None = None

    def write(
        self,
        rows: Iterable[tuple[PhotoId, PhotoRecord | None]],
        notes: Iterable[HistoryEntry] = (),
        answered: Sequence[int] = (),
        hooks: Iterable[Outgoing | Answered] = (),
        *,
        durable: bool = False,
    ) -> None:
        """Record photos, then send them to the page, attempts that only begin left out."""
        rows, notes, hooks = list(rows), list(notes), list(hooks)
        super().write(rows, notes, answered, hooks, durable=durable)
        if self.events is not None and hooks:
            self.events.send_reports()
        if self.events is not None and self.events.wanted:
            made = {note.photo: took(note.detail) for note in notes if note.what == MADE}
            self.events.send(
                (photo, known, photo in made, made.get(photo))
                for photo, known in rows
                if known is None or not known.leased
            )

    def forget_folder(self, inbox: bytes, folder: bytes) -> None:
        """Forget a folder, then have the page ask for everything anew."""
        super().forget_folder(inbox, folder)
        if self.events is not None:
            self.events.resync()

    def reopen_failed(self, inbox: bytes) -> int:
        """Have all that failed tried again, then have the page ask for everything anew."""
        reopened = super().reopen_failed(inbox)
        if self.events is not None and reopened:
            self.events.resync()
        return reopened

    def set_reports(self, reports: Iterable[InboxStatus]) -> None:
        """Record what the daemon knows of its inboxes, then tell that it has changed."""
        super().set_reports(reports)
        if self.events is not None:
            self.events.send_reports()


@contextmanager
def serving(
    config: Config, source: str, settings: Settings, store: PublishingStore, messages: SimpleQueue[Message], log: Log
) -> Iterator[Callable[[Reloaded], None]]:
    """Serve what the config asks for while this is entered; yield where a config that was read again goes.

    Raise ConfigError where an address can't be listened on.
    """
    if config.web.listen is None and config.metrics.listen is None:
        yield messages.put
        return
    from watcher.http import Broadcaster  # noqa: PLC0415  # 60 ms and more, and extras
    from watcher.http.access_token import token_file  # noqa: PLC0415  # the same
    from watcher.http.app import PageHandlers, make_app  # noqa: PLC0415  # the same
    from watcher.http.server import Server  # noqa: PLC0415  # the same

    events, routes = Broadcaster(), []
    page = _Page(settings, store, messages, events)
    if config.web.listen is not None:
        routes += PageHandlers(page.site, events).routes()
    if config.metrics.listen is not None:
        from watcher.http.metrics import MetricsHandlers  # noqa: PLC0415  # the same

        routes += MetricsHandlers(messages.put, __version__).routes()
    with ExitStack() as stack:
        listeners = _listen(config, source, stack)
        server = Server(
            make_app(routes), listeners, log, token_file=token_file(store.path), events=events, open_files=open_files()
        )
        stack.callback(server.close)
        server.start()
        if config.web.listen is not None:
            store.events = events
            stack.callback(setattr, store, "events", None)
        yield page.take_on


def _listen(config: Config, source: str, stack: ExitStack) -> list[Listener]:
    """Listen at the addresses of the config: two, or one for both."""
    from watcher.http import listen  # noqa: PLC0415  # extras
    from watcher.http.server import Listener  # noqa: PLC0415  # the same

    web, metrics = config.web.listen, config.metrics.listen
    listeners = []
    if web is not None:
        listeners.append(Listener(listen(web, source), page=True, metrics=metrics == web))
        stack.callback(listeners[0].address.close)
    if metrics is not None and metrics != web:
        listeners.append(Listener(listen(metrics, source, "metrics.listen"), metrics=True))
    return listeners


class _Page:
    """What the page stands on, and that it follows a config that was read again."""

    def __init__(
        self, settings: Settings, store: PublishingStore, messages: SimpleQueue[Message], events: Broadcaster
    ) -> None:
        from watcher.http import Site  # noqa: PLC0415  # extras

        self._settings = settings
        self._path = store.path
        self._messages = messages
        self._events = events
        self.site: Site = Site(
            version=__version__,
            open_records=lambda: _open(store.path),
            story=lambda photo: _story(store.path, self._settings, photo),
            retry=self._retry,
            shown=_shown(settings),
        )

    def _retry(self, requests: Iterable[Request]) -> None:
        ask(self._path, requests)
        self._messages.put(RequestsPending())

    def take_on(self, reloaded: Reloaded) -> None:
        """Hand a config that was read again to the loop, and show its inboxes."""
        self._messages.put(reloaded)
        if not isinstance(reloaded.settings, WatcherError):
            self._settings = reloaded.settings
            self.site.shown = _shown(reloaded.settings)
            self._events.resync()


def _shown(settings: Settings) -> tuple[Shown, ...]:
    from watcher.http import Shown  # noqa: PLC0415  # only where a page is served

    return tuple(Shown(plan.inbox, plan.output, plan.wanted) for plan in settings.inboxes)


def _open(path: str) -> Queries:
    records = Queries.open_to_read(path)
    if records is None:
        raise StateError(f"there is no state file {path}")
    return records


def _story(path: str, settings: Settings, photo: PhotoId) -> dict[str, object]:
    """Return what `why` prints of a photo."""
    from watcher.app import explain, explain_view  # noqa: PLC0415  # only when it is asked for
    from watcher.app.locate import KnownInbox  # noqa: PLC0415  # the same

    plan = next(plan for plan in settings.inboxes if plan.inbox == photo.inbox)
    named = os.fsencode(plan.config.path)
    story, _ = explain.story_of(KnownInbox(path, plan.inbox, named, plan.output, plan.config, plan.wanted), photo)
    now = time.time()
    return {
        "state": story.state,
        "reason": story.reason,
        "next": story.next.replace(ASK, "when you ask for it with \u201cTry again\u201d"),
        "next_at": story.next_at,
        "forgotten": story.forgotten,
        "events": [{"at": event.at, "text": printable(explain_view.sentence(event, now))} for event in story.events],
    }


def address_with_token(source: Source, *, new: bool) -> str:
    """Return the page's address with its token, which is made where there is none, or anew.

    Raises ConfigError where no page is served, StateError where the token can't be written.
    """
    config, name = source.read()
    if config.web.listen is None:
        hint = 'write HOST:PORT, such as "0.0.0.0:8424": the page is served there, and asks for a token'
        raise ConfigError(name, [Fault("web.listen", "found nothing", hint)])
    require_extras(config, name)
    from watcher.http import Address  # noqa: PLC0415  # an extra
    from watcher.http.access_token import read_token, token_file, write_token  # noqa: PLC0415  # the same
    from watcher.http.auth import is_loopback  # noqa: PLC0415  # the same

    host, _, port = config.web.listen.rpartition(":")
    url = Address((), host, int(port), loopback=False).url
    if is_loopback(host.strip("[]")):
        return url  # asks for none
    file = token_file(source.state_path(config))
    try:
        return write_token(file, url, "" if new else read_token(file))
    except OSError as error:
        hint = "let this user write there, or ask as the user of the daemon or as root"
        if isinstance(error, FileNotFoundError):
            hint = "`watcher run` makes its folder and the token; ask again when it has started"
        raise StateError(f"The token file {file} can't be written ({error.strerror}): {hint}.") from error
