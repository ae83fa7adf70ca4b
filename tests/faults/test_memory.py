"""Photos that take much memory to decode: how many run together is a matter of `memory_mb`."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.harness import Place, fill
from tests.faults.processes import resident_megabytes

MEGAPIXELS = 64
EACH = 2 * MEGAPIXELS  # megabytes: two bytes a sample, kept until the last scan of a progressive photo
BUDGET = EACH * 3 // 2  # room for one of them, and more than one worker's share


def huge(number: int) -> bytes:
    """Encode a grey photo that has to be collected whole before it can be shrunk."""
    side = round((MEGAPIXELS * 1e6) ** 0.5)
    image = Image.linear_gradient("L").resize((side, side), Image.Resampling.NEAREST)
    image.paste(number * 60, (0, 0, side // 2, side // 2))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50, progressive=True)
    return buffer.getvalue()


class Meter:
    """Watches what all processes of a place have resident together, in megabytes."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._end = threading.Event()
        self.before = self._now()
        self.peak = self.before
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _now(self) -> float:
        total = 0.0
        for pid in self._place.left():
            try:
                total += resident_megabytes(pid)
            except (OSError, ValueError):  # it has ended meanwhile
                continue
        return total

    def _watch(self) -> None:
        while not self._end.wait(0.01):
            self.peak = max(self.peak, self._now())

    def stop(self) -> float:
        """Give the most that was taken beyond what was there before."""
        self._end.set()
        self._thread.join()
        return self.peak - self.before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what a process has resident")
def test_huge_photos_never_take_more_than_the_budget_together(place: Place, tmp_path: Path) -> None:
    place.configure({"web": {"width": 300, "height": 300}}, memory_mb=BUDGET, workers=2)
    staged = []
    for number in range(3):
        staged.append(tmp_path / f"huge{number}.jpg")
        staged[-1].write_bytes(huge(number))
    with place.run() as daemon:
        fill(place.inbox, 4)
        daemon.settle(4)  # the workers are warm: what they have now is none of the huge photos' memory
        meter = Meter(place)
        for path in staged:
            path.rename(place.inbox / path.name)
        daemon.settle(7, 60)
        taken = meter.stop()
        assert {path.name for path in staged} <= daemon.made().keys()
        assert daemon.stop() == 0
    assert EACH * 0.8 < taken < BUDGET
