"""How fast one process renders, and where its time goes: `python benchmarks/bench_render.py DIR [photos]`.

DIR holds JPEGs. "one" is 600 px, "three" are 2048, 1024 and 320 px, all JPEG 85, durable in a temporary folder. The
split is by timers around each step; what is left over is the job's own bookkeeping.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from watcher.core.recipe import Recipe
from watcher.core.types import Done, Job, PhotoId, Rendering
from watcher.fs.publish import Publication
from watcher.render import describe, render, warm
from watcher.render import picture as pictures
from watcher.render import pipeline as work
from watcher.render.decoders.jpeg import Jpeg
from watcher.render.source import Source

SETS = {"one": (600,), "three": (2048, 1024, 320)}
spent: dict[str, float] = defaultdict(float)


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - wraps whatever there is
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[name] += time.perf_counter() - began

    return run


def split_up() -> None:
    for owner, attribute, name in (
        (Source, "read", "read"),
        (work, "describe_photo", "judge"),
        (work, "refuse_huge", "judge"),
        (Jpeg, "decode", "decode"),
        (pictures, "resize", "resize"),
        (pictures, "to_srgb", "convert"),
        (work, "upright", "turn"),
        (work, "encode", "encode"),
        (Publication, "add", "publish"),
        (Publication, "settle", "publish"),
        (Publication, "show", "publish"),
        (Publication, "harden", "publish"),
    ):
        setattr(owner, attribute, timed(name, getattr(owner, attribute)))


def recipes(sizes: tuple[int, ...], name: bytes) -> tuple[Rendering, ...]:
    return tuple(
        Rendering(str(s), Recipe(s, s, "inside", "jpeg", 85, "safe", f"{s:016x}"), b"%d/%b" % (s, name)) for s in sizes
    )


def main() -> None:
    folder = os.fsencode(os.path.abspath(sys.argv[1]))
    names = sorted(n for n in os.listdir(folder) if n.lower().endswith((b".jpg", b".jpeg")))
    names = names[: int(sys.argv[2])] if len(sys.argv) > 2 else names
    print("worker before its first photo:", *warm(), resident())
    split_up()
    for kind, sizes in SETS.items():
        with tempfile.TemporaryDirectory() as output:
            spent.clear()
            began, cpu = time.perf_counter(), time.process_time()
            for number, name in enumerate(names):
                job = Job(number, PhotoId(folder, name), os.fsencode(output), recipes(sizes, name))
                outcome = render(job)
                assert isinstance(outcome, Done), (name, outcome)
            took = time.perf_counter() - began
        each = 1000 * took / len(names)
        cpu_each = 1000 * (time.process_time() - cpu) / len(names)
        print(
            f"{kind}: {len(names) / took:.1f} photos/s, {each:.1f} ms a photo ({cpu_each:.1f} ms of CPU); {resident()}"
        )
        parts = {**{k: 1000 * v / len(names) for k, v in spent.items()}}
        parts["rest"] = each - sum(parts.values())
        print("   ", ", ".join(f"{k} {v:.2f}" for k, v in sorted(parts.items(), key=lambda p: -p[1])))
    print(describe())


def resident() -> str:
    return f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"


if __name__ == "__main__":
    main()
