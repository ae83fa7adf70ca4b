"""What is still to be made, and about how much space that takes: for `once --dry-run` and `check`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from watcher.app.outputs import held
from watcher.app.settings import Source, resolve
from watcher.config import Config
from watcher.core.formats import TYPICAL_DENSITY, expected_bytes
from watcher.core.layout import unsized
from watcher.core.output_paths import renderings
from watcher.core.recipe import Recipe, most_bytes, rendition_of
from watcher.core.records import Phase, PhotoRecord, fingerprint_in, key_of, needs_work, written_since
from watcher.core.types import FileSignature, PhotoId
from watcher.engine.inbox import terms_of
from watcher.engine.ports import InboxPlan
from watcher.errors import EXIT_OK
from watcher.render.geometry import target
from watcher.render.look import weigh
from watcher.scan import walk
from watcher.store import Queries
from watcher.text import printable, shown, size

_UNSEEN = (6000, 4000)  # pixels of a photo that can't be looked at
_SAMPLE = 12  # photos, at most twice as many, that are looked at: they are spread over the inbox


@dataclass(slots=True)
class Count:
    """How often one rendition is still to be made."""

    recipe: Recipe
    new: int = 0  # there is none of it yet
    again: int = 0  # the photo or the recipe has changed
    moved: int = 0  # only its place has changed
    bytes: int = 0  # about how many they will take


@dataclass(slots=True)
class Forecast:
    """What an inbox holds, and what is still to be made of it."""

    counts: dict[str, Count]  # by rendition
    photos: int = 0
    folders: int = 0
    left_alone: tuple[tuple[str, int], ...] = ()  # ending → files that are no photos by their names
    reason: str = ""  # why it could not be read whole

    @property
    def bytes(self) -> int:
        """About how many bytes all that is to be made will take, what it replaces not subtracted."""
        return sum(count.bytes for count in self.counts.values())


class _Sample:
    """Photos spread evenly over all that were added."""

    def __init__(self) -> None:
        self.paths: list[bytes] = []
        self._every, self._seen = 1, 0

    def add(self, path: bytes) -> None:
        if self._seen % self._every == 0:
            self.paths.append(path)
        self._seen += 1
        if len(self.paths) == 2 * _SAMPLE:
            del self.paths[1::2]
            self._every *= 2


def forecast(
    plan: InboxPlan,
    config: Config,
    reader: Queries | None,
    named: Callable[[PhotoId, Mapping[bytes, bool]], None] | None = None,
) -> Forecast:
    """Look through an inbox, and compare it with the state file, if there is one; nothing is changed.

    `named` is called with each photo that needs work and the outputs to make, and whether each is made again.
    """
    found = Forecast({rendition: Count(recipe) for rendition, recipe in plan.wanted.items()})
    was = reader.report(plan.inbox) if reader is not None else None
    if was is not None and was.output != plan.output:
        reader = None  # what is known was made in another output folder
    cured = was is not None and was.terms not in {"", terms_of(plan, config, config)}
    listings = walk(plan.inbox, plan.config.selection)
    sample = _Sample()
    for listing in listings:
        found.folders += listing.last
        found.photos += len(listing.entries)
        for entry in listing.entries:
            photo = PhotoId.inside(plan.inbox, listing.folder, entry.name)
            known = reader.known(photo) if reader is not None else None
            if known is not None and known.phase is Phase.FAILED:
                again = cured or written_since(known.at, entry.changed_ns, time.time())
                known = replace(known, phase=Phase.WAITING) if again else known
            if missing := _missing(found.counts, plan, known, entry.signature):
                sample.add(photo.path)
                if named is not None:
                    wanted = {rendition: plan.wanted[rendition] for rendition in missing}
                    made = renderings(photo.path, wanted, known, {}, folds_case=False)
                    named(photo, {unsized(item.output): missing[item.name] for item in made})
    found.left_alone, found.reason = listings.left_alone, listings.reason
    _weigh(found.counts, plan.inbox, sample.paths)
    return found


def _missing(
    counts: dict[str, Count], plan: InboxPlan, known: PhotoRecord | None, stamp: FileSignature
) -> dict[str, bool]:
    """Count the renditions of one photo; return those to be made, and whether each is made again."""
    work = needs_work(known, stamp, plan.wanted)
    same = known is not None and known.stamp.same_content(stamp)
    missing = {}
    for rendition, recipe in plan.wanted.items():
        fact = known.made.get(rendition) if known else None
        key = known.recipes.get(rendition) if known and same else None
        if work and key != key_of(recipe) and fingerprint_in(key) == recipe.fingerprint:
            counts[rendition].moved += 1
        elif work and key != key_of(recipe) and not (known and same and _is_there(known, rendition, recipe)):
            again = missing[rendition] = bool(fact and fact.size)
            counts[rendition].again += again
            counts[rendition].new += not again
    return missing


def _is_there(known: PhotoRecord, rendition: str, recipe: Recipe) -> bool:
    """Return whether an output has another key alone: of several formats one was left, or one became several."""
    return any(
        rendition_of(key) == rendition_of(rendition)
        and fingerprint_in(known.recipes.get(key)) == recipe.fingerprint
        and (fact.size > 0, fact.layout) == (True, recipe.layout)
        for key, fact in known.made.items()
    )


def _weigh(counts: Mapping[str, Count], inbox: bytes, paths: Sequence[bytes]) -> None:
    """Work out the bytes by those that some of the photos would take."""
    if not paths:
        return
    recipes = {rendition: count.recipe for rendition, count in counts.items()}
    weights = [found for path in paths if (found := weigh(inbox, path, recipes))]
    for rendition, count in counts.items():
        each = [found[rendition] for found in weights] or [_unseen(count.recipe)]
        count.bytes = round((count.new + count.again) * sum(each) / len(each))


def _unseen(recipe: Recipe) -> float:
    """Return about how many bytes a rendition takes of a camera's photo of which nothing can be read."""
    made = target(recipe, *_UNSEEN, orientation=1)
    pixels = made.width * made.height
    expected = expected_bytes(recipe.format, recipe.quality, pixels, pixels * TYPICAL_DENSITY)
    return min(expected, most_bytes(recipe.max_kb))


def dry_run(source: Source) -> int:
    """Print per inbox and rendition how many would be made, new or again, and about how many bytes; `-v` names each."""
    config, name = source.read()
    settings = resolve(config, name, make_outputs=False)
    state = source.state_path(config)
    reader = Queries.open_to_read(state)
    try:
        settings = held(settings, name, state, reader, claim=False)
        for plan in settings.inboxes:
            print(printable(f"{os.fsdecode(plan.inbox)} → {os.fsdecode(plan.output)}"))
            found = forecast(plan, config, reader, _name if source.level == "debug" else None)
            names = [rendition_of(key) for key in found.counts]
            for name, count in zip(names, found.counts.values(), strict=True):
                label = f"{name} ({count.recipe.format})" if names.count(name) > 1 else name
                moved = f"{count.moved} moved, " if count.moved else ""
                print(f"  {label}: {count.new} new, {count.again} again, {moved}about {size(count.bytes)}")
            if found.reason:
                print(f"  not read whole: {printable(found.reason)}")
    finally:
        if reader is not None:
            reader.close()
    return EXIT_OK


def _name(photo: PhotoId, outputs: Mapping[bytes, bool]) -> None:
    made = ", ".join(f"{shown(path)} (again)" if again else shown(path) for path, again in outputs.items())
    print(f"  {shown(photo.path)} \u2192 {made}")
