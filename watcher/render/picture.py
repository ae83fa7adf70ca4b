"""Pixels: decoded once, then every rendition's from the smallest picture at hand that costs no quality."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from watcher.render.colour import to_srgb
from watcher.render.geometry import Region, Target
from watcher.render.resize import resize

# A picture may stand in for the original where it has at least this many pixels for each of the target's, on both
# axes: at 2.0 the detour costs a median of 0.02 dB after JPEG 85, at most 0.14; at 1.5 up to 0.32 (47 pictures).
_CASCADE = 2.0
# Sizes are rounded: this picture's by half a pixel at most, and twice the target's by one. Without that allowance 1024
# by 683 would not be made from 2048 by 1365, for the one row that is missing.
_ROUNDING = 1.5  # pixels

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

    @classmethod
    def whole(cls, image: Image.Image, width: int, height: int, scale: int) -> Picture:
        """Return what a decoder made at 1/`scale` of a photo of `width` by `height` pixels."""
        if image.size != (-(-width // scale), -(-height // scale)):
            raise ValueError(f"the decoder gave {image.size} for {width} \u00d7 {height} at 1/{scale}")
        return cls(image, Region(0, 0, width, height), width / scale, height / scale)

    def serves(self, target: Target) -> bool:
        """Return whether `target` can be made from this without a loss."""
        across, down = self.width / self.region.width, self.height / self.region.height
        width, height = target.region.width * across + _ROUNDING, target.region.height * down + _ROUNDING
        spare = min(width / target.width, height / target.height)
        return spare >= _CASCADE and self.region.holds(target.region)

    def make(self, target: Target) -> Picture:
        """Crop and shrink to `target`; return the same pixels, not a copy, if there is nothing to do."""
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
            self._decoded = None  # no longer needed: its memory serves what follows
        return target, picture.image


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn `image` as the EXIF `orientation` (1 to 8) says."""
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)
