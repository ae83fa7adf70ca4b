"""The native decoder under fuzz: no access outside its memory, and no picture that is not Pillow's to the last bit."""

from __future__ import annotations

import glob
import io
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.faults import fuzz_native
from watcher.render import native

ROOT = Path(__file__).parents[2]
SANITIZERS = "-fsanitize=fuzzer,address,undefined"
no_decoder = pytest.mark.skipif(native.name() == "pillow", reason=f"no native decoder: {native.reason()}")
no_fuzzer = pytest.mark.skipif(
    shutil.which("clang") is None or not glob.glob("/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*"),
    reason="clang and its fuzzer are not installed",
)


@no_decoder
def test_what_it_takes_of_broken_photos_is_pillows_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native._chosen()[0], "vectors", True)  # at every scale, also where that is slow
    found, wrong = fuzz_native.run(seed=7, count=1500, seconds=20)
    assert not wrong
    assert found["equal"] > found.total() / 10, "many are still taken: the mutations are not too coarse"
    assert found["walk damaged"] > found.total() / 10


@no_decoder
@pytest.mark.soak
def test_what_it_takes_of_a_million_broken_photos_is_pillows_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native._chosen()[0], "vectors", True)
    for seed in range(20):
        _, wrong = fuzz_native.run(seed, count=50_000, seconds=3600)
        assert not wrong


def fuzz(folder: Path, seconds: int) -> None:
    """Build the harness, and let it run on seeds cut out of real photos."""
    program, corpus = folder / "fuzz", folder / "corpus"
    source = ROOT / "tests" / "native" / "fuzz_jpeg.c"
    command = ["clang", "-std=c11", "-g", "-O1", SANITIZERS, "-fno-sanitize-recover=undefined"]
    subprocess.run([*command, "-o", str(program), str(source)], check=True, timeout=120)
    corpus.mkdir()
    chance = random.Random(1)
    for number, data in enumerate((*fuzz_native.seeds(chance), *real_seeds(chance))):
        (corpus / str(number)).write_bytes(data)
    options = [f"-max_total_time={seconds}", "-max_len=20000", "-timeout=60", "-rss_limit_mb=3000", "-seed=1"]
    done = subprocess.run(
        [str(program), *options, "-malloc_limit_mb=2500", f"-artifact_prefix={folder}/", str(corpus)],
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + 120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def real_seeds(chance: random.Random) -> list[bytes]:
    """Cut small pictures out of real photos, in each way of coding."""
    found = []
    for path in sorted(ROOT.glob("examples/photos/*.jpg")):
        with Image.open(path) as photo:
            for settings in (
                {},
                {"subsampling": 1, "restart_marker_blocks": 2},
                {"progressive": True},
                {"optimize": True},
            ):
                left, top = chance.randrange(photo.width - 60), chance.randrange(photo.height - 60)
                piece = photo.crop((left, top, left + chance.randrange(1, 60), top + chance.randrange(1, 60)))
                out = io.BytesIO()
                piece.save(out, "JPEG", quality=chance.randrange(30, 100), **settings)
                found.append(out.getvalue())
    return found


@no_fuzzer
@pytest.mark.slow  # the harness is compiled, and runs for a while
def test_no_file_makes_it_read_or_write_outside_its_memory(tmp_path: Path) -> None:
    fuzz(tmp_path, 60)


@no_fuzzer
@pytest.mark.soak
def test_no_file_makes_it_read_or_write_outside_its_memory_for_ten_minutes(tmp_path: Path) -> None:
    fuzz(tmp_path, 600)
