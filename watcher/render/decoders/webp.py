"""WebP: by the chunks of its RIFF file, and Pillow; of an animation the first frame.

Source of the layout: the WebP container specification and RFC 6386.
"""

from __future__ import annotations

from typing import NamedTuple

from watcher.render.decoders.base import (
    Completeness,
    Decoded,
    EndsEarlyError,
    Photo,
    UndecodableError,
    hole_in,
    require,
)
from watcher.render.decoders.pixels import decoded
from watcher.render.metadata import PhotoMetadata

_RIFF, _WEBP = b"RIFF", b"WEBP"
_HEADER = 30  # bytes: up to the end of what any first chunk says about the picture
_HEAD = 64  # bytes of metadata
_EXTENDED_ALPHA = 0x10
_METADATA = {b"EXIF": "exif", b"ICCP": "icc", b"XMP ": "xmp"}
_MOST_METADATA = 4 << 20  # bytes of one kind
_MOST_CHUNKS = 100_000
_EXIF = b"Exif\0\0"


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int


def sniff(head: bytes) -> bool:
    """Return whether a file that begins so is a WebP, or may become one."""
    return head[:4] == _RIFF and _WEBP.startswith(head[8:12])


def describe(data: bytes) -> Photo:
    """Return the photo that `data` holds."""
    return WebP(data)


class WebP(Photo):
    """A WebP file."""

    kind = "webp"
    channels = 3

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEADER:
            raise EndsEarlyError
        self._data = data
        self._end = 8 + int.from_bytes(data[4:8], "little")
        self._chunks = self._walk()
        # What a camera writes may end in zeros, but it does not begin with them.
        ends = [min(chunk.start + _HEAD, chunk.end) if chunk.kind in _METADATA else chunk.end for chunk in self._chunks]
        require(data, self._end, min(max(ends, default=0), self._end))
        self.width, self.height, self.alpha = _size(data)
        found = {
            _METADATA[kind]: data[start : min(end, start + _MOST_METADATA)]
            for kind, start, end in reversed(self._chunks)
            if kind in _METADATA
        }
        self.metadata = PhotoMetadata(
            size=(self.width, self.height),
            exif_block=found.get("exif", b"").removeprefix(_EXIF),
            icc_profile=found.get("icc", b""),
            packets=(found["xmp"],) if "xmp" in found else (),
        )

    def _walk(self) -> list[_Chunk]:
        chunks, at, end = list[_Chunk](), 12, min(self._end, len(self._data))
        while at + 8 <= end and len(chunks) < _MOST_CHUNKS:
            size = int.from_bytes(self._data[at + 4 : at + 8], "little")
            chunks.append(_Chunk(self._data[at : at + 4], at + 8, at + 8 + size))
            at += 8 + size + size % 2
        return chunks

    def decoding_bytes(self, scale: int) -> int:
        """Return the memory for the file's copy, and for the three canvases of libwebp and Pillow."""
        return len(self._data) + 3 * 4 * self.width * self.height + (self.decoded_bytes(scale) if self.alpha else 0)

    def completeness(self) -> Completeness:
        """Return what the bytes say."""
        hole, end = hole_in(self._data, _HEADER), len(self._data)
        return Completeness(closed=self._end == end, hole=hole >= 0, filled=end)

    def decode(self, scale: int) -> Decoded:
        """Return the pixels of a photo that has all its bytes."""
        assert scale == 1  # noqa: S101 - `scales` is empty
        return decoded(self._data, "WEBP", (self.width, self.height))


def _size(data: bytes) -> tuple[int, int, bool]:
    """Return width and height, and whether there may be transparency."""
    match data[12:16]:
        case b"VP8X":
            width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
            return width, height, bool(data[20] & _EXTENDED_ALPHA)
        case b"VP8L" if data[20] == 0x2F:  # noqa: PLR2004 - its signature
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
        case b"VP8 " if data[23:26] == b"\x9d\x01\x2a":
            width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
            if width and height:
                return width, height, False
    raise UndecodableError("a broken WebP: its header makes no sense")
