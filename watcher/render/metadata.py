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
from watcher.core.recipe import Metadata
from watcher.render import icc, iptc, xmp
from watcher.render.claims import Shape, current
from watcher.render.exif import Exif
from watcher.render.geometry import TURNED
from watcher.render.tags import ARTIST, COPYRIGHT

_MOST_XMP = 65_504  # bytes: what a JPEG segment holds
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


@dataclass(frozen=True)
class PhotoMetadata:
    """The metadata of one photo, as its decoder found it."""

    size: tuple[int, int]  # stored pixels
    colour: bool = True  # its pixels are RGB, neither grey nor CMYK
    exif_block: bytes = b""  # the TIFF part
    icc_profile: bytes = b""
    packets: tuple[bytes, ...] = ()  # of XMP; the first that can be read counts
    photoshop: bytes = b""  # image resources, with the IPTC record among them
    orientation: int = 0  # what the file itself says, whatever EXIF says; 0: EXIF counts

    @cached_property
    def exif(self) -> Exif:
        """The EXIF block."""
        return Exif(self.exif_block, self.orientation)

    @cached_property
    def profile(self) -> bytes:
        """The ICC profile to assume; empty: sRGB."""
        return icc.ADOBE_RGB if not self.icc_profile and self.colour and self.exif.adobe_rgb else self.icc_profile

    @cached_property
    def _resources(self) -> dict[int, bytes]:
        return iptc.resources(self.photoshop)

    def keep(self, policy: Metadata, size: tuple[int, int], form: Format, *, whole: bool) -> Kept:
        """Choose what a rendition of `size` (pixels, upright) carries; `whole`: it shows the photo and no more."""
        if policy == "none" or not (self.exif_block or self.icc_profile or self.packets or self.photoshop):
            return Kept()
        try:
            if policy == "safe":
                return Kept(exif=self.exif.safe(*size, self._credits))
            return self._all(self._shape(size, whole=whole), form)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - nothing is known to get here, and a photo never fails for its metadata
            return Kept()

    def _shape(self, size: tuple[int, int], *, whole: bool) -> Shape:
        width, height = self.size
        if self.exif.orientation in TURNED:
            width, height = height, width
        return Shape(*size, width, height, turned=self.exif.orientation != 1, cropped=not whole)

    def _all(self, shape: Shape, form: Format) -> Kept:
        has_iptc = OUTPUTS[form].has_iptc
        extra = {} if has_iptc else self._credits
        exif = self.exif.all(shape.width, shape.height, extra, thumbnail=not shape.cropped)
        record = iptc.current(self._resources.get(_IPTC, b"")) if has_iptc else b""
        return Kept(exif, self._xmp(shape, form), record)

    def _packet(self) -> xmp.Node | None:
        """Read the first XMP packet; what overflows into extended XMP is left behind."""
        return next((node for node in map(xmp.parse, self.packets) if node), None)

    def _xmp(self, shape: Shape, form: Format) -> bytes:
        packet = self._packet()
        written = xmp.written(current(packet, shape, OUTPUTS[form].media_type)) if packet else b""
        return written if len(written) <= _MOST_XMP else b""

    @cached_property
    def _credits(self) -> dict[int, bytes]:
        """Author and copyright where only IPTC or XMP have them, as EXIF texts.

        Which of both to believe, the Metadata Working Group's way: XMP, unless IPTC was changed later by a program
        that does not know XMP (the digest beside it tells); but IPTC's short fields don't cut what XMP has whole.
        """
        missing = [credit for credit in _CREDITS if not self.exif.says(credit[0])]
        packet = self._packet() if missing and any(map(_has_credits, self.packets)) else None
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


def _has_credits(packet: bytes) -> bool:
    """Return whether a packet may have what `_CREDITS` names; to read one takes a millisecond."""
    return b"\0" in packet or any(word in packet for word in (b"creator", b"rights", b"Artist", b"Copyright"))
