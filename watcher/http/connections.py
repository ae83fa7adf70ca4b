"""Connections: as many as there may be, each for as long as its client asks or reads.

Rules:
- uvicorn limits requests, and the time between two of them. A client that connects and sends no request, or half of
  one, or takes no answer, is limited here.
- One client has half of all connections at most. When there is no room, the connection is closed that has waited
  longest for a request of its client: clients that connect and say nothing keep no other out.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Hashable
from typing import ClassVar, Generic, TypeVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_REQUEST_SECONDS = 10.0  # for a whole request, head and body, from the connection or the last answer on
_STALL_SECONDS = 60.0  # in which a client must take some of its answer: 256 KB of it wait at most

_Connection = TypeVar("_Connection", bound=Hashable)


def most_connections(wanted: int, open_files: int) -> int:
    """Return how many connections may be open at once, where this process may have `open_files` descriptors.

    Each costs up to two, its socket and a file; three quarters of all stay for the work, however few there are.
    """
    return max(2, min(wanted, open_files // 8))


class Admission(Generic[_Connection]):
    """The connections of a server, at most `most`; it belongs to one thread, or to one lock."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_each = max(1, most // 2)
        self._waiting: dict[_Connection, str] = {}  # for a request; who has waited longest comes first
        self._busy: dict[_Connection, str] = {}
        self._counts: Counter[str] = Counter()

    def enter(self, connection: _Connection, address: str) -> _Connection | None:
        """Take a connection from this address in; return the one that has to be closed for it, maybe itself."""
        client = _client(address)
        self._waiting[connection] = client
        self._counts[client] += 1
        if self._counts[client] > self._most_each:
            crowd = client
        elif self._counts.total() > self._most:
            crowd = self._counts.most_common(1)[0][0]
        else:
            return None
        oldest = next((item for item, owner in self._waiting.items() if owner == crowd), None)
        victim = next(iter(self._waiting)) if oldest is None else oldest
        self.leave(victim)
        return victim

    def busy(self, connection: _Connection) -> None:
        """Note that its request is here, and being answered."""
        if connection in self._waiting:
            self._busy[connection] = self._waiting.pop(connection)

    def waits(self, connection: _Connection) -> None:
        """Note that it waits for the next request."""
        if connection in self._busy:
            self._waiting[connection] = self._busy.pop(connection)

    def leave(self, connection: _Connection) -> None:
        """Forget a connection that is closed; it may be forgotten already."""
        for group in (self._waiting, self._busy):
            client = group.pop(connection, None)
            if client is not None:
                self._counts[client] -= 1
                if not self._counts[client]:
                    del self._counts[client]


def _client(address: str) -> str:
    """Return what tells one client from another: of IPv6 a whole network is given to each."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return address


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
        """Receive a part of a request."""
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
