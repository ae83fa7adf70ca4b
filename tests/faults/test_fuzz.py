"""Photos that are broken at random: whatever they hold, `render` answers with one of its own outcomes, and in time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from watcher.core.formats import readable

ROOT = Path(__file__).parents[2]


def fuzz(folder: Path, seed: int, count: int, seconds: float, kinds: str = "jpeg") -> dict[str, Any]:
    """Run the harness in a process of its own, which may be taken down."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.fuzz_render", str(seed), str(count), str(seconds), str(folder), kinds],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)]).strip(":")},
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    photo = folder / "inbox" / "x.jpg"
    culprit = photo.read_bytes().hex() if photo.exists() and photo.stat().st_size < 20_000 else photo
    assert done.returncode == 0, f"seed {seed}\n{done.stderr[-3000:]}\nby {culprit}"
    return cast("dict[str, Any]", json.loads(done.stdout))


def check(told: dict[str, Any], kinds: str) -> None:
    assert told["tried"] > 100
    assert told["left"] == [], "no temporary file is left"
    assert told["open_files"] < 12
    assert told["unexpected"] == {}
    share = 20 if kinds in {"jpeg", "others"} else 50  # of PNGs alone 4 % do: others have no checksums
    assert told["found"]["Done"] > told["tried"] / share, "many photos still decode: the mutations are not too coarse"


@pytest.mark.parametrize(("kinds", "count"), [("jpeg", 500), ("others", 300)])
def test_a_few_hundred_broken_photos_give_only_outcomes_of_our_own(tmp_path: Path, kinds: str, count: int) -> None:
    check(fuzz(tmp_path, 1, count, 30, kinds), kinds)


@pytest.mark.soak
@pytest.mark.parametrize("kind", readable())
def test_broken_photos_without_end_give_only_outcomes_of_our_own(tmp_path: Path, kind: str) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    check(fuzz(tmp_path, seed, 10_000_000, 600, kind), kind)
