"""One photo made, in phases: what is wanted; moved; read; adopted or copied; decoded; shrunk, encoded and written.

What a phase has made, later ones need not make. Every early end with a reason is an `Abort`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from watcher.core.formats import too_large
from watcher.core.layout import sized
from watcher.core.recipe import most_bytes, rendition_of
from watcher.core.stability import FAILING_SECONDS, Content, Observation, required, required_of
from watcher.core.types import Done, FileSignature, Job, Made, NeedsMoreMemory, Outcome, Rendering, Unchanged, Unready
from watcher.fs.faults import Abort, bad_photo
from watcher.fs.openat import is_file
from watcher.fs.output_mark import Tree
from watcher.fs.publish import Publication
from watcher.render.adopt import adopt, open_current
from watcher.render.colour import is_srgb
from watcher.render.content import digest_of, digest_of_output
from watcher.render.decoders.base import Photo
from watcher.render.encode import encode
from watcher.render.geometry import Region, Target, scale, seen_size, target
from watcher.render.judge import decode_whole, describe_photo, refuse_huge
from watcher.render.metadata import PhotoMetadata
from watcher.render.picture import Cascade, upright
from watcher.render.reuse import Borrowed
from watcher.render.source import Source
from watcher.render.steps import STEPS, changes, extra_bytes
from watcher.render.writers import observe
from watcher.text import shown

_MAX_FILE = 1 << 30  # bytes; 200 MP at quality 100 take about 300 MB


def make(job: Job, source: Source, publication: Publication, tree: Tree) -> Outcome:
    """Make a photo's renditions and write them; what is returned holds once they are published."""
    stamp = source.stamp
    if job.failed_at and source.changed_ns / 1e9 > job.failed_at - FAILING_SECONDS:
        job = replace(job, done=None)  # the same size and date, but written since: many a client sets the date itself
    wanted = [r for r in job.renderings if not (stamp.same_content(job.done) and r.name in job.current)]
    if not wanted:
        return Unchanged(stamp)
    made = _move(job, stamp, publication, tree, wanted)
    if not (wanted := _without(wanted, made)):
        return Done(stamp, tuple(made), 0, 0, 0.0, os.getpid())
    read = _read(job, source, tree)
    publication.content, metadata, kind = read.digest, read.photo.metadata, read.photo.kind
    wanted = [read.sized(rendering) for rendering in wanted]
    made += read.adopt(wanted) if job.adopt else []
    wanted = [read.placed(rendering) for rendering in _without(wanted, made)]
    shown = [item.output for item in wanted] + [item.output for item in made]
    publication.relocation.replace([item.old for item in wanted if item.old], shown, digest_of_output)
    with Borrowed(job, stamp) as borrowed:
        read.borrow(wanted, borrowed)
        made += borrowed.publish(publication)
    if wanted := _without(wanted, made):
        targets = read.targets()
        cascade, copies = read.decode(wanted, targets), read.copies(wanted)
        del read  # its bytes are no longer needed
        made += _write(publication, stamp.mtime_ns, metadata, wanted, targets, cascade, copies)
    order = [rendering.name for rendering in job.renderings]
    made.sort(key=lambda item: order.index(item.name))
    return Done(stamp, tuple(made), *metadata.size, 0.0, os.getpid(), publication.content, borrowed.duplicate, kind)


def _without(wanted: list[Rendering], made: list[Made]) -> list[Rendering]:
    """Return what is still to be made."""
    names = {item.name for item in made}
    return [rendering for rendering in wanted if rendering.name not in names]


def _move(job: Job, stamp: FileSignature, publication: Publication, tree: Tree, wanted: list[Rendering]) -> list[Made]:
    """Move the renditions of an unchanged photo that only have a new place."""
    moved, leaving = list[Made](), _leaving(job)
    for rendering in wanted if stamp.same_content(job.done) else ():
        old = rendering.old
        if old is not None and old.current:
            places = [sized(path, old.width, old.height) for path in (rendering.output, *rendering.spares)]
            place = publication.relocation.move(old, places, stamp.mtime_ns, tree.grain, leaving)
            if place is not None:
                moved.append(Made(rendering.name, place, old.width, old.height, old.size, old.digest, adopted=True))
    return moved


def _leaving(job: Job) -> set[bytes]:
    """Return the places that outputs of the photo leave."""
    return {output for rendering in job.renderings if rendering.old for output in rendering.old.outputs}


def _read(job: Job, source: Source, tree: Tree) -> _Read:
    """Read a photo and its header; raise Abort for one that is not to be read yet, or is none."""
    stamp, published = source.stamp, job.evidence.published
    if published is not None and stamp[:2] == published[:2]:  # its recipes have changed, and not what lies there
        job = _of_one_version(job)
    observed = observe(job.evidence, source)
    _hold_back(job, observed)
    if stamp.size > _MAX_FILE:
        raise bad_photo(f"too large a file: {stamp.size >> 20} MB, at most {_MAX_FILE >> 20} MB are read")
    if 0 < job.memory_bytes < stamp.size:
        raise Abort(NeedsMoreMemory(stamp.size))
    data = source.read()
    digest = digest_of(data)
    if back := next((key for key, content in job.returned if content == digest), None):
        raise Abort(Unchanged(stamp, back))
    if published is not None and digest == published.digest:  # it was whole when it was made before
        job = _of_one_version(job)
    unfinished = required_of(Content.HOLE, job.evidence, job.stability, observed)
    photo = describe_photo(data, stamp, young=observed.touched_within(unfinished.seconds))
    return _Read(job, source, tree, observed, digest, photo)


def _of_one_version(job: Job) -> Job:
    """Return the job for a photo that is known not to be the head of one version and the tail of another."""
    return replace(job, evidence=replace(job.evidence, published=None))


def _hold_back(job: Job, observed: Observation) -> None:
    """Raise Abort for a photo that is not to be read yet."""
    stamp, evidence = observed.signature, job.evidence
    if stamp.same_content(evidence.incomplete):
        raise Abort(Unready(stamp, "it is unchanged since it was found incomplete"))
    if evidence.expected is not None and not stamp.same_content(evidence.expected):
        raise Abort(Unready(stamp, "still changing", settling=True))
    wait = required(evidence, job.stability, observed)
    if observed.changed_within(wait.seconds):
        raise Abort(Unready(stamp, wait.reason, settling=True, seconds=wait.seconds - observed.unchanged))
    if not stamp.size:
        raise Abort(Unready(stamp, "empty"))


class _Read(NamedTuple):
    """A photo that was read: where its renditions belong, what is there of them, and its pixels."""

    job: Job
    source: Source
    tree: Tree
    observed: Observation
    digest: bytes
    photo: Photo

    def size_of(self, rendering: Rendering) -> tuple[int, int]:
        """Return the size in pixels of a rendition, as people see it."""
        photo = self.photo
        return seen_size(rendering.recipe, photo.width, photo.height, photo.metadata.exif.orientation)

    def sized(self, rendering: Rendering) -> Rendering:
        """Return a rendition with its size in the paths that have one."""
        output, *spares = (sized(path, *self.size_of(rendering)) for path in (rendering.output, *rendering.spares))
        return replace(rendering, output=output, spares=tuple(spares))

    def adopt(self, wanted: list[Rendering]) -> list[Made]:
        """Return the renditions that lie there already and prove to be current."""
        return [made for rendering in wanted if (made := self._adopted(rendering))]

    def _adopted(self, rendering: Rendering) -> Made | None:
        spares = () if self._is_own(rendering) else rendering.spares
        places = (replace(rendering, output=output) for output in (rendering.output, *spares))
        found = (adopt(self.job.output_root, place, *self._proof(rendering)) for place in places)
        return next(filter(None, found), None)

    def placed(self, rendering: Rendering) -> Rendering:
        """Return a rendition with a place where it replaces no file of others; raise Abort where there is none."""
        root = self.job.output_root
        if self._is_own(rendering):
            return rendering
        for output in (rendering.output, *rendering.spares):
            there = replace(rendering, output=output)
            if not rendering.spares or output in _leaving(self.job) or not is_file(root, output):
                return there
            file = open_current(root, there, *self._proof(rendering))
            if file is not None:  # made before, and not recorded
                os.close(file)
                return there
        where = shown(rendering.output)
        raise bad_photo(f"files that watcher did not make lie at {where} and where else it could go: move them away")

    def _is_own(self, rendering: Rendering) -> bool:
        """Return whether any file at its place is an earlier version of it; the mark knows the default layout."""
        return self.tree.own and not rendering.recipe.layout

    def _proof(self, rendering: Rendering) -> tuple[int, tuple[int, int], int, bytes]:
        """Return what an output must have to be current: see `open_current`."""
        return self.source.stamp.mtime_ns, self.size_of(rendering), self.photo.channels, self.digest

    def borrow(self, wanted: list[Rendering], borrowed: Borrowed) -> None:
        """Take from photos of the same content what was made of it."""
        for duplicate in (duplicate for duplicate in self.job.duplicates if duplicate.digest == self.digest):
            for rendering in wanted:
                borrowed.look(duplicate, rendering, self.size_of(rendering), self.photo.channels)

    def targets(self) -> dict[str, Target]:
        """Return what is to be made of the pixels for each rendition.

        Those that lie on disk already count too: so a rendition's bytes are the same whether the others are made with
        it or were made before.
        """
        photo, orientation = self.photo, self.photo.metadata.exif.orientation
        return {r.name: target(r.recipe, photo.width, photo.height, orientation) for r in self.job.renderings}

    def decode(self, wanted: list[Rendering], targets: Mapping[str, Target]) -> Cascade:
        """Decode the photo, if it is one to be decoded."""
        job, photo, goals = self.job, self.photo, list(targets.values())
        refuse_huge(job, photo)
        for rendering in wanted:
            if reason := too_large(rendering.recipe.format, *self.size_of(rendering)):
                raise bad_photo(f"rendition {rendition_of(rendering.name)} {reason}")
        step = scale(goals, photo.scales)
        needed = _memory(self.source.stamp.size, photo, goals, step)
        needed += max(extra_bytes(rendering.recipe, self.size_of(rendering)) for rendering in wanted)
        if 0 < job.memory_bytes < needed:
            raise Abort(NeedsMoreMemory(needed))
        return Cascade(decode_whole(job, photo, step, self.source, self.observed), goals, photo.metadata.profile)

    def copies(self, wanted: list[Rendering]) -> Mapping[str, bytes]:
        """Return the files of those renditions that the decoded photo is already, but for its metadata."""
        photo, metadata = self.photo, self.photo.metadata
        mode = "L" if photo.channels == 1 else "RGB"
        if metadata.exif.orientation != 1 or not is_srgb(metadata.profile, mode):
            return {}
        copies: dict[str, bytes] = {}
        for rendering in wanted:
            recipe, size = rendering.recipe, self.size_of(rendering)
            small = recipe.small == "copy" and recipe.format == "jpeg" and size == metadata.size
            if small and not changes(recipe):
                data = photo.with_metadata(metadata.keep(recipe.metadata, size, recipe.format, whole=True))
                if data and len(data) <= most_bytes(recipe.max_kb):
                    copies[rendering.name] = data
        return copies


def _memory(size: int, photo: Photo, targets: list[Target], step: int) -> int:
    """Estimate what the job takes at its peak beyond the worker itself, in bytes.

    The peak is at the end of decoding, or amid the largest resize (narrowed, not yet lowered), or when the largest
    rendition is converted or turned while all are kept for the cascade. Measured on 24 MP photos of five kinds at four
    sizes: 0.35 to 1.00 of it is used (least where nothing is turned, converted or shrunk), never more.
    """
    depth = photo.pixel_bytes
    rows = -(-photo.height // step)
    kept = sum(t.width * t.height * depth for t in set(targets))
    largest = max(targets, key=lambda t: t.width * t.height)
    one = largest.width * largest.height * depth
    copies = 2 if photo.channels == 4 else 1  # noqa: PLR2004 - CMYK becomes RGB in a copy
    making = max(largest.width * rows * depth, copies * one) + kept if largest.factor > 1 else copies * one + kept
    making += photo.decoded_bytes(step) if photo.alpha else 0  # Pillow weighs all colours by their alpha in a copy
    return size + photo.decoded_bytes(step) + max(photo.decoding_bytes(step), making) + one // 4  # and the encoded file


def _write(
    publication: Publication,
    mtime_ns: int,
    metadata: PhotoMetadata,
    wanted: list[Rendering],
    targets: Mapping[str, Target],
    cascade: Cascade,
    copies: Mapping[str, bytes],
) -> list[Made]:
    """Make, encode and write every rendition to where it is shown from."""
    made: dict[str, Made] = {}

    def add(rendering: Rendering, data: bytes, size: tuple[int, int]) -> None:
        publication.add(rendering.output, data, mtime_ns, rendering.recipe.fingerprint)
        made[rendering.name] = Made(rendering.name, rendering.output, *size, len(data), digest_of_output(data))

    for rendering in wanted:
        if rendering.name in copies:
            add(rendering, copies[rendering.name], metadata.size)
    while len(made) < len(wanted):
        goal, pixels = cascade.next()
        now = [rendering for rendering in wanted if targets[rendering.name] == goal and rendering.name not in made]
        if not now:
            continue  # it is there already; smaller ones are made from it
        turned = upright(pixels, metadata.exif.orientation)
        for rendering in now:
            image = turned
            for step in STEPS:
                image = step(image, rendering.recipe)
            drawn_on = image.size != turned.size or rendering.recipe.watermark is not None
            whole = goal.region == Region(0, 0, *metadata.size) and not drawn_on
            kept = metadata.keep(rendering.recipe.metadata, image.size, rendering.recipe.format, whole=whole)
            add(rendering, encode(image, rendering.recipe, kept), image.size)
    return list(made.values())
