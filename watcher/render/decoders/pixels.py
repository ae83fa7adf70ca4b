"""What Pillow decoded, in a mode that renditions are made from: L, RGB, CMYK, LA or RGBA, 8 bits a channel."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from watcher.fs.faults import short
from watcher.render import icc
from watcher.render.decoders.base import Decoded

_MODES = frozenset({"L", "RGB", "CMYK", "LA", "RGBA"})
_OTHERS = {"1": "L", "P": "RGB", "PA": "RGBA", "RGBX": "RGB", "YCbCr": "RGB", "La": "LA", "RGBa": "RGBA"}
_OPAQUE = (255, 255)


@contextmanager
def opened(data: bytes, form: str, unknown: str = "its header is broken") -> Iterator[ImageFile]:
    """Open a picture with Pillow; raise OSError for whatever is raised of it, and MemoryError.

    `unknown`: what is wrong with it where Pillow does not say, as a clause for a person.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata that is damaged
        try:
            with Image.open(io.BytesIO(data), formats=(form,)) as image:
                yield image
        except UnidentifiedImageError:  # it says which object that was
            raise OSError(unknown) from None
        except (OSError, MemoryError):
            raise
        except Exception as error:  # anything can be wrong with a damaged file
            raise OSError(short(error)) from error


def decoded(data: bytes, form: str, size: tuple[int, int], **said: str) -> Decoded:
    """Return the pixels of a picture that its header says is of this size; raise as `opened` does."""
    with opened(data, form, **said) as image:
        image.load()
        if image.size != size:
            raise OSError("its header says another size than its picture has")
        return Decoded(normal(image))


def normal(image: Image.Image) -> Image.Image:
    """Return `image` in one of the modes; without an alpha channel that is opaque everywhere.

    Of 16 bits the upper 8 are kept, as Pillow's decoders do where they know no mode for more.
    """
    if image.mode.startswith("I;16"):
        high = 0 if image.mode == "I;16B" else 1
        image = Image.frombytes("L", image.size, image.tobytes()[high::2])
    elif image.mode == "LAB":
        image = _from_lab(image)
    elif image.mode not in {"LA", "RGBA"} and image.has_transparency_data:
        image = image.convert("LA" if image.mode in {"1", "L"} else "RGBA")
    elif image.mode not in _MODES:
        if image.mode not in _OTHERS:
            raise OSError(f"its pixels are of a kind ({image.mode}) that no photo has")
        image = image.convert(_OTHERS[image.mode])
    if image.mode in {"LA", "RGBA"} and image.getchannel("A").getextrema() == _OPAQUE:
        return image.convert("L" if image.mode == "LA" else "RGB")
    return image


def _from_lab(image: Image.Image) -> Image.Image:
    out = ImageCms.applyTransform(image, _lab())
    if out is None:  # says the signature; happens only in place
        raise OSError("its colours can't be converted")
    return out


@lru_cache(maxsize=1)
def _lab() -> ImageCms.ImageCmsTransform:
    """Return the transform from Lab with the white of D50, as TIFF has it.

    With its usual table of 33 steps littleCMS errs by up to 30 of 255, and makes white 254, 255, 254.
    """
    profiles = ImageCms.createProfile("LAB"), ImageCms.ImageCmsProfile(io.BytesIO(icc.SRGB))
    return ImageCms.buildTransform(
        *profiles, "LAB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.NOOPTIMIZE
    )
