"""Dask's client: how it is connected and let go of, without a word of its own, and what its errors mean."""

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

CONNECT_SECONDS = 5.0  # one try to reach the scheduler
KNOCK_SECONDS = 1.0
CLOSE_SECONDS = 2.0
ASIDE_SECONDS = 10.0


async def connected(target: Target) -> Client:
    """Give a client that is connected; raises whatever Dask raises, in bounded time. To be called on an event loop."""
    if target.scheduler_file is not None:
        os.stat(target.scheduler_file)  # Dask would wait for it without a word
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
    """Raise what the system says of an address: of Dask's tries the last may end with its time, and say just that."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    with suppress(TimeoutError):
        _, writer = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), int(port)), KNOCK_SECONDS)
        writer.close()


async def end(client: Client) -> None:
    """Close a client whose scheduler may be gone, whatever that takes."""
    with suppress(Exception):  # it is of no use any more, and says so in many ways
        await asyncio.wait_for(client.close(CLOSE_SECONDS), CLOSE_SECONDS)  # type: ignore[no-untyped-call] # Dask's


async def aside(work: Callable[[], str], or_else: str) -> str:
    """Do what may wait for a disk on a thread of its own, and not for ever: a mount that hangs lets nobody end it."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def tell(text: str) -> None:
        if not answer.done():
            answer.set_result(text)

    def run() -> None:
        text = work()
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, text)

    threading.Thread(target=run, name="cluster-disk", daemon=True).start()
    try:
        return await asyncio.wait_for(answer, ASIDE_SECONDS)
    except TimeoutError:
        return or_else


def words(error: BaseException) -> str:
    """Say in a line why the scheduler can't be reached."""
    if isinstance(error, TypeError) and "ssl_context" in str(error):
        return "tls:// takes `tls_ca_file`, `tls_client_cert` and `tls_client_key`, or the same in Dask's own config"
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            # asyncio has words of its own for it; names that are not found have numbers of their own
            return (cause.strerror if isinstance(cause, socket.gaierror) else os.strerror(cause.errno)).lower()
    if isinstance(error, OSError):  # among them that time is out
        return "it does not answer"
    return " ".join(str(error).split()) or type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def be_quiet() -> None:
    """Keep Dask from telling on standard error, in its own way, what is told here in ours."""
    warnings.filterwarnings("ignore", module=r"distributed\..*")
    for name in ("distributed", "distributed.client", "tornado", "tornado.application"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.CRITICAL)
