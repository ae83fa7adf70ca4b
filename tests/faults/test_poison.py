"""Photos that never end, that cost their worker its life, or that need more memory than there is: only they fail."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from PIL import Image

from tests import photos, pictures
from tests.e2e.harness import Place, camera, fill, shows, until
from tests.faults.poison import drop, lengthy
from tests.faults.processes import Killer, cpu_seconds, workers_at
from tests.faults.records import failures, standing, told

TIMEOUT = 1.0
OVERDUE = "took longer than 1 s in a worker (timeout_seconds)"


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lengthy(tmp_path_factory.mktemp("poison") / "endless.jpg")


@pytest.fixture(scope="module")
def hungry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of a few hundred bytes for which the decoder reserves 1.2 GB before it looks any further."""
    frame = bytearray(photos.jpeg(Image.new("RGB", (16, 16)), progressive=True, subsampling=0))
    at = frame.index(b"\xff\xc2")
    frame[at + 5 : at + 9] = (14_000).to_bytes(2, "big") * 2
    path = tmp_path_factory.mktemp("poison") / "hungry.jpg"
    path.write_bytes(frame)
    return path


@pytest.mark.parametrize(
    ("long", "large", "good"),
    [
        (1, 4, 30),
        pytest.param(2, 98, 1000, marks=pytest.mark.soak),
    ],
)
def test_poison_photos_fail_alone_and_hold_up_nobody(
    place: Place, endless: Path, hungry: Path, long: int, large: int, good: int
) -> None:
    place.configure(retry={"timeout_seconds": TIMEOUT, "backoff_seconds": 0.5}, memory_mb=64, workers=2)
    place.env["WATCHER_DECODER"] = "pillow"  # ours finds that the data is missing before it takes any memory
    with place.run() as daemon:
        began = time.monotonic()
        bad = drop(endless, place.inbox, long) + drop(hungry, place.inbox, large)
        fill(place.inbox, good)
        daemon.settle(good, 60 + good / 10)
        late = place.inbox / "late.jpg"
        late.write_bytes(camera(1))
        until(lambda: all(path.exists() for path in place.outputs("late.jpg")), "one that comes now", TIMEOUT + 5)
        until(lambda: len(failures(place)) == len(bad), "every poison photo is given up", 30 + 5 * long)
        failed = failures(place)
        assert set(failed) == {path.name for path in bad}
        for name, (reason, attempts) in failed.items():
            assert attempts <= 3
            assert reason == (OVERDUE if name.startswith("endless") else "out of memory while it was made")
        made = {f"p{number:03}.jpg" for number in range(good)} | {"late.jpg"}
        until(lambda: sum(daemon.made().values()) >= len(made), "all are told")
        assert daemon.made() == dict.fromkeys(made, 1)
        until(lambda: told(place) == (True, good + 1, len(bad), 0), "the books say so")
        busy, used = time.monotonic() - began, cpu_seconds(daemon.process.pid)
        assert used < 1.0 + 0.2 * busy + 0.01 * (good + 3 * large), f"{used:.1f} s of CPU in {busy:.1f} s"
        time.sleep(1.0)  # nothing is left to do
        assert cpu_seconds(daemon.process.pid) - used < 0.1
        assert daemon.stop() == 0


def test_a_photo_that_gets_its_worker_killed_is_given_up_after_three_tries_until_it_changes(
    place: Place, endless: Path
) -> None:
    place.configure(retry={"backoff_seconds": 0.1}, workers=2)
    good = 20
    with place.run() as daemon:
        (poison,) = drop(endless, place.inbox, 1)
        with Killer(place, poison) as killer:
            fill(place.inbox, good)
            daemon.settle(good)
            until(lambda: failures(place), "it is given up")
            assert len(killer.killed) == 3
        reason, attempts = failures(place)["endless000.jpg"]
        assert "SIGKILL" in reason
        assert attempts == 3
        assert daemon.made() == {f"p{number:03}.jpg": 1 for number in range(good)}
        poison.write_bytes(camera(7))
        until(lambda: daemon.made()["endless000.jpg"] == 1, "a change starts over")
        assert shows(place.outputs("endless000.jpg")[0], 7)
        until(lambda: not failures(place), "it is no longer listed")
        assert daemon.stop() == 0


def test_a_photo_that_takes_the_daemon_down_each_time_is_given_up_after_three_tries(
    place: Place, endless: Path
) -> None:
    (poison,) = drop(endless, place.inbox, 1)
    fill(place.inbox, 6)
    for _ in range(3):
        with place.run() as daemon:
            until(lambda: workers_at(place, poison), "it is in a worker")
            daemon.process.kill()
            daemon.process.wait()
    with place.run() as daemon:
        until(lambda: failures(place), "it is given up", 10)
        until(lambda: standing(place).done == 6, "all others are made")
        assert not workers_at(place, poison)
        assert failures(place) == {"endless000.jpg": ("watcher itself ended 3 times while it worked on this photo", 3)}
        assert daemon.stop() == 0
    with place.run() as daemon:
        assert not daemon.events("photo.failed"), "it is not tried again"
        assert daemon.stop() == 0


CRASHING = """
import signal
from importlib import import_module

def crash_in(module, name):
    kind = getattr(import_module(module), name)
    load = kind.load

    def loaded(self):
        if self.size == (77, 55):
            signal.raise_signal(signal.SIGSEGV)
        return load(self)

    kind.load = loaded

"""
LIBRARIES = {"TIFF": 'crash_in("PIL.TiffImagePlugin", "TiffImageFile")\n'}
if pictures.HEIC:
    LIBRARIES["HEIF"] = 'crash_in("pillow_heif.as_plugin", "HeifImageFile")\n'


@pytest.mark.slow
def test_a_library_that_crashes_while_it_decodes_costs_no_photo_but_its_own(place: Place) -> None:
    (place.root / "crashing").mkdir()
    (place.root / "crashing" / "sitecustomize.py").write_text(CRASHING + "".join(LIBRARIES.values()))
    place.env["PYTHONPATH"] = str(place.root / "crashing")  # no file is known that really crashes them
    place.configure({"web": {"width": 90}}, retry={"backoff_seconds": 0.1}, workers=2)
    good = set()
    for form in LIBRARIES:
        for number in range(4):
            (place.inbox / f"{form}{number}.jpg").write_bytes(pictures.encoded(form, photos.scene(96, 64 + number)))
            good.add(f"{form}{number}.jpg")
        (place.inbox / f"crashing {form}.jpg").write_bytes(pictures.encoded(form, photos.scene(77, 55)))
    done = place.once()
    assert done.code == 1, done
    assert {path.name for path in (place.output / "web").iterdir()} == good
    failed = failures(place)
    assert set(failed) == {f"crashing {form}.jpg" for form in LIBRARIES}
    for reason, attempts in failed.values():
        assert "SIGSEGV" in reason
        assert attempts == 3
