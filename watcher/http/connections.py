"""Connections to the page: as many as there may be, each for as long as its client asks or reads.

uvicorn limits requests, and the time between two of them. Whoever connects and sends no request, or half of one, or
takes no answer, is limited here.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from watcher.http.visitors import Admission

_REQUEST_SECONDS = 10.0  # for a whole request, head and body, from the connection or the last answer on
_STALL_SECONDS = 60.0  # in which a client must take some of its answer: 256 KB of it wait at most


class Connection(H11Protocol):
    """One connection; `limited` gives the class to use."""

    admission: ClassVar[Admission[Connection]]
    request_seconds: ClassVar[float] = _REQUEST_SECONDS
    stall_seconds: ClassVar[float] = _STALL_SECONDS
    _asking: asyncio.TimerHandle | None = None
    _stalling: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base has it
        """Take it in, and close another one where there are too many."""
        super().connection_made(transport)
        self._asking = self.loop.call_later(self.request_seconds, transport.abort)
        victim = self.admission.enter(self, self.client[0] if self.client else "")
        if victim is not None:
            victim.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.admission.leave(self)
        for timer in (self._asking, self._stalling):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in a part of a request."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """Wait until the client has read."""
        super().pause_writing()
        self._stalling = self.loop.call_later(self.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        if self._stalling is not None:
            self._stalling.cancel()

    def _look(self) -> None:
        """Measure the time for as long as a request is not here as a whole."""
        waits = self.conn.their_state in {h11.IDLE, h11.SEND_BODY}
        if waits and self._asking is None:
            self._asking = self.loop.call_later(self.request_seconds, self.transport.abort)
            self.admission.waits(self)
        elif not waits and self._asking is not None:
            self._asking.cancel()
            self._asking = None
            self.admission.busy(self)


def limited(most: int, **seconds: float) -> type[Connection]:
    """Return the class for a server's connections, `most` at a time."""
    return type("Connection", (Connection,), {"admission": Admission(most), **seconds})
