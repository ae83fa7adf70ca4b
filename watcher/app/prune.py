"""`verify --prune`: find the outputs that no photo needs any more, and have them removed.

Rules:
- Photos count as gone only after a complete walk of the inbox that was scanned last, in which a photo that is recorded
  still lies. A photo that is gone and that no scan has noticed may have been renamed, if there are new photos.
- The daemon removes them, or this process in its place, and examines each once more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from watcher.app.commands import hand_over
from watcher.app.locate import KnownInbox
from watcher.app.repair import serve_here
from watcher.app.settings import Source
from watcher.core.orphans import LeftPhoto, Orphan, places_of, that_stay
from watcher.core.output_paths import taken_paths
from watcher.core.recipe import label_of
from watcher.core.records import Phase, PhotoRecord, RenditionRecord
from watcher.core.types import FileSignature, PhotoId, Request
from watcher.fs.prune import Pruning, prune
from watcher.render import digest_of_output
from watcher.scan import walk
from watcher.service import process
from watcher.store import Queries
from watcher.text import shown

_AT_ONCE = 1000  # photos that are asked for in one go
_LOOK_SECONDS = 0.2  # between two looks at how far the daemon is
_PATIENCE_SECONDS = 15.0  # without any output removed


@dataclass(frozen=True, slots=True)
class Unneeded:
    """Outputs of one photo that no photo needs any more, or that look like it and stay."""

    photo: PhotoId
    renditions: tuple[str, ...]  # that are not needed; empty: the photo is gone
    outputs: tuple[bytes, ...]  # absolute paths
    kept: tuple[tuple[bytes, str], ...]  # absolute paths, and why they stay
    labels: tuple[str, ...] = ()  # of the renditions, if the config no longer has them

    @property
    def why(self) -> str:
        """Why they are not needed."""
        if self.renditions and not self.labels:
            return f"its photo was replaced: {shown(self.photo.absolute)}"
        if self.renditions:
            return f"the config has no rendition {' or '.join(map(shown, self.labels))} for it"
        return f"its photo is gone: {shown(self.photo.absolute)}"

    @property
    def request(self) -> Request:
        """What the daemon is asked to do."""
        return Request("prune", *self.photo, self.renditions)


@dataclass(slots=True)
class Inventory:
    """What a walk of an inbox has found."""

    why_not: str = ""  # why nothing is known to be gone; empty: what was not found is gone
    recorded: int = 0  # photos that were found as they are recorded
    fresh: int = 0  # photos that are new or have changed


def take_inventory(reader: Queries, watched: KnownInbox) -> Inventory:
    """Walk an inbox, and count the photos in it. Memory is bounded by the largest folder."""
    config, found = watched.config, Inventory()
    identity, inbox = reader.identity(watched.inbox), shown(watched.inbox)
    if config is None or identity is None:
        return Inventory(f"the inbox {inbox} has never been scanned completely")
    looked = walk(watched.inbox, config.selection)
    folder, recorded = None, dict[bytes, FileSignature]()
    for part in looked:
        if part.folder != folder:
            folder = part.folder
            pages = chain.from_iterable(reader.pages(watched.inbox, folder))
            recorded = {photo.name: known.stamp for photo, known in pages if known.away is None}
        for entry in part.entries:
            same = entry.name in recorded and recorded[entry.name][:2] == entry.signature[:2]
            found.recorded += same
            found.fresh += not same
    if not looked.complete:
        found.why_not = looked.reason
    elif looked.root != identity:
        found.why_not = f"the inbox {inbox} is not the folder that was scanned last: is its volume mounted?"
    elif not found.recorded:
        found.why_not = f"the inbox {inbox} has none of the photos that are recorded: is another volume in its place?"
    return found


def find_unneeded(reader: Queries, watched: KnownInbox) -> Iterator[Unneeded]:
    """Yield the outputs of photos that are gone, and of renditions that the config no longer has; change nothing."""
    if watched.output is None or watched.recipes is None:
        return
    inventory = take_inventory(reader, watched)
    if inventory.why_not:
        if reader.has_photos(watched.inbox) or next(reader.left_photos(watched.inbox), None) is not None:
            yield Unneeded(PhotoId(watched.inbox, b""), (), (), ((watched.output, inventory.why_not),))
        return
    for photo in reader.left_photos(watched.inbox):
        known, left = reader.known(photo), reader.left_versions(photo)
        if known is None:
            yield from _gone(reader, watched, photo, left, "")
        elif known.phase is Phase.DONE and not known.leased and os.path.lexists(photo.absolute):
            yield from _replaced(reader, watched, photo, known, left)
    yield from _recorded(reader, watched, inventory)


def _recorded(reader: Queries, watched: KnownInbox, inventory: Inventory) -> Iterator[Unneeded]:
    """Yield what no photo needs of those that are recorded: they are gone unnoticed, or the config has changed."""
    why_not, wanted = "", watched.recipes or {}
    if reader.unsure(watched.inbox):
        why_not = "its photo may be on a volume that is away: run `watcher once` first"
    if inventory.fresh:
        why_not = why_not or "its photo left after the last scan, and may have a new name: run `watcher once` first"
    for folder in reader.each_folder(watched.inbox):
        for photo, known in chain.from_iterable(reader.pages(watched.inbox, folder)):
            if known.away is not None or known.leased:
                continue
            if known.phase is Phase.DONE and not os.path.lexists(photo.absolute):
                left = LeftPhoto(known.recipes, known.made, nested=known.nested)
                yield from _gone(reader, watched, photo, [*reader.left_versions(photo), left], why_not)
            elif old := {name: fact for name, fact in known.made.items() if name not in wanted}:
                stay = that_stay(photo, known, wanted)
                orphan = _orphan(reader, watched, photo, [LeftPhoto({}, old)], gone=False, stay=stay)
                labels = tuple(label_of(key, wanted) for key in old)
                yield from _unneeded(photo, tuple(old), prune(orphan, digest_of_output, remove=False), labels)


def _gone(
    reader: Queries, watched: KnownInbox, photo: PhotoId, left: Sequence[LeftPhoto], why_not: str
) -> Iterator[Unneeded]:
    orphan = _orphan(reader, watched, photo, left, gone=True)
    why_not = why_not or _why_unsure(left)
    if why_not:  # it is asked only what lies there
        orphan = replace(orphan, gone=False, root=None)
    yield from _unneeded(photo, (), _looked(orphan, why_not))


def _replaced(
    reader: Queries, watched: KnownInbox, photo: PhotoId, known: PhotoRecord, left: Sequence[LeftPhoto]
) -> Iterator[Unneeded]:
    """Yield what is left of earlier photos of a name, where the present one has nothing."""
    stay = {**known.made, **that_stay(photo, known, watched.recipes or {})}
    orphan = _orphan(reader, watched, photo, left, gone=False, stay=stay)
    renditions = tuple(dict.fromkeys(place.rendition for place in orphan.places))
    yield from _unneeded(photo, renditions, _looked(orphan, _why_unsure(left)))


def _why_unsure(left: Iterable[LeftPhoto]) -> str:
    unsure = any(version.unsure for version in left)
    why = "its photo left after a scan that found none of those recorded: another volume may have been in its place"
    return why if unsure else ""


def _looked(orphan: Orphan, why_not: str) -> Pruning:
    """Look what lies there; `why_not`: why none of it may be removed."""
    found = prune(orphan, digest_of_output, remove=False)
    return Pruning(kept=(*((output, why_not) for output in found.found), *found.kept)) if why_not else found


def _unneeded(
    photo: PhotoId, renditions: tuple[str, ...], found: Pruning, labels: tuple[str, ...] = ()
) -> Iterator[Unneeded]:
    if found.found or found.kept:
        yield Unneeded(photo, renditions, found.found, found.kept, labels)


def _orphan(
    reader: Queries,
    watched: KnownInbox,
    photo: PhotoId,
    left: Sequence[LeftPhoto],
    *,
    gone: bool,
    stay: Mapping[str, RenditionRecord] | None = None,
) -> Orphan:
    wanted, config = watched.recipes or {}, watched.config
    conflicts = {
        **reader.name_conflicts(photo),
        **reader.archived_beside(photo),
        **({photo.name: stay} if stay else {}),
    }
    return Orphan(
        photo,
        watched.output or b"",
        places_of(photo, left, wanted, taken_paths(photo, conflicts, wanted), bytes),
        gone,
        root=reader.identity(watched.inbox),
        nested=left[-1].nested,
        archives=config is not None and config.after != "keep",
    )


# ---- removing ----


def remove_unneeded(source: Source, state: str, unneeded: Iterable[Unneeded]) -> Iterator[tuple[Unneeded, int]]:
    """Remove outputs; yield them with how many of each photo's were removed."""
    rest = iter(unneeded)
    while some := list(islice(rest, _AT_ONCE)):
        requests = [item.request for item in some if item.outputs]
        if requests and not serve_here(source, state, requests):
            hand_over(state, requests)
            _wait(state, [output for item in some for output in item.outputs])
        for item in some:
            yield item, sum(not os.path.lexists(output) for output in item.outputs)


def _wait(state: str, outputs: Sequence[bytes]) -> None:
    """Wait until the daemon has removed these, or stays without progress."""
    left, since = len(outputs), time.monotonic()
    while left and time.monotonic() - since < _PATIENCE_SECONDS and process.holding(state) is not None:
        time.sleep(_LOOK_SECONDS)
        now = sum(map(os.path.lexists, outputs))
        if now < left:
            left, since = now, time.monotonic()
