"""PNG: chunks by their lengths and checksums; Pillow decodes what the picture needs, and gets nothing else.

Source of the layout: the PNG specification, third edition. Text, profiles and the frames of an animation never reach
Pillow: they are where decompression bombs hide, and a damaged text is no reason to refuse a picture.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from watcher.render.decoders.base import (
    Completeness,
    Decoded,
    EndsEarlyError,
    NotWholeError,
    Photo,
    UndecodableError,
    filled,
)
from watcher.render.decoders.pixels import decoded
from watcher.render.metadata import PhotoMetadata

MAGIC = b"\x89PNG\r\n\x1a\n"
_HEADER = len(MAGIC) + 8 + 13 + 4  # bytes up to the end of IHDR
_PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})  # chunks that decide about the pixels
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # bits, by colour type
_PALETTE, _GREYS, _WITH_ALPHA = 3, frozenset({0, 4}), frozenset({4, 6})
_MOST_CHUNKS = 500_000  # 1 GB in chunks of 8 KB are 131,072
_MOST_METADATA = 4 << 20  # bytes of one kind, unpacked; what is longer is not looked at
_METADATA = frozenset({b"eXIf", b"iCCP", b"iTXt", b"zTXt", b"tEXt"})
_XMP, _RAW_EXIF = b"XML:com.adobe.xmp\0", b"Raw profile type exif\0"  # the second is ImageMagick's
_EXIF = b"Exif\0\0"


class _Chunk(NamedTuple):
    kind: bytes
    start: int  # of its data
    end: int  # of its data; its checksum follows


def sniff(head: bytes) -> bool:
    """Return whether a file that begins so is a PNG, or may become one."""
    return head.startswith(MAGIC) or (bool(head) and MAGIC.startswith(head))


def describe(data: bytes) -> Photo:
    """Return the photo that `data` holds."""
    return Png(data)


class Png(Photo):
    """A PNG file; of an animation, the picture that programs without animations show."""

    kind = "png"

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEADER:
            raise EndsEarlyError
        head = _Chunk(data[12:16], 16, 29)
        if head.kind != b"IHDR" or data[8:12] != b"\0\0\0\x0d" or not _intact(data, head):
            if filled(data) < _HEADER:
                raise EndsEarlyError
            raise UndecodableError("a broken PNG: its header does not match its checksum")
        self.width, self.height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        self._depth, self._colour = data[24], data[25]
        if not self.width or not self.height or self._depth not in _DEPTHS.get(self._colour, ()):
            raise UndecodableError("a broken PNG: its header makes no sense")
        self._data = data
        self._chunks: list[_Chunk] = []
        self._end = 0  # behind IEND; 0: there is none
        self._broken = ""  # why the chunks can't be followed to their end
        self._walk()
        self.channels = 1 if self._colour in _GREYS else 3
        self.alpha = self._colour in _WITH_ALPHA or any(chunk.kind == b"tRNS" for chunk in self._chunks)
        self.metadata = self._metadata()

    def _walk(self) -> None:
        """Find the chunks, without looking into them."""
        data, at = self._data, len(MAGIC)
        while at + 12 <= len(data):
            kind, end = data[at + 4 : at + 8], at + 8 + int.from_bytes(data[at : at + 4], "big")
            if not kind.isalpha():
                self._broken = f"no chunk begins at byte {at}"
                return
            if end + 4 > len(data):
                return
            if len(self._chunks) >= _MOST_CHUNKS:
                raise UndecodableError(f"a broken PNG: more than {_MOST_CHUNKS:,} chunks")
            self._chunks.append(_Chunk(kind, at + 8, end))
            at = end + 4
            if kind == b"IEND":
                self._end = at
                return

    def _metadata(self) -> PhotoMetadata:
        exif = profile = xmp = b""
        for kind, start, end in self._chunks:
            if kind not in _METADATA:
                continue
            value = self._data[start : min(end, start + _MOST_METADATA)]
            if kind == b"eXIf":
                exif = value.removeprefix(_EXIF)
            elif kind == b"iCCP":
                profile = profile or _unpacked(value.partition(b"\0")[2][1:])
            elif kind == b"iTXt" and value.startswith(_XMP):
                packed = value[len(_XMP) :].startswith(b"\1")
                text = value[len(_XMP) + 2 :].split(b"\0", 2)[-1]  # behind two names
                xmp = xmp or (_unpacked(text) if packed else text)
            elif kind in {b"zTXt", b"tEXt"} and value.startswith(_RAW_EXIF):
                text = value[len(_RAW_EXIF) :]
                exif = exif or _raw(_unpacked(text[1:]) if kind == b"zTXt" else text).removeprefix(_EXIF)
        return PhotoMetadata(
            size=(self.width, self.height),
            colour=self.channels == 3,  # noqa: PLR2004 - RGB
            exif_block=exif,
            icc_profile=profile,
            packets=(xmp,) if xmp else (),
        )

    def decoding_bytes(self, scale: int) -> int:
        """Return the memory for the chunks that Pillow gets, and for a picture that is converted."""
        plain = self._depth <= 8 and self._colour != _PALETTE and not self.alpha  # noqa: PLR2004 - bits
        return len(self._data) + (0 if plain else self.decoded_bytes(scale))

    def completeness(self) -> Completeness:
        """Return what the bytes say; a run of zeros with its checksum is none that a writer left out."""
        end = len(self._data) if self._end else filled(self._data)
        return Completeness(closed=self._end == len(self._data), hole=False, filled=end)

    def decode(self, scale: int) -> Decoded:
        """Return the pixels of a photo whose chunks are all there and match their checksums."""
        assert scale == 1  # noqa: S101 - `scales` is empty
        data, wanted = self._data, [chunk for chunk in self._chunks if chunk.kind in _PICTURE]
        for chunk in wanted:
            if not _intact(data, chunk):
                share = sum(c.end - c.start for c in wanted if c.end <= chunk.start) / len(data)
                reason = f"its chunk {chunk.kind.decode()} at byte {chunk.start - 8} does not match its checksum"
                raise NotWholeError(share, reason, truncated=False)
        if not self._end:
            raise NotWholeError(0.0, self._broken, truncated=not self._broken)
        plain = b"".join((MAGIC, *(data[c.start - 8 : c.end + 4] for c in wanted)))
        return decoded(plain, "PNG", (self.width, self.height))


def _intact(data: bytes, chunk: _Chunk) -> bool:
    """Return whether a chunk matches its checksum."""
    found = zlib.crc32(memoryview(data)[chunk.start - 4 : chunk.end])
    return found == int.from_bytes(data[chunk.end : chunk.end + 4], "big")


def _unpacked(packed: bytes) -> bytes:
    """Return what is compressed; nothing if it is damaged, or a bomb."""
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(packed, _MOST_METADATA)
    except zlib.error:
        return b""
    return found if unpacker.eof else b""


def _raw(text: bytes) -> bytes:
    """Return a block that ImageMagick wrote as hex digits, behind its name and its length."""
    try:
        return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except ValueError:
        return b""
