"""Test photos of every kind, made in memory: good ones, odd ones, broken ones and bombs."""

from __future__ import annotations

import base64
import io
import os
import random
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms, ImageDraw

# EXIF orientation -> how a camera turns the upright scene to get the stored pixels
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def scene(width: int = 600, height: int = 400) -> Image.Image:
    """Draw something smooth with a red upper left, green upper right, blue lower left and white lower right corner."""
    return (_drawn if width * height <= _KEPT_PIXELS else _draw)(width, height).copy()


def _draw(width: int, height: int) -> Image.Image:
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    image = Image.merge("RGB", (across, down, Image.radial_gradient("L").resize((width, height))))
    draw, w, h = ImageDraw.Draw(image), width // 4, height // 4
    for colour, at in (
        ("red", (0, 0)),
        ("lime", (width - w, 0)),
        ("blue", (0, height - h)),
        ("white", (width - w, height - h)),
    ):
        draw.rectangle((*at, at[0] + w - 1, at[1] + h - 1), fill=colour)
    return image


_KEPT_PIXELS = 2_000_000
_drawn = lru_cache(maxsize=8)(_draw)  # tests that write hundreds of photos would draw for seconds


def jpeg(image: Image.Image | None = None, **settings: Any) -> bytes:  # noqa: ANN401 - what Pillow's save takes
    """Encode `image` (the scene if None)."""
    out = io.BytesIO()
    (image or scene()).save(out, "JPEG", **{"quality": 90, **settings})
    return out.getvalue()


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def plain(width: int = 600, height: int = 400) -> bytes:
    return jpeg(scene(width, height))


def oriented(orientation: int, width: int = 600, height: int = 400) -> bytes:
    """Store the scene turned, so that it is upright once `orientation` is applied."""
    return jpeg(stored(scene(width, height), orientation), exif=oriented_block(orientation))


def oriented_block(orientation: int) -> bytes:
    """Give an EXIF block that holds an orientation alone."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def stored(image: Image.Image, orientation: int) -> Image.Image:
    """Turn an upright picture as a camera stores it with this `orientation`."""
    return image.transpose(_STORED[orientation]) if orientation in _STORED else image


def progressive() -> bytes:
    return jpeg(progressive=True)


def grey(**settings: Any) -> bytes:  # noqa: ANN401 - what Pillow's save takes
    return jpeg(scene().convert("L"), **settings)


def cmyk(**settings: Any) -> bytes:  # noqa: ANN401 - what Pillow's save takes
    """CMYK with Adobe's inversion and marker, transform 0."""
    return jpeg(scene().convert("CMYK"), **settings)


def ycck() -> bytes:
    """YCCK as Photoshop writes it: Adobe-inverted CMYK whose first three channels went through YCbCr.

    Adobe inverts CMYK, and YCCK inverts its first three channels once more: Y, Cb and Cr are those of an RGB picture
    whose red is the ink's cyan. The planes are put into a CMYK file as they are, then it is marked transform 2.
    """
    c, m, y, k = scene().convert("CMYK").split()
    luma, cb, cr = Image.merge("RGB", (c, m, y)).convert("YCbCr").split()
    # Pillow inverts what it writes as CMYK: hand it the inverse of what is to lie in the file
    planes = [p.point(lambda v: 255 - v) for p in (luma, cb, cr)]
    data = bytearray(jpeg(Image.merge("CMYK", (*planes, k))))
    at = data.index(b"Adobe")
    data[at + 11] = 2
    return bytes(data)


# ---- colour profiles ----

_COLOURANTS = {  # red, green, blue as XYZ under D50, and gamma
    "adobe": (((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)), 2.19922),
    "p3": (((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)), 2.4),
}


def icc(name: str) -> bytes:
    """Give a profile: `srgb` (littleCMS's own), `adobe` or `p3` (matrix and gamma), `grey` (gamma 1.8), `broken`."""
    if name == "srgb":
        return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    if name == "broken":
        return icc("adobe")[:200] + b"\xff" * 300
    if name == "grey":
        return _profile(b"GRAY", {b"kTRC": _gamma(1.8)})
    colourants, gamma = _COLOURANTS[name]
    tags = {t: b"XYZ \0\0\0\0" + _fixed(c) for t, c in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colourants, strict=True)}
    return _profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(gamma)))


def _gamma(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def _fixed(values: tuple[float, ...]) -> bytes:
    return struct.pack(">3i", *(round(v * 65536) for v in values))


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Write a version 2 display profile."""
    white = (0.9642, 1.0, 0.8249)
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(white),
    } | tags
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for tag, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += struct.pack(">4sII", tag, at + len(body), len(value))
        body += padded
    head = struct.pack(">I4xI4s4s4s", at + len(body), 0x02400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(white)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def with_profile(name: str) -> bytes:
    """Give the scene as its pixels stand, said to be in the colour space of the profile `name`."""
    return jpeg(icc_profile=icc(name))


def dcf_adobe_rgb() -> bytes:
    """Adobe RGB as cameras say it without a profile: uncalibrated, interoperability index R03."""
    exif = Image.Exif()
    ifd = exif.get_ifd(0x8769)
    ifd[0xA001] = 0xFFFF
    ifd[0xA005] = {1: "R03", 2: b"0100"}
    return jpeg(exif=exif.tobytes())


# ---- metadata ----

SECRETS = (b"SERIAL-4711", b"LENS-SERIAL-0815", b"Olive Owner", b"MAKERNOTE", b"Unique-Id-99", b"a private remark")


def exif_block(orientation: int = 1) -> bytes:
    """Give an EXIF block (with `Exif\\0\\0`) that holds everything that `safe` must drop, and what it must keep."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Acme", "Acme One", orientation
    exif[0x0132], exif[0x013B], exif[0x8298] = "2024:05:06 07:08:09", "Ann Artist", "(c) Ann Artist"
    exif[0xC62F] = "SERIAL-4711"
    ifd = exif.get_ifd(0x8769)
    ifd[0x829A], ifd[0x8827], ifd[0x9003] = (1, 250), 400, "2024:05:06 07:08:09"
    ifd[0xA002], ifd[0xA003], ifd[0xA001] = 600, 400, 1
    ifd[0xA430], ifd[0xA431], ifd[0xA435] = "Olive Owner", "SERIAL-4711", "LENS-SERIAL-0815"
    ifd[0xA434], ifd[0x927C], ifd[0xA420] = "Acme 50mm", b"MAKERNOTE" * 8, "Unique-Id-99"
    ifd[0x9286] = b"ASCII\0\0\0a private remark"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (52.0, 31.0, 12.0), "E", (13.0, 24.0, 18.0)
    return _with_thumbnail(exif.tobytes())


def _with_thumbnail(block: bytes) -> bytes:
    """Hang a second directory with an embedded JPEG behind the first."""
    prefix, tiff = block[:6], bytearray(block[6:])
    order = "<" if tiff[:2] == b"II" else ">"
    start = struct.unpack_from(order + "I", tiff, 4)[0]
    pointer = start + 2 + 12 * struct.unpack_from(order + "H", tiff, start)[0]
    tiff += bytes(len(tiff) % 2)
    at, thumbnail = len(tiff), jpeg(scene(80, 60))
    struct.pack_into(order + "I", tiff, pointer, at)
    entries = [(0x0103, 3, 6), (0x0201, 4, at + 2 + 36 + 4), (0x0202, 4, len(thumbnail))]
    tiff += struct.pack(order + "H", 3)
    for tag, kind, value in entries:
        tiff += struct.pack(order + "HHI", tag, kind, 1)
        tiff += struct.pack(order + ("HH" if kind == 3 else "I"), *((value, 0) if kind == 3 else (value,)))
    return prefix + bytes(tiff + bytes(4) + thumbnail)


def xmp_packet(orientation: int = 1) -> bytes:
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        b'xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" aux:SerialNumber="SERIAL-4711" '
        b'tiff:Orientation="%d"><dc:rights><rdf:Alt><rdf:li xml:lang="x-default">(c) Xenia &amp; Co</rdf:li></rdf:Alt>'
        b"</dc:rights></rdf:Description></rdf:RDF></x:xmpmeta>" % orientation
    )


def iptc_record() -> bytes:
    fields = ((1, 90, b"\x1b%G"), (2, 80, "Åsa Author".encode()), (2, 116, b"(c) IPTC"), (2, 90, b"Berlin"))
    return b"".join(b"\x1c" + bytes((r, d)) + len(v).to_bytes(2, "big") + v for r, d, v in fields)


def iptc_segment(iptc: bytes) -> bytes:
    """Wrap an IPTC record as Photoshop does."""
    resource = b"8BIM\x04\x04\0\0" + len(iptc).to_bytes(4, "big") + iptc + bytes(len(iptc) % 2)
    return segment(0xED, b"Photoshop 3.0\0" + resource)


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes((marker,)) + (len(body) + 2).to_bytes(2, "big") + body


def spliced(data: bytes, *segments: bytes) -> bytes:
    """Put segments behind the first two bytes."""
    return data[:2] + b"".join(segments) + data[2:]


def talkative(orientation: int = 1, *, exif: bool = True) -> bytes:
    """Give a photo with EXIF, XMP and IPTC."""
    image = scene()
    if orientation in _STORED:
        image = image.transpose(_STORED[orientation])
    parts = [segment(0xE1, exif_block(orientation))] if exif else []
    parts += [segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet(orientation)), iptc_segment(iptc_record())]
    return spliced(jpeg(image), *parts)


def long_exif() -> bytes:
    """Give a photo whose EXIF takes more than 64 KB: a maker note that goes on in a second segment."""
    exif = Image.Exif()
    exif[0x0112], exif[0x8298] = 6, "(c) Ann Artist"
    exif.get_ifd(0x8769)[0x927C] = b"MAKERNOTE" * 10_000
    block = exif.tobytes()[6:]
    parts = [segment(0xE1, b"Exif\0\0" + block[at : at + 65_000]) for at in range(0, len(block), 65_000)]
    return spliced(jpeg(scene().transpose(_STORED[6])), *parts)


def broken_exif() -> bytes:
    return spliced(plain(), segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff" * 40))


def looping_exif() -> bytes:
    """Give EXIF whose directory points at itself, and whose sub-directory does too."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)
    return spliced(plain(), segment(0xE1, b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 8)))


def metadata_bomb(megabytes: int = 20) -> bytes:
    """Give a photo with `megabytes` each of EXIF, XMP and ICC segments."""
    count = megabytes * 16
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"x" * 65_000)
    exif = segment(0xE1, b"Exif\0\0" + b"y" * 65_000)
    profile = [segment(0xE2, b"ICC_PROFILE\0" + bytes((i % 255 + 1, 255)) + b"z" * 65_000) for i in range(count)]
    return spliced(plain(), exif * count, xmp * count, *profile)


# ---- containers and trailers ----


def mpo() -> bytes:
    out = io.BytesIO()
    scene().save(out, "MPO", save_all=True, append_images=[scene(300, 200)])
    return out.getvalue()


def with_trailer() -> bytes:
    """Give a photo with a maker's trailer behind it, which holds zeros of its own."""
    return plain() + b"SEFH" + b"film" * 3000 + bytes(9000) + b"SEFT"


# ---- codings that few programs write, and most read ----


def arithmetic() -> bytes:
    """Give the scene at 64 by 48, arithmetic-coded, by libjpeg-turbo's cjpeg; Pillow does not write that."""
    return base64.b85decode(
        "|JeWF01!$>Nk#wx0RR9200961|JwjV01yid4h#wq4h;?x5fBp?C>j_R78o%jB^@X_Gd(;xGdMRuNL)@pL{~*OI8bd-"
        "S6^ahXlFi6ad~iLcwA*?WB=O#Lje&I5*QU2FB%#zV?sDWV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`Klx"
        "01*fPFaSUU0U`hb5di}c0sqVZ3IGrg1pyEd1^?Or3<CiG0ucid06zf#06*dgCx?nOe8Lv+u>2bwy+_@#l6oTnULS$Zr5|=%(O_!~-"
        "qHm<adF^LYJAq^EzL!r(Cwv%pgGhEDBB6$^g-~EFaR(Ssk>=8iiSNjulahmJ5uwaM-RO4*m6v34W(7_HnR79x)Wpm%Hwmje@G*gLxJvzw6`-"
        "@_}W?;8x&y=skam}7-"
        "GL`sq7_gR>@^PZ0Pq5@crVbZSC5rOxhm~b|e=ANCcNhRAbG<nL*JVoxqwreqB~Zw15(N65JZ|%*y`&rNn#gm`m0o`ZcWZ8tNGT*#"
    )


def arithmetic_without_its_last_zeros() -> bytes:
    """Give a grey scene of 64 by 64, arithmetic-coded, of which several of the last blocks are of zeros left out."""
    return base64.b85decode(
        "|JeWF01!$>Nk#wx0RR9200961|JwjV03Q_>8y6EF8yOoTAs-|zO)@SjDlT3_M>tJyVs&$EVr*)Aim{e^gQtXQY?{%Wr?$Mt$i{b++3456"
        "=CQ)YzW>Pp3kU!}06+l&5di<p00saM5C#9*00;pA002J#{(I-9k){K!%Rd?hR1sv!2l9Z2JMx(3#bqMPk{ao1A=oGcFf#1Yh9z}k>t9V!"
        "j#~Z{<Nk%bNWL6g5Cw7IU?M(dHq2e%Id+gzNt?C**#"
    )


def separate_scans(**settings: Any) -> bytes:  # noqa: ANN401 - what Pillow's save takes
    """Give the scene with one scan a channel."""
    colour = jpeg(subsampling="4:4:4", **settings)
    scans = []
    for number, plane in enumerate(scene().convert("YCbCr").split(), 1):
        data = jpeg(plane, **settings)
        header = bytes((1, number, 0, 0, 63, 0))
        scans.append(segment(0xDA, header) + data[data.index(b"\xff\xda") + 10 : -2])
    return colour[: colour.index(b"\xff\xda")] + b"".join(scans) + b"\xff\xd9"


def line_count_behind(data: bytes) -> bytes:
    """Move a photo's height from its frame header to behind its only scan, as scanners may."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + b"\0\0" + data[at + 2 : -2] + segment(0xDC, data[at : at + 2]) + data[-2:]


def without_segment(marker: int, data: bytes) -> bytes:
    """Leave out all segments of a kind from a header."""
    out, at = data[:2], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        out += b"" if data[at + 1] == marker else data[at:end]
        at = end
    return out + data[at:]


def film(size: int = 400_000) -> bytes:
    """Give a film as phones write it behind a photo, in which all markers of a JPEG occur by chance."""
    return b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + random.Random(1).randbytes(size) + b"\xff\xda\xff\xd9" * 200


# ---- broken, unfinished, hostile ----


def truncated(part: float = 0.6, data: bytes | None = None) -> bytes:
    data = plain() if data is None else data
    return data[: int(len(data) * part)]


def without_end() -> bytes:
    """Give a photo whose last two bytes, the end marker, are missing."""
    return plain()[:-2]


def preallocated(part: float = 0.6, data: bytes | None = None) -> bytes:
    """Give a photo as an unfinished copy into reserved room leaves it: zeros from `part` on."""
    data = plain() if data is None else data
    kept = truncated(part, data)
    return kept + bytes(len(data) - len(kept))


def noisy(width: int = 600, height: int = 400) -> bytes:
    """Give a photo of noise: large for its size."""
    return jpeg(Image.merge("RGB", [Image.effect_noise((width, height), 90) for _ in range(3)]))


def ending_in_ones() -> bytes:
    """Give a photo whose last byte of data is 0xFF, so that a stuffed zero follows it."""
    return next(data for _ in range(5000) if (data := noisy(16, 16)).endswith(b"\xff\0\xff\xd9"))


def with_hole() -> bytes:
    """Give a photo in which a block in the middle has not been written yet."""
    data = noisy()
    at = len(data) // 2
    return data[:at] + bytes(8192) + data[at + 8192 :]


EMPTY = b""
TEXT = b"Shopping list\n- milk\n- bread\n"


def deep(bits: int = 12) -> bytes:
    """Give a JPEG whose frame header says `bits` bits a sample."""
    data = bytearray(plain())
    data[data.index(b"\xff\xc0") + 4] = bits
    return bytes(data)


def lossless() -> bytes:
    data = bytearray(plain())
    data[data.index(b"\xff\xc0") + 1] = 0xC3
    return bytes(data)


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """Give a few hundred bytes that claim `width` × `height` pixels."""  # noqa: RUF002 - a size is written so
    data = bytearray(jpeg(Image.new("L", (8, 8))))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(data)


def scan_bomb(scans: int = 300, width: int = 2000, height: int = 2000) -> bytes:
    """Give a small progressive file that refines a large flat picture `scans` times: slow to decode.

    Up to 100 scans are let through to the decoder; a large picture of 90 scans takes long enough for a timeout.
    """
    data = jpeg(Image.new("L", (width, height)), progressive=True)
    first = data.index(b"\xff\xda")
    scan = data.index(b"\xff\xda", first + 2)
    table = data.rindex(b"\xff\xc4", first, scan)
    end = scan
    while True:  # the scan's data ends at the next marker that is no stuffed byte
        end = data.index(b"\xff", end + 2)
        if data[end + 1] != 0:
            break
    again = data[table:end]
    return data[:end] + again * (scans - data.count(b"\xff\xda")) + data[end:]


def nest(top: Path, levels: int, name: str = "n") -> None:
    """Make folders, each in the one before: deeper than a path can say, which only `rm -rf` removes."""
    top.mkdir(exist_ok=True)
    at = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        deeper = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = deeper
    os.close(at)
