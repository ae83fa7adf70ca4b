"""From `[web] listen` or `[metrics] listen` to open sockets, or to a fault that says what to do."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass

from watcher.errors import ConfigError, Fault

_BACKLOG = 64


@dataclass(frozen=True, slots=True)
class Address:
    """Sockets that listen, and what their address is called."""

    sockets: tuple[socket.socket, ...]
    host: str  # as a browser wants it: IPv6 in brackets
    port: int
    loopback: bool  # only this machine gets there

    @property
    def name(self) -> str:
        """The address, HOST:PORT."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address to type into a browser: of this machine, or of another one where it can be reached from there."""
        host = self.host
        if host in {"0.0.0.0", "[::]"}:  # noqa: S104  # compared, not listened on
            host = lan_address() or socket.gethostname()
        return f"http://{host}:{self.port}/"

    def close(self) -> None:
        """Stop listening."""
        for item in self.sockets:
            item.close()


def listen(text: str, source: str, key: str = "web.listen") -> Address:
    """Listen at HOST:PORT (port 0: any that is free), the value of `key`. Raise ConfigError where that fails."""
    host, _, port_text = text.rpartition(":")
    port = int(port_text)
    plain = host.strip("[]")
    try:
        found = socket.getaddrinfo(plain, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        hint = f'write an address of this machine, such as "127.0.0.1:{port}"'
        found_fault = f'found "{text}", which is no address ({error.strerror})'
        raise ConfigError(source, [Fault(key, found_fault, hint)]) from None
    places = list(dict.fromkeys((family, sockaddr[0]) for family, _, _, _, sockaddr in found))
    sockets: list[socket.socket] = []
    refusal: OSError | None = None
    for family, place in places:
        try:
            opened = _open(family, str(place), port)
        except OSError as error:
            refusal = error
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:  # a machine may have only IPv4
                break
        else:
            sockets.append(opened)
            port = opened.getsockname()[1]
    if not sockets or (refusal and refusal.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}):
        for item in sockets:
            item.close()
        why, hint = _refused(refusal, port)
        raise ConfigError(source, [Fault(key, f'found "{text}", {why}', hint)]) from None
    loopback = all(ipaddress.ip_address(item.getsockname()[0].partition("%")[0]).is_loopback for item in sockets)
    return Address(tuple(sockets), host, port, loopback)


def lan_address() -> str:
    """Return the address that this machine has towards others, which need not know its name; empty: it has none."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # of no machine (RFC 5737), and nothing is sent
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _open(family: int, place: str, port: int) -> socket.socket:
    """Listen at one address; an IPv6 one takes no IPv4 along, since that has an address of its own in the list."""
    # asyncio sends without delay only where the protocol is named: 40 ms a picture less
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((place, port))
        opened.listen(_BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened


def _refused(error: OSError | None, port: int) -> tuple[str, str]:
    """Return what was found of the address, and what to do."""
    number = error.errno if error else None
    if number == errno.EADDRINUSE:
        return "where another program listens already", "write another port, or stop that program"
    if number == errno.EADDRNOTAVAIL:
        return "which is no address of this machine", f'write one, such as "127.0.0.1:{port}"'
    if number == errno.EACCES:
        return "where this user may not listen", "write a port from 1024 up"
    if number == errno.EAFNOSUPPORT and os.environ.get("INVOCATION_ID"):  # of a systemd service
        remedy = "type `watcher service install` again, as you did before: it writes the unit anew"
        return "and the service's unit was written before that and allows no network", remedy
    why = error.strerror if error else "no address"
    return f"where no program can listen ({why})", f'write another address, such as "127.0.0.1:{port}"'
