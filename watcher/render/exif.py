r"""EXIF as bytes: read with bounds, patched in place, or built anew from chosen tags.

Why not Pillow's: it can raise on broken blocks, follows what they point to, and moves maker notes, whose offsets then
point nowhere. Source of the layout: TIFF 6.0 and EXIF 2.32. An EXIF block here is the TIFF part, without `Exif\0\0`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of a value, by TIFF type
_ASCII, _SHORT, _LONG = 2, 3, 4
_MOST_ENTRIES = 512  # of one directory; real ones have under a hundred
_MOST_VALUE = 8192  # bytes of one value that is copied; a caption fits, a bomb does not
_MAX_EXIF = 65_533 - 6  # what one APP1 segment holds behind `Exif\0\0`

ORIENTATION, ARTIST, COPYRIGHT = 0x0112, 0x013B, 0x8298
_EXIF, _GPS, _INTEROP, _MAKER_NOTE = 0x8769, 0x8825, 0xA005, 0x927C
_COLOUR_SPACE, _PIXELS_X, _PIXELS_Y, _IMAGE_WIDTH, _IMAGE_HEIGHT = 0xA001, 0xA002, 0xA003, 0x0100, 0x0101

# What `safe` keeps: who made the picture, when, with which kind of camera, how exposed. Not on it, on purpose: GPS,
# body and lens serial numbers (A431, A435, C62F), owner (A430), maker note, user comment, unique id, thumbnail.
_SAFE_MAIN = {
    *(
        0x010E,
        0x010F,
        0x0110,
        0x011A,
        0x011B,
        0x0128,
        0x0131,
        0x0132,
    ),  # description, make, model, resolution, software, date
    *(ARTIST, COPYRIGHT),
}
_SAFE_EXIF = {
    *(0x829A, 0x829D, 0x8822, 0x8827, 0x8830, 0x8831, 0x8832),  # exposure, aperture, program, sensitivity
    *(0x9000, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292),  # version, dates, time zones
    *(
        0x9201,
        0x9202,
        0x9203,
        0x9204,
        0x9205,
        0x9206,
        0x9207,
        0x9208,
        0x9209,
        0x920A,
    ),  # APEX values, flash, focal length
    *(0xA217, 0xA401, 0xA402, 0xA403, 0xA404, 0xA405, 0xA406, 0xA408, 0xA409, 0xA40A),  # sensor, modes, scene
    *(0xA432, 0xA433, 0xA434),  # the lens, not its serial number
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a directory, and where in the block it lies."""

    kind: int  # TIFF type
    count: int
    at: int
    size: int  # bytes


class Exif:
    """A view of one EXIF block. What it can't make sense of, it doesn't show; it never raises for a bad block."""

    def __init__(self, block: bytes) -> None:
        self.block = block
        self.order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4], "")
        self.main, self.thumbnail_pointer = self._directory(4)
        self.exif = self._below(self.main, _EXIF)

    def _unpack(self, kind: str, at: int) -> int:
        try:
            value: int = struct.unpack_from(self.order + kind, self.block, at)[0]
        except struct.error:
            return 0
        return value

    def _directory(self, pointer: int) -> tuple[dict[int, Entry], int]:
        """Read the directory that the offset at `pointer` names; give it and where the next one's offset stands."""
        start = self._unpack("I", pointer) if self.order else 0
        if not 8 <= start <= len(self.block) - 2:  # noqa: PLR2004 - the size of a TIFF header
            return {}, 0
        count = self._unpack("H", start)
        entries: dict[int, Entry] = {}
        for at in range(start + 2, min(start + 2 + 12 * min(count, _MOST_ENTRIES), len(self.block) - 11), 12):
            tag, kind, number = struct.unpack_from(f"{self.order}HHI", self.block, at)
            size = _SIZES.get(kind, 0) * number
            where = at + 8 if size <= 4 else self._unpack("I", at + 8)  # noqa: PLR2004 - what fits stands in the entry itself
            if size and where + size <= len(self.block):
                entries.setdefault(tag, Entry(kind, number, where, size))
        return entries, start + 2 + 12 * count

    def _below(self, directory: dict[int, Entry], tag: int) -> dict[int, Entry]:
        entry = directory.get(tag)
        return self._directory(entry.at)[0] if entry and entry.kind == _LONG else {}

    def _value(self, entry: Entry | None) -> bytes:
        return self.block[entry.at : entry.at + entry.size] if entry else b""

    def _number(self, entry: Entry | None) -> int:
        kinds = {_SHORT: "H", _LONG: "I"}
        return self._unpack(kinds[entry.kind], entry.at) if entry and entry.kind in kinds else 0

    @property
    def orientation(self) -> int:
        """Give the orientation, 1 to 8; 1 where there is none to be read."""
        number = self._number(self.main.get(ORIENTATION))
        return number if 1 <= number <= 8 else 1  # noqa: PLR2004 - the eight of EXIF

    @property
    def adobe_rgb(self) -> bool:
        """Tell whether the camera says Adobe RGB in DCF's way: colour space not sRGB, interoperability index R03."""
        if not self.exif or self._number(self.exif.get(_COLOUR_SPACE)) == 1:
            return False
        return self._value(self._below(self.exif, _INTEROP).get(1)).startswith(b"R03")

    def says(self, tag: int) -> bool:
        """Tell whether a text stands there; cameras fill what nobody has set with blanks."""
        return bool(self._value(self.main.get(tag)).strip(b"\0 "))

    def safe(self, width: int, height: int, extra: dict[int, bytes]) -> bytes:
        """Build a block of harmless tags; `extra` are texts for where one is missing. Sizes: the rendition's pixels."""
        return self._build(
            self._chosen(self.main, _SAFE_MAIN), self._chosen(self.exif, _SAFE_EXIF), {}, width, height, extra
        )

    def all(self, width: int, height: int) -> bytes:
        """Keep the block as it is but for orientation, size and colour space; if it is too long, what fits of it."""
        if not self.main:
            return b""
        if len(self.block) <= _MAX_EXIF:
            return self._patched(width, height)
        exif = self._chosen(self.exif, self.exif.keys() - {_MAKER_NOTE, _INTEROP})
        gps = self._chosen(self._below(self.main, _GPS), None)
        whole = self._build(self._chosen(self.main, self.main.keys() - {_EXIF, _GPS}), exif, gps, width, height, {})
        return whole if len(whole) <= _MAX_EXIF else self.safe(width, height, {})

    def _chosen(self, directory: dict[int, Entry], tags: set[int] | None) -> dict[int, tuple[int, int, bytes]]:
        return {
            tag: (entry.kind, entry.count, self._value(entry))
            for tag, entry in directory.items()
            if (tags is None or tag in tags) and entry.size <= _MOST_VALUE
        }

    def _patched(self, width: int, height: int) -> bytes:
        block = bytearray(self.block)
        wanted = {ORIENTATION: 1, _IMAGE_WIDTH: width, _IMAGE_HEIGHT: height, _COLOUR_SPACE: 1}
        wanted |= {_PIXELS_X: width, _PIXELS_Y: height}
        for tag, entry in [*self.main.items(), *self.exif.items()]:
            if (
                tag in wanted
                and entry.count == 1
                and entry.kind in {_SHORT, _LONG}
                and wanted[tag] < 1 << 8 * entry.size
            ):
                struct.pack_into(self.order + ("H" if entry.kind == _SHORT else "I"), block, entry.at, wanted[tag])
        if self.orientation != 1 and self.thumbnail_pointer + 4 <= len(block):
            block[self.thumbnail_pointer : self.thumbnail_pointer + 4] = bytes(4)  # it would lie on its side now
        return bytes(block)

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
            value = text[: _MOST_VALUE - 1] + b"\0"
            main[tag] = (_ASCII, len(value), value)
        if not main and not exif and not gps:
            return b""
        if ORIENTATION in self.main:
            main[ORIENTATION] = (_SHORT, 1, struct.pack(order + "H", 1))
        exif.setdefault(0x9000, (7, 4, b"0232"))
        exif[_COLOUR_SPACE] = (_SHORT, 1, struct.pack(order + "H", 1))
        exif[_PIXELS_X] = (_LONG, 1, struct.pack(order + "I", width))
        exif[_PIXELS_Y] = (_LONG, 1, struct.pack(order + "I", height))
        out = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
        below = {_EXIF: exif} | ({_GPS: gps} if gps else {})
        pointers = {tag: (_LONG, 1, bytes(4)) for tag in below}
        at = 8 + len(_written(order, {**main, **pointers}, 8))
        parts = b""
        for tag, directory in below.items():
            pointers[tag] = (_LONG, 1, struct.pack(order + "I", at + len(parts)))
            parts += _written(order, directory, at + len(parts))
        return out + _written(order, {**main, **pointers}, 8) + parts


def _written(order: str, directory: dict[int, tuple[int, int, bytes]], at: int) -> bytes:
    """Lay out one directory that begins at offset `at`, its long values behind it."""
    out, values = struct.pack(order + "H", len(directory)), b""
    behind = at + 2 + 12 * len(directory) + 4
    for tag, (kind, count, value) in sorted(directory.items()):
        out += struct.pack(order + "HHI", tag, kind, count)
        if len(value) <= 4:  # noqa: PLR2004 - the room in the entry itself
            out += value.ljust(4, b"\0")
        else:
            out += struct.pack(order + "I", behind + len(values))
            values += value + bytes(len(value) % 2)
    return out + bytes(4) + values
