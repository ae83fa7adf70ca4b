"""JPEG: by the native decoder, or, where that declines, by Pillow's, which is fed in pieces.

- `markers` walks the header: sizes, tables and metadata without a decoder; `segments` reads and writes the metadata.
- `scans` finds the scans, what lies between restart markers, and the end, without decoding.
- `damage` finds what shows before decoding; `feed` makes Pillow's decoder show the rest.
"""

from __future__ import annotations

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from watcher.render import native
from watcher.render.decoders.base import Completeness, Decoded, NotWholeError, Photo, filled, hole_in
from watcher.render.decoders.jpeg.damage import refuse_damage, refuse_runs
from watcher.render.decoders.jpeg.feed import load
from watcher.render.decoders.jpeg.markers import EOI, MAX_SCANS, SOI, Stream, parse
from watcher.render.decoders.jpeg.retag import retagged
from watcher.render.decoders.jpeg.scans import Layout, all_there, lay_out, padded, trailer_of, without_zeros
from watcher.render.decoders.jpeg.segments import metadata_of
from watcher.render.metadata import Kept
from watcher.render.native import State, Walk

_TAIL = 8  # zeros at the end that can't be entropy-coded data any more
_BLOCK = 1 << 20  # bytes that the decoder gets at a time: with Pillow's 64 KB it has to stop and resume at each seam


def sniff(head: bytes) -> bool:
    """Return whether a file that begins so is a JPEG, or may become one."""
    return head.startswith(SOI) or (bool(head) and SOI.startswith(head))


def describe(data: bytes) -> Photo:
    """Return the photo that `data` holds."""
    return Jpeg(data)


class Jpeg(Photo):
    """A JPEG file."""

    kind = "jpeg"
    scales = (8, 4, 2)  # libjpeg's

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._ordinary = False  # it was decoded, and ends with the end marker behind its last block
        self.header = header = parse(data)
        self.width, self.height, self.channels = header.width, header.height, header.components
        self.metadata = metadata_of(data, header)

    def refusal(self) -> str:
        """Return why it would take very long to decode."""
        header = self.header
        several = header.progressive or not header.interleaved
        if several and len(lay_out(self._data, header, MAX_SCANS).scans) > MAX_SCANS:
            return f"more than {MAX_SCANS} scans: no camera writes that, and it would take very long to decode"
        return ""

    def decoding_bytes(self, scale: int) -> int:
        """Return the memory for whole-picture coefficients, and for a second picture that may prove the first."""
        header = self.header
        alone = header.progressive or not header.interleaved or self.channels == 1 or not self._data.endswith(EOI)
        return header.coefficient_bytes + (2 * self.decoded_bytes(scale) if alone else 0)

    def completeness(self) -> Completeness:
        """Return what the bytes say; behind the end marker zeros are none of the picture's."""
        data, start = self._data, self.header.scan
        hole, there = hole_in(data, start), filled(data)
        missing = len(data) - there >= _TAIL and data.find(EOI, start, there) < 0
        return Completeness(
            closed=data.endswith(EOI),
            hole=hole >= 0 and data.find(EOI, start, hole) < 0,
            filled=there if missing else len(data),
        )

    def with_metadata(self, kept: Kept) -> bytes | None:
        """Return the file with its picture as it is and other metadata, once it was decoded; None: that can't be."""
        return retagged(self._data, self.header, kept) if self._ordinary else None

    def decode(self, scale: int) -> Decoded:
        """Return the pixels at 1/`scale`, of a photo that is proved to be whole."""
        refuse_runs(self._data, self.header)
        try:
            return self._decode(scale)
        except OSError:
            bytes(self.header.coefficient_bytes)  # libjpeg can't say that memory was short: this raises if it is
            raise

    def _decode(self, scale: int) -> Decoded:
        data, header = self._data, self.header
        head = Stream(header, data).head
        image, walk = native.decode(data, scale, head, header.scan)
        if image is not None:
            self._ordinary = True
            return Decoded(image)
        if walk.state is State.DECLINED:
            walk = native.walk(data, head, header.scan)  # it walks more than it decodes
        layout = lay_out(data, header, MAX_SCANS)
        if walk.state in {State.DECLINED, State.WHOLE}:
            decoded = self._by_pillow(scale, layout, proved=walk.state is State.WHOLE)
            self._ordinary = decoded.ended
            return decoded
        for end in self._other_ends(layout, walk):
            ended = data[:end] + EOI
            if native.walk(ended, head, header.scan).state is State.WHOLE:
                image, _ = native.decode(ended, scale, head, header.scan)
                image = image or self._by_pillow(scale, layout.at(end, EOI[1]), proved=True).image
                return Decoded(image, walk.state is State.DAMAGED)
        # of several scans each is the whole picture, only better: a share of those that came says nothing
        share = walk.share if header.interleaved and not header.progressive else 0.0
        raise NotWholeError(share, walk.reason, truncated=walk.state is State.TRUNCATED)

    def _other_ends(self, layout: Layout, walk: Walk) -> list[int]:
        """Return where a picture may end that is not whole as it is: it may lack its end marker, or have padding."""
        data = self._data
        if not layout.ended and not all_there(layout, self.header):
            return []
        trailer = trailer_of(data, layout)
        ends = [trailer] if trailer >= 0 else []
        if not layout.ended:
            ends.append(without_zeros(data, layout).stop)
        elif walk.share >= 1:
            ends += padded(data, layout)
        return ends

    def _by_pillow(self, scale: int, layout: Layout, *, proved: bool) -> Decoded:
        """Decode with Pillow; `proved`: it is known to be whole."""
        data, header = self._data, self.header

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
            return Decoded(load(opened, data, header, layout, proved=proved), layout.ended)
        except NotWholeError:
            trailer = trailer_of(data, layout)
            if trailer < 0:
                raise
        except OSError as error:
            if not layout.cut:
                raise
            raise NotWholeError(0.0, truncated=True) from error
        return Decoded(load(opened, data, header, layout.at(trailer)), ended=False)
