"""Dask's client: connect and close it, silence its output, and describe its errors."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress

from distributed import Client

from watcher.cluster.settings import Target

CONNECT_SECONDS = 5.0  # one attempt to reach the scheduler
KNOCK_SECONDS = 1.0
CLOSE_SECONDS = 2.0
ASIDE_SECONDS = 10.0


async def connected(target: Target) -> Client:
    """Return a connected client. Raise whatever Dask raises, in bounded time. Call it on an event loop."""
    if target.scheduler_file is not None:
        os.stat(target.scheduler_file)  # Dask would wait for it and report nothing
    client: Client = Client(  # type: ignore[no-untyped-call] # Dask's
        target.address,
        scheduler_file=target.scheduler_file,
        security=target.security(),
        timeout=CONNECT_SECONDS,
        name="watcher",
        asynchronous=True,
        set_as_default=False,
    )
    try:
        await asyncio.wait_for(client, 2 * CONNECT_SECONDS)
    except BaseException as error:
        await end(client)
        if isinstance(error, OSError) and target.address:
            await _knock(target.address)
        raise
    return client


async def _knock(address: str) -> None:
    """Raise the system's own error for an address: Dask's last attempt may time out, and report only that."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    with suppress(TimeoutError):
        _, writer = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), int(port)), KNOCK_SECONDS)
        writer.close()


async def end(client: Client) -> None:
    """Close a client whose scheduler may be gone. Ignore all errors."""
    with suppress(Exception):  # the client is no longer usable, and closing it can raise many types
        await asyncio.wait_for(client.close(CLOSE_SECONDS), CLOSE_SECONDS)  # type: ignore[no-untyped-call] # Dask's


async def aside(work: Callable[[], str], or_else: str) -> str:
    """Run `work`, which may wait for a disk, on its own thread, for bounded time: a hanging mount can't be interrupted.

    Return `or_else` when the time is over.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def report(text: str) -> None:
        if not answer.done():
            answer.set_result(text)

    def run() -> None:
        text = work()
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(report, text)

    threading.Thread(target=run, name="cluster-disk", daemon=True).start()
    try:
        return await asyncio.wait_for(answer, ASIDE_SECONDS)
    except TimeoutError:
        return or_else


def words(error: BaseException) -> str:
    """Return in one line why the scheduler can't be reached."""
    if isinstance(error, TypeError) and "ssl_context" in str(error):
        return "tls:// takes `tls_ca_file`, `tls_client_cert` and `tls_client_key`, or the same in Dask's own config"
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            # asyncio replaces the system's text; a name that is not found has error numbers of its own
            return (cause.strerror if isinstance(cause, socket.gaierror) else os.strerror(cause.errno)).lower()
    if isinstance(error, OSError):  # timeouts are among these
        return "it does not answer"
    return " ".join(str(error).split()) or type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def be_quiet() -> None:
    """Keep Dask from writing to standard error, in its own format, what watcher reports itself."""
    warnings.filterwarnings("ignore", module=r"distributed\..*")
    for name in ("distributed", "distributed.client", "tornado", "tornado.application"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.CRITICAL)
