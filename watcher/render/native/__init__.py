"""The native JPEG decoder: `jpeg.c`, loaded with ctypes. It decodes ordinary photos, and says whether they are whole.

Its pixels are those of Pillow's `draft` and `load`, bit for bit. What it does not take it declines, and Pillow decodes
it. Where its library is missing or fails its self-test, everything is declined.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from PIL import Image


class State(Enum):
    """What the entropy-coded data of a JPEG says about its completeness."""

    WHOLE = "whole"
    TRUNCATED = "truncated"  # the data ends before the picture does, or before its end marker
    DAMAGED = "damaged"
    DECLINED = "declined"  # not decoded here: nothing is known


@dataclass(frozen=True, slots=True)
class Walk:
    """What was met in the entropy-coded data."""

    state: State
    share: float = 0.0  # part of the picture's blocks decoded from their own data, 0 to 1
    reason: str = ""  # a clause for a person; empty for a whole picture


def walk(data: bytes) -> Walk:
    """Return what the entropy-coded data of the JPEG file `data` says, without decoding pixels."""
    del data
    return Walk(State.DECLINED, reason=reason())


def decode(data: bytes, scale: int) -> tuple[Image.Image | None, Walk]:
    """Return the picture of the JPEG file `data` at 1/`scale` (1, 2, 4 or 8), and what was met.

    The picture is None where the file is declined or not whole.
    """
    del scale
    return None, walk(data)


def name() -> str:
    """Return which decoder is in use in this process: "native" or "pillow"."""
    return "pillow"


def reason() -> str:
    """Return why that decoder is in use."""
    return "no library was built"
