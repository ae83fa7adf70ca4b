"""AVIF: by Pillow; of a sequence the first picture. Its boxes say how long the file must be."""

from __future__ import annotations

from PIL import AvifImagePlugin
from PIL.ImageFile import ImageFile

from watcher.fs.faults import short
from watcher.render.decoders import bmff
from watcher.render.decoders.base import Completeness, Decoded, Photo, UndecodableError, hole_in
from watcher.render.decoders.pixels import decoded, opened
from watcher.render.kinds import named
from watcher.render.metadata import PhotoMetadata

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # every core has its own worker
_MOST = 1 << 28, 1 << 15  # libavif's limits: pixels, and those of a side
_YUV = 6  # bytes a pixel: three planes of 16 bits at most


def sniff(head: bytes) -> bool:
    """Return whether a file that begins so is an AVIF."""
    return named(head) == "an AVIF"


def describe(data: bytes) -> Photo:
    """Return the photo that `data` holds."""
    return Avif(data)


class Avif(Photo):
    """An AVIF file."""

    kind = "avif"

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._layout = bmff.lay_out(data)
        if reason := bmff.too_large(self._layout.size, "an AVIF", *_MOST):  # Pillow would not say why
            raise UndecodableError(reason)
        try:
            with opened(data, "AVIF") as image:
                self._look(image)
        except OSError as error:
            raise UndecodableError(f"a broken AVIF: {short(error)}") from error

    def _look(self, image: ImageFile) -> None:
        self.width, self.height = image.size
        self.channels, self.alpha = 1 if image.mode[0] == "L" else 3, image.mode[-1] == "A"
        xmp = image.info.get("xmp", b"")
        self.metadata = PhotoMetadata(
            size=image.size,
            colour=self.channels == 3,  # noqa: PLR2004 - RGB
            exif_block=image.info.get("exif", b"").removeprefix(b"Exif\0\0"),  # with the container's orientation
            icc_profile=image.info.get("icc_profile", b"") or self._layout.profile,
            packets=(xmp,) if xmp else (),
        )

    def decoding_bytes(self, scale: int) -> int:
        """Return the memory for the decoder's planes, its pixels before they are Pillow's, and the file's copy."""
        pixels = self.width * self.height
        return len(self._data) + (_YUV + 4) * pixels + (self.decoded_bytes(scale) if self.alpha else 0)

    def completeness(self) -> Completeness:
        """Return what the bytes say."""
        hole, end = hole_in(self._data, self._layout.data), len(self._data)
        return Completeness(closed=self._layout.end == end, hole=hole >= 0, filled=end)

    def decode(self, scale: int) -> Decoded:
        """Return the pixels of a photo that has all its bytes, as they are stored."""
        assert scale == 1  # noqa: S101 - `scales` is empty
        return decoded(self._data, "AVIF", (self.width, self.height))
