"""The boxes of ISO base media files, as AVIF and HEIC: how long a file must be, and what its decoder does not say.

Source of the layout: ISO/IEC 14496-12, and 23008-12 for the items of pictures. Every number is bounded by the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from watcher.render import icc
from watcher.render.decoders.base import EndsEarlyError, UndecodableError, filled, require

_MOST_BOXES = 10_000
_MOST_PIECES = 100_000
_NO_PICTURES = frozenset({b"Exif", b"mime", b"uri "})  # items that may end in padding
_HEAD = 64  # bytes of those that tell that they are there
_DISPLAY_P3, _SRGB_CURVES = 12, frozenset({1, 2, 6, 13})  # of ISO/IEC 23091-2, "unspecified" among the curves
_FILE_OFFSET = 0  # how an item's place is given; the other ways name other items


class Layout(NamedTuple):
    """Where the parts of a file lie, in bytes."""

    end: int  # where its boxes end
    data: int  # the first byte of its items
    profile: bytes  # the ICC profile that its colour codes stand for; empty: none but sRGB's
    size: tuple[int, int]  # the largest that a picture in it claims to have, in pixels; zeros: none does


class _Box(NamedTuple):
    kind: bytes
    start: int  # of what it holds
    end: int


class _Piece(NamedTuple):
    start: int
    stop: int
    picture: bool  # it belongs to a picture, not to what is said about it

    @property
    def head(self) -> int:
        return min(self.start + _HEAD, self.stop)


def lay_out(data: bytes) -> Layout:
    """Find the parts of a file; raise EndsEarlyError where one of them is not there yet."""
    needed, meta, end, tracks = 0, None, 0, False
    for box in _boxes(data, 0, len(data), open_ended=True):
        if not box.kind.isalnum() and box.kind != b"mdat":
            break  # something else follows the boxes
        needed = end = max(needed, box.end)
        tracks = tracks or box.kind == b"moov"  # of a sequence of pictures
        if box.kind == b"meta" and meta is None:
            meta = box
    if needed > len(data):
        raise EndsEarlyError(needed)
    if meta is None and not tracks:
        if (there := filled(data)) <= end + 8:
            raise EndsEarlyError(len(data), filled=there if there < len(data) else 0)
        raise UndecodableError("a broken file: it has no list of its pictures")
    if meta is None:
        require(data, needed, end)
        return Layout(end, 0, b"", (0, 0))
    require(data, needed, meta.end)
    pieces = list(_pieces(data, meta))
    # What a camera writes of itself may end in zeros, but it does not begin with them.
    last = end if tracks else max((piece.stop if piece.picture else piece.head for piece in pieces), default=0)
    require(data, max([needed, *(piece.stop for piece in pieces)]), last)
    return Layout(end, min((piece.start for piece in pieces), default=0), _profile(data, meta), _size(data, meta))


def too_large(size: tuple[int, int], form: str, most_pixels: int, most_side: int = 1 << 32) -> str:
    """Return why a picture of this size is not decoded, as a clause for a person; empty: it is."""
    width, height = size
    if width * height > most_pixels:
        found = f"{width} \u00d7 {height} is {width * height / 1e6:.1f} megapixels"
        reason = f"{found}, of {form} at most {most_pixels / 1e6:.1f} can be decoded"
    elif max(size) > most_side:
        reason = f"{width} \u00d7 {height}, of {form} at most {most_side} pixels a side can be decoded"
    else:
        return ""
    return f"too large: {reason}; save it smaller, or in another format"


def _boxes(data: bytes, at: int, end: int, *, open_ended: bool = False) -> Iterator[_Box]:
    """Yield the boxes between two offsets; `open_ended`: also one that ends behind."""
    for _ in range(_MOST_BOXES):
        if at + 8 > end:
            return
        size, start = int.from_bytes(data[at : at + 4], "big"), at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        stop = at + size if size else end
        if stop < start or (stop > end and not open_ended):
            return
        yield _Box(data[at + 4 : at + 8], start, stop)
        at = stop


def _inside(data: bytes, meta: _Box, kind: bytes) -> _Box | None:
    """Return a box of the list of items; that has four bytes of version and flags."""
    return next((box for box in _boxes(data, meta.start + 4, meta.end) if box.kind == kind), None)


def _pieces(data: bytes, meta: _Box) -> Iterator[_Piece]:
    """Yield where the pieces of the items lie."""
    box, others = _inside(data, meta, b"iloc"), _without_pictures(data, meta)
    if box is None:
        return
    take = _Reader(data, box)
    version = take(1)
    take(3)
    sizes = take(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size, wide = (sizes & 15 if version else 0), 4 if version == 2 else 2  # noqa: PLR2004 - the version
    for _ in range(take(wide)):
        item = take(wide)
        method = take(2) & 15 if version else _FILE_OFFSET
        elsewhere = take(2)
        base = take(base_size)
        for _ in range(take(2)):
            take(index_size)
            start, length = base + take(offset_size), take(length_size)
            if not take.count():
                return
            if method == _FILE_OFFSET and not elsewhere:
                yield _Piece(start, start + length, item not in others)
        if take.over:
            return


def _without_pictures(data: bytes, meta: _Box) -> set[int]:
    """Return the numbers of the items that are metadata."""
    box, found = _inside(data, meta, b"iinf"), set[int]()
    if box is None:
        return found
    for entry in _boxes(data, box.start + (6 if data[box.start : box.start + 1] == b"\0" else 8), box.end):
        version = data[entry.start] if entry.start < entry.end else 0
        wide = 4 if version == 3 else 2  # noqa: PLR2004 - the version
        number, at = entry.start + 4, entry.start + 4 + wide + 2
        if entry.kind == b"infe" and version >= 2 and data[at : at + 4] in _NO_PICTURES:  # noqa: PLR2004 - the version
            found.add(int.from_bytes(data[number : number + wide], "big"))
    return found


class _Reader:
    """Reads whole numbers of one box, one after the other; behind its end there are zeros."""

    def __init__(self, data: bytes, box: _Box) -> None:
        self._data, self._at, self._end = data, box.start, min(box.end, len(data))
        self._counted = 0

    def __call__(self, size: int) -> int:
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "big") if self._at <= self._end else 0

    @property
    def over(self) -> bool:
        return self._at >= self._end

    def count(self) -> bool:
        """Count something that is read; return whether it is within the box and the limit."""
        self._counted += 1
        return self._at <= self._end and self._counted <= _MOST_PIECES


def _profile(data: bytes, meta: _Box) -> bytes:
    """Return the profile of the first colour codes; a picture's own ICC profile counts more."""
    at = data.find(b"colrnclx", meta.start, meta.end)
    primaries, curve = (int.from_bytes(data[at + n : at + n + 2], "big") for n in (8, 10))
    return icc.DISPLAY_P3 if at >= 0 and primaries == _DISPLAY_P3 and curve in _SRGB_CURVES else b""


def _size(data: bytes, meta: _Box) -> tuple[int, int]:
    """Return the largest size among the properties of pictures, which say it of each tile too."""
    properties = _inside(data, meta, b"iprp")
    sizes = [
        (int.from_bytes(data[box.end - 8 : box.end - 4], "big"), int.from_bytes(data[box.end - 4 : box.end], "big"))
        for container in (_boxes(data, properties.start, properties.end) if properties else ())
        for box in _boxes(data, container.start, container.end)
        if (container.kind, box.kind, box.end - box.start) == (b"ipco", b"ispe", 12)
    ]
    return max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
