"""What an XMP packet claims of its photo and no longer holds of a rendition: set right, or left out.

Gone with the photo are a film or a second picture behind it (motion photos, gain maps, depth), what a packet had in
further segments, and previews. Sizes in pixels are the rendition's, its colour is sRGB, and it is upright.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from watcher.render.xmp import Node, resolved

# whole namespaces
_GONE = frozenset(
    {
        *("Container", "Item", "GDepth", "GImage", "GAudio", "DynamicDepth", "LImage", "MiCamera", "OpCamera"),
        *("hdrgm", "hdr_metadata", "HDRGainMap", "apdi", "xmpGImg", "xmpNote"),
    }
)
_GONE_NAMES = frozenset(
    {
        *("xmp:Thumbnails", "photoshop:ICCProfile", "photoshop:ColorMode", "exif:Gamma", "exifEX:Gamma"),
        *("exif:SubjectArea", "exif:SubjectLocation", "exif:CompressedBitsPerPixel", "exif:NativeDigest"),
        *("exif:FocalPlaneXResolution", "exif:FocalPlaneYResolution", "exif:FocalPlaneResolutionUnit"),
        *("exif:InteroperabilityIndex", "exifEX:InteroperabilityIndex", "tiff:NativeDigest", "tiff:BitsPerSample"),
        *("tiff:Compression", "tiff:PhotometricInterpretation", "tiff:SamplesPerPixel", "tiff:PlanarConfiguration"),
        *("tiff:YCbCrCoefficients", "tiff:YCbCrSubSampling", "tiff:ReferenceBlackWhite", "tiff:TransferFunction"),
        *("tiff:WhitePoint", "tiff:PrimaryChromaticities", "photoshop:LegacyIPTCDigest"),
    }
)
_FILM = ("MotionPhoto", "MicroVideo", "OLivePhoto", "VideoLength")  # names begin so in the makers' namespaces
# Places in the picture, as parts of its width and height: they hold unless it was turned or cropped.
_PLACES = ("mwg-rs", "MP", "MPRI", "MPReg", "apple-fi", "GPano")
_PLACE_NAMES = frozenset({"Iptc4xmpExt:ImageRegion"})


@dataclass(frozen=True, slots=True)
class Shape:
    """A rendition, and how it came of its photo."""

    width: int  # pixels, as all below
    height: int
    photo_width: int
    photo_height: int
    turned: bool  # to stand upright
    cropped: bool  # or padded, or drawn on: it does not show just what the photo shows


def current(packet: Node, shape: Shape, media_type: str) -> Node:
    """Set right, in its place, what `packet` says, and give it."""
    values = {
        **dict.fromkeys(("tiff:Orientation", "exif:ColorSpace", "tiff:YCbCrPositioning"), "1"),
        **dict.fromkeys(("tiff:ImageWidth", "exif:PixelXDimension"), str(shape.width)),
        **dict.fromkeys(("tiff:ImageLength", "exif:PixelYDimension"), str(shape.height)),
        "dc:format": media_type,
    }
    _set_right(packet, shape, values)
    return packet


def _set_right(node: Node, shape: Shape, values: dict[str, str]) -> None:
    if node.name == "mwg-rs:AppliedToDimensions":
        values = {**values, "stDim:w": str(shape.width), "stDim:h": str(shape.height), "stDim:unit": "pixel"}
    for raw in [raw for raw in node.attributes if _gone(_meaning(raw, node), shape)]:
        del node.attributes[raw]
    for raw in node.attributes:
        name = resolved(raw, node.spaces)
        node.attributes[raw] = values.get(name) or _scaled(name, node.attributes[raw], shape)
    node.children = [c for c in node.children if isinstance(c, str) or not (_gone(c.name, shape) or _in_pixels(c))]
    for child in node.nodes():
        value = values.get(child.name) or (child.name.startswith("GPano:") and _scaled(child.name, child.text, shape))
        if value:
            child.children = [value]
        else:
            _set_right(child, shape, values)


def _meaning(raw: str, node: Node) -> str:
    """Return an attribute's standard name; of a declaration that of a name in its namespace."""
    return resolved(f"{raw[6:]}:", node.spaces) if raw.startswith("xmlns:") else resolved(raw, node.spaces)


def _gone(name: str, shape: Shape) -> bool:
    prefix, _, local = name.partition(":")
    if prefix in _GONE or name in _GONE_NAMES or local.startswith(_FILM):
        return True
    return (shape.turned or shape.cropped) and (prefix in _PLACES or name in _PLACE_NAMES)


def _in_pixels(node: Node) -> bool:
    """Return whether a region's place is told in the photo's pixels."""
    return node.name == "Iptc4xmpExt:ImageRegion" and any(value == "pixel" for value in _values(node))


def _values(node: Node) -> Iterable[str]:
    yield from node.attributes.values()
    for child in node.children:
        if isinstance(child, str):
            yield child.strip()
        else:
            yield from _values(child)


def _scaled(name: str, value: str, shape: Shape) -> str:
    """Return a number of pixels of a panorama in those of the rendition, and any other value as it is."""
    if not name.startswith("GPano:") or not name.endswith(("Pixels", "Left", "Top", "Width", "Height")):
        return value
    across = any(word in name for word in ("Width", "Left"))
    factor = shape.width / shape.photo_width if across else shape.height / shape.photo_height
    return str(round(int(value) * factor)) if value.isdecimal() and len(value) < 9 else value  # noqa: PLR2004 - no number of pixels
