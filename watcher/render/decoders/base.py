"""What a decoder provides: a photo described before it is decoded, its pixels, and whether it is complete.

A decoder is a module beside this one with two functions, listed in `decoders`:
- `sniff(head)` returns whether a file that begins so is in its format, whatever its name.
- `describe(data)` returns a `Photo`, and raises UndecodableError or EndsEarlyError.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

from PIL import Image

from watcher.render.metadata import Kept, PhotoMetadata

Image.MAX_IMAGE_PIXELS = None  # the job's own limit is held before Pillow is asked at all
_HOLE = bytes(4096)  # a block of the file system: what a parallel writer leaves out is at least that
_HALF = _HOLE[::2]
_STEP = 1 << 16
PADDING = 32  # zeros with which compressed data may end


class UndecodableError(Exception):
    """The file can't be decoded; the message is a clause for a person."""


class EndsEarlyError(Exception):
    """The file ends inside its header, or before its picture does, which the header says."""

    def __init__(self, needed: int = 0, *, filled: int = 0) -> None:
        super().__init__()
        self.needed = needed  # bytes that the file must have; 0: not known
        self.filled = filled  # bytes before the zeros of a copy that never finished; 0: there are none


class NotWholeError(Exception):
    """A part of the picture is missing: its data ends early (`truncated`), or is damaged."""

    def __init__(self, share: float, reason: str = "", *, truncated: bool) -> None:
        super().__init__(reason)
        self.truncated = truncated
        self.share = share  # how much of the picture came before that, 0 to 1
        self.reason = reason  # a clause for a person


class Decoded(NamedTuple):
    """The pixels of a whole photo."""

    image: Image.Image  # L, RGB, CMYK, LA or RGBA
    ended: bool = True  # the end of the format is there; where it is missing, more may still be written


class Completeness(NamedTuple):
    """What the bytes of a photo that is whole, or is not, say about its writer."""

    closed: bool  # the file ends where its format ends: nothing can follow
    hole: bool  # a block of zeros lies in the picture: a part may still be missing
    filled: int  # bytes before the zeros of a copy that never finished; all bytes where there are none


class Photo(ABC):
    """One photo in one format, described from its header."""

    kind: str  # by its name in `core/formats`
    width: int  # stored pixels, before the orientation is applied
    height: int
    channels: int  # 1 grey, 3 colour, 4 CMYK; an alpha channel is not counted
    alpha: bool = False  # it may be transparent
    metadata: PhotoMetadata
    scales: tuple[int, ...] = ()  # what the size can be divided by while decoding, the largest first

    @property
    def size_text(self) -> str:
        """Return the size for a person."""
        return f"{self.width} \u00d7 {self.height}"

    @property
    def pixel_bytes(self) -> int:
        """Return how many bytes of memory a pixel takes: Pillow has one for grey, and four for anything else."""
        return 1 if self.channels == 1 and not self.alpha else 4

    def decoded_bytes(self, scale: int) -> int:
        """Return how much memory the decoded picture takes."""
        return -(-self.width // scale) * -(-self.height // scale) * self.pixel_bytes

    def refusal(self) -> str:
        """Return why it must not be decoded although it could be, as a clause for a person; empty: it may be."""
        return ""

    @abstractmethod
    def decoding_bytes(self, scale: int) -> int:
        """Return how much memory decoding takes beyond the file and the picture, until the picture is there."""

    @abstractmethod
    def decode(self, scale: int) -> Decoded:
        """Return the pixels at 1/`scale`, of a photo that is proved to be whole.

        Raise NotWholeError where it is not, and what Pillow raises.
        """

    def with_metadata(self, kept: Kept) -> bytes | None:
        """Return the file with its picture as it is and other metadata, once it was decoded; None: that can't be."""
        del kept
        return None

    @abstractmethod
    def completeness(self) -> Completeness:
        """Return what the bytes say, for a decision on whether its writer has finished."""


class Decoder(Protocol):
    """A module that decodes one format."""

    def sniff(self, head: bytes, /) -> bool:
        """Return whether a file that begins so is in this format."""

    def describe(self, data: bytes, /) -> Photo:
        """Return the photo that `data` holds."""


def has_hole(data: bytes) -> bool:
    """Return whether a block of zeros lies anywhere in `data`."""
    return _HOLE in data


def hole_in(data: bytes, start: int) -> int:
    """Return where a block of zeros lies behind `start`; -1: there is none.

    Any has two neighbours among the bytes that lie half a block apart, and only zeros between them. To look at these
    takes 0.1 ms for 8 MB, a search 1.4.
    """
    step = len(_HALF)
    sampled = data[start::step]
    at = sampled.find(b"\0\0")
    while at >= 0 and not data.startswith(_HALF, start + at * step):
        at = sampled.find(b"\0\0", at + 1)
    return data.find(_HOLE, start) if at >= 0 else -1


def require(data: bytes, needed: int, end: int) -> None:
    """Raise EndsEarlyError where `data` is shorter than `needed`, or there are only zeros from before `end` on.

    `end`: where the picture's data ends, which is compressed.
    """
    if len(data) < needed:
        raise EndsEarlyError(needed)
    if (there := filled(data)) + PADDING < end:
        raise EndsEarlyError(needed, filled=there)


def filled(data: bytes) -> int:
    """Return the length of `data` without the zeros at its end, without copying it."""
    end = len(data)
    while end:
        part = data[max(0, end - _STEP) : end].rstrip(b"\0")
        if part:
            return max(0, end - _STEP) + len(part)
        end = max(0, end - _STEP)
    return 0
