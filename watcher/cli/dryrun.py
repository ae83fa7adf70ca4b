"""`once --dry-run`: say what would be made, and change nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from watcher.cli import printable
from watcher.cli.wiring import Source, settle
from watcher.config import Config
from watcher.daemon.desk import terms_of
from watcher.daemon.parts import InboxPlan
from watcher.errors import EXIT_OK
from watcher.model import PhotoId, Recipe, Stamp
from watcher.plan import Known, Phase, needs_work
from watcher.scan import walk
from watcher.select import Selection
from watcher.state import Reader

# Bytes per pixel of photographs at quality 85, measured over 60 camera photos scaled to 2048, 1024 and 320 pixels
_BYTES_PER_PIXEL = {"jpeg": 0.25, "webp": 0.17, "avif": 0.12, "png": 1.7}
_SAMPLE = 500  # renditions on the books that the estimate is taken from, if there are any


@dataclass(slots=True)
class _Count:
    new: int = 0  # there is none of it yet
    again: int = 0  # the photo or the recipe has changed
    sizes: list[int] = field(default_factory=list)  # of renditions on the books

    def estimate(self, recipe: Recipe) -> int:
        """Say about how many bytes they will take."""
        if self.sizes:
            each = sum(self.sizes) / len(self.sizes)
        else:
            width, height = recipe.width, recipe.height
            pixels = min((width or height or 0) * (height or width or 0) * (0.7 if recipe.fit == "inside" else 1), 24e6)
            each = pixels * _BYTES_PER_PIXEL[recipe.format] * (0.5 + recipe.quality / 170)
        return round((self.new + self.again) * each)


def dry_run(pair: tuple[str, str] | None, config_file: str | None, state_file: str | None) -> int:
    """Print per inbox and rendition how many would be made, new or again, and about how many bytes."""
    source = Source(pair, config_file, state_file)
    config, name = source.read()
    settings = settle(config, name, make_outputs=False)
    reader = Reader.open_to_read(source.state_path(config))
    try:
        for plan in settings.inboxes:
            counts, reason = _count(plan, config, reader)
            print(printable(f"{os.fsdecode(plan.inbox)} → {os.fsdecode(plan.output)}"))
            for rendition, recipe in plan.wanted.items():
                count = counts[rendition]
                size = _readable(count.estimate(recipe))
                print(f"  {rendition}: {count.new} new, {count.again} again, about {size}")
            if reason:
                print(f"  not read whole: {printable(reason)}")
    finally:
        if reader is not None:
            reader.close()
    return EXIT_OK


def _count(plan: InboxPlan, settings: Config, reader: Reader | None) -> tuple[dict[str, _Count], str]:
    counts = {rendition: _Count() for rendition in plan.wanted}
    config = plan.config
    report = reader.report(plan.inbox) if reader is not None else {}
    if report.get("output") not in {None, os.fsdecode(plan.output)}:
        reader = None  # what is known was made in another output folder
    cured = report.get("terms") not in {None, terms_of(plan, settings, settings)}
    found = walk(plan.inbox, Selection(config.include, config.exclude, config.recursive))
    for listing in found:
        prefix = listing.folder + b"/" if listing.folder else b""
        for entry in listing.entries:
            photo = PhotoId(plan.inbox, prefix + entry.name)
            known = reader.known(photo) if reader is not None else None
            if cured and known is not None and known.phase is Phase.FAILED:
                known = replace(known, phase=Phase.WAITING)
            _add(counts, plan, known, Stamp(entry.size, entry.mtime_ns))
    return counts, found.reason


def _add(counts: dict[str, _Count], plan: InboxPlan, known: Known | None, stamp: Stamp) -> None:
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


def _readable(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004  # the next unit begins
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
