"""Events on their way from the daemon's loop to the browsers: they never block the loop, and are bounded.

Rules:
- The loop's thread only puts rows into a bounded queue and wakes the page's thread, at most once a round. If the queue
  is full, or more has changed than can be sent one by one, the browsers are told to ask for everything anew.
- What came together is sent together: at once after a quiet time, then every quarter of a second.
- A browser that does not keep up has its queue replaced by the same request to ask anew.
"""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from watcher.core.records import PhotoRecord
from watcher.core.types import PhotoId

_MOST_ROWS = 4000  # in the queue
_MOST_TOLD = 250  # photos sent at once; of more the newest are asked for
_MOST_MESSAGES = 40  # that wait for one browser: ten seconds
MOST_BROWSERS = 64
_MOST_OF_ONE = 32  # with one address
_BATCH_SECONDS = 0.25
_SUMMARY_SECONDS = 1.0
_ALIVE_SECONDS = 20.0  # a comment now and then shows whether the client is still there

RESYNC = b"event: resync\ndata: {}\n\n"
_ALIVE = b": still here\n\n"


class Row(NamedTuple):
    """A photo as the state file has it from now on."""

    photo: PhotoId
    known: PhotoRecord | None  # None: it is forgotten
    made: bool = False  # it was made just now; otherwise only its record has changed
    took: float | None = None  # seconds from when it was seen until then, where that was one go


def event(name: str, data: object) -> bytes:
    """Write one server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


class Browser:
    """One open page, and what is still to be sent to it."""

    def __init__(self, client: str = "") -> None:
        self.client = client
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_MESSAGES + 1)  # one more, for the end

    def put(self, message: bytes) -> None:
        """Have something sent."""
        if self.queue.qsize() >= _MOST_MESSAGES:
            self._clear()
            message = RESYNC
        self.queue.put_nowait(message)

    def end(self) -> None:
        """End the stream."""
        self._clear()
        self.queue.put_nowait(None)

    def _clear(self) -> None:
        while not self.queue.empty():
            self.queue.get_nowait()


class Broadcaster:
    """The queue, and the browsers that wait for what is in it."""

    def __init__(self) -> None:
        self._rows: queue.SimpleQueue[Row] = queue.SimpleQueue()
        self._lost = False  # something could not be sent by itself
        self._reported = False
        self._awake = False  # the page's thread was told that there is something
        self._loop: asyncio.AbstractEventLoop | None = None
        self._browsers: set[Browser] = set()
        self._flush_at = 0.0
        self._summary_at = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_turn = asyncio.Lock()  # a summary that was read earlier is sent earlier
        self.describe: Callable[[list[Row]], dict[str, Any]] = lambda _: {}
        self.summary: Callable[[], Awaitable[dict[str, Any]]] | None = None

    # ---- on the daemon's thread ----

    @property
    def wanted(self) -> bool:
        """Whether any page is open."""
        return bool(self._browsers)

    def send(self, rows: Iterable[tuple[PhotoId, PhotoRecord | None, bool, float | None]]) -> None:
        """Send what was written; never blocks."""
        for row in rows:
            if self._rows.qsize() >= _MOST_ROWS:
                self._lost = True
                break
            self._rows.put(Row(*row))
        self._wake()

    def send_reports(self) -> None:
        """Send that what is known of the inboxes has changed."""
        if self._browsers:
            self._reported = True
            self._wake()

    def resync(self) -> None:
        """Have all pages ask for everything anew."""
        if self._browsers:
            self._lost = True
            self._wake()

    def _wake(self) -> None:
        loop = self._loop
        if loop is None or self._awake:
            return
        self._awake = True
        try:
            loop.call_soon_threadsafe(self._woken)
        except RuntimeError:  # it has ended
            self._awake = False

    # ---- on the page's thread ----

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to listen to the daemon."""
        self._loop = loop

    def close(self) -> None:
        """End every stream."""
        self._loop = None
        for timer in self._timers.values():
            timer.cancel()
        for browser in self._browsers:
            browser.end()

    def full(self, client: str) -> bool:
        """Return whether as many listen as may, in all or from this address."""
        of_this = sum(browser.client == client for browser in self._browsers)
        return len(self._browsers) >= MOST_BROWSERS or of_this >= _MOST_OF_ONE

    async def follow(self, client: str = "") -> AsyncIterator[bytes]:
        """Yield what happens from now on, as server-sent events."""
        browser = Browser(client)
        self._browsers.add(browser)
        try:
            browser.put(event("hello", {}))  # from here on nothing is missed: what was before can be asked for
            while True:
                try:
                    message = await asyncio.wait_for(browser.queue.get(), _ALIVE_SECONDS)
                except TimeoutError:
                    message = _ALIVE
                if message is None:
                    return
                yield message
        finally:
            self._browsers.discard(browser)

    def _woken(self) -> None:
        self._awake = False  # before the queue is emptied: what is put in from now on wakes this thread again
        if not self._rows.empty() or self._lost:
            self._later("flush", self._flush_at, self._flush)
        if not self._rows.empty() or self._lost or self._reported:
            self._later("summary", self._summary_at, self._summarise)

    def _later(self, name: str, when: float, call: Callable[[], None]) -> None:
        if self._loop is not None and name not in self._timers:
            self._timers[name] = self._loop.call_at(when, call)

    def _flush(self) -> None:
        assert self._loop is not None  # noqa: S101  # timers end with it
        del self._timers["flush"]
        self._flush_at = self._loop.time() + _BATCH_SECONDS
        rows: dict[PhotoId, Row] = {}
        while not self._rows.empty():
            row = self._rows.get_nowait()
            before = rows.pop(row.photo, None)
            made_before = before is not None and before.made and not row.made
            rows[row.photo] = row._replace(made=True, took=before.took) if before and made_before else row
        if self._lost or len(rows) > _MOST_TOLD:
            self._lost = False
            self._broadcast(RESYNC)
        elif rows:
            self._broadcast(event("photos", self.describe(list(rows.values()))))

    def _summarise(self) -> None:
        assert self._loop is not None  # noqa: S101  # timers end with it
        del self._timers["summary"]
        self._reported = False
        self._summary_at = self._loop.time() + _SUMMARY_SECONDS
        if self._browsers:
            task = self._loop.create_task(self._send_summary())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send_summary(self) -> None:
        if self.summary is not None:
            async with self._in_turn:
                self._broadcast(event("summary", await self.summary()))

    def _broadcast(self, message: bytes) -> None:
        for browser in self._browsers:
            browser.put(message)
