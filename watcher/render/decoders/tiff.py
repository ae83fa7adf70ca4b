"""TIFF: its first page, by Pillow; where its strips or tiles lie says how long the file must be.

Source of the layout: TIFF 6.0, and its extension BigTIFF. Raw photos, which are TIFF inside, are refused.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property

from watcher.render import iptc
from watcher.render.decoders.base import (
    PADDING,
    Completeness,
    Decoded,
    EndsEarlyError,
    Photo,
    UndecodableError,
    filled,
    hole_in,
    require,
)
from watcher.render.decoders.pixels import decoded
from watcher.render.exif import Exif
from watcher.render.geometry import TURNED
from watcher.render.kinds import named
from watcher.render.metadata import PhotoMetadata

_SMALL, _BIG = (b"II*\0", b"MM\0*"), (b"II+\0", b"MM\0+")
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}  # types that hold a whole number
_REDUCED, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_STRIPS, _ORIENTATION, _STRIP_SIZES = 273, 274, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _EXTRA = 322, 323, 324, 325, 338
_PICTURE = frozenset({_BITS, _STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES, _EXTRA, 320, 339, 347})
_XMP, _IPTC, _PHOTOSHOP, _ICC, _DNG = 700, 33723, 34377, 34675, 50706
_UNCOMPRESSED, _OLD_JPEG, _RAW_COMPRESSIONS = 1, 6, frozenset({32767, 34713, 65535})
_MOSAIC, _CMYK, _GREYS = frozenset({32803, 34892}), 5, frozenset({0, 1})
_COLOURS = {0: "grey", 1: "grey", 2: "RGB", 3: "a palette", 5: "CMYK", 6: "YCbCr", 8: "Lab", 9: "Lab", 10: "Lab"}
_SAID = {  # what Pillow says of libtiff
    "decoder error -2": "its data is damaged",
    "decoder error -9": "one of its strips or tiles is too large to be decoded",
}
_MOST_ENTRIES = 0xFFFF
_MOST_VALUES = 1_000_000  # a strip a row
_MOST_METADATA = 4 << 20  # bytes of one kind
_MOST_PAGES = 1000  # that are looked at: whether their data is there, too
_SLACK = 12  # zeros with which a directory may end
_LARGE_TILE = 1 << 22  # pixels: no larger one is needed


def sniff(head: bytes) -> bool:
    """Return whether a file that begins so is a TIFF, and no raw photo."""
    return head.startswith(_SMALL + _BIG) and not (named(head).startswith("a raw photo") and _is_raw(head))


def _is_raw(data: bytes) -> bool:
    try:
        return _Page(data).raw
    except (EndsEarlyError, UndecodableError):
        return True


def describe(data: bytes) -> Photo:
    """Return the photo that `data` holds."""
    return Tiff(data)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep out of the log what libtiff writes to standard error; Pillow says what failed."""
    with ExitStack() as stack:
        with suppress(OSError):  # there is no standard error
            error = os.dup(2)
            stack.callback(os.close, error)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            stack.callback(os.close, nowhere)
            stack.callback(os.dup2, error, 2)
            os.dup2(nowhere, 2)
        yield


class _Page:
    """One directory of a file.

    Attributes:
        needed: bytes that the file must have for the directory and all its values.
        end: where the directory ends, and the values that say how pixels are coded.
        next: offset of the next directory; 0: there is none.

    """

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self._order = "<" if data.startswith(b"II") else ">"
        big = data.startswith(_BIG)
        self._inside = 8 if big else 4  # bytes of a value that fit into the entry
        self._offset = "Q" if big else "I"
        start = start or self._read(self._offset, 8 if big else 4)
        if not start:
            raise EndsEarlyError  # its writer sets it when all is there
        count, at, step = self._read("Q" if big else "H", start), start + (8 if big else 2), 20 if big else 12
        self.end = at + count * step + self._inside
        if count > _MOST_ENTRIES:
            raise UndecodableError("a broken TIFF: a page has too many entries")
        if self.end > len(data):
            raise EndsEarlyError(self.end)
        self.needed = self.end
        self.next = self._read(self._offset, self.end - self._inside)
        if not count:
            if filled(data) <= start:
                raise EndsEarlyError(len(data), filled=filled(data))
            raise UndecodableError("a broken TIFF: a page has no entries")
        self._entries: dict[int, tuple[int, int, int]] = {}
        for entry in range(at, at + count * step, step):
            tag, kind, number = struct.unpack_from(f"{self._order}HH{self._offset}", data, entry)
            size = _SIZES.get(kind, 0) * number
            where = entry + step - self._inside
            if size > self._inside:
                where = self._read(self._offset, where)
            self._entries.setdefault(tag, (kind, number, where))
            self.needed = max(self.needed, where + size)
            if tag in _PICTURE:
                self.end = max(self.end, where + size)

    def _read(self, kind: str, at: int) -> int:
        try:
            value: int = struct.unpack_from(self._order + kind, self._data, at)[0]
        except struct.error:
            raise EndsEarlyError(at + struct.calcsize(self._order + kind)) from None
        return value

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return the whole numbers of a tag; none where it is missing, or holds something else."""
        kind, count, at = self._entries.get(tag, (0, 0, 0))
        if kind not in _WHOLE or count > _MOST_VALUES:
            return ()
        form = f"{self._order}{count}{_WHOLE[kind]}"
        if at + struct.calcsize(form) > len(self._data):
            raise EndsEarlyError(at + struct.calcsize(form))
        return struct.unpack_from(form, self._data, at)

    def number(self, tag: int, default: int = 0) -> int:
        """Return the first number of a tag."""
        return next(iter(self.numbers(tag)), default)

    def value(self, tag: int) -> bytes:
        """Return a value as it is; nothing where it is missing, or too long."""
        kind, count, at = self._entries.get(tag, (0, 0, 0))
        size = _SIZES.get(kind, 0) * count
        return self._data[at : at + size] if size <= _MOST_METADATA else b""

    def look(self) -> int:
        """Return where the page's data ends; raise EndsEarlyError where some of it is not there yet."""
        tiled = bool(self.numbers(_TILES))
        starts, sizes = (self.numbers(tag) for tag in ((_TILES, _TILE_SIZES) if tiled else (_STRIPS, _STRIP_SIZES)))
        if not starts:
            raise UndecodableError("a broken TIFF: a page has no picture")
        end = max(start + size for start, size in zip(starts, sizes or (0,) * len(starts), strict=False))
        needed, plain = max(end, self.needed), self.number(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED
        require(self._data, needed, self.end + PADDING - _SLACK)
        require(self._data, needed, 0 if plain else end)
        return needed

    @cached_property
    def raw(self) -> bool:
        """Whether it is a raw photo, or the preview of one."""
        return (
            _DNG in self._entries
            or bool(self.number(_REDUCED) & 1)
            or self.number(_PHOTOMETRIC) in _MOSAIC
            or self.number(_COMPRESSION) in _RAW_COMPRESSIONS
            or self.number(_COMPRESSION) == _OLD_JPEG
        )


class Tiff(Photo):
    """The first page of a TIFF file."""

    kind = "tiff"

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._page = page = _Page(data)
        if page.raw:
            raise UndecodableError("a TIFF whose first page is raw or only a preview, as in raw photos")
        self.width, self.height = page.number(_WIDTH), page.number(_HEIGHT)
        if not self.width or not self.height:
            raise UndecodableError("a broken TIFF: it does not say how large its first page is")
        colours = page.number(_PHOTOMETRIC)
        self.channels = 1 if colours in _GREYS else 4 if colours == _CMYK else 3
        self.alpha = any(page.numbers(_EXTRA))
        across, down = page.number(_TILE_WIDTH), page.number(_TILE_HEIGHT)
        if across * down > max(_LARGE_TILE, 4 * self.width * self.height):
            raise UndecodableError("a broken TIFF: its tiles are larger than its picture")
        self._end = max(page.look(), self._look_behind())
        if page.number(_ORIENTATION) in TURNED:  # Pillow turns pages upright
            self.width, self.height = self.height, self.width
        photoshop, record = page.value(_PHOTOSHOP), page.value(_IPTC)
        self.metadata = PhotoMetadata(
            size=(self.width, self.height),
            colour=self.channels == 3,  # noqa: PLR2004 - RGB
            exif_block=Exif(data).without_picture(self.width, self.height),
            icc_profile=page.value(_ICC),
            packets=tuple(filter(None, (page.value(_XMP),))),
            photoshop=photoshop or (iptc.resource(record) if record else b""),
            orientation=1,
        )

    def _look_behind(self) -> int:
        """Return where the data of the other pages ends; raise EndsEarlyError where some of it is not there yet."""
        end, page, known = 0, self._page, set[int]()
        while page.next and page.next not in known and len(known) < _MOST_PAGES:
            known.add(page.next)
            try:
                page = _Page(self._data, page.next)
                end = max(end, page.look())
            except UndecodableError:
                break  # a broken page behind a good one
        return end

    def decoding_bytes(self, scale: int) -> int:
        """Return the memory for the file's copy, one strip or tile, and a picture that is converted."""
        return len(self._data) + 3 * self.decoded_bytes(scale)

    def completeness(self) -> Completeness:
        """Return what the bytes say; zeros may be the black of a picture that is not compressed."""
        hole = hole_in(self._data, min(self._page.numbers(_TILES) or self._page.numbers(_STRIPS)))
        return Completeness(closed=self._end + 1 >= len(self._data), hole=hole >= 0, filled=len(self._data))

    def decode(self, scale: int) -> Decoded:
        """Return the pixels of a page that has all its bytes."""
        assert scale == 1  # noqa: S101 - `scales` is empty
        colours = _COLOURS.get(self._page.number(_PHOTOMETRIC), "unknown colours")
        unknown = f"its pixels are of a kind that is not read: {colours}, {self._page.number(_BITS, 1)} bits a channel"
        with _quiet():
            try:
                return decoded(self._data, "TIFF", (self.width, self.height), unknown=unknown)
            except OSError as error:
                raise OSError(_SAID.get(str(error), str(error))) from error
