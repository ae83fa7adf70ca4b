"""How alike two pictures look to people: SSIMULACRA 2.1, the metric of JPEG XL's authors, as a score up to 100.

The weights and the final curve are those of the package `ssimulacra2`. Its pixel work is done here by OpenCV instead:
three times as fast with the original's pyramid kept, and closer to the reference program. `python -m
benchmarks.likeness` compares both with scores of the C++ program, published as `reference_data.rs` of the Rust port.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from PIL import Image
from ssimulacra2 import ssimulacra2 as package

Pixels = np.ndarray[Any, np.dtype[np.float32]]
Level = tuple[Pixels, Pixels, Pixels]  # XYB, its local means, its local variances

_LEVELS = 6
_LEAST = 8  # pixels on a side of a level below which there is no other
_C2 = np.float32(9e-4)
_LINEAR = package.srgb_to_linear(np.arange(256.0)).astype(np.float32)
_BIAS = np.float32(package.kB0)
_ABSORBANCE = np.hstack([package.kOpsinAbsorbanceMatrix.reshape(3, 3), np.full((3, 1), _BIAS)]).astype(np.float32)
# X, Y and B - Y, scaled and shifted so that all are positive
_XYB = np.array([[7, -7, 0, 0.42], [0.5, 0.5, 0, 0.01], [-0.5, -0.5, 1, 0.55]], np.float32)
_WINDOW = np.exp(-(np.arange(-5, 6, dtype=np.float32) ** 2) / (2 * 1.5**2))
_WINDOW /= _WINDOW.sum()

# by size and by what is added to a grey of 128: what libjxl's program says
_PUBLISHED = {
    64: {1: 97.98672, 5: 91.52358, 10: 80.24289, 20: 56.05856, 50: -8.75942},
    128: {1: 96.78921, 5: 88.54071, 10: 77.84296, 20: 54.27884, 50: -9.82383},
    256: {1: 96.15027, 5: 89.73209, 10: 80.29149, 20: 59.77893, 50: -0.39086},
}
_PUBLISHED_GRADIENT, _PUBLISHED_NOISE = -64.56872, -47.33573  # against a grey of 128


class Likeness:
    """A picture that others are compared with."""

    def __init__(self, image: Image.Image) -> None:
        self._levels = _pyramid(image)

    def score(self, other: Image.Image) -> float:
        """Return the score: 90 can't be told apart, 70 is high quality, 50 is medium."""
        result = package.Msssim()
        for (one, mean1, variance1), (two, mean2, variance2) in zip(self._levels, _pyramid(other), strict=True):
            covariance = _blur(one * two) - mean1 * mean2
            structure = (2 * covariance + _C2) / (variance1 + variance2 + _C2)
            difference = np.maximum(1 - (1 - (mean1 - mean2) ** 2) * structure, 0)
            edges = (1 + np.abs(two - mean2)) / (1 + np.abs(one - mean1)) - 1
            level = package.MsssimScale()
            level.avg_ssim[0::2], level.avg_ssim[1::2] = _norms(difference)
            level.avg_edgediff[0::4], level.avg_edgediff[1::4] = _norms(np.maximum(edges, 0))
            level.avg_edgediff[2::4], level.avg_edgediff[3::4] = _norms(np.maximum(-edges, 0))
            result.scales.append(level)
        return float(result.score())


def _pyramid(image: Image.Image) -> list[Level]:
    linear: Pixels = _LINEAR[np.asarray(image.convert("RGB"))]
    found: list[Level] = []
    while len(found) < _LEVELS:
        mixed = np.cbrt(np.maximum(cv2.transform(linear, _ABSORBANCE), 0)) - np.cbrt(_BIAS)
        xyb = cv2.transform(mixed, _XYB)
        mean = _blur(xyb)
        found.append((xyb, mean, _blur(xyb * xyb) - mean * mean))
        height, width = linear.shape[:2]
        if min(height, width) < _LEAST:
            break
        even = cv2.copyMakeBorder(linear, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        linear = cv2.resize(even, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    return found


def _blur(pixels: Pixels) -> Pixels:
    blurred: Pixels = cv2.sepFilter2D(pixels, -1, _WINDOW, _WINDOW, borderType=cv2.BORDER_CONSTANT)
    return blurred


def _norms(values: Pixels) -> tuple[Any, Any]:
    """Return the mean and the 4-norm of each channel."""
    squares = values * values
    fourth = np.mean(squares * squares, (0, 1), np.float64)
    return np.mean(values, (0, 1), np.float64), fourth**0.25


def main() -> None:
    cases = []
    for size, scores in _PUBLISHED.items():
        grey = np.full((size, size, 3), 128, np.uint8)
        cases += [(f"{size} px, + {shift}", grey, grey + np.uint8(shift), score) for shift, score in scores.items()]
    grey = np.full((64, 64, 3), 128, np.uint8)
    ramp = np.broadcast_to((np.arange(64) * 255 // 63).astype(np.uint8)[None, :, None], grey.shape)
    state, noise = 42, []
    for _ in range(grey.size):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        noise.append(state >> 33 & 255)
    cases += [("gradient", ramp, grey, _PUBLISHED_GRADIENT)]
    cases += [("noise", np.array(noise, np.uint8).reshape(grey.shape), grey, _PUBLISHED_NOISE)]
    for name, one, two, published in cases:
        score = Likeness(Image.fromarray(one)).score(Image.fromarray(two))
        print(f"{name:16} published {published:8.2f}, here {score:8.2f}")


cv2.setNumThreads(1)

if __name__ == "__main__":
    main()
