"""The segments of a JPEG that carry metadata: read from a photo, written into a rendition."""

from __future__ import annotations

from watcher.render import icc, iptc
from watcher.render.decoders.jpeg.markers import EXIF, ICC, IPTC, XMP, Header
from watcher.render.metadata import Kept, PhotoMetadata

_MAX_METADATA_BYTES = 4 << 20  # of one kind; press profiles reach 3 MB. What lies beyond is not looked at
_MAX_SEGMENT = 65_533  # bytes of a segment that is written
_TIFF = (b"II*\0", b"MM\0*")


def metadata_of(data: bytes, header: Header) -> PhotoMetadata:
    """Return a copy of the metadata that counts, so that the file's bytes can be let go."""
    parts: dict[bytes, list[bytes]] = {kind: [] for kind in (EXIF, XMP, ICC, IPTC)}
    left = dict.fromkeys(parts, _MAX_METADATA_BYTES)
    for kind, at, end in header.metadata:
        left[kind] -= end - at
        if left[kind] >= 0:
            parts[kind].append(data[at:end])
    exif = parts[EXIF]  # the first block; one that was too long for a segment goes on in the next
    first = next((i for i, part in enumerate(exif) if part.startswith(_TIFF)), len(exif))
    second = next((i for i, part in enumerate(exif) if i > first and part.startswith(_TIFF)), len(exif))
    return PhotoMetadata(
        size=(header.width, header.height),
        colour=header.components == 3,  # noqa: PLR2004 - RGB
        exif_block=b"".join(exif[first:second]),
        icc_profile=icc.joined(parts[ICC]),
        packets=tuple(parts[XMP]),
        photoshop=b"".join(parts[IPTC]),
    )


def segments(kept: Kept, profile: bytes) -> bytes:
    """Return `kept` and an ICC profile (of one segment) as segments."""
    out = b""
    if kept.exif:
        out += _segment(0xE1, EXIF + kept.exif)
    if kept.xmp:
        out += _segment(0xE1, XMP + kept.xmp)
    if kept.iptc:
        out += _segment(0xED, IPTC + iptc.resource(kept.iptc))
    return out + _segment(0xE2, ICC + b"\x01\x01" + profile)


def _segment(marker: int, body: bytes) -> bytes:
    """Return one segment; nothing if it is too long for one."""
    if len(body) > _MAX_SEGMENT:
        return b""
    return b"\xff" + bytes((marker,)) + (len(body) + 2).to_bytes(2, "big") + body
