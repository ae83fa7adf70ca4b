"""Colour to sRGB, after shrinking, and only where it changes anything.

Per profile (by its hash) one transform is built and kept; a profile that turns out to be sRGB is
recognised by what it does to a grid of colours and costs nothing from then on. A profile that can't be used counts as
sRGB: a photo never fails for it. Rendering intent: relative colorimetric with black point compensation, the default of
photo editors.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from hashlib import blake2b
from typing import cast

from PIL import Image, ImageChops, ImageCms

from watcher.render import icc

_SPACES = {b"RGB ": "RGB", b"CMYK": "CMYK", b"GRAY": "L"}
_OPAQUE = {"LA": "L", "RGBA": "RGB"}
_KEPT = 16  # transforms per worker: a CMYK one holds a few hundred KB
_transforms: OrderedDict[tuple[bytes, str], ImageCms.ImageCmsTransform | None] = OrderedDict()


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return `image` (L, RGB, CMYK, LA or RGBA) in sRGB, with its alpha: CMYK as RGB; may change it in place.

    `profile` is the photo's ICC profile, empty if it has none. CMYK comes from the decoder with Adobe's inversion
    already undone; without a profile it is converted arithmetically, as Pillow does.
    """
    if image.mode in _OPAQUE:
        if not profile:
            return image
        converted = to_srgb(image.convert(_OPAQUE[image.mode]), profile)
        converted.putalpha(image.getchannel("A"))
        return converted
    transform = _transform(profile, image.mode) if profile else None
    if transform is None:
        return image if image.mode in {"L", "RGB"} else image.convert("RGB")
    if image.mode == "RGB":
        ImageCms.applyTransform(image, transform, inPlace=True)
        return image
    grey_as_rgb = image.mode == "L" and _space(profile) == "RGB"
    out = ImageCms.applyTransform(image.convert("RGB") if grey_as_rgb else image, transform)
    if out is None:  # says the signature; happens only in place
        return image.convert("RGB")
    return out.getchannel(1) if image.mode == "L" else out


def is_srgb(profile: bytes, mode: str) -> bool:
    """Return whether pictures of `mode` (L or RGB) with this ICC profile, empty if there is none, stay as they are."""
    return not profile or _transform(profile, mode) is None


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from `profile`, None where nothing is to be done."""
    key = (blake2b(profile, digest_size=16).digest(), mode)
    if key in _transforms:
        _transforms.move_to_end(key)
        return _transforms[key]
    transform = _build(profile, mode)
    _transforms[key] = transform
    if len(_transforms) > _KEPT:
        _transforms.popitem(last=False)
    return transform


def _space(profile: bytes) -> str:
    """Return the mode of the pictures that a profile is for; empty if there is none."""
    return _SPACES.get(profile[16:20], "") if profile[36:40] == b"acsp" else ""


def _build(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    if mode == "L" and _space(profile) == "RGB":  # editors leave it so when they make a photo grey; browsers use it
        mode = "RGB"
    if _space(profile) != mode:
        return None
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.ImageCmsProfile(io.BytesIO(icc.SRGB)),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return None if mode != "CMYK" and _does_nothing(transform, mode) else transform
    except Exception:  # noqa: BLE001 - anything can be wrong with a profile, and none of it may fail the photo
        return None


def _does_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether no colour of a grid changes by more than one step of 255."""
    steps = range(0, 256, 17)
    if mode == "L":
        grid = Image.frombytes("L", (16, 1), bytes(steps))
    else:
        grid = Image.frombytes(
            "RGB", (256, 16), bytes(c for r in steps for g in steps for b in steps for c in (r, g, b))
        )
    after = ImageCms.applyTransform(grid, transform)
    if after is None:  # says the signature; happens only in place
        return False
    difference = ImageChops.difference(grid.convert("RGB"), after)
    return max(high for _, high in cast("tuple[tuple[int, int], ...]", difference.getextrema())) <= 1
