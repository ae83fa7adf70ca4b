"""Pixels: decoded once, then every rendition's from the smallest picture at hand that costs no quality."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from PIL import Image, ImageChops

from watcher.render.colour import to_srgb
from watcher.render.decoder import load
from watcher.render.geometry import Region, Target
from watcher.render.jpeg import EOI, Header, Stream, size_text
from watcher.render.resize import resize

# A picture may stand in for the original where it has at least this many pixels for each of the target's, on both
# axes: at 2.0 the detour costs a median of 0.02 dB after JPEG 85, at most 0.14; at 1.5 up to 0.32 (47 pictures).
_CASCADE = 2.0
# Sizes are rounded: this picture's by half a pixel at most, and twice the target's by one. Without that allowance 1024
# by 683 would not be made from 2048 by 1365, for the one row that is missing.
_ROUNDING = 1.5  # pixels
_FILL = 64  # bytes: more than a block of pixels takes
_BLOCK = 1 << 20  # bytes that the decoder gets at a time: with Pillow's 64 KB it has to stop and resume at each seam
Image.MAX_IMAGE_PIXELS = None  # the job's own limit is held before Pillow is asked at all

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """Some pixels, and which part of the photo they show."""

    image: Image.Image
    region: Region
    width: float  # how many pixels the region spans; the decoder's last column may be but partly filled
    height: float

    def serves(self, target: Target) -> bool:
        """Tell whether `target` can be made from this without a loss."""
        across, down = self.width / self.region.width, self.height / self.region.height
        width, height = target.region.width * across + _ROUNDING, target.region.height * down + _ROUNDING
        spare = min(width / target.width, height / target.height)
        return spare >= _CASCADE and self.region.holds(target.region)

    def make(self, target: Target) -> Picture:
        """Crop and shrink to `target`; gives the same pixels, not a copy, where there is nothing to do."""
        across, down = self.width / self.region.width, self.height / self.region.height
        left, top = (target.region.left - self.region.left) * across, (target.region.top - self.region.top) * down
        right, bottom = left + target.region.width * across, top + target.region.height * down
        box = (max(0.0, left), max(0.0, top), min(right, self.image.width), min(bottom, self.image.height))
        size = (target.width, target.height)
        whole = (round(box[0]), round(box[1]), round(box[2]), round(box[3]))
        if all(a == b for a, b in zip((right - left, bottom - top, *box), (*size, *whole), strict=True)):
            image = self.image if whole == (0, 0, *self.image.size) else self.image.crop(whole)
        else:
            image = resize(self.image, size, box)
        return Picture(image, target.region, *size)


def decode(data: bytes, header: Header, scale: int) -> Picture:
    """Decode the whole photo at 1/`scale`; raises what Pillow raises (OSError for a truncated or broken file)."""
    # JPEG alone: MPO differs by its metadata, which the stream leaves out
    stream = Stream(header, data)
    image = Image.open(stream, formats=("JPEG",))  # type: ignore[arg-type]  # has all that Pillow asks of a file
    image.decodermaxblock = _BLOCK
    if scale > 1:
        image.draft(image.mode, (max(1, header.width // scale), max(1, header.height // scale)))
    load(image, stream.head, memoryview(data)[header.scan :])
    if image.size != (-(-header.width // scale), -(-header.height // scale)):
        raise ValueError(f"the decoder gave {image.size} for {size_text(header)} at 1/{scale}")
    region = Region(0, 0, header.width, header.height)
    return Picture(image, region, header.width / scale, header.height / scale)


def decode_endless(data: bytes, header: Header, scale: int) -> tuple[Picture | None, float]:
    """Decode a file without an end marker; None if its last rows are missing too. With it, how much of it is there.

    That is the part of its height, from 0 to 1; 0: it can't be told.

    The decoder fills up what is missing and can't be made to say so. So it is given two different continuations: where
    the pixels agree, none of the bits that were added took part. A file of several scans has no such proof.
    """
    if header.progressive or not header.interleaved:
        return None, 0.0
    data = data.rstrip(b"\xff")  # a half of the marker
    picture = decode(data + EOI, header, scale)
    other = decode(data + b"\x55" * 64 + EOI, header, scale)
    differs = ImageChops.difference(picture.image, other.image).getbbox()
    return (picture, 1.0) if differs is None else (None, differs[1] / picture.image.height)


class Fit(Enum):
    """Whether a file's end belongs to its beginning."""

    WELL = "it does"
    SHORT = "its end is that of another photo, so that its last rows are missing: an overwrite that was broken off?"
    UNTOLD = "it has the size of what was there before, and may be of both: an overwrite that is not over?"
    SURPLUS = "more is left behind its last row than belongs to it: an overwrite that is not over?"


def fit(data: bytes, header: Header, scale: int, picture: Picture) -> Fit:
    """Tell whether a file's data lasts for `picture`, and whether some of it is left over.

    Of the head of one photo before the tail of another the decoder finds its way back into step, and then has too few
    blocks or too many. It says nothing of either. So the data is continued, and then its end replaced, by something
    else: the first must not show, the second must.
    """
    if header.progressive or not header.interleaved:
        return Fit.UNTOLD
    scan = data[: data.find(EOI, header.scan)]
    if _differs(picture, decode(scan + b"\x55" * _FILL + EOI, header, scale)):
        return Fit.SHORT
    if set(scan[-_FILL:]) <= {0, 255}:
        return Fit.WELL  # some cameras pad
    head = scan[:-_FILL].rstrip(b"\xff")
    tails = (decode(head + fill * _FILL + EOI, header, scale) for fill in (b"\x55", b"\xaa"))
    return Fit.WELL if any(_differs(picture, other) for other in tails) else Fit.SURPLUS


def _differs(one: Picture, other: Picture) -> bool:
    return ImageChops.difference(one.image, other.image).getbbox() is not None


class Cascade:
    """Makes the targets of one photo, largest first, and keeps what smaller ones can be made from."""

    def __init__(self, decoded: Picture, targets: list[Target], profile: bytes) -> None:
        self._decoded: Picture | None = decoded
        self._profile = profile
        self._left = sorted(set(targets), key=lambda t: t.width * t.height, reverse=True)
        self._made: list[Picture] = []

    def next(self) -> tuple[Target, Image.Image]:
        """Make the next target: its pixels in sRGB, not yet turned upright."""
        target = self._left.pop(0)
        fitting = [p for p in self._made if p.serves(target)]
        if fitting:
            picture = min(fitting, key=lambda p: p.width * p.height).make(target)
        elif self._decoded is not None:
            raw = self._decoded.make(target)
            picture = Picture(to_srgb(raw.image, self._profile), raw.region, raw.width, raw.height)
            if raw.image is self._decoded.image:  # the decoded pixels themselves, perhaps changed in place
                self._decoded, self._profile = picture, b""
        else:
            raise RuntimeError("the decoded picture was let go too early")
        self._made.append(picture)
        if self._left and all(any(p.serves(t) for p in self._made) for t in self._left):
            self._decoded = None  # nobody needs it any more: its memory serves what follows
        return target, picture.image


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn `image` as the EXIF `orientation` (1 to 8) says."""
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)
