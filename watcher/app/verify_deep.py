"""`verify --deep`: render photos again in a temporary folder, and compare them with the outputs.

That the same photo and recipe give the same bytes is a promise of the recipes, for the same library versions. So equal
bytes prove an output; where they differ, it is held to look the same, since it may be of other versions.
"""

from __future__ import annotations

import filecmp
import os
import queue
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Self

from watcher.app.compare import Difference
from watcher.app.locate import KnownInbox
from watcher.core.messages import WorkerReport
from watcher.core.output_paths import recorded_paths
from watcher.core.records import PhotoRecord, fingerprint_in
from watcher.core.types import Done, Evidence, Job, PhotoId, Rendering, Result
from watcher.pool import Pool
from watcher.render import alike, render_all, warm

_TRIES = 2  # of a photo whose worker was lost
Sound = tuple[PhotoId, PhotoRecord, tuple[str, ...]]  # a photo and its renditions that look right from outside


class Deep:
    """Workers that render aside; a context manager."""

    def __init__(self, workers: int, timeout_seconds: float, max_pixels: int) -> None:
        self.not_compared = 0  # photos that are gone, have changed, or can't be rendered now
        self._messages: queue.SimpleQueue[WorkerReport] = queue.SimpleQueue()
        self._max_pixels = max_pixels
        self._number = 0
        self._pool = Pool(render_all, warm, workers=workers, post=self._messages.put, timeout_seconds=timeout_seconds)

    def __enter__(self) -> Self:
        self._aside = os.fsencode(tempfile.mkdtemp(prefix="watcher-verify-"))
        self._pool.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close(wait=False)
        shutil.rmtree(self._aside, ignore_errors=True)

    def differing(self, watched: KnownInbox, photos: Sequence[Sound]) -> Iterator[Difference]:
        """Return which renditions of these photos have another content."""
        waiting = deque(job for photo, known, names in photos if (job := self._job(watched, photo, known, names)))
        tries: dict[int, int] = {}
        flying = 0
        while waiting or flying:
            while waiting and self._pool.free > 0:
                self._pool.submit(waiting.popleft())
                flying += 1
            for result in self._next():
                flying -= 1
                number = result.job.number
                tries[number] = tries.get(number, 0) + 1
                if result.outcome is None and tries[number] < _TRIES:
                    waiting.append(result.job)
                elif isinstance(result.outcome, Done):
                    yield from self._compare(watched, result.job)
                else:
                    self.not_compared += 1

    def _job(self, watched: KnownInbox, photo: PhotoId, known: PhotoRecord, names: Sequence[str]) -> Job | None:
        recipes = watched.recipes or {}
        prints = {name: fingerprint_in(key) for name, key in known.recipes.items()}
        current = {name: recipes[name] for name in names if prints.get(name) == recipes[name].fingerprint}
        self._number += 1
        renderings = tuple(
            Rendering(name, recipe, recorded_paths(photo.path, name, known.made[name], known.recipes, recipes)[0])
            for name, recipe in current.items()
        )
        if not renderings:
            return None  # made by a recipe that the config no longer has
        return Job(
            number=self._number,
            photo=photo,
            output_root=self._aside,
            renderings=renderings,
            evidence=Evidence(seen=known.stamp, listed=True),
            max_pixels=self._max_pixels,
        )

    def _next(self) -> list[Result]:
        deadline = self._pool.deadline()
        try:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            return self._pool.take(self._messages.get(timeout=wait))
        except queue.Empty:
            return self._pool.check(time.monotonic())

    def _compare(self, watched: KnownInbox, job: Job) -> Iterator[Difference]:
        for item in job.renderings:
            ours, theirs = (b"/".join((root, item.output)) for root in (self._aside, watched.output or b""))
            try:
                same = filecmp.cmp(ours, theirs, shallow=False)
            except OSError:
                same = False  # it went away meanwhile
            if not (same or alike(ours, theirs)):
                yield Difference("different", theirs, "its picture is not the photo's", job.photo, item.name)
            os.unlink(ours)
