"""The page's thread: uvicorn on an event loop of its own, beside the daemon and never in its way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import threading
from typing import Protocol

import uvicorn

from watcher.http.address import Address
from watcher.http.app import Handlers
from watcher.http.auth import Guard
from watcher.http.connections import limited
from watcher.http.events import Broadcaster
from watcher.http.ports import Site
from watcher.http.visitors import most_connections

_LEAVING_SECONDS = 2  # for answers that are under way when it ends
_MOST_CONNECTIONS = 128  # that are open at once; a browser has up to six
_PAUSE_SECONDS = 1.0  # before the page is served anew
_LONGEST_HEAD = 1 << 16  # bytes of a request's head: a photo's path may take 4 KB, in base64 more


class Log(Protocol):
    """Where constant event names with fields go."""

    def info(self, event: str, **fields: object) -> object: ...  # noqa: D102
    def error(self, event: str, **fields: object) -> object: ...  # noqa: D102


class _Server(uvicorn.Server):
    """uvicorn, with the news open for as long as it serves."""

    def __init__(self, config: uvicorn.Config, news: Broadcaster) -> None:
        super().__init__(config)
        self._news = news

    async def main_loop(self) -> None:
        self._news.open(asyncio.get_running_loop())
        try:
            await super().main_loop()
        finally:
            self._news.close()


class Page:
    """The page at work. `token_file` gets the token where one is asked for, readable by its owner alone."""

    def __init__(
        self, site: Site, news: Broadcaster, address: Address, token_file: str, log: Log, *, open_files: int = 1024
    ) -> None:
        token = None if address.loopback else secrets.token_urlsafe(32)
        self._address = address
        self._token_file = token_file if token else None
        self._token = token
        self._log = log
        self._news = news
        self._app = Guard(Handlers(site, news).app(), token=token, port=address.port)
        self._most = most_connections(_MOST_CONNECTIONS, open_files)
        self._closing = threading.Event()
        self._server = self._make_server()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)

    def _make_server(self) -> _Server:
        config = uvicorn.Config(
            self._app,
            http=limited(self._most),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="error",  # it warns of requests that are none: as often as somebody likes
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_LEAVING_SECONDS,
            h11_max_incomplete_event_size=_LONGEST_HEAD,
        )
        return _Server(config, self._news)

    def start(self) -> None:
        """Serve from now on; the log tells where. Raises OSError where the token can't be written down."""
        if self._token_file is not None:
            _write_private(self._token_file, f"{self._address.url}?token={self._token}\n")
            self._log.info("web.listening", url=self._address.url, token_file=self._token_file)
        else:
            self._log.info("web.listening", url=self._address.url)
        self._thread.start()

    def close(self) -> None:
        """End; answers under way get a moment."""
        self._closing.set()
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(_LEAVING_SECONDS + 1)
        self._address.close()
        if self._token_file is not None:
            with contextlib.suppress(OSError):  # it is of no use any more, and nobody else may read it
                os.unlink(self._token_file)

    def _run(self) -> None:
        while not self._closing.is_set():
            sockets = [item.dup() for item in self._address.sockets]  # it closes what it is given
            try:
                asyncio.run(self._server.serve(sockets))
            except BaseException as error:  # noqa: BLE001  # whatever it is, the page is to be served again
                self._log.error("web.ended", reason=repr(error), exc_info=True)
            finally:
                for item in sockets:
                    item.close()
            if self._closing.wait(_PAUSE_SECONDS):
                return
            self._server = self._make_server()


def _write_private(path: str, text: str) -> None:
    """Write a file that its owner alone can read, in place of one that was left."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as target:
        target.write(text)
