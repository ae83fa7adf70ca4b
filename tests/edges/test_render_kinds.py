"""What a file that is no JPEG is: said of its first bytes, at once, in words."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from tests import photos
from watcher.core.formats import INPUTS
from watcher.core.recipe import Recipe
from watcher.core.types import Failed, FailureKind, Job, PhotoId, Rendering, Unready
from watcher.render import render
from watcher.render.decoders import DECODERS
from watcher.render.kinds import kind_of

HEIF = b"\0\0\0\x1cftyp"
KINDS = {
    "a PNG": [b"\x89PNG\r\n\x1a\n"],
    "a GIF": [b"GIF89a", b"GIF87a"],
    "a WebP": [b"RIFF\x10\0\0\0WEBPVP8 "],
    "a film (AVI)": [b"RIFF\x10\0\0\0AVI LIST"],
    "a sound file (WAV)": [b"RIFF\x10\0\0\0WAVEfmt "],
    "a HEIC": [HEIF + b"heic\0\0\0\0mif1heic", HEIF + b"mif1\0\0\0\0mif1heic", HEIF + b"msf1\0\0\0\0msf1hevc"],
    "an AVIF": [HEIF + b"avif\0\0\0\0mif1", HEIF + b"mif1\0\0\0\0mif1avif"],
    "a HEIF": [HEIF + b"mif1\0\0\0\0mif1miaf"],
    "a film (MP4)": [HEIF + b"mp42\0\0\0\0isom", HEIF + b"isom\0\0\0\0"],
    "a film (MOV)": [HEIF + b"qt  \0\0\0\0", b"\0\0\1\0moov"],
    "a raw photo (CR3)": [HEIF + b"crx \0\0\0\1"],
    "a JPEG XL": [b"\xff\x0a\x28", b"\0\0\0\x0cJXL \r\n\x87\n"],
    "a JPEG 2000": [b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51\0"],
    "a BMP": [b"BM\x36\0\x0c\0\0\0\0\0\x36\0\0\0\x28\0\0\0"],
    "a Photoshop file": [b"8BPS\0\1"],
    "a TIFF": [b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"],
    "a raw photo (CR2)": [b"II*\0\x10\0\0\0CR\2\0"],
    "a raw photo (NEF)": [b"MM\0*\0\0\0\x08" + bytes(200) + b"NIKON CORPORATION\0"],
    "a raw photo (ARW)": [b"II*\0\x08\0\0\0" + bytes(200) + b"SONY\0"],
    "a raw photo (DNG)": [b"II*\0\x08\0\0\0\1\0\x12\xc6\1\0\4\0\0\0"],
    "a raw photo (RAF)": [b"FUJIFILMCCD-RAW 0201"],
    "a raw photo (ORF)": [b"IIRO\x08\0\0\0"],
    "a raw photo (RW2)": [b"IIU\0\x18\0\0\0"],
    "an SVG": [b"<svg xmlns=", b'<?xml version="1.0"?>\n<!-- a -->\n<svg>'],
    "an XML file": [b'<?xml version="1.0"?><a/>'],
    "a web page": [b"\n<!DOCTYPE html><title>404", b"<HTML><body>", b"\xef\xbb\xbf<html>"],
    "a PDF": [b"%PDF-1.7"],
    "a ZIP": [b"PK\3\4\x14"],
    "a RAR archive": [b"Rar!\x1a\7\1\0"],
    "a 7-Zip archive": [b"7z\xbc\xaf\x27\x1c"],
    "a gzip file": [b"\x1f\x8b\x08"],
    "a tar archive": [b"name" + bytes(253) + b"ustar"],
    "a program (ELF)": [b"\x7fELF\2"],
    "a program for Windows": [b"MZ\x90\0\3"],
    "an SQLite database": [b"SQLite format 3\0"],
    "an icon (ICO)": [b"\0\0\1\0\1\0"],
    "a film (MPEG)": [b"\0\0\1\xba\x44", (b"G" + bytes(187)) * 3],
    "a film (Matroska or WebM)": [b"\x1aE\xdf\xa3"],
    "a sound file (MP3)": [b"ID3\4", b"\xff\xfb\x90"],
    'text ("nope, not a photo")': [b"nope, not\n a photo"],
    'text ("\u00e4rger")': ["\u00e4rger".encode()],
    'text ("MZ and BM are letters")': [b"MZ and BM are letters"],
    'text ("a very long story which\N{HORIZONTAL ELLIPSIS}")': [b"a very long story which does not end"],
}


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, samples in KINDS.items() for data in samples])
def test_a_kind_of_file_is_named(name: str, data: bytes) -> None:
    assert kind_of(data) == f"it is {name}"
    assert re.fullmatch(r"it is \S.*", kind_of(data))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (bytes(5000), "it holds nothing but zeros"),
        (b"\x01\x02\xfe\xff rest", "it begins with the bytes 01 02 fe ff 20 72 65 73"),
        (b"\xe4rger", "it begins with the bytes e4 72 67 65 72"),
    ],
)
def test_what_is_not_known_is_told_by_its_bytes(data: bytes, said: str) -> None:
    assert kind_of(data) == said


# ---- what is made of it ----


def outcome(folder: Path, data: bytes) -> object:
    """Render a file that was written this moment."""
    (folder / "in").mkdir()
    (folder / "in" / "a.jpg").write_bytes(data)
    rendering = Rendering("web", Recipe(60, 60, "inside", "jpeg", 85, "none", "0" * 16), b"web/a.jpg")
    photo = PhotoId(os.fsencode(folder / "in"), b"a.jpg")
    return render(Job(1, photo, os.fsencode(folder / "out"), (rendering,)))


@pytest.mark.parametrize("data", [b"GIF89a" + bytes(9000), b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(9000), photos.TEXT])
def test_a_fresh_file_of_another_kind_has_failed_at_once_whatever_zeros_it_has(tmp_path: Path, data: bytes) -> None:
    told = outcome(tmp_path, data)
    assert isinstance(told, Failed)
    assert told.kind is FailureKind.PHOTO
    assert re.match("not a JPEG.*: it is ", told.reason)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"\xff\xd8",
        b"\x89PNG",
        b"\x89PNG\r\n\x1a\n" + bytes(9000),
        photos.plain()[:300],
        bytes(9000),
        bytes(4096) + photos.noisy()[4096:],
    ],
)
def test_a_fresh_file_of_which_only_the_first_bytes_are_there_or_not_yet_is_waited_for(
    tmp_path: Path, data: bytes
) -> None:
    told = outcome(tmp_path, data)
    assert isinstance(told, Unready)
    assert time.time() - 60 < (told.stamp.mtime_ns if told.stamp else 0) / 1e9


def test_every_format_that_is_read_has_its_decoder_and_the_reverse() -> None:
    assert set(INPUTS) == set(DECODERS)
