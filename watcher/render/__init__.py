"""One photo becomes all its renditions, inside a worker: the only importer of Pillow.

Theory of operation:
- The photo is read once, by openat steps that follow no link. A decoder (`decoders`) describes it: size, orientation,
  metadata, memory. Pillow gets a stream without metadata, so that no bad metadata can fail a photo or slow it down.
- It is decoded once, at the smallest scale that costs no quality (`geometry`); every rendition is computed from the
  original's geometry, the smaller ones from the larger ones, and colour is converted after shrinking.
- Everything is written to temporary files and fsynced, the photo is looked at again, then all is renamed (`publish`).
  Small photos come in bundles, whose files go to the disk while the next photo is made.

This module is light: the daemon imports it in its own process, where Pillow has no business. What is heavy is imported
by the first call.
"""

from __future__ import annotations

from collections.abc import Iterable

from watcher.core.types import Job, Outcome
from watcher.render import library
from watcher.render.content import digest_of_file, digest_of_output, stands
from watcher.render.writers import has_writer

__all__ = [
    "alike",
    "describe",
    "digest_of_file",
    "digest_of_output",
    "has_writer",
    "jpeg_decoder",
    "render",
    "render_all",
    "stands",
    "warm",
]


def render_all(jobs: Iterable[Job]) -> list[Outcome]:
    """Make what `jobs` ask for, in a worker, and say what became of each; never raises an `Exception`.

    A job is taken up when the one before is made, and all are published together when the last one is.
    """
    from watcher.render.bundle import render_all as work  # noqa: PLC0415 - keeps Pillow out of the daemon's process

    return work(jobs)


def render(job: Job) -> Outcome:
    """Make what a single job asks for."""
    return render_all([job])[0]


def warm() -> list[tuple[str, str]]:
    """Get a worker ready for its first photo; return log lines as (event, text)."""
    from watcher.render.setup import warm as work  # noqa: PLC0415 - keeps Pillow out of the daemon's process

    return work()


def alike(one: bytes, other: bytes) -> bool:
    """Return whether the pictures at two paths look the same; for `verify --deep`."""
    from watcher.render.look import alike as work  # noqa: PLC0415 - keeps Pillow out of the daemon's process

    return work(one, other)


def jpeg_decoder() -> tuple[str, str]:
    """Return which JPEG decoder workers here will use, "native" or "pillow", and why; its self-test is left to them."""
    found, why = library.load()
    return "native" if found else "pillow", why


def describe() -> dict[str, str]:
    """Return what renders here: library versions, the decoder and the resizer in use, for `check`."""
    from watcher.render.setup import describe as work  # noqa: PLC0415 - keeps Pillow out of the daemon's process

    return work()
