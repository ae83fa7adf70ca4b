"""HEIC: by pillow-heif, where the extra `heic` is installed; of several pictures the primary one.

libheif turns the picture upright, as its boxes say; what EXIF says of that is not to be applied again, and is ignored,
as the standard demands. Its limits on sizes stay on.
"""

from __future__ import annotations

from functools import cache

from PIL.ImageFile import ImageFile

from watcher.core.formats import INPUTS, readable, to_install
from watcher.fs.faults import short
from watcher.render.decoders import bmff
from watcher.render.decoders.base import Completeness, Decoded, Photo, UndecodableError, hole_in
from watcher.render.decoders.pixels import decoded, opened
from watcher.render.kinds import named
from watcher.render.metadata import PhotoMetadata

_MOST_PIXELS = 1 << 30  # of libheif's limits, which stay on
_PLANES = 12  # bytes a pixel: three planes of 16 bits, and once more while they are turned


def sniff(head: bytes) -> bool:
    """Return whether a file that begins so is a HEIC, or a HEIF with a picture of another codec."""
    return named(head) in {"a HEIC", "a HEIF"}


def describe(data: bytes) -> Photo:
    """Return the photo that `data` holds."""
    if "heic" not in readable():
        raise UndecodableError(f"{named(data)}, which can't be read here: {to_install('heic')}")
    _register()
    return Heic(data)


@cache
def _register() -> None:
    try:
        import pillow_heif  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UndecodableError(f"a HEIC, and pillow-heif can't be used here: {short(error)}") from error
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


class Heic(Photo):
    """A HEIC file."""

    kind = "heic"

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._layout = bmff.lay_out(data)
        try:
            with opened(data, "HEIF") as image:
                self._look(image)
        except OSError as error:
            raise UndecodableError(f"a broken {INPUTS['heic'].label[2:]}: {short(error)}") from error

    def _look(self, image: ImageFile) -> None:
        self.width, self.height = image.size
        self.channels, self.alpha = 1 if image.mode[0] in "LI" else 3, image.mode[-1] in "Aa"
        xmp = (image.info.get("xmp") or b"").rstrip(b"\0")
        self.metadata = PhotoMetadata(
            size=image.size,
            colour=self.channels == 3,  # noqa: PLR2004 - RGB
            exif_block=(image.info.get("exif") or b"").removeprefix(b"Exif\0\0"),
            icc_profile=image.info.get("icc_profile") or self._layout.profile,
            packets=(xmp,) if xmp else (),
            orientation=1,
        )

    def refusal(self) -> str:
        """Return why libheif would refuse it."""
        return bmff.too_large((self.width, self.height), "a HEIC", _MOST_PIXELS)

    def decoding_bytes(self, scale: int) -> int:
        """Return the memory for the decoder's planes, its pixels before they are Pillow's, and the file's copy."""
        pixels = self.width * self.height
        return len(self._data) + (_PLANES + 4) * pixels + (self.decoded_bytes(scale) if self.alpha else 0)

    def completeness(self) -> Completeness:
        """Return what the bytes say."""
        hole, end = hole_in(self._data, self._layout.data), len(self._data)
        return Completeness(closed=self._layout.end == end, hole=hole >= 0, filled=end)

    def decode(self, scale: int) -> Decoded:
        """Return the pixels of a photo that has all its bytes, upright."""
        assert scale == 1  # noqa: S101 - `scales` is empty
        return decoded(self._data, "HEIF", (self.width, self.height))
