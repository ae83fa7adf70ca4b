"""How close a rendition is to the best that could have been made: PSNR and SSIM against a full decode and LANCZOS."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

Pixels = np.ndarray[Any, np.dtype[np.float64]]
Image.MAX_IMAGE_PIXELS = None


class Reference:
    """One photo, decoded at full size and upright."""

    def __init__(self, photo: Path) -> None:
        with Image.open(photo) as opened:
            self._image = ImageOps.exif_transpose(opened).convert("RGB")
        self._resized: dict[tuple[int, int], Image.Image] = {}

    def compare(self, rendition: Path) -> tuple[float, float]:
        """Give PSNR in dB over all channels, and SSIM of the luma."""
        with Image.open(rendition) as opened:
            made = ImageOps.exif_transpose(opened).convert("RGB")
        if (made.width > made.height) != (self._image.width > self._image.height):
            # a peer that leaves photos lying on their side, which is either one
            turned = [made.transpose(turn) for turn in (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)]
            return max(map(self._against, turned))
        return self._against(made)

    def _against(self, made: Image.Image) -> tuple[float, float]:
        if made.size not in self._resized:
            self._resized[made.size] = self._image.resize(made.size, Image.Resampling.LANCZOS)
        best = self._resized[made.size]
        luma = [np.asarray(image.convert("L"), np.float64) for image in (made, best)]
        return psnr(np.asarray(made, np.float64), np.asarray(best, np.float64)), ssim(luma[0], luma[1])


def psnr(one: Pixels, other: Pixels) -> float:
    """Give the peak signal-to-noise ratio of two 8-bit pictures in dB."""
    error = float(np.mean((one - other) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(one: Pixels, other: Pixels) -> float:
    """Give the mean structural similarity of two 8-bit grey pictures.

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment", IEEE TIP 13(4), 2004: Gaussian window of 11, sigma 1.5.
    """
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean1, mean2 = _blur(one), _blur(other)
    variance1, variance2 = _blur(one * one) - mean1**2, _blur(other * other) - mean2**2
    covariance = _blur(one * other) - mean1 * mean2
    likeness = (2 * mean1 * mean2 + c1) * (2 * covariance + c2)
    return float(np.mean(likeness / ((mean1**2 + mean2**2 + c1) * (variance1 + variance2 + c2))))


def _blur(pixels: Pixels) -> Pixels:
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()
    for axis in (0, 1):
        length = pixels.shape[axis] - 10
        parts = [np.take(pixels, range(i, i + length), axis) * weight for i, weight in enumerate(window)]
        pixels = np.sum(parts, axis=0)
    return pixels
