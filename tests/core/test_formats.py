"""The tables of the output formats: which qualities look alike, and about how many bytes a photo takes."""

from __future__ import annotations

import pytest

from watcher.core.formats import OUTPUTS, Format, expected_bytes

PIXELS = [100, 10_000, 76_800, 480_000, 1_300_000, 2_800_000, 24_000_000, 200_000_000]


@pytest.mark.parametrize("form", OUTPUTS)
def test_a_higher_quality_and_more_pixels_take_more_bytes(form: Format) -> None:
    for pixels in PIXELS:
        weights = [expected_bytes(form, quality, pixels) for quality in range(1, 101)]
        assert weights == sorted(weights)
        assert weights[0] > 0
    for quality in range(1, 101):
        weights = [expected_bytes(form, quality, pixels) for pixels in PIXELS]
        assert weights == sorted(set(weights))


@pytest.mark.parametrize("pixels", PIXELS)
def test_newer_formats_are_forecast_to_be_smaller(pixels: int) -> None:
    forms: tuple[Format, ...] = ("avif", "webp", "jpeg", "png")
    weights = [expected_bytes(form, 75, pixels) for form in forms]
    assert weights == sorted(set(weights))


@pytest.mark.parametrize("form", OUTPUTS)
def test_a_small_picture_takes_more_bytes_for_each_pixel(form: Format) -> None:
    assert expected_bytes(form, 85, 40_000) / 40_000 > expected_bytes(form, 85, 2_800_000) / 2_800_000
