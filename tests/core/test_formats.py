"""The tables of the output formats: what each takes over a JPEG of the same quality."""

from __future__ import annotations

import pytest

from watcher.core.formats import OUTPUTS, REFERENCE, TYPICAL_DENSITY, Format, expected_bytes, to_install


@pytest.mark.parametrize("form", OUTPUTS)
def test_a_picture_that_takes_more_as_jpeg_takes_more_in_each_format(form: Format) -> None:
    for quality in range(1, 101):
        weights = [expected_bytes(form, quality, 1e6, density * 1e6) for density in (0.02, 0.1, 0.3, 1.0)]
        assert weights == sorted(set(weights))
        assert weights[0] > 0


@pytest.mark.parametrize("form", OUTPUTS)
def test_a_higher_quality_takes_no_fewer_bytes(form: Format) -> None:
    weights = [expected_bytes(form, quality, 1e6, TYPICAL_DENSITY * 1e6) for quality in range(1, 101)]
    assert weights == sorted(weights)


def test_newer_formats_are_forecast_to_be_smaller() -> None:
    forms: tuple[Format, ...] = ("avif", "webp", "jpeg", "png")
    weights = [expected_bytes(form, 75, 1e6, TYPICAL_DENSITY * 1e6) for form in forms]
    assert weights == sorted(set(weights))
    assert expected_bytes("jpeg", REFERENCE, 1e6, 1e5) == pytest.approx(1e5)


def test_newer_formats_save_less_of_a_picture_with_more_to_see() -> None:
    forms: tuple[Format, ...] = ("avif", "webp")
    for form in forms:
        least, most = (expected_bytes(form, 75, 1e6, density * 1e6) / density for density in (0.05, 0.4))
        assert least < most


def test_an_extra_is_installed_by_uv_where_the_environment_has_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/opt/a b/python")
    assert to_install("heic") == "'/opt/a b/python' -m pip install 'photo-watcher[heic]'"
    monkeypatch.setattr("watcher.core.formats.find_spec", lambda _: None)
    assert to_install("heic") == "uv pip install --python '/opt/a b/python' 'photo-watcher[heic]'"
