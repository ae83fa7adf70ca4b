"""What is remembered of a photo's history: the kinds of entries, and what each of them holds.

Rules:
- Small: names and numbers, no paths; what is the rule is left out (attempt 1, nothing adopted).
- Times are told as lengths, in milliseconds' precision: an entry's own time is when it was over.
"""

from __future__ import annotations

import math
from typing import Any

from watcher.core.formats import misnamed
from watcher.core.layout import sized
from watcher.core.naming import called
from watcher.core.recipe import most_bytes, names_of
from watcher.core.task import Attempt
from watcher.core.types import Done, DuplicateCandidate, Job, Made, Origin
from watcher.text import utf8_text

MADE = "made"  # renditions were made, or proved to be current
DATED = "dated"  # it was given another date, and its renditions were too
WAITING = "waiting"  # not whole yet; `next`: when it is looked at again
RETRY = "retry"  # a fault that can pass; `next`: when it is tried again
PAUSED = "paused"  # the output has no room; `next`: when that is found out again
FAILED = "failed"
GONE = "gone"  # it is no longer in the inbox
TAKEN = "taken"  # its original was put where `after` says; `to`: there, nothing: it was deleted
KEPT = "kept"  # it could not be; `reason`
ASKED = "asked"  # a person asked for it to be tried or made again


def tried(attempt: Attempt, wall: float, **more: object) -> dict[str, Any]:
    """Return `more` with the details of an attempt: how the photo came to it, its waits, its worker, and how long.

    `burst`: seconds from when it was noticed to the end of its burst or of its writing; `line`: then, for a worker.
    """
    job = attempt.job
    detail: dict[str, Any] = {"how": str(attempt.origin)}
    if attempt.origin is not Origin.RETRY:
        ready = attempt.ready or attempt.seen
        if ready > attempt.seen:
            detail["burst"] = round(ready - attempt.seen, 3)
        detail["line"] = round(max(0.0, wall - attempt.seconds - ready), 3)
    if attempt.pid:
        detail["worker"] = attempt.pid
        detail["seconds"] = round(attempt.seconds, 3)
    if attempt.host:
        detail["host"] = attempt.host
    if job.attempt > 1:
        detail["attempt"] = job.attempt
    if job.alone:
        detail["alone"] = True
    return {**detail, **more}


def beside(job: Job, outcome: Done) -> list[tuple[bytes, bytes]]:
    """List the outputs that lie elsewhere than planned, since a file of other origin lies there: both places."""
    planned = {rendering.name: rendering.output for rendering in job.renderings}
    pairs = [(sized(planned.get(item.name, item.output), item.width, item.height), item) for item in outcome.made]
    return [(place, item.output) for place, item in pairs if item.output != place and not item.adopted]


def larger(job: Job, outcome: Done) -> list[Made]:
    """List the renditions that are larger than they should be, since no quality makes them smaller."""
    most = {rendering.name: most_bytes(rendering.recipe.max_kb) for rendering in job.renderings}
    return [item for item in outcome.made if item.size > most.get(item.name, math.inf) and not item.adopted]


def made(attempt: Attempt, outcome: Done, wall: float, moved: DuplicateCandidate | None = None) -> dict[str, Any]:
    """Return the details of an attempt that succeeded."""
    detail = tried(attempt, wall)
    old = {item.name for item in attempt.job.renderings if item.old and item.old.current}
    relocated = [item.name for item in outcome.made if item.adopted and item.name in old]
    adopted = [item.name for item in outcome.made if item.adopted and item.name not in old]
    copied = [item.name for item in outcome.made if item.copied]
    fresh = [item.name for item in outcome.made if not (item.adopted or item.copied)]
    if fresh:
        detail["renditions"] = names_of(fresh)
    if adopted:
        detail["adopted"] = names_of(adopted)
    if relocated:
        detail["relocated"] = names_of(relocated)
    if aside := [utf8_text(made) for _, made in beside(attempt.job, outcome)]:
        detail["beside"] = aside
    if above := [item.name for item in larger(attempt.job, outcome)]:
        detail["larger"] = names_of(above)
    if outcome.kind and (label := misnamed(attempt.job.photo.name, outcome.kind)):
        detail["content"] = label
    if copied and outcome.duplicate is not None:
        detail["moved" if moved else "copied"] = names_of(copied)
        detail["of"] = utf8_text(called((moved or outcome.duplicate).photo.absolute))  # the one path
    return detail
