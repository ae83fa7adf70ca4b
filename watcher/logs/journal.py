"""systemd's journal: entries with fields that can be searched (`journalctl WATCHER_PATH=…`), by its native protocol.

See systemd.journal-fields(7) and "Native Journal Protocol" of systemd. Every field of a log line becomes
`WATCHER_<NAME>`, a list one such field for each item; the level becomes the priority, the time is the journal's own.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from watcher.logs.renderers import PRIORITIES, Console

_ADDRESS = "/run/systemd/journal/socket"
_OUR_OWN = frozenset({"level", "timestamp", "exception"})  # which the entry has otherwise
_say = Console(clock=False, level=False)


def entry(fields: Mapping[str, Any]) -> bytes:
    """Return a log line's datagram."""
    priority = PRIORITIES[fields["level"]]
    head = [("MESSAGE", _say(fields).encode("utf-8", "backslashreplace")), ("PRIORITY", b"%d" % priority)]
    head.append(("SYSLOG_IDENTIFIER", b"watcher"))
    return b"".join(_field(name, value) for name, value in [*head, *_fields(fields)])


def send(datagram: bytes) -> bool:
    """Hand an entry to the journal; False: it does not take it (not there, too much at once, too large)."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(datagram, _ADDRESS)
    except OSError:
        return False
    return True


def _fields(fields: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    for key, value in fields.items():
        if key in _OUR_OWN or value is None:
            continue
        name = "WATCHER_" + "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in str(key).upper())
        for item in value if isinstance(value, (list, tuple)) else [value]:
            yield name[:64], _bytes(item)  # journald drops fields with longer names


def _bytes(value: object) -> bytes:
    """Return a value as one would search for it: names of files as the bytes that they are."""
    if isinstance(value, (str, bytes, os.PathLike)):
        try:
            return os.fsencode(value)
        except UnicodeEncodeError:
            return str(value).encode("utf-8", "backslashreplace")
    if isinstance(value, float):
        return b"%.6g" % value
    if isinstance(value, Mapping):
        return json.dumps(value, default=repr).encode()
    return str(value).encode("utf-8", "backslashreplace")


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"
