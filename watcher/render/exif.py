r"""EXIF as bytes: read with bounds, patched in place, or built anew from chosen tags.

Why not Pillow's: it can raise on broken blocks, follows what they point to, and moves maker notes, whose offsets then
point nowhere. Source of the layout: TIFF 6.0 and EXIF 2.32. An EXIF block here is the TIFF part, without `Exif\0\0`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from watcher.render.tags import (
    CHROMA_PLACE,
    COLOUR_SPACE,
    EXIF,
    GPS,
    IMAGE_HEIGHT,
    IMAGE_WIDTH,
    INTEROP,
    MAKER_NOTE,
    ORIENTATION,
    PIXELS_X,
    PIXELS_Y,
    PREVIEW,
    PREVIEW_SIZE,
    SAFE_EXIF,
    SAFE_MAIN,
    STALE,
)

# bytes of a value, by TIFF type; 129 is EXIF 3.0's UTF-8
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 129: 1}
_ASCII, _SHORT, _LONG, _UTF8 = 2, 3, 4, 129
_WHOLE = {
    1: "B",
    3: "H",
    4: "I",
    5: "I",
    6: "b",
    8: "h",
    9: "i",
    10: "i",
}  # types that hold a whole number; of a fraction its numerator
_INSIDE = 4  # bytes of a value that fit into the entry itself
_MOST_ENTRIES = 512  # of one directory; real ones have under a hundred
_MOST_VALUE = 8192  # bytes of one value that is copied; a caption fits, a bomb does not
# of a TIFF's main directory: how its pixels are coded, and IPTC's record and Photoshop's layers
_PICTURE = frozenset({IMAGE_WIDTH, IMAGE_HEIGHT, *range(0x0107, 0x010E), 0x0118, 0x0119, 0x0124, 0x0125, 0x013D})
_PICTURE |= {0x0140, 0x0141, *range(0x014C, 0x015C), *range(0x0200, 0x020A), 0x83BB, 0x935C}
_MAX_EXIF = 65_533 - 6  # what one APP1 segment holds behind `Exif\0\0`


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a directory, and where in the block it lies."""

    kind: int  # TIFF type
    count: int
    at: int
    size: int  # bytes


class Exif:
    """A view of one EXIF block. What it can't make sense of, it doesn't show; it never raises for a bad block."""

    def __init__(self, block: bytes, orientation: int = 0) -> None:
        self.block = block
        self._turned = orientation
        self.order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4], "")
        self.main, self.thumbnail_pointer = self._directory(4)
        self.exif = self._below(self.main, EXIF)

    def _unpack(self, kind: str, at: int) -> int:
        try:
            value: int = struct.unpack_from(self.order + kind, self.block, at)[0]
        except struct.error:
            return 0
        return value

    def _directory(self, pointer: int) -> tuple[dict[int, Entry], int]:
        """Read the directory that the offset at `pointer` names; return it and where the next one's offset stands."""
        start = self._unpack("I", pointer) if self.order else 0
        if not 8 <= start <= len(self.block) - 2:  # noqa: PLR2004 - the size of a TIFF header
            return {}, 0
        count = self._unpack("H", start)
        entries: dict[int, Entry] = {}
        for at in range(start + 2, min(start + 2 + 12 * min(count, _MOST_ENTRIES), len(self.block) - 11), 12):
            tag, kind, number = struct.unpack_from(f"{self.order}HHI", self.block, at)
            size = _SIZES.get(kind, 0) * number
            where = at + 8 if size <= _INSIDE else self._unpack("I", at + 8)
            if size and where + size <= len(self.block):
                entries.setdefault(tag, Entry(kind, number, where, size))
        return entries, start + 2 + 12 * count

    def _below(self, directory: dict[int, Entry], tag: int) -> dict[int, Entry]:
        entry = directory.get(tag)
        return self._directory(entry.at)[0] if entry and entry.kind == _LONG else {}

    def _value(self, entry: Entry | None) -> bytes:
        return self.block[entry.at : entry.at + entry.size] if entry else b""

    def _number(self, entry: Entry | None) -> int:
        """Read the first whole number of a value, of whatever type, as exiftool and libexif do; 0 if it has none."""
        if entry is None:
            return 0
        if entry.kind == _ASCII:
            text = self._value(entry).strip(b"\0 ")
            return int(text) if text.isdigit() and len(text) < 9 else 0  # noqa: PLR2004 - more digits are no number here
        number = self._unpack(_WHOLE[entry.kind], entry.at) if entry.kind in _WHOLE else 0
        if entry.kind in {5, 10}:  # fractions
            return number // (self._unpack("I", entry.at + 4) or number + 1)
        return number

    @property
    def orientation(self) -> int:
        """Return the orientation, 1 to 8; 1 where there is none to be read. The file's own counts more."""
        if self._turned:
            return self._turned
        number = self._number(self.main.get(ORIENTATION))
        return number if 1 <= number <= 8 else 1  # noqa: PLR2004 - the eight of EXIF

    @property
    def adobe_rgb(self) -> bool:
        """Return whether the camera says Adobe RGB: colour space 2, or DCF's way: not sRGB, and "R03"."""
        space = self._number(self.exif.get(COLOUR_SPACE))
        if space in {1, 2} or not self.exif:
            return space == 2  # noqa: PLR2004 - 1 is sRGB; 2 is no part of EXIF, and cameras write it
        return self._value(self._below(self.exif, INTEROP).get(1)).startswith(b"R03")

    def says(self, tag: int) -> bool:
        """Return whether a text is there; cameras fill what is not set with blanks."""
        return bool(self._value(self.main.get(tag)).strip(b"\0 "))

    def safe(self, width: int, height: int, extra: dict[int, bytes]) -> bytes:
        """Build a block of harmless tags; `extra` are texts for where one is missing. Sizes: the rendition's pixels."""
        return self._build(
            self._chosen(self.main, SAFE_MAIN), self._chosen(self.exif, SAFE_EXIF), {}, width, height, extra
        )

    def all(self, width: int, height: int, extra: dict[int, bytes], *, thumbnail: bool) -> bytes:
        """Keep the block as it is but for what no longer holds; if it is too long, what fits of it.

        Maker notes stay where they are, since their offsets count from the block's beginning. `thumbnail`: whether the
        embedded one still shows the same as the rendition.
        """
        if not self.main or len(self.block) > _MAX_EXIF:
            return self._fitting(width, height, extra)
        numbers = dict.fromkeys((ORIENTATION, COLOUR_SPACE, CHROMA_PLACE), (_SHORT, 1))
        numbers |= dict.fromkeys((IMAGE_WIDTH, PIXELS_X), (_LONG, width))
        numbers |= dict.fromkeys((IMAGE_HEIGHT, PIXELS_Y), (_LONG, height))
        fixed = {tag: self._one(kind, number) for tag, (kind, number) in numbers.items()}
        block = bytearray(self.block)
        keeps = thumbnail and self._upright_thumbnail()
        if not keeps:
            self._blank_thumbnail(block)
        for pointer, changed in (
            (self._pointer(self.exif, INTEROP), {1: struct.pack(self.order + "HI4s", _ASCII, 4, b"R98\0")}),
            (self._pointer(self.main, EXIF), fixed),
            (4, fixed),
        ):
            if pointer:
                self._edit(block, pointer, changed, keep_next=pointer != 4 or keeps)  # noqa: PLR2004 - the main directory's
        self._add(block, extra)
        done = Exif(bytes(block))
        sound = done.orientation == 1 and len(done.block) <= _MAX_EXIF and done.exif.keys() <= self.exif.keys()
        return done.block if sound else self._fitting(width, height, extra)

    def without_picture(self, width: int, height: int) -> bytes:
        """Return the block of a TIFF file, in which pixels lie between what it says, without them."""
        return self._fitting(width, height, {}, _PICTURE) if self.main.keys() - STALE - _PICTURE else b""

    def _fitting(
        self, width: int, height: int, extra: dict[int, bytes], without: frozenset[int] = frozenset()
    ) -> bytes:
        """Build what fits of `all`: without maker note, thumbnail and long values."""
        exif = self._chosen(self.exif, self.exif.keys() - STALE - {MAKER_NOTE, INTEROP})
        gps = self._chosen(self._below(self.main, GPS), None)
        main = self._chosen(self.main, self.main.keys() - STALE - {EXIF, GPS} - without)
        whole = self._build(main, exif, gps, width, height, extra)
        return whole if len(whole) <= _MAX_EXIF else self.safe(width, height, extra)

    def _one(self, kind: int, number: int) -> bytes:
        """Write what follows the tag in an entry that holds one number."""
        return struct.pack(self.order + ("HIHxx" if kind == _SHORT else "HII"), kind, 1, number)

    def _pointer(self, directory: dict[int, Entry], tag: int) -> int:
        """Return where the offset of a directory stands; 0 if there is none."""
        entry = directory.get(tag)
        return entry.at if entry and entry.kind == _LONG and self._below(directory, tag) else 0

    def _upright_thumbnail(self) -> bool:
        entries, _ = self._directory(self.thumbnail_pointer) if self.thumbnail_pointer else ({}, 0)
        return self.orientation == 1 and self._number(entries.get(ORIENTATION)) in {0, 1}

    def _blank_thumbnail(self, block: bytearray) -> None:
        """Take the bytes of the embedded JPEG out of `block`; those at its end altogether."""
        entries, _ = self._directory(self.thumbnail_pointer) if self.thumbnail_pointer else ({}, 0)
        at, size = self._number(entries.get(PREVIEW)), self._number(entries.get(PREVIEW_SIZE))
        if size > 0 and block[at : at + 2] == b"\xff\xd8" and at + size <= len(block):
            block[at : at + size] = bytes(size) if at + size < len(block) else b""

    def _edit(self, block: bytearray, pointer: int, changed: dict[int, bytes], *, keep_next: bool) -> None:
        """Write a directory anew in its place: without what is stale or stands twice, and with `changed` values."""
        start = self._unpack("I", pointer)
        count = struct.unpack_from(self.order + "H", block, start)[0]
        behind = start + 2 + 12 * count
        following = bytes(block[behind : behind + 4]) if keep_next and behind + 4 <= len(block) else bytes(4)
        kept: dict[int, bytes] = {}
        for at in range(start + 2, min(behind, start + 2 + 12 * _MOST_ENTRIES, len(block) - 11), 12):
            tag = struct.unpack_from(self.order + "H", block, at)[0]
            if tag not in STALE and tag not in kept:
                kept[tag] = changed.get(tag) or bytes(block[at + 2 : at + 12])
        out = struct.pack(self.order + "H", len(kept))
        out += b"".join(struct.pack(self.order + "H", tag) + rest for tag, rest in kept.items()) + following
        room = min(behind + 4, len(block)) - start
        block[start : start + room] = out[:room].ljust(room, b"\0")

    def _add(self, block: bytearray, extra: dict[int, bytes]) -> None:
        """Add texts: the main directory is written once more at the end, with them, and everything else stays."""
        if not extra:
            return
        start = struct.unpack_from(self.order + "I", block, 4)[0]
        count = struct.unpack_from(self.order + "H", block, start)[0]
        entries = [bytes(block[at : at + 12]) for at in range(start + 2, start + 2 + 12 * count, 12)]
        following = bytes(block[start + 2 + 12 * count :][:4])
        known = {struct.unpack_from(self.order + "H", entry)[0]: entry for entry in entries}
        block += bytes(len(block) % 2)
        for tag, text in extra.items():
            value = _cut(text)
            known[tag] = _entry(self.order, tag, _ASCII, len(value), value, len(block))
            block += _behind(value)
        struct.pack_into(self.order + "I", block, 4, len(block))
        block += struct.pack(self.order + "H", len(known)) + b"".join(known[tag] for tag in sorted(known)) + following

    def _chosen(self, directory: dict[int, Entry], tags: set[int] | None) -> dict[int, tuple[int, int, bytes]]:
        return {
            # most readers know no type for UTF-8, and take ASCII's for it
            tag: (_ASCII if entry.kind == _UTF8 else entry.kind, entry.count, self._value(entry))
            for tag, entry in directory.items()
            if (tags is None or tag in tags) and entry.size <= _MOST_VALUE
        }

    def _build(
        self,
        main: dict[int, tuple[int, int, bytes]],
        exif: dict[int, tuple[int, int, bytes]],
        gps: dict[int, tuple[int, int, bytes]],
        width: int,
        height: int,
        extra: dict[int, bytes],
    ) -> bytes:
        """Write a block; empty if there would be nothing in it."""
        order = self.order or "<"
        for tag, text in extra.items():
            value = _cut(text)
            main[tag] = (_ASCII, len(value), value)
        if not main and not exif and not gps:
            return b""
        if ORIENTATION in self.main:
            main[ORIENTATION] = (_SHORT, 1, struct.pack(order + "H", 1))
        exif.setdefault(0x9000, (7, 4, b"0232"))
        exif[COLOUR_SPACE] = (_SHORT, 1, struct.pack(order + "H", 1))
        exif[PIXELS_X] = (_LONG, 1, struct.pack(order + "I", width))
        exif[PIXELS_Y] = (_LONG, 1, struct.pack(order + "I", height))
        out = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
        below = {EXIF: exif} | ({GPS: gps} if gps else {})
        pointers = {tag: (_LONG, 1, bytes(4)) for tag in below}
        at = 8 + len(_written(order, {**main, **pointers}, 8))
        parts = b""
        for tag, directory in below.items():
            pointers[tag] = (_LONG, 1, struct.pack(order + "I", at + len(parts)))
            parts += _written(order, directory, at + len(parts))
        return out + _written(order, {**main, **pointers}, 8) + parts


def _cut(text: bytes) -> bytes:
    """Return a UTF-8 text as a value: of bounded length, no letter cut in two."""
    return text[: _MOST_VALUE - 1].decode("utf-8", "ignore").encode() + b"\0"


def _written(order: str, directory: dict[int, tuple[int, int, bytes]], at: int) -> bytes:
    """Lay out one directory that begins at offset `at`, its long values behind it."""
    out, values = struct.pack(order + "H", len(directory)), b""
    behind = at + 2 + 12 * len(directory) + 4
    for tag, (kind, count, value) in sorted(directory.items()):
        out += _entry(order, tag, kind, count, value, behind + len(values))
        values += _behind(value)
    return out + bytes(4) + values


def _entry(order: str, tag: int, kind: int, count: int, value: bytes, at: int) -> bytes:
    """Write one entry, whose value, if it does not fit into it, lies at offset `at`."""
    there = value.ljust(4, b"\0") if len(value) <= _INSIDE else struct.pack(order + "I", at)
    return struct.pack(order + "HHI", tag, kind, count) + there


def _behind(value: bytes) -> bytes:
    """Return what stands behind the directory for a value: nothing if it fits into its entry."""
    return value + bytes(len(value) % 2) if len(value) > _INSIDE else b""
