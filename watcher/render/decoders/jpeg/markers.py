"""JPEG by its markers: sizes, tables and metadata without a decoder.

Source of the marker layout: ITU-T T.81, annex B. Why not Pillow's own walk: it keeps and parses every metadata segment
(a bomb's way in), and it can't say why it refuses 12-bit or lossless pictures.

Pillow gets a `Stream`: the header's decoding segments alone, then the scan data as it lies in the file. So
EXIF, ICC, XMP, IPTC and MPO indexes, broken or huge, never reach it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from watcher.render.decoders.base import EndsEarlyError, UndecodableError

SOI, EOI, SOS = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_HIERARCHICAL = frozenset({0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_ARITHMETIC = frozenset({0xC9, 0xCA})
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD})  # Huffman, arithmetic, quantisation, line count, restart interval
_ADOBE, _JFIF, _RESTART_INTERVAL = 0xEE, 0xE0, 0xDD
EXIF, XMP, ICC, IPTC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0", b"Photoshop 3.0\0"
_METADATA = {0xE1: (EXIF, XMP), 0xE2: (ICC,), 0xED: (IPTC,)}  # by marker: how a segment that is read begins
_MAX_METADATA = 1_000  # segments that are read; a profile may have 255, the rest has a few
_MAX_SEGMENTS = 50_000  # a real header has tens, one with 1 GB of metadata 16,000
_MARKER = re.compile(rb"\xff[^\x00\xff]")
NO_DATA = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker that ends entropy-coded data
_LINE_COUNT = b"\xff\xdc\x00\x04"
_LENGTH_OF_JFIF, _LENGTH_OF_ADOBE = 16, 14  # bytes, at the least, the length itself counted
_MAX_TABLES = 1_000  # a real header has about ten; Pillow walks them one by one
_MAX_TABLE_BYTES = 1 << 20
_MAX_SIDE = 65_500  # pixels: libjpeg's
MAX_SCANS = 100  # a real progressive file has about 10; 300 scans in 42 KB decode for a second, 1 MB for minutes


@dataclass(slots=True)
class Header:
    """What stands before the first scan. Sizes in pixels, offsets in bytes."""

    width: int = 0
    height: int = 0
    precision: int = 8  # bits per sample
    frame: int = 0  # the second byte of the SOF marker
    sampling: tuple[tuple[int, int], ...] = ()  # per component: horizontal, vertical
    tables: bytearray = field(default_factory=bytearray)  # everything that a decoder needs up to the first scan
    quantisation: dict[int, bytes] = field(default_factory=dict)  # by table number; raw as in the file
    metadata: list[tuple[bytes, int, int]] = field(default_factory=list)  # EXIF, XMP, ICC or IPTC; first byte, end
    adobe: bool = False
    scan: int = 0  # offset of the first entropy-coded byte
    interleaved: bool = True  # all components in the first scan
    ids: tuple[int, ...] = ()  # of the components, in the order of `sampling`
    interval: int = 0  # minimum coded units between two restart markers; 0: there are none
    sos: bytes = b""  # the first scan's header, without its length

    @property
    def components(self) -> int:
        """Return the number of channels: 1 grey, 3 colour, 4 CMYK."""
        return len(self.sampling)

    @property
    def progressive(self) -> bool:
        """Return whether several scans refine one picture."""
        return self.frame in _PROGRESSIVE

    @property
    def arithmetic(self) -> bool:
        """Return whether its entropy coding is the one that few decoders are built with."""
        return self.frame in _ARITHMETIC

    @property
    def coefficient_bytes(self) -> int:
        """Return how much memory libjpeg needs for whole-picture coefficients; 0 where it streams.

        A progressive or non-interleaved file is collected at full size, whatever the draft scale: 2 bytes a sample.
        """
        if not self.progressive and self.interleaved:
            return 0
        hmax, vmax = max(h for h, _ in self.sampling), max(v for _, v in self.sampling)
        across, down = -(-self.width // (8 * hmax)), -(-self.height // (8 * vmax))
        return sum(across * h * down * v for h, v in self.sampling) * 64 * 2


def parse(data: bytes) -> Header:
    """Walk the markers of `data` up to the first scan.

    Raise UndecodableError for what is no decodable JPEG, and EndsEarlyError where `data` ends before the scan begins.
    """
    if len(data) < len(SOI) and SOI.startswith(data):
        raise EndsEarlyError
    if not data.startswith(SOI):
        raise UndecodableError("not a JPEG")
    header, at, tables = Header(), 2, 0
    for _ in range(_MAX_SEGMENTS):
        marker, at = next_marker(data, at)
        if marker in _BARE:
            continue
        if marker == EOI[1]:
            raise UndecodableError("a JPEG without a picture: it ends before its first scan")
        strict = marker in _FRAMES or marker in _TABLES or marker == SOS[1]
        end = segment_end(data, at, strict=strict)
        if strict or _colours(marker, data, at):
            tables += 1
            if tables > _MAX_TABLES:
                raise UndecodableError(f"a broken JPEG: more than {_MAX_TABLES} tables in its header")
            if len(header.tables) + end - at > _MAX_TABLE_BYTES:
                raise UndecodableError(f"a broken JPEG: more than {_MAX_TABLE_BYTES >> 20} MB of tables in its header")
            header.tables += b"\xff" + bytes((marker,)) + data[at:end]
        _take(header, marker, data, at, end)
        at = end
        if marker == SOS[1]:
            return _finished(header, data, at)
    raise UndecodableError(f"a broken JPEG: more than {_MAX_SEGMENTS} segments in its header")


def _finished(header: Header, data: bytes, scan: int) -> Header:
    """Return the header of a picture whose first scan begins at `scan`, if it is one that can be decoded."""
    header.scan = scan
    if header.sampling and not header.height:
        _take_line_count(header, data)
    _check(header)
    return header


def segment_end(data: bytes, at: int, *, strict: bool = False) -> int:
    """Return the end of the segment whose length stands at `at`; `strict`: its content counts.

    A length that does not even count its own two bytes is taken for none, as decoders do.
    """
    length = int.from_bytes(data[at : at + 2], "big")
    if at + max(2, length) > len(data):
        raise EndsEarlyError
    if strict and length < 2:  # noqa: PLR2004 - the length counts its own two bytes
        raise UndecodableError("a broken JPEG: a segment of its header has no length")
    return at + max(2, length)


def next_marker(data: bytes, at: int) -> tuple[int, int]:
    """Return the next marker's second byte and the offset behind it, over fill bytes and junk as decoders do."""
    found = _MARKER.search(data, at)
    if found is None:
        raise EndsEarlyError
    return data[found.end() - 1], found.end()


def _take_line_count(header: Header, data: bytes) -> None:
    """Read the height from behind the first scan, where the frame header leaves it open, and put it there."""
    found = NO_DATA.search(data, header.scan)
    if found is None:
        raise EndsEarlyError
    if data.startswith(_LINE_COUNT, found.start()):
        at = found.start() + len(_LINE_COUNT)
        if at + 2 > len(data):
            raise EndsEarlyError
        header.height = int.from_bytes(data[at : at + 2], "big")
        frame = header.tables.index(bytes((0xFF, header.frame)))
        header.tables[frame + 5 : frame + 7] = data[at : at + 2]


def _take(header: Header, marker: int, data: bytes, at: int, end: int) -> None:
    """Note one segment; `at` is the offset of its length."""
    if marker in _FRAMES:
        if header.sampling:
            raise UndecodableError("a broken JPEG: it has two frames")
        if end - at < 8:  # noqa: PLR2004 - length, precision, height, width, count
            raise UndecodableError("a broken JPEG: its frame header is too short")
        header.frame, header.precision = marker, data[at + 2]
        header.height = int.from_bytes(data[at + 3 : at + 5], "big")
        header.width = int.from_bytes(data[at + 5 : at + 7], "big")
        rows = data[at + 8 : min(end, at + 8 + 3 * data[at + 7])]
        header.sampling = tuple((rows[i] >> 4, rows[i] & 15) for i in range(1, len(rows), 3))
        header.ids = tuple(rows[::3])
    elif marker == 0xDB:  # noqa: PLR2004 - DQT
        _take_quantisation(header, data[at + 2 : end])
    elif marker == SOS[1]:
        header.interleaved = end - at > 2 and data[at + 2] >= header.components  # noqa: PLR2004 - the length itself
        header.sos = data[at + 2 : end]
    elif marker == _RESTART_INTERVAL:
        header.interval = int.from_bytes(data[at + 2 : at + 4], "big")
    elif marker == _ADOBE:
        header.adobe = header.adobe or data[at + 2 : at + 7] == b"Adobe"
    elif marker in _METADATA and len(header.metadata) < _MAX_METADATA:
        kind = next((kind for kind in _METADATA[marker] if data.startswith(kind, at + 2, end)), None)
        if kind:
            header.metadata.append((kind, at + 2 + len(kind), end))


def _colours(marker: int, data: bytes, at: int) -> bool:
    """Return whether libjpeg derives the colour space from this segment; one that is too short it passes over."""
    length = int.from_bytes(data[at : at + 2], "big")
    return (marker == _JFIF and length >= _LENGTH_OF_JFIF and data.startswith(b"JFIF\0", at + 2)) or (
        marker == _ADOBE and length >= _LENGTH_OF_ADOBE and data.startswith(b"Adobe", at + 2)
    )


def _take_quantisation(header: Header, body: bytes) -> None:
    at = 0
    while at < len(body):
        size = 128 if body[at] >> 4 else 64
        header.quantisation[body[at] & 15] = body[at + 1 : at + 1 + size]
        at += 1 + size


def _check(header: Header) -> None:
    """Refuse what libjpeg can't decode to 8-bit pictures, with the reason."""
    if not header.sampling:
        raise UndecodableError("a broken JPEG: no frame header before its first scan")
    if header.frame in _LOSSLESS:
        raise UndecodableError("a lossless JPEG, which can't be decoded here: save it as an ordinary 8-bit JPEG")
    if header.frame in _HIERARCHICAL:
        raise UndecodableError("a hierarchical JPEG, which can't be decoded here: save it as an ordinary 8-bit JPEG")
    if not 2 <= header.precision <= 16:  # noqa: PLR2004 - bits that T.81 knows
        raise UndecodableError(f"a broken JPEG: it claims {header.precision} bits a sample")
    if header.precision != 8:  # noqa: PLR2004 - bits
        raise UndecodableError(
            f"a {header.precision}-bit JPEG, only 8 bits can be decoded here: save it as an 8-bit JPEG"
        )
    if not header.width or not header.height:
        raise UndecodableError(
            "a broken JPEG: it does not say how {} it is".format("wide" if header.height else "high")
        )
    if max(header.width, header.height) > _MAX_SIDE:
        raise UndecodableError(
            f"too large: {header.width} \u00d7 {header.height}, at most {_MAX_SIDE} pixels a side can be decoded here"
        )
    if not all(1 <= h <= 4 and 1 <= v <= 4 for h, v in header.sampling):  # noqa: PLR2004 - T.81 allows 1 to 4
        raise UndecodableError("a broken JPEG: its channels claim samplings that there are not")
    if header.components not in {1, 3, 4}:
        raise UndecodableError(f"a JPEG of {header.components} channels that can't be decoded here")


class Stream:
    """A file object for Pillow: decoding tables, then the scan data; no metadata, no copy of the whole."""

    def __init__(self, header: Header, data: bytes) -> None:
        self.head = SOI + bytes(header.tables)
        self._data = data
        self._shift = header.scan - len(self.head)
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes; may give fewer at the seam between tables and scan."""
        at = self._at
        if at < len(self.head):
            part = self.head[at:] if size < 0 else self.head[at : at + size]
        else:
            start = at + self._shift
            part = self._data[start:] if size < 0 else self._data[start : start + size]
        self._at = at + len(part)
        return part

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to `offset`, as files do."""
        base = (0, self._at, len(self._data) - self._shift)[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._at
