"""A JPEG with other metadata: its tables and entropy-coded data stay as they are, byte for byte."""

from __future__ import annotations

from watcher.render import icc
from watcher.render.decoders.base import EndsEarlyError
from watcher.render.decoders.jpeg.markers import EOI, NO_DATA, SOI, SOS, Header, next_marker, segment_end
from watcher.render.decoders.jpeg.segments import segments
from watcher.render.metadata import Kept

_JFIF = b"\xff\xe0"
_JFIF_BODY = 12  # bytes behind its length, without the size of its thumbnail
_TABLES = frozenset({0xC4, 0xDB, 0xDD, SOS[1]})  # what decoding takes between two scans
_METADATA = frozenset({*range(0xE0, 0xF0), 0xFE})


def retagged(data: bytes, header: Header, kept: Kept) -> bytes | None:
    """Return a whole photo with `kept` and an sRGB profile instead of its metadata; None: it is no ordinary file.

    What follows the picture, such as a film, is left out.
    """
    if header.arithmetic or header.components not in {1, 3}:
        return None
    try:
        scans = _scans(data, header.scan)
    except EndsEarlyError:
        return None
    if scans is None:
        return None
    first, tables = _split(bytes(header.tables))
    behind = segments(kept, icc.SGREY if header.components == 1 else icc.SRGB)
    return b"".join((SOI, first, behind, tables, *scans, EOI))


def _split(tables: bytes) -> tuple[bytes, bytes]:
    """Part the first segment, if it is JFIF's, from all else that decoding takes; it loses its thumbnail."""
    if not tables.startswith(_JFIF):
        return b"", tables
    return _JFIF + b"\0\x10" + tables[4 : 4 + _JFIF_BODY] + b"\0\0", tables[segment_end(tables, 2) :]


def _scans(data: bytes, at: int) -> list[bytes] | None:
    """Return all entropy-coded data from the first scan on, with the tables between; None: there is something else."""
    parts: list[bytes] = []
    coded = True
    while True:
        if coded:
            found = NO_DATA.search(data, at)
            if found is None:
                return None
            parts.append(data[at : found.start()])
            at = found.start()
        marker, start = next_marker(data, at)
        if marker == EOI[1]:
            return parts
        if marker not in _TABLES | _METADATA:
            return None
        at = segment_end(data, start)
        if marker in _TABLES:
            parts.append(data[start - 2 : at])
        coded = marker == SOS[1]
