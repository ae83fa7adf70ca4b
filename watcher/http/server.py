"""The thread that serves: uvicorn on an event loop of its own, beside the daemon and never in its way."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import uvicorn
from starlette.types import ASGIApp

from watcher.http.access_token import AccessToken, read_token, write_token
from watcher.http.address import Address
from watcher.http.auth import AccessControl
from watcher.http.connections import limited, most_connections
from watcher.http.events import Broadcaster

_LEAVING_SECONDS = 2  # for answers that are under way when it ends
_MOST_CONNECTIONS = 128  # to the page that are open at once; a browser has up to six
_MOST_TO_METRICS = 16
_ACCEPT_SECONDS = 0.01  # in which a connection that was just accepted is set up, so that it can be closed
_PAUSE_SECONDS = 1.0  # before a server that failed is started again
_LONGEST_HEAD = 1 << 16  # bytes of a request's head: a photo's path may take 4 KB, in base64 more
_EXPOSED = "anyone who can connect can see folder names and photo counts"


class Log(Protocol):
    """Where constant event names with fields go."""

    def info(self, event: str, **fields: object) -> object: ...  # noqa: D102
    def warning(self, event: str, **fields: object) -> object: ...  # noqa: D102
    def error(self, event: str, **fields: object) -> object: ...  # noqa: D102


class Listener(NamedTuple):
    """An address, and what is served there."""

    address: Address
    page: bool = False
    metrics: bool = False


class _Uvicorn(uvicorn.Server):
    """uvicorn at one address until `leave`; it would wake up ten times a second to look whether it is to end."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], events: Broadcaster, leave: asyncio.Event
    ) -> None:
        super().__init__(config)
        self._sockets = sockets
        self._events = events
        self._leave = leave

    async def main_loop(self) -> None:
        self._events.open(asyncio.get_running_loop())
        try:
            await self._leave.wait()
            for item in self._sockets:
                asyncio.get_running_loop().remove_reader(item.fileno())
            await asyncio.sleep(_ACCEPT_SECONDS)
        finally:
            self._events.close()


class Server:
    """Serves an application at its addresses.

    `token_file` keeps the page's token where one is asked for.
    """

    def __init__(
        self,
        app: ASGIApp,
        listeners: Sequence[Listener],
        log: Log,
        *,
        token_file: str,
        events: Broadcaster | None = None,
        open_files: int = 1024,
    ) -> None:
        self._app = app
        self._listeners = listeners
        self._log = log
        self._events = events or Broadcaster()
        self._token = AccessToken(token_file)
        self._token_file = token_file
        self._open_files = open_files
        self._closing = threading.Event()
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Serve from now on; the log tells where. Raise OSError where the token can't be written to its file."""
        for address, page, metrics in self._listeners:
            if page and not address.loopback:
                write_token(self._token_file, address.url, read_token(self._token_file))
                self._log.info("web.listening", url=address.url, token_file=self._token_file)
            elif page:
                self._log.info("web.listening", url=address.url)
            if metrics and address.loopback:
                self._log.info("metrics.listening", address=address.name)
            elif metrics:
                self._log.warning("metrics.listening", address=address.name, text=_EXPOSED)
        self._thread.start()

    def close(self) -> None:
        """End; answers under way get a moment."""
        self._closing.set()
        if self._running is not None:
            loop, leave = self._running
            with contextlib.suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(leave.set)
        if self._thread.ident is not None:
            self._thread.join(_LEAVING_SECONDS + 1)
        for listener in self._listeners:
            listener.address.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                asyncio.run(self._serve())
            except BaseException as error:  # noqa: BLE001  # whatever it is, serving goes on
                self._log.error("web.ended", reason=repr(error), exc_info=True)
            if self._closing.wait(_PAUSE_SECONDS):
                return

    async def _serve(self) -> None:
        leave = asyncio.Event()
        self._running = asyncio.get_running_loop(), leave
        if self._closing.is_set():
            return
        with contextlib.ExitStack() as stack:
            async with asyncio.TaskGroup() as group:
                for listener in self._listeners:
                    sockets = [item.dup() for item in listener.address.sockets]  # it closes what it is given
                    for item in sockets:
                        stack.callback(item.close)
                    group.create_task(_Uvicorn(self._config(listener), sockets, self._events, leave).serve(sockets))

    def _config(self, listener: Listener) -> uvicorn.Config:
        address, page, metrics = listener
        guard = AccessControl(
            self._app,
            token=self._token if page and not address.loopback else None,
            port=address.port,
            loopback=address.loopback,
            page=page,
            metrics=metrics,
        )
        return uvicorn.Config(
            guard,
            http=limited(most_connections(_MOST_CONNECTIONS if page else _MOST_TO_METRICS, self._open_files)),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="error",  # it warns of requests that are none: as often as a client likes
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # by the guard: without the main loop's ticks uvicorn's would stand still
            timeout_graceful_shutdown=_LEAVING_SECONDS,
            h11_max_incomplete_event_size=_LONGEST_HEAD,
        )
