"""Pillow's JPEG decoder, fed piece by piece, so that it shows whether a photo is whole.

libjpeg fills up what is missing with grey and passes over what is too much, and Pillow can't be made to say so. But
its decoder stops where data runs out before a marker, says how much it took, and goes on when there is more. So the
data of each scan, or between two restart markers, is handed over in two steps:
- All but the last bytes. Is the decoder done with its blocks, something is left over.
- The last bytes, and some that are added, of which a block takes as many as can be. Is it not done, data is missing.
So every block is accounted for, up to a few bytes, at any scale and in a single decode. One block alone may be made of
added bytes: where it can be a unit of its own (grey, progressive) or the end marker is missing, a second decode with
other bytes added must give the same picture.

The calls are those of Pillow's `load`, which its manual does not tell of. So a self-test once a process holds them
against `load`. Where they differ or are gone, `load` has its way, and only what `scans` finds is known.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache

from PIL import Image, ImageChops
from PIL.ImageFile import ImageFile

from watcher.render.decoders.base import NotWholeError
from watcher.render.decoders.jpeg.damage import SURPLUS, reason_after
from watcher.render.decoders.jpeg.markers import EOI, Header, parse
from watcher.render.decoders.jpeg.scans import Layout, Run, lay_out

Opened = Callable[[bool], tuple[ImageFile, bytes]]
# Gives an image that is not loaded yet, at full size or as large as it is wanted, and the head of its file.

_BACK = 3  # bytes before the end at which the blocks of a whole run are never done: the decoder reads eight ahead
_ONES = b"\xff\x00" * 8  # a code that is in no table: each block that is missing takes 34 bits of it
_OTHER = b"\x55" * 64
_PROBE = b"\x55"
_TAIL = 64  # bytes: more than a block of pixels takes
_FEW = 16  # bytes of which arithmetic coding needs some for the last blocks
_LEFT_OUT = bytes(2)  # more than the zeros that an arithmetic encoder leaves out
_STUFFED = 0xFF  # has a zero behind it


def load(opened: Opened, data: bytes, header: Header, layout: Layout, *, proved: bool = False) -> ImageFile:
    """Decode an image and prove that it is whole; raises NotWholeError where it is not, and what Pillow's `load` does.

    Its file is the head that `opened` gives, and `data` from the first scan's data on. `proved`: it is known already.
    """
    if not at_once():
        if not layout.ended:
            raise NotWholeError(0.0, "its data ends early", truncated=True)
        image, _ = opened(False)
        image.load()
        return image
    if header.arithmetic:
        return _load_arithmetic(opened, data, header, layout)
    image = _fed(opened, data, layout, _ONES)
    if not proved and (not layout.ended or any(scan.single for scan in layout.scans)):
        box = _difference(image, _fed(opened, data, layout, _OTHER))
        if box:
            share = box[1] / image.height if len(layout.scans) == 1 else 0.0
            raise NotWholeError(share, reason_after(layout, layout.scans[-1].runs[-1]), truncated=layout.cut)
    return image


def _fed(opened: Opened, data: bytes, layout: Layout, more: bytes) -> ImageFile:
    """Decode an image, with `more` added behind each run of its data."""
    image, head = opened(False)
    with closing(_Decoder(image, data)) as decoder:
        decoder.begin(head, layout.scans[0].runs[0].start)
        for scan in layout.scans:
            for index, run in enumerate(scan.runs):
                if decoder.left_over(run):
                    share = scan.share(index) if scan is layout.scans[0] else 0.0
                    raise NotWholeError(share, SURPLUS, truncated=False)
                if not decoder.done(run, more):
                    cut = layout.cut and scan is layout.scans[-1] and run is scan.runs[-1]
                    box = image.im.getbbox() if len(layout.scans) == 1 else None  # rows that are not made are black
                    share = box[3] / image.height if box else 0.0
                    raise NotWholeError(share, reason_after(layout, run), truncated=cut)
        decoder.end()
    return image


class _Decoder:
    """Pillow's decoder of one image, which takes its file in pieces."""

    def __init__(self, image: ImageFile, data: bytes) -> None:
        (tile,) = image.tile
        image.load_prepare()
        self._image, self._data = image, memoryview(data)
        self._at = 0  # offset of what it has not taken yet
        self._over = False  # all pixels are there
        self._decoder = Image._getdecoder(image.mode, tile.codec_name, tile.args, image.decoderconfig)  # noqa: SLF001 - see above
        self._decoder.setimage(image.im, tile.extents)

    def close(self) -> None:
        """Release it."""
        self._decoder.cleanup()

    def begin(self, head: bytes, at: int) -> None:
        """Hand over all that stands before the first scan's data, which begins at offset `at`."""
        if self._give(head) < len(head):
            raise OSError("its header is broken")
        self._at = at

    def left_over(self, run: Run) -> bool:
        """Hand over a run but for its last bytes; return whether its blocks are there already."""
        pause = self._pause(run)
        if pause <= run.start:
            return False
        self._at += self._give(self._data[self._at : pause])
        if self._over or self._at < pause:
            return self._over
        probe = self._data[pause : pause + (2 if self._data[pause] == _STUFFED else 1)]
        # Within a block a single byte is left where it is, behind the last one it is passed over.
        taken = self._give(probe)
        self._at += taken
        return taken == len(probe)

    def done(self, run: Run, more: bytes) -> bool:
        """Hand over the rest of a run, and `more`; return whether its blocks are there."""
        given = bytes(self._data[self._at : run.end]) + more
        taken = self._give(given)
        self._at = run.end
        return self._over or (taken == len(given) and self._give(_PROBE) == len(_PROBE))

    def end(self) -> None:
        """Signal the end of the data."""
        if not self._over:
            self._give(EOI)
        if not self._over:
            raise OSError("its last scan is not its last")
        self._image.tile, self._image.fp = [], None  # it is loaded, and lets go of its file

    def _give(self, data: bytes | memoryview) -> int:
        """Hand over some bytes; return how many it took."""
        if self._over:
            return len(data)
        taken, error = self._decoder.decode(data)
        if taken < 0 and error < 0:
            raise OSError("its data or a table of it is broken")
        self._over = taken < 0
        return len(data) if self._over else int(taken)

    def _pause(self, run: Run) -> int:
        """Return the offset before a run's last bytes, those not counted that some cameras pad with."""
        end = run.end
        while end > run.start:
            tail = bytes(self._data[max(run.start, end - _TAIL) : end])
            end -= len(tail) - len(tail.rstrip(b"\0\xff"))
            if tail.strip(b"\0\xff"):
                break
        pause = end - _BACK
        return pause - 1 if pause > run.start and self._data[pause - 1] == _STUFFED else pause


def _load_arithmetic(opened: Opened, data: bytes, header: Header, layout: Layout) -> ImageFile:
    """Decode what is arithmetic-coded: all at once, since its decoder can't stop.

    It takes zeros for what is missing, and its encoder leaves them out at the end of a scan. So at full size others in
    place of the last bytes must show, and bytes that are added behind some zeros of each scan must not, but in the
    last block.
    """
    if not layout.ended:
        raise NotWholeError(0.0, "its data ends early", truncated=True)
    body = data[header.scan : layout.stop]
    image = _at_once(opened, body, full=True)
    if not _difference(image, _at_once(opened, body[:-_FEW].rstrip(b"\xff") + _OTHER, full=True)):
        raise NotWholeError(0.0, SURPLUS, truncated=False)
    starts = [header.scan, *(scan.runs[-1].end for scan in layout.scans[:-1])]
    parts = [data[at:end] for at, end in zip(starts, [*starts[1:], layout.stop], strict=True)]
    box = _difference(image, _at_once(opened, b"".join(part + _LEFT_OUT + _OTHER for part in parts), full=True))
    unit = 8 * max(max(pair) for pair in header.sampling)
    if box and (box[1] < (header.height - 1) // unit * unit or box[0] < (header.width - 1) // unit * unit):
        raise NotWholeError(box[1] / image.height, "its end marker comes early", truncated=False)
    return _at_once(opened, body, full=False)


def _at_once(opened: Opened, body: bytes, *, full: bool) -> ImageFile:
    image, head = opened(full)
    with closing(_Decoder(image, b"")) as decoder:
        decoder.begin(head + body + EOI, 0)
        decoder.end()
    return image


def _difference(one: ImageFile, other: ImageFile) -> tuple[int, int, int, int] | None:
    """Return the box in which two pictures differ; None: they are the same."""
    return ImageChops.difference(one, other).getbbox(alpha_only=False)


@lru_cache(maxsize=1)
def at_once() -> bool:
    """Return whether this Pillow's decoder can be used so; found out once a process, in a few milliseconds."""
    try:
        gradient = Image.linear_gradient("L")
        picture = Image.merge("RGB", (gradient, gradient.transpose(Image.Transpose.ROTATE_90), gradient))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", restart_marker_rows=8)
        data = buffer.getvalue()
        header = parse(data)
        for size in ((256, 256), (64, 64)):
            one, other = _tried(data, header, size), _opened(data, size)
            other.load()
            if one is None or one.tobytes() != other.tobytes():
                return False
        middle = len(data) * 3 // 4
        short, long = data[:middle] + data[middle + 99 :], data[: middle + 99] + data[middle:]
        return all(_tried(wrong, header, size) is None for wrong in (short, long))
    except Exception:  # noqa: BLE001 - whatever is different in this Pillow, photos are decoded its own way
        return False


def _tried(data: bytes, header: Header, size: tuple[int, int]) -> ImageFile | None:
    try:
        return _fed(lambda _full: (_opened(data, size), data[: header.scan]), data, lay_out(data, header, 1), _ONES)
    except NotWholeError:
        return None


def _opened(data: bytes, size: tuple[int, int]) -> ImageFile:
    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    image.draft("RGB", size)
    return image
