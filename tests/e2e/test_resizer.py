"""A SIMD resizer that gives wrong pixels on this machine: found out, told, and done without."""

from __future__ import annotations

import pytest

from tests.e2e.harness import Place, fill, shows

BROKEN = """
from types import SimpleNamespace

class Resizer:
    cpu_extensions = SimpleNamespace(name="broken")
    def resize_pil(self, source, target, options):
        target.paste(source.crop((0, 0, *target.size)))  # a crop is no resize

ResizeAlg = SimpleNamespace(convolution=lambda kind: kind)
FilterType = SimpleNamespace(lanczos3=3)
CropBox = ResizeOptions = lambda *_, **__: None
"""


@pytest.mark.slow
def test_a_resizer_that_fails_its_self_test_is_told_by_check_and_log_and_photos_are_right_all_the_same(
    place: Place,
) -> None:
    broken = place.root / "broken"
    broken.mkdir()
    (broken / "cykooz_resizer.py").write_text(BROKEN)
    place.env["PYTHONPATH"] = str(broken)
    fill(place.inbox, 1)
    checked = place.watcher("check", "--config", place.config)
    assert "resizer: Pillow (cykooz-resizer (broken) differs from Pillow's LANCZOS" in checked.out
    made = place.once()
    assert made.code == 0
    told = made.events("resizer.fallback")
    assert told
    assert all("Pillow resizes: cykooz-resizer (broken) differs" in entry["text"] for entry in told)
    assert all(shows(path, 0) for path in place.outputs("p000.jpg"))
