"""The pictures that `watermark` names: read once when the config is, so that they are one content for every photo."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple

from watcher.config.messages import dotted, toml_value
from watcher.config.overlap import raw_path
from watcher.errors import Fault
from watcher.text import shown

Read = Callable[[str], bytes]  # returns a file's content, raises OSError

MOST_BYTES = 4_000_000  # every job carries them to its worker
_MOST_PIXELS = 20_000_000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WRITE = "write the path of a PNG file in quotes"


class Picture(NamedTuple):
    """One watermark's file."""

    path: str  # absolute
    content: bytes
    digest: str
    width: int  # pixels
    height: int


def watermarks(
    renditions: Mapping[str, object], base: str, home: str, read: Read
) -> tuple[dict[str, Picture], list[Fault]]:
    """Read the watermark of each rendition that has one; by the names of the renditions."""
    found: dict[str, Picture] = {}
    faults = []
    for name, rendition in renditions.items():
        written = rendition.get("watermark") if isinstance(rendition, dict) else None
        path = raw_path(written, base, home)
        if path is None:
            continue
        try:
            same = (picture for picture in found.values() if picture.path == os.fsdecode(path))
            found[name] = next(same, None) or _picture(os.fsdecode(path), read)
        except (OSError, ValueError) as error:
            why = f"and {shown(path)} can't be read ({error.strerror})" if isinstance(error, OSError) else str(error)
            key = dotted(["rendition", name, "watermark"])
            faults.append(Fault(key, f"found {toml_value(written)}, {why}", _WRITE))
    return found, faults


def _picture(path: str, read: Read) -> Picture:
    content = read(path)
    width, height = _size(content)
    return Picture(path, content, sha256(content).hexdigest()[:16], width, height)


def _size(content: bytes) -> tuple[int, int]:
    """Return the size of a PNG in pixels; raise ValueError where it is none, is damaged or is too large."""
    if len(content) > MOST_BYTES:
        raise ValueError(f"which is larger than {MOST_BYTES // 10**6} MB")
    if not content.startswith(_SIGNATURE):
        raise ValueError("which is not a PNG")
    at, kinds = len(_SIGNATURE), list[bytes]()
    while not kinds or kinds[-1] != b"IEND":
        length = int.from_bytes(content[at : at + 4], "big")
        body, end = content[at + 4 : at + 8 + length], at + 12 + length
        if end > len(content) or zlib.crc32(body) != int.from_bytes(content[end - 4 : end], "big"):
            raise ValueError("which is a damaged PNG")
        kinds.append(body[:4])
        at = end
    width, height, bits, colour = struct.unpack_from(">IIBB", content, len(_SIGNATURE) + 8)
    if kinds[0] != b"IHDR" or b"IDAT" not in kinds or not width or not height:
        raise ValueError("which is a damaged PNG")
    if width * height > _MOST_PIXELS:
        raise ValueError(f"which has more than {_MOST_PIXELS // 10**6} megapixels")
    if (bits, colour) == (16, 0):
        raise ValueError("which is a grey PNG of 16 bits: save it with 8")
    return width, height
