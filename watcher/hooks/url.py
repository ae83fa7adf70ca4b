"""Send the document of a hook to a URL, at an address that was checked.

A name is resolved once, and the connection goes to an address that was found then: a name that points to another
machine a moment later changes nothing. Private addresses are used only if the URL has one, or a name that only a
private network can know.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from watcher.core.hooks import shown_url

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

_PORTS = {"http": 80, "https": 443}
_LOCAL = re.compile(r"[^.]+|(.+\.)?(localhost|local|lan|home|home\.arpa|internal)")
_LAST_BYTES = 2000  # of an answer, for the reason
_MOST_ADDRESSES = 4  # of a name that are tried


def post(url: str, document: bytes, seconds: float, agent: str) -> str:
    """Send a document; return what went wrong, empty: it was taken."""
    parts, until = urlsplit(url), time.monotonic() + seconds
    try:
        addresses = _resolve(parts)
    except OSError as error:
        return f"{parts.hostname} can't be resolved: {_reason(error)}"
    if refused := _refused(parts, addresses):
        return refused
    failed = ""
    allowed = [found for found in addresses if _allowed(parts, found)][:_MOST_ADDRESSES]
    for others, address in zip(reversed(range(len(allowed))), allowed, strict=True):
        left = until - time.monotonic()
        if left <= 0:
            break
        connection = _connection(parts, address, left / (others + 1))  # some networks swallow what goes by IPv6
        with _closed_after(connection, left):
            try:
                connection.connect()
            except Exception as fault:  # noqa: BLE001  # urllib3's errors, http's and the system's; the next address may do
                failed = _reason(fault)
                continue
            connection.timeout = left
            try:
                said = _ask(connection, parts, document, agent)
            except Exception as fault:  # noqa: BLE001  # the same; a document that was sent is not sent elsewhere
                said = _reason(fault)
            return said if time.monotonic() < until else _late(seconds)  # an answer that was cut off may look whole
    return failed if time.monotonic() < until and failed else _late(seconds)


def forbidden(url: str) -> str:
    """Return why a URL can't be called as its name is resolved now; empty: it can."""
    parts = urlsplit(url)
    try:
        return _refused(parts, _resolve(parts))
    except OSError as error:
        return f"{parts.hostname} can't be resolved: {_reason(error)}"


def _late(seconds: float) -> str:
    return f"no answer within {seconds:g} s"


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _resolve(parts: SplitResult) -> list[str]:
    found = socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def _refused(parts: SplitResult, addresses: list[str]) -> str:
    if any(_allowed(parts, address) for address in addresses):
        return ""
    found = addresses[0] if addresses else "nothing"
    return f"{parts.hostname} resolves to {found}, which is a private address: write that in the URL if it is meant"


def _allowed(parts: SplitResult, address: str) -> bool:
    host = parts.hostname or ""
    if _LOCAL.fullmatch(host.rstrip(".")):
        return True
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return True  # it is written so
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_global


def _connection(parts: SplitResult, address: str, seconds: float) -> HTTPConnection:
    from urllib3.connection import HTTPConnection, HTTPSConnection  # noqa: PLC0415  # 40 ms, and most have no URL

    if parts.scheme == "http":
        return HTTPConnection(address, _port(parts), timeout=seconds)
    context = ssl.create_default_context()
    return HTTPSConnection(address, _port(parts), timeout=seconds, ssl_context=context, server_hostname=parts.hostname)


@contextmanager
def _closed_after(connection: HTTPConnection, seconds: float) -> Iterator[None]:
    """Close a connection when the time is over, though the other side sends a byte now and then."""

    def cut() -> None:
        if connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        connection.close()


def _ask(connection: HTTPConnection, parts: SplitResult, document: bytes, agent: str) -> str:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": agent,
        "Accept-Encoding": "identity",
    }
    connection.request("POST", target, document, headers, preload_content=False, decode_content=False)
    answer = connection.getresponse()
    if 200 <= answer.status < 300:  # noqa: PLR2004  # as HTTP has it
        return ""
    if 300 <= answer.status < 400:  # noqa: PLR2004  # as HTTP has it
        where = shown_url(urljoin(parts.geturl(), answer.headers.get("location", "")[:_LAST_BYTES]))
        return f"it answered {answer.status}, a redirect to {where}; that is not followed: write where it leads"
    said = answer.read(_LAST_BYTES).decode(errors="replace").strip().partition("\n")[0].strip()
    for secret in (target, parts.path, parts.query):
        said = said.replace(secret, "…") if len(secret) > 1 else said
    return f"it answered {answer.status} {answer.reason or ''}".rstrip() + (f": {said}" if said else "")


def _reason(error: BaseException) -> str:
    """Return what went wrong, without the addresses and object names that urllib3 writes around it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate can't be trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if error.__cause__ is not None:
        return _reason(error.__cause__)
    return str(error) or type(error).__name__
