"""What is still to be made, and about how much space that takes: for `once --dry-run` and `check`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from watcher.app.outputs import held
from watcher.app.settings import Source, settle
from watcher.config import Config
from watcher.core.formats import OUTPUTS
from watcher.core.recipe import most_bytes
from watcher.core.records import Phase, PhotoRecord, needs_work
from watcher.core.selection import PathFilter
from watcher.core.types import FileSignature, PhotoId, Recipe
from watcher.engine.inbox import terms_of
from watcher.engine.ports import InboxPlan
from watcher.errors import EXIT_OK
from watcher.scan import walk
from watcher.store import Queries
from watcher.text import printable, size

_SAMPLE = 500  # recorded renditions that the estimate is taken from, if there are any


@dataclass(slots=True)
class Count:
    """How often one rendition is still to be made."""

    recipe: Recipe
    new: int = 0  # there is none of it yet
    again: int = 0  # the photo or the recipe has changed
    sizes: list[int] = field(default_factory=list)  # of recorded renditions

    @property
    def bytes(self) -> int:
        """About how many bytes they will take."""
        if self.sizes:
            each = sum(self.sizes) / len(self.sizes)
        else:
            width, height, fit = self.recipe.width, self.recipe.height, self.recipe.fit
            pixels = min((width or height or 0) * (height or width or 0) * (1 if fit == "cover" else 0.7), 24e6)
            each = pixels * OUTPUTS[self.recipe.format].bytes_per_pixel * (0.5 + self.recipe.quality / 170)
        return round((self.new + self.again) * min(each, most_bytes(self.recipe.max_kb)))


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


def forecast(plan: InboxPlan, config: Config, reader: Queries | None) -> Forecast:
    """Look through an inbox, and compare it with the state file, if there is one; nothing is changed."""
    found = Forecast({rendition: Count(recipe) for rendition, recipe in plan.wanted.items()})
    was = reader.report(plan.inbox) if reader is not None else None
    if was is not None and was.output != plan.output:
        reader = None  # what is known was made in another output folder
    cured = was is not None and was.terms not in {"", terms_of(plan, config, config)}
    listings = walk(plan.inbox, PathFilter(plan.config.include, plan.config.exclude, plan.config.recursive))
    for listing in listings:
        found.folders += listing.last
        found.photos += len(listing.entries)
        prefix = listing.folder + b"/" if listing.folder else b""
        for entry in listing.entries:
            photo = PhotoId(plan.inbox, prefix + entry.name)
            known = reader.known(photo) if reader is not None else None
            if cured and known is not None and known.phase is Phase.FAILED:
                known = replace(known, phase=Phase.WAITING)
            _add(found.counts, plan, known, FileSignature(entry.size, entry.mtime_ns))
    found.left_alone, found.reason = listings.left_alone, listings.reason
    return found


def _add(counts: dict[str, Count], plan: InboxPlan, known: PhotoRecord | None, stamp: FileSignature) -> None:
    work = needs_work(known, stamp, plan.wanted)
    same = known is not None and known.stamp.same_content(stamp)
    for rendition, recipe in plan.wanted.items():
        count = counts[rendition]
        fact = known.made.get(rendition) if known else None
        if fact and fact.size and len(count.sizes) < _SAMPLE:
            count.sizes.append(fact.size)
        if work and not (known and same and known.recipes.get(rendition) == recipe.fingerprint):
            if fact and fact.size:
                count.again += 1
            else:
                count.new += 1


def dry_run(pair: tuple[str, str] | None, config_file: str | None, state_file: str | None) -> int:
    """Print per inbox and rendition how many would be made, new or again, and about how many bytes."""
    source = Source(pair, config_file, state_file)
    config, name = source.read()
    settings = settle(config, name, make_outputs=False)
    state = source.state_path(config)
    reader = Queries.open_to_read(state)
    try:
        settings = held(settings, name, state, reader, claim=False)
        for plan in settings.inboxes:
            found = forecast(plan, config, reader)
            print(printable(f"{os.fsdecode(plan.inbox)} → {os.fsdecode(plan.output)}"))
            for rendition, count in found.counts.items():
                print(f"  {rendition}: {count.new} new, {count.again} again, about {size(count.bytes)}")
            if found.reason:
                print(f"  not read whole: {printable(found.reason)}")
    finally:
        if reader is not None:
            reader.close()
    return EXIT_OK
