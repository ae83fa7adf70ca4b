"""Who may connect to the page and to the metrics, decided without a socket: names of hosts, numbers of connections.

Rules:
- A `Host` is a name or an address, and a port; anything else is refused before it is used for anything.
- One client has half of all connections at most. When there is no room, the connection goes that has waited longest
  for a request of its client: whoever connects and says nothing keeps nobody out.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeVar

_HOST = re.compile(r"(?P<name>[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?", re.IGNORECASE)

_Connection = TypeVar("_Connection", bound=Hashable)


def host_name(header: str) -> str | None:
    """Return the host that a `Host` header names, in small letters and without its port; None: it names none."""
    found = _HOST.fullmatch(header)
    return found["name"].strip("[]").lower() if found else None


def is_loopback(name: str) -> bool:
    """Return whether a host is called as only this machine calls itself."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


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
