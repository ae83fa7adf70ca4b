"""What a file is that no decoder takes, by its first bytes: said to the person who took it for a photo."""

from __future__ import annotations

import re

_ENOUGH = 16  # bytes that tell most kinds
_TEXT = re.compile(rb"[\t\n\r\x1b\x20-\x7e\x80-\xff]*")
_SHOWN = 24  # characters of a text

_BY_START = (
    (b"\x89PNG\r\n\x1a\n", "a PNG"),
    (b"\x8aMNG", "an MNG"),
    (b"GIF8", "a GIF"),
    (b"8BPS", "a Photoshop file"),
    (b"8BPB", "a Photoshop file"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"II\xbc", "a JPEG XR"),
    (b"FUJIFILMCCD-RAW", "a raw photo (RAF)"),
    (b"IIRO", "a raw photo (ORF)"),
    (b"IIRS", "a raw photo (ORF)"),
    (b"MMOR", "a raw photo (ORF)"),
    (b"IIU\0", "a raw photo (RW2)"),
    (b"\0MRM", "a raw photo (MRW)"),
    (b"FOVb", "a raw photo (X3F)"),
    (b"II\x1a\0\0\0HEAPCCDR", "a raw photo (CRW)"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"\0\0\2\0", "a cursor (CUR)"),
    (b"qoif", "a QOI picture"),
    (b"v/1\1", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance picture"),
    (b"gimp xcf", "a GIMP file"),
    (b"AT&TFORM", "a DjVu"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"PK\3\4", "a ZIP"),
    (b"PK\5\6", "a ZIP"),
    (b"Rar!\x1a\7", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"\x1aE\xdf\xa3", "a film (Matroska or WebM)"),
    (b"\0\0\1\xba", "a film (MPEG)"),
    (b"\0\0\1\xb3", "a film (MPEG)"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a film (WMV)"),
    (b"FLV\1", "a film (Flash)"),
    (b"ID3", "a sound file (MP3)"),
    (b"\xff\xfb", "a sound file (MP3)"),
    (b"\xff\xf3", "a sound file (MP3)"),
    (b"\xff\xf2", "a sound file (MP3)"),
    (b"OggS", "a sound file (Ogg)"),
    (b"fLaC", "a sound file (FLAC)"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x7fELF", "a program (ELF)"),
    (b"\xcf\xfa\xed\xfe", "a program (Mach-O)"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (b"\0\5\x16\7", "the Mac's notes about a file (AppleDouble), not the file"),
    (b"bplist00", "a property list"),
    (b"Exif\0\0", "EXIF without its picture"),
)
_RIFF = {b"WEBP": "a WebP", b"AVI ": "a film (AVI)", b"WAVE": "a sound file (WAV)"}
_PICTURES = (b"mif1", b"mif2", b"msf1")  # these brands of ISO base media files tell only that there are pictures
_BRANDS = {
    b"avif": "an AVIF",
    b"avis": "an AVIF",
    b"heic": "a HEIC",
    b"heix": "a HEIC",
    b"hevc": "a HEIC",
    b"hevx": "a HEIC",
    b"heim": "a HEIC",
    b"heis": "a HEIC",
    b"crx ": "a raw photo (CR3)",
    b"qt  ": "a film (MOV)",
    b"jxl ": "a JPEG XL",
    b"jp2 ": "a JPEG 2000",
    b"M4A ": "a sound file (M4A)",
}
_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # what an old QuickTime file begins with
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAKERS = ((b"NIKON", "NEF"), (b"SONY", "ARW"), (b"PENTAX", "PEF"), (b"SAMSUNG", "SRW"))
_MARKUP = (
    (b"<svg", "an SVG"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<head", "a web page"),
    (b"<x:xmpmeta", "XMP metadata without its picture"),
    (b"<?xpacket", "XMP metadata without its picture"),
)


def kind_of(data: bytes) -> str:
    """Return what a file is, as a clause: "it is a PNG", or what its first bytes are."""
    if not data:
        return "it is empty"
    if not data.strip(b"\0"):
        return "it holds nothing but zeros"
    name = named(data)
    if name:
        return f"it is {name}"
    text = data[:512]
    if _TEXT.fullmatch(text):
        try:
            return f'it is text ("{_excerpt(text.decode())}")'
        except UnicodeDecodeError:
            pass
    return f"it begins with the bytes {data[:8].hex(' ')}"


def named(data: bytes) -> str:
    """Return the kind of a file that is known by its first bytes; empty: it is not."""
    start = data[:_ENOUGH]
    if data[4:8] == b"ftyp":
        return _brand(data)
    if data[4:8] in _BOXES:
        return "a film (MOV)"
    for magic, name in _BY_START:
        if start.startswith(magic):
            return name
    if start.startswith(_TIFF):
        return _tiff(data)
    return _container(data) or _markup(data)


def _container(data: bytes) -> str:
    """Name what is known by bytes further behind."""
    if data.startswith(b"RIFF"):
        return _RIFF.get(data[8:12], "a RIFF file")
    if data.startswith(b"BM") and not _TEXT.fullmatch(data[:64]):
        return "a BMP"
    if data.startswith(b"MZ") and b"\0" in data[:64]:
        return "a program for Windows"
    if data[257:262] == b"ustar":
        return "a tar archive"
    packets = data[:377:188]  # each begins with the same byte
    return "a film (MPEG)" if packets == b"GGG" else ""


def _brand(data: bytes) -> str:
    """Name an ISO base media file by its major brand, or a picture by a compatible one."""
    size = min(int.from_bytes(data[:4], "big"), 256)
    major, *compatible = [data[8:12], *(data[at : at + 4] for at in range(16, size, 4))]
    if major in _PICTURES:
        return next((_BRANDS[brand] for brand in compatible if brand in _BRANDS), "a HEIF")
    return _BRANDS.get(major, "a film (MP4)")


def _tiff(data: bytes) -> str:
    """Distinguish raw photos, which are TIFF inside, from TIFF."""
    if data[8:10] == b"CR":
        return "a raw photo (CR2)"
    head = data[:4096]
    if b"\x12\xc6\1\0" in head or b"\xc6\x12\0\1" in head:  # the tag that says DNG
        return "a raw photo (DNG)"
    for maker, name in _MAKERS:
        if maker in head:
            return f"a raw photo ({name})"
    return "a TIFF"


def _markup(data: bytes) -> str:
    text = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<?xml"):
        return next((name for tag, name in _MARKUP if tag in text), "an XML file")
    return next((name for tag, name in _MARKUP if text.startswith(tag)), "")


def _excerpt(text: str) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split()).replace('"', "'")
    return words if len(words) <= _SHOWN else f"{words[: _SHOWN - 1]}\N{HORIZONTAL ELLIPSIS}"
