"""What a photo says about itself, found within bounds, and what of it a rendition may carry.

`none` carries nothing. `safe` carries chosen EXIF tags; copyright and author, where only IPTC or XMP have them, are
moved into EXIF. `all` carries EXIF, XMP and IPTC, with what no longer holds (orientation, sizes, a film or second
picture behind the photo) set right or left out; where a format has no place for IPTC, author and copyright go to EXIF.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import md5

from watcher.core.formats import OUTPUTS, Format
from watcher.core.types import Metadata
from watcher.render import icc, iptc, jpeg, xmp
from watcher.render.claims import Shape, current
from watcher.render.exif import Exif
from watcher.render.geometry import TURNED, Region
from watcher.render.jpeg import Header
from watcher.render.tags import ARTIST, COPYRIGHT

_MOST_BYTES = 4 << 20  # of one kind; press profiles reach 3 MB. What lies beyond is not looked at
_MOST_SEGMENT = 65_533
_TIFF = (b"II*\0", b"MM\0*")
_IPTC, _IPTC_DIGEST = 0x0404, 0x0425  # resources of Photoshop's
_CREDITS = (
    (ARTIST, iptc.BYLINE, ("dc:creator", "tiff:Artist")),
    (COPYRIGHT, iptc.COPYRIGHT, ("dc:rights", "tiff:Copyright")),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a rendition carries; each empty if it is to carry none."""

    exif: bytes = b""  # the TIFF part
    xmp: bytes = b""
    iptc: bytes = b""  # the IPTC record


class Found:
    """The metadata of one photo; a copy of what counts, so that the file's bytes can be let go."""

    def __init__(self, data: bytes, header: Header) -> None:
        self._header = header
        self._parts: dict[bytes, list[bytes]] = {kind: [] for kind in (jpeg.EXIF, jpeg.XMP, jpeg.ICC, jpeg.IPTC)}
        room = dict.fromkeys(self._parts, _MOST_BYTES)
        for kind, at, end in header.metadata:
            room[kind] -= end - at
            if room[kind] >= 0:
                self._parts[kind].append(data[at:end])

    @cached_property
    def exif(self) -> Exif:
        """The first EXIF block; one that was too long for a segment goes on in the next."""
        parts = self._parts[jpeg.EXIF]
        first = next((i for i, part in enumerate(parts) if part.startswith(_TIFF)), len(parts))
        second = next((i for i, part in enumerate(parts) if i > first and part.startswith(_TIFF)), len(parts))
        return Exif(b"".join(parts[first:second]))

    @cached_property
    def profile(self) -> bytes:
        """The ICC profile to assume; empty: sRGB."""
        profile = icc.joined(self._parts[jpeg.ICC])
        if not profile and self._header.components == 3 and self.exif.adobe_rgb:  # noqa: PLR2004 - RGB
            return icc.ADOBE_RGB
        return profile

    @cached_property
    def _resources(self) -> dict[int, bytes]:
        return iptc.resources(b"".join(self._parts[jpeg.IPTC]))

    def keep(self, policy: Metadata, size: tuple[int, int], form: Format, region: Region) -> Kept:
        """Choose what a rendition carries, of `size` (pixels, upright), that shows a `region` of the photo."""
        if policy == "none" or not any(self._parts.values()):
            return Kept()
        try:
            if policy == "safe":
                return Kept(exif=self.exif.safe(*size, self._credits))
            return self._all(self._shape(size, region), form)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - nothing is known to get here, and a photo never fails for its metadata
            return Kept()

    def _shape(self, size: tuple[int, int], region: Region) -> Shape:
        width, height = self._header.width, self._header.height
        turned, cropped = self.exif.orientation != 1, region != Region(0, 0, width, height)
        if self.exif.orientation in TURNED:
            width, height = height, width
        return Shape(*size, width, height, turned, cropped)

    def _all(self, shape: Shape, form: Format) -> Kept:
        has_iptc = OUTPUTS[form].has_iptc
        extra = {} if has_iptc else self._credits
        exif = self.exif.all(shape.width, shape.height, extra, thumbnail=not shape.cropped)
        record = iptc.current(self._resources.get(_IPTC, b"")) if has_iptc else b""
        return Kept(exif, self._xmp(shape, form), record)

    def _packet(self) -> xmp.Node | None:
        """Read the first XMP packet; what overflows into extended XMP is left behind."""
        return next((node for node in map(xmp.parse, self._parts[jpeg.XMP]) if node), None)

    def _xmp(self, shape: Shape, form: Format) -> bytes:
        packet = self._packet()
        written = xmp.written(current(packet, shape, OUTPUTS[form].media_type)) if packet else b""
        return written if len(written) + len(jpeg.XMP) <= _MOST_SEGMENT else b""

    @cached_property
    def _credits(self) -> dict[int, bytes]:
        """Author and copyright where only IPTC or XMP have them, as EXIF texts.

        Which of both to believe, the Metadata Working Group's way: XMP, unless IPTC was changed later by somebody who
        does not know XMP (the digest beside it tells); but IPTC's short fields don't cut what XMP has whole.
        """
        missing = [credit for credit in _CREDITS if not self.exif.says(credit[0])]
        packet = self._packet() if missing and any(map(_names_somebody, self._parts[jpeg.XMP])) else None
        record = self._resources.get(_IPTC, b"") if missing else b""
        digest = self._resources.get(_IPTC_DIGEST)
        changed = bool(digest) and digest != md5(record, usedforsecurity=False).digest()
        found = {}
        for tag, dataset, names in missing:
            values = (xmp.texts(packet, name) for name in names) if packet else ()
            modern, old = "; ".join(next(filter(None, values), [])), "; ".join(iptc.texts(record, dataset))
            text = old if changed and not modern.startswith(old) else modern or old
            if text:
                found[tag] = text.replace("\0", "").encode()
        return found


def _names_somebody(packet: bytes) -> bool:
    """Return whether a packet may have what `_CREDITS` names; to read one takes a millisecond."""
    return b"\0" in packet or any(word in packet for word in (b"creator", b"rights", b"Artist", b"Copyright"))


def jpeg_segments(kept: Kept, profile: bytes) -> bytes:
    """Write `kept` and an ICC profile (of one segment) as the segments of a JPEG header."""
    out = b""
    if kept.exif:
        out += _segment(0xE1, jpeg.EXIF + kept.exif)
    if kept.xmp:
        out += _segment(0xE1, jpeg.XMP + kept.xmp)
    if kept.iptc:
        resource = b"8BIM\x04\x04\0\0" + len(kept.iptc).to_bytes(4, "big") + kept.iptc + bytes(len(kept.iptc) % 2)
        out += _segment(0xED, jpeg.IPTC + resource)
    return out + _segment(0xE2, jpeg.ICC + b"\x01\x01" + profile)


def _segment(marker: int, body: bytes) -> bytes:
    """Write one segment; nothing if it is too long for one."""
    if len(body) > _MOST_SEGMENT:
        return b""
    return b"\xff" + bytes((marker,)) + (len(body) + 2).to_bytes(2, "big") + body
