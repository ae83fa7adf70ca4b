"""One attempt at a photo: the job that a worker gets, and the photo's row before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from watcher.config import Config
from watcher.core import naming
from watcher.core.output_paths import name_of
from watcher.core.recipe import rendition_of
from watcher.core.records import Phase, PhotoRecord, RenditionRecord, key_of
from watcher.core.stability import COPY_ENDS_SECONDS
from watcher.core.task import Attempt, PhotoTask
from watcher.core.types import (
    Done,
    DuplicateCandidate,
    FileSignature,
    Job,
    Origin,
    PhotoId,
    PublishedVersion,
    Rendering,
    StabilitySettings,
)
from watcher.engine.inbox import InboxState

UNKNOWN = FileSignature(-1, 0)  # of a photo that was never looked at


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings say about jobs."""

    attempts: int
    max_pixels: int
    quiet_seconds: float
    open_seconds: float  # how long a writer that has closed a photo is waited for if another has it open
    memory_bytes: int  # for all pictures that are decoded at the same time; 0: no limit
    share_bytes: int  # of one worker
    once: bool  # a single run: there is no later look at a file that is still being written

    @classmethod
    def of(cls, config: Config, *, memory_bytes: int, share_bytes: int, once: bool) -> Limits:
        """Return what a config says about jobs."""
        return cls(
            attempts=config.retry.attempts,
            max_pixels=config.max_megapixels * 1_000_000,
            quiet_seconds=config.batch.quiet_seconds,
            open_seconds=config.batch.max_wait_seconds,
            memory_bytes=memory_bytes,
            share_bytes=share_bytes,
            once=once,
        )

    def reloaded(self, config: Config) -> Limits:
        """Return the limits by a config that was read anew; a change of memory takes a restart."""
        return Limits.of(config, memory_bytes=self.memory_bytes, share_bytes=self.share_bytes, once=self.once)

    @property
    def stability(self) -> StabilitySettings:
        """How long a file must be unchanged."""
        return StabilitySettings() if self.once else StabilitySettings(self.quiet_seconds, self.open_seconds)


def job_for(
    task: PhotoTask,
    inbox: InboxState,
    before: PhotoRecord | None,
    renderings: tuple[Rendering, ...],
    limits: Limits,
    *,
    number: int,
    attempt: int,
    returned: tuple[tuple[PhotoId, bytes], ...],
    duplicates: tuple[DuplicateCandidate, ...],
    has_tombstone: bool,
) -> Job:
    """Return the job of a photo."""
    current: frozenset[str] = frozenset()
    if before is not None:
        if before.phase is Phase.FAILED:
            current = frozenset(item.name for item in renderings)  # it failed as it was, and would again
        else:
            kept = before.recipes
            current = frozenset(item.name for item in renderings if kept.get(item.name) == key_of(item.recipe))
    evidence = task.evidence
    if evidence.published is None and before is not None and (published := published_version(before)) is not None:
        evidence = replace(evidence, published=published)
    return Job(
        number=number,
        photo=task.photo,
        output_root=inbox.plan.output,
        renderings=renderings,
        volume=inbox.volume,
        holder=inbox.plan.holder,
        done=_done(before, current | {item.name for item in renderings if item.old and item.old.current}),
        current=current,
        failed_at=before.at if before is not None and before.phase is Phase.FAILED else 0.0,
        evidence=evidence,
        stability=limits.stability,
        returned=returned,
        duplicates=duplicates,
        adopt=before is None and not has_tombstone,  # what lies there may have been made of another photo
        max_pixels=limits.max_pixels,
        memory_bytes=task.memory_bytes or limits.share_bytes,
        attempt=attempt,
        alone=task.crashes > 0,
    )


def published_version(known: PhotoRecord) -> PublishedVersion | None:
    """Return what the renditions of a recorded photo show; None: it has none."""
    if not any(fact.size for fact in known.made.values()):
        return None
    if known.phase is not Phase.DONE:  # it has changed since they were made
        return PublishedVersion(known.stamp.size)
    return PublishedVersion(known.stamp.size, known.stamp.mtime_ns, known.digest)


def _done(before: PhotoRecord | None, current: frozenset[str]) -> FileSignature | None:
    """Return what the photo looked like when `current` were made, or when it failed.

    `current`: the renditions that need not be made, if it still looks like that.
    """
    if before is None or before.stamp == UNKNOWN or (before.phase is Phase.WAITING and not current):
        return None
    return before.stamp


def with_chosen_names(before: PhotoRecord | None, job: Job) -> dict[str, RenditionRecord]:
    """Return the records of the renditions with the names that this job has chosen for its outputs."""
    made = dict(before.made) if before else {}
    for item in job.renderings:
        if (name := _kept_name(job, item, item.output)) is not None:
            old = made.get(item.name, RenditionRecord(0, 0, 0))
            layout = old.layout if old.size else item.recipe.layout
            made[item.name] = old._replace(name=name, layout=layout)
        elif item.name in made:
            made[item.name] = made[item.name]._replace(name=None)
    return made


def _kept_name(job: Job, rendering: Rendering, output: bytes) -> bytes | None:
    """Return what is recorded of an output's file name; None: the natural one.

    Where a rendition has several formats, it is recorded too: the outputs of the others lie beside it.
    """
    name = name_of(output, rendering.name, rendering.recipe)
    natural = name == naming.natural_name(job.photo.name, rendering.recipe.format)
    return None if natural and not any(each.name.startswith(f"{rendering.name}/") for each in job.renderings) else name


def untouched(before: PhotoRecord, job: Job) -> dict[str, str]:
    """Return the recipes of those renditions that this job leaves as they are; of others it may have shown new ones.

    One that need only be moved is told by its size and its date, wherever it is found.
    """
    made_anew = {item.name for item in job.renderings if not (item.old and item.old.current)} - job.current
    return {name: recipe for name, recipe in before.recipes.items() if name not in made_anew}


def plain(stamp: FileSignature | None) -> FileSignature | None:
    """Return a stamp as the state file keeps it."""
    return stamp and stamp._replace(inode=0)


def changed_since_tried(before: PhotoRecord, expected: FileSignature | None) -> bool:
    """Return whether a photo that waits looks otherwise now than when it was tried last."""
    if before.phase is not Phase.WAITING or before.stamp == UNKNOWN or expected is None:
        return False
    return not expected.same_content(before.stamp)


def unanswered(attempt: Attempt, wall: float) -> PhotoRecord:
    """Return the row of a photo until its attempt is answered: with what it looks like when it is tried."""
    job, before = attempt.job, attempt.before
    seen = plain(job.evidence.expected)
    if before is not None and seen in {None, before.stamp}:
        recipes = untouched(before, job)
        return replace(before, leased=True, attempts=job.attempt, recipes=recipes, made=with_chosen_names(before, job))
    return _waiting_row(attempt, seen or UNKNOWN, wall, attempts=job.attempt, leased=True)


def still_waiting(attempt: Attempt, stamp: FileSignature | None, wall: float) -> PhotoRecord:
    """Return the row of a photo that is not done; what was made of it counts for as long as it looks the same."""
    job, before = attempt.job, attempt.before
    # An event says that it changed, and not into what: only a photo that waited has looks that still count.
    tried = before.stamp if before and before.phase is Phase.WAITING else None
    seen = plain(stamp) or plain(job.evidence.expected) or tried or UNKNOWN
    row = _waiting_row(attempt, seen, wall)
    if before is None or before.stamp != seen:
        return row
    at = before.at if before.phase is Phase.WAITING else wall
    return replace(row, recipes=untouched(before, job), at=at)


def _waiting_row(
    attempt: Attempt, stamp: FileSignature, wall: float, *, attempts: int = 0, leased: bool = False
) -> PhotoRecord:
    """Return the row of a photo of which nothing is current."""
    before = attempt.before
    origin = Origin.EVENT if attempt.origin is Origin.RETRY else attempt.origin
    return PhotoRecord(
        stamp=stamp,
        phase=Phase.WAITING,
        recipes={},
        made=with_chosen_names(before, attempt.job),
        at=wall,
        attempts=attempts,
        leased=leased,
        first_seen=before.first_seen if before else attempt.seen,
        origin=before.origin if before else str(origin),
    )


def done_row(attempt: Attempt, outcome: Done, wall: float) -> PhotoRecord:
    """Return the row of a photo that is done."""
    job, before = attempt.job, attempt.before
    same = before is not None and before.stamp.same_content(outcome.stamp)
    made = with_chosen_names(before, job)
    for item in outcome.made:
        rendering = next(rendering for rendering in job.renderings if rendering.name == item.name)
        name, size = _kept_name(job, rendering, item.output), (item.width, item.height, item.size)
        made[item.name] = RenditionRecord(*size, name, item.digest, rendering.recipe.layout)
    recipes = {
        **(before.recipes if before and same else {}),
        **{item.name: key_of(item.recipe) for item in job.renderings},
    }
    again = _under_another_key(job, made, recipes)
    return PhotoRecord(
        stamp=plain(outcome.stamp) or UNKNOWN,
        phase=Phase.DONE,
        recipes={name: recipe for name, recipe in recipes.items() if name not in again},
        made={name: fact for name, fact in made.items() if name not in again},
        at=wall,
        first_seen=before.first_seen if before else attempt.seen,
        origin=before.origin if before else str(attempt.origin),
        digest=outcome.digest or (before.digest if before and same else b""),
        nested=outcome.nested,
    )


def _under_another_key(job: Job, made: Mapping[str, RenditionRecord], recipes: Mapping[str, str]) -> set[str]:
    """Return the keys of outputs that now have another one, since their renditions got more formats, or fewer."""
    wanted = {item.name: item.recipe for item in job.renderings}
    if made.keys() <= wanted.keys():
        return set()
    named = naming.with_names(made, recipes, job.photo.name, wanted)
    outputs = {(rendition_of(name), recipes.get(name), named[name].name) for name in wanted if name in named}
    return {
        name
        for name, fact in named.items()
        if name not in wanted and (rendition_of(name), recipes.get(name), fact.name) in outputs
    }


def only_dated(before: PhotoRecord, outcome: Done) -> bool:
    """Return whether all that happened to a photo since it was made is that the copy of it came to its end.

    Many a copy gives the photo its date, or the time of the end, when renditions are made already. A later date than
    that is a change, as `touch` makes one.
    """
    if before.phase is not Phase.DONE or not before.digest or before.digest != outcome.digest:
        return False
    date, old = outcome.stamp.mtime_ns / 1e9, before.stamp.mtime_ns / 1e9
    by_the_copy = date <= before.at or abs(date - old) < COPY_ENDS_SECONDS
    return by_the_copy and date != old and all(item.adopted for item in outcome.made)
