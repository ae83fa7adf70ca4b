"""The few ICC profiles that are written or assumed, built here byte for byte.

Why not `ImageCms.createProfile`: it stamps the time of day into the profile, and the same photo would give other bytes
on each run. Layout: ICC.1:2010 (version 4). Colourants, adapted to D50: the profiles published by the ICC and Adobe.
"""

from __future__ import annotations

import struct

_LENGTH, _MAGIC = slice(4), slice(36, 40)  # where a profile says how long it is, and that it is one
_D50 = (0.9642, 1.0, 0.8249)
_D65_TO_D50 = (1.04788, 0.02292, -0.05022, 0.02959, 0.99048, -0.01707, -0.00925, 0.01508, 0.75168)
# IEC 61966-2-1: y = ((x + 0.055) / 1.055) ** 2.4 above 0.04045, x / 12.92 below
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def _fixed(*values: float) -> bytes:
    """Write s15Fixed16 numbers."""
    return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))


def _text(words: str) -> bytes:
    body = words.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(body), 28) + body


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _curve(parameters: tuple[float, ...]) -> bytes:
    """Write a gamma (one number) or the curve of sRGB's shape (five) as a parametric curve of type 0 or 3."""
    return b"para\0\0\0\0" + struct.pack(">HH", 0 if len(parameters) == 1 else 3, 0) + _fixed(*parameters)


def _profile(space: bytes, name: str, tags: dict[bytes, bytes]) -> bytes:
    tags = {
        b"desc": _text(name),
        b"cprt": _text("Public domain"),
        b"wtpt": _xyz(_D50),
        b"chad": b"sf32\0\0\0\0" + _fixed(*_D65_TO_D50),
        **tags,
    }
    offset, table, body, known = 128 + 4 + 12 * len(tags), b"", b"", dict[bytes, int]()
    for tag, value in tags.items():
        if value not in known:
            known[value] = offset + len(body)
            body += value + bytes(-len(value) % 4)
        table += struct.pack(">4sII", tag, known[value], len(value))
    size = offset + len(body)
    date = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    head = struct.pack(">I4sI4s4s4s", size, b"", 0x04300000, b"mntr", space, b"XYZ ") + date + b"acsp"
    head += bytes(28) + _fixed(*_D50)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def rgb(name: str, colourants: tuple[tuple[float, ...], ...], curve: tuple[float, ...]) -> bytes:
    """Build an RGB matrix profile from red's, green's and blue's XYZ (D50) and one curve."""
    xyz = {tag: _xyz(c) for tag, c in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colourants, strict=True)}
    return _profile(b"RGB ", name, {**xyz, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(curve))})


SRGB = rgb(
    "sRGB",
    ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
    _SRGB_CURVE,
)
# What greyscale renditions get: sRGB's curve without its colours. An RGB profile would be invalid there.
SGREY = _profile(b"GRAY", "sGrey", {b"kTRC": _curve(_SRGB_CURVE)})
DISPLAY_P3 = rgb(
    "Display P3",
    ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    _SRGB_CURVE,
)
ADOBE_RGB = rgb(
    "Adobe RGB (1998) compatible",
    ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    (2.19921875,),
)


def joined(parts: list[bytes]) -> bytes:
    """Put a profile together from the bodies of its segments; empty if there is none, or not all of one.

    Each part begins with its number, from 1, and how many there are. Both are often wrong (zeros, counted from 0,
    given twice), and readers differ in what they then make of them; the length in the profile itself decides.
    """
    parts = [part for part in parts if len(part) > 2]  # noqa: PLR2004 - number and count
    numbered: dict[int, bytes] = {}
    for part in parts:
        numbered.setdefault(part[0], part)
    ordered = [numbered[number] for number in sorted(numbered)]
    profile = b"".join(part[2:] for part in ordered)
    for candidate in (profile, b"".join(part[2:] for part in parts)):
        length = int.from_bytes(candidate[_LENGTH], "big")
        if candidate[_MAGIC] == b"acsp" and 128 <= length <= len(candidate):  # noqa: PLR2004 - of its header
            return candidate[:length]
    whole = [(part[0], part[1]) for part in ordered] == [(i + 1, len(ordered)) for i in range(len(ordered))]
    return profile if whole else b""
