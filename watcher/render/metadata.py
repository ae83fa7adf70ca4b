"""What a photo says about itself, found within bounds, and what of it a rendition may carry.

`none` carries nothing. `safe` carries chosen EXIF tags; copyright and author, where only IPTC or XMP have them, are
moved into EXIF. `all` carries EXIF, XMP and IPTC, with what no longer holds (orientation, size) set right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from watcher.model import Metadata
from watcher.render import icc
from watcher.render.exif import ARTIST, COPYRIGHT, Exif
from watcher.render.jpeg import Header

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ICC, _IPTC = b"ICC_PROFILE\0", b"Photoshop 3.0\0"
_KINDS = ((0xE1, _EXIF), (0xE1, _XMP), (0xE2, _ICC), (0xED, _IPTC))
_MOST_BYTES = 4 << 20  # of one kind; press profiles reach 3 MB. What lies beyond is not looked at
_MOST_SEGMENT = 65_533
_UTF8 = b"\x1b%G"  # IPTC's way to say it


@dataclass(frozen=True, slots=True)
class Kept:
    """What a rendition carries; each empty if it is to carry none."""

    exif: bytes = b""  # the TIFF part
    xmp: bytes = b""
    iptc: bytes = b""  # the IPTC record


class Found:
    """The metadata of one photo; a copy of what counts, so that the file's bytes can be let go."""

    def __init__(self, data: bytes, header: Header) -> None:
        self._components = header.components
        self._parts: dict[bytes, list[bytes]] = {prefix: [] for _, prefix in _KINDS}
        room = dict.fromkeys(self._parts, _MOST_BYTES)
        for marker, at, end in header.metadata:
            for kind, prefix in _KINDS:
                if kind == marker and data.startswith(prefix, at, end):
                    room[prefix] -= end - at
                    if room[prefix] >= 0:
                        self._parts[prefix].append(data[at + len(prefix) : end])

    def _segments(self, prefix: bytes) -> list[bytes]:
        """Give the bodies of the segments of one kind, in order, up to the bound."""
        return self._parts[prefix]

    @cached_property
    def exif(self) -> Exif:
        """The EXIF block; one that was too long for a segment goes on in the next."""
        return Exif(b"".join(self._segments(_EXIF)))

    @cached_property
    def profile(self) -> bytes:
        """The ICC profile to assume; empty: sRGB."""
        parts = sorted(s for s in self._segments(_ICC) if len(s) > 2)  # noqa: PLR2004 - number and count of the part
        numbers = [(p[0], p[1]) for p in parts]
        if parts and numbers == [(i + 1, len(parts)) for i in range(len(parts))]:
            return b"".join(p[2:] for p in parts)
        if not parts and self._components == 3 and self.exif.adobe_rgb:  # noqa: PLR2004 - RGB
            return icc.ADOBE_RGB
        return b""

    @cached_property
    def xmp(self) -> bytes:
        """The XMP packet (the first segment: what overflows into extended XMP is left behind)."""
        return next(iter(self._segments(_XMP)), b"")

    @cached_property
    def iptc(self) -> bytes:
        """The IPTC record out of Photoshop's resources."""
        block, at = b"".join(self._segments(_IPTC)), 0
        while block.startswith(b"8BIM", at) and at + 12 <= len(block):
            data = at + 6 + (block[at + 6] + 2) // 2 * 2 + 4
            size = int.from_bytes(block[data - 4 : data], "big")
            if block[at + 4 : at + 6] == b"\x04\x04":
                return block[data : data + size]
            at = data + (size + 1) // 2 * 2
        return b""

    def keep(self, policy: Metadata, width: int, height: int) -> Kept:
        """Choose what a rendition of `width` by `height` pixels carries."""
        if policy == "none" or not any(self._parts.values()):
            return Kept()
        if policy == "safe":
            return Kept(exif=self.exif.safe(width, height, self._credits()))
        return Kept(self.exif.all(width, height), _upright(self.xmp), self.iptc)

    def _credits(self) -> dict[int, bytes]:
        """Give author and copyright where only IPTC or XMP have them, as EXIF texts."""
        found = {}
        for tag, dataset, name in ((ARTIST, 80, b"creator"), (COPYRIGHT, 116, b"rights")):
            text = b"" if self.exif.says(tag) else _iptc_text(self.iptc, dataset) or _xmp_text(self.xmp, name)
            if text:
                found[tag] = text
        return found


def _iptc_text(record: bytes, dataset: int) -> bytes:
    """Give the first value of a dataset of IPTC's application record, as UTF-8."""
    at, utf8 = 0, False
    while at + 5 <= len(record) and record[at] == 0x1C:  # noqa: PLR2004 - the tag marker
        number, size = record[at + 1 : at + 3], int.from_bytes(record[at + 3 : at + 5], "big")
        value = record[at + 5 : at + 5 + size]
        if number == b"\x01\x5a":
            utf8 = value == _UTF8
        elif number == bytes((2, dataset)):
            return value if utf8 else value.decode("latin-1").encode()
        at += 5 + size
    return b""


def _xmp_text(packet: bytes, name: bytes) -> bytes:
    """Give the first item of a Dublin Core list, without an XML parser and its traps."""
    found = re.search(
        rb"<dc:" + name + rb">[^<]{0,200}<rdf:\w{1,9}>[^<]{0,200}<rdf:li[^>]{0,200}>([^<]{1,500})<", packet
    )
    if not found:
        return b""
    text = found[1]
    for entity, char in ((b"&lt;", b"<"), (b"&gt;", b">"), (b"&quot;", b'"'), (b"&apos;", b"'"), (b"&amp;", b"&")):
        text = text.replace(entity, char)
    return text


def _upright(packet: bytes) -> bytes:
    """Set the orientation in an XMP packet to 1; a packet too long for its segment is dropped."""
    if len(packet) + len(_XMP) > _MOST_SEGMENT:
        return b""
    return re.sub(rb"""(tiff:Orientation(?:>|=["']))[2-8]""", rb"\g<1>1", packet)


def jpeg_segments(kept: Kept, profile: bytes) -> bytes:
    """Write `kept` and an ICC profile (of one segment) as the segments of a JPEG header."""
    out = b""
    if kept.exif:
        out += _segment(0xE1, _EXIF + kept.exif)
    if kept.xmp:
        out += _segment(0xE1, _XMP + kept.xmp)
    if kept.iptc:
        resource = b"8BIM\x04\x04\0\0" + len(kept.iptc).to_bytes(4, "big") + kept.iptc + bytes(len(kept.iptc) % 2)
        out += _segment(0xED, _IPTC + resource)
    return out + _segment(0xE2, _ICC + b"\x01\x01" + profile)


def _segment(marker: int, body: bytes) -> bytes:
    """Write one segment; nothing if it is too long for one."""
    if len(body) > _MOST_SEGMENT:
        return b""
    return b"\xff" + bytes((marker,)) + (len(body) + 2).to_bytes(2, "big") + body
