"""Pictures in other formats than JPEG, made in memory: good ones, odd ones, and bombs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

from PIL import Image, ImageCms

from tests import photos
from watcher.core.formats import readable

HEIC = "heic" in readable()  # it is an extra
if HEIC:
    import pillow_heif

    pillow_heif.register_heif_opener()

PNG = b"\x89PNG\r\n\x1a\n"
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def encoded(form: str, image: Image.Image | None = None, **settings: Any) -> bytes:  # noqa: ANN401 - what Pillow takes
    """Encode `image` (the scene if None)."""
    out = io.BytesIO()
    (image or photos.scene()).save(out, form, **settings)
    return out.getvalue()


def clear(width: int = 600, height: int = 400) -> Image.Image:
    """Draw the scene with a hole in its middle: green, and fully transparent."""
    image = photos.scene(width, height).convert("RGBA")
    image.paste((0, 255, 0, 0), (width * 3 // 8, height * 3 // 8, width * 5 // 8, height * 5 // 8))
    return image


def chunk(kind: bytes, body: bytes) -> bytes:
    """Write one chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, lines: bytes, *extra: bytes, interlaced: int = 0) -> bytes:
    """Write a PNG by hand; `extra`: chunks between its header and its picture."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return PNG + chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def with_chunks(data: bytes, *extra: bytes) -> bytes:
    """Put chunks behind the header of a PNG."""
    return data[:33] + b"".join(extra) + data[33:]


def interlaced_png(image: Image.Image) -> bytes:
    """Write an RGB picture in the seven passes of Adam7."""
    passes = b""
    for left, top, across, down in _ADAM7:
        for y in range(top, image.height, down):
            row = b"".join(bytes(image.getpixel((x, y))) for x in range(left, image.width, across))  # type: ignore[arg-type]  # RGB
            passes += b"\0" + row if row else b""
    return png(image.width, image.height, 8, 2, passes, interlaced=1)


def deep_png(image: Image.Image) -> bytes:
    """Write an RGB or grey picture with 16 bits a channel; the lower 8 are noise."""
    channels = len(image.getbands())
    raw, lines = image.tobytes(), b""
    for y in range(image.height):
        row = raw[y * image.width * channels : (y + 1) * image.width * channels]
        lines += b"\0" + b"".join(bytes((value, value * 7 % 256)) for value in row)
    return png(image.width, image.height, 16, 2 if channels == 3 else 0, lines)


def lab(image: Image.Image) -> Image.Image:
    """Convert a picture in sRGB to Lab."""
    names = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    converted = ImageCms.profileToProfile(image, *names, outputMode="LAB")
    assert converted is not None
    return converted


def tiff(width: int, height: int, entries: dict[int, tuple[int, tuple[int, ...]]], parts: list[bytes]) -> bytes:
    """Write a TIFF by hand, its directory first; `entries`: tag → type, values; `parts`: of the picture."""
    tags = {256: (4, (width,)), 257: (4, (height,)), **entries}
    where = next(tag for tag in (273, 324) if tag in tags)
    at, values, table = 8 + 2 + 12 * len(tags) + 4, b"", b""
    long = {tag: len(found) * (2 if kind == 3 else 4) for tag, (kind, found) in tags.items()}
    data = at + sum(size for size in long.values() if size > 4)
    starts = [data + sum(map(len, parts[:number])) for number in range(len(parts))]
    tags[where] = (4, tuple(starts))
    for tag in sorted(tags):
        kind, found = tags[tag]
        value = struct.pack(f"<{len(found)}{'H' if kind == 3 else 'I'}", *found)
        inside = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", at + len(values))
        values += value if len(value) > 4 else b""
        table += struct.pack("<HHI", tag, kind, len(found)) + inside
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + table + bytes(4) + values + b"".join(parts)


def tiled_tiff(image: Image.Image, side: int = 64) -> bytes:
    """Write an RGB picture in square tiles, uncompressed."""
    corners = [(x, y) for y in range(0, image.height, side) for x in range(0, image.width, side)]
    tiles = [image.crop((x, y, x + side, y + side)).tobytes() for x, y in corners]
    zeros = (0,) * len(tiles)
    shape = {258: (3, (8, 8, 8)), 259: (3, (1,)), 262: (3, (2,)), 277: (3, (3,)), 322: (3, (side,)), 323: (3, (side,))}
    return tiff(*image.size, {**shape, 324: (4, zeros), 325: (4, tuple(map(len, tiles)))}, tiles)


def deep_tiff(image: Image.Image) -> bytes:
    """Write an RGB or grey picture with 16 bits a channel, one strip; the lower 8 are noise."""
    bands = len(image.getbands())
    pixels = b"".join(bytes((value * 7 % 256, value)) for value in image.tobytes())
    shape = {258: (3, (16,) * bands), 259: (3, (1,)), 262: (3, (2 if bands == 3 else 1,)), 277: (3, (bands,))}
    rest = {278: (4, (image.height,)), 279: (4, (len(pixels),))}
    return tiff(*image.size, {**shape, 273: (4, (0,)), **rest}, [pixels])


def deep_heic(image: Image.Image) -> bytes:
    """Write an RGB picture with 10 bits a channel."""
    raw = b"".join(bytes((value * 7 % 256, value)) for value in image.tobytes())
    file = pillow_heif.from_bytes("RGB;16", image.size, raw)
    out = io.BytesIO()
    file.save(out, quality=100, chroma=444)
    return out.getvalue()


def deep_grey(image: Image.Image) -> Image.Image:
    """Return a picture's brightness with 16 bits; the lower 8 are zero."""
    grey = image.convert("L")
    return Image.frombytes("I;16", grey.size, b"".join(bytes((0, value)) for value in grey.tobytes()))


def png_bomb(width: int, height: int) -> bytes:
    """Claim a size, and have almost no data."""
    return png(width, height, 8, 2, bytes(100))


def webp_bomb(width: int, height: int) -> bytes:
    """Claim the size of a canvas, and have a small picture."""
    data = bytearray(encoded("WEBP", photos.scene(20, 20), exif=photos.oriented_block(1)))
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def tiff_bomb(width: int, height: int) -> bytes:
    """Claim a size, and have almost no data."""
    shape = {258: (3, (8, 8, 8)), 259: (3, (8,)), 262: (3, (2,)), 277: (3, (3,)), 278: (4, (height,))}
    data = zlib.compress(bytes(100))
    return tiff(width, height, {**shape, 273: (4, (0,)), 279: (4, (len(data),))}, [data])


def boxed_bomb(width: int, height: int, form: str = "AVIF") -> bytes:
    """Claim a size in the list of pictures, and have a small one."""
    data = encoded(form, photos.scene(64, 64))
    small, large = (b"ispe" + bytes(4) + struct.pack(">II", *size) for size in ((64, 64), (width, height)))
    assert small in data
    return data.replace(small, large)


BOMBS: dict[str, Callable[[int, int], bytes]] = {
    "png": png_bomb,
    "webp": webp_bomb,
    "tiff": tiff_bomb,
    "avif": boxed_bomb,
}
if HEIC:
    BOMBS["heic"] = partial(boxed_bomb, form="HEIF")
