"""Pixels: decoded once, then every rendition's from the smallest picture at hand that costs no quality."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from watcher.render import native
from watcher.render.colour import to_srgb
from watcher.render.completeness import NotWholeError, refuse_damage, refuse_runs
from watcher.render.decoder import load
from watcher.render.geometry import Region, Target
from watcher.render.jpeg import EOI, MAX_SCANS, Header, Stream, size_text
from watcher.render.native import State, Walk
from watcher.render.resize import resize
from watcher.render.scans import Layout, all_there, lay_out, padded, trailer_of, without_zeros

# A picture may stand in for the original where it has at least this many pixels for each of the target's, on both
# axes: at 2.0 the detour costs a median of 0.02 dB after JPEG 85, at most 0.14; at 1.5 up to 0.32 (47 pictures).
_CASCADE = 2.0
# Sizes are rounded: this picture's by half a pixel at most, and twice the target's by one. Without that allowance 1024
# by 683 would not be made from 2048 by 1365, for the one row that is missing.
_ROUNDING = 1.5  # pixels
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
    ended: bool = True  # the photo's end marker is there

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
    """Decode the whole photo at 1/`scale`, and prove that it is whole.

    Raises NotWholeError where it is not whole, and what Pillow raises.
    """
    refuse_runs(data, header)
    image, ended = _decode(data, header, scale)
    if image.size != (-(-header.width // scale), -(-header.height // scale)):
        raise ValueError(f"the decoder gave {image.size} for {size_text(header)} at 1/{scale}")
    region = Region(0, 0, header.width, header.height)
    return Picture(image, region, header.width / scale, header.height / scale, ended)


def _decode(data: bytes, header: Header, scale: int) -> tuple[Image.Image, bool]:
    """Decode by the native decoder, or, where it declines, by Pillow; with it, whether the end marker is there."""
    head = Stream(header, data).head
    image, walk = native.decode(data, scale, head, header.scan)
    if image is not None:
        return image, True
    if walk.state is State.DECLINED:
        walk = native.walk(data, head, header.scan)  # it walks more than it decodes
    layout = lay_out(data, header, MAX_SCANS)
    if walk.state in {State.DECLINED, State.WHOLE}:
        return _by_pillow(data, header, scale, layout, proved=walk.state is State.WHOLE)
    for end in _other_ends(data, header, layout, walk):
        ended = data[:end] + EOI
        if native.walk(ended, head, header.scan).state is State.WHOLE:
            image, _ = native.decode(ended, scale, head, header.scan)
            layout = layout.at(end, EOI[1])
            return image or _by_pillow(data, header, scale, layout, proved=True)[0], walk.state is State.DAMAGED
    raise NotWholeError(walk.state, walk.share, walk.reason)


def _other_ends(data: bytes, header: Header, layout: Layout, walk: Walk) -> list[int]:
    """Give where a picture may end that is not whole as it lies there: it may lack its end marker, or have padding."""
    if not layout.ended and not all_there(layout, header):
        return []
    trailer = trailer_of(data, layout)
    ends = [trailer] if trailer >= 0 else []
    if not layout.ended:
        ends.append(without_zeros(data, layout).stop)
    elif walk.share >= 1:
        ends += padded(data, layout)
    return ends


def _by_pillow(data: bytes, header: Header, scale: int, layout: Layout, *, proved: bool) -> tuple[Image.Image, bool]:
    """Let Pillow decode; `proved`: it is known to be whole."""

    def opened(full: bool) -> tuple[ImageFile, bytes]:
        stream = Stream(header, data)
        try:  # JPEG alone: MPO differs by its metadata, which the stream leaves out
            image = Image.open(stream, formats=("JPEG",))  # type: ignore[arg-type]  # has all that Pillow asks of a file
        except UnidentifiedImageError:  # it says which object that was
            raise OSError("its header is broken") from None
        image.decodermaxblock = _BLOCK
        if scale > 1 and not full:
            image.draft(image.mode, (max(1, header.width // scale), max(1, header.height // scale)))
        return image, stream.head

    refuse_damage(layout, header)
    if not layout.ended:
        layout = without_zeros(data, layout)
    try:
        return load(opened, data, header, layout, proved=proved), layout.ended
    except NotWholeError:
        trailer = trailer_of(data, layout)
        if trailer < 0:
            raise
    except OSError as error:
        if not layout.cut:
            raise
        raise NotWholeError(State.TRUNCATED, 0.0) from error
    return load(opened, data, header, layout.at(trailer)), False


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
