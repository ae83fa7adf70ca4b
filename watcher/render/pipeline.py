"""One photo made: looked at, read, judged, decoded, shrunk, encoded. Every early end is a `Abort`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

from watcher.core.formats import too_large
from watcher.core.layout import sized
from watcher.core.recipe import most_bytes, rendition_of
from watcher.core.stability import Content, Observation, required, required_of
from watcher.core.types import (
    Done,
    FileSignature,
    Job,
    Made,
    NeedsMoreMemory,
    Outcome,
    Rendering,
    Unchanged,
    Unready,
)
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
from watcher.render.picture import Cascade, Picture, upright
from watcher.render.reuse import Borrowed
from watcher.render.source import Source
from watcher.render.steps import STEPS, changes, extra_bytes
from watcher.render.writers import observe
from watcher.text import shown

_MAX_FILE = 1 << 30  # bytes; 200 MP at quality 100 take about 300 MB


def make(job: Job, source: Source, publication: Publication, tree: Tree) -> Outcome:
    """Make a photo's renditions and write them; what is returned holds once they are published."""
    stamp = source.stamp
    wanted = [r for r in job.renderings if not (stamp.same_content(job.done) and r.name in job.current)]
    if not wanted:
        return Unchanged(stamp)
    adopted, wanted = _move(job, stamp, publication, tree, wanted)
    if not wanted:
        return Done(stamp, tuple(adopted), 0, 0, 0.0, os.getpid())
    published = job.evidence.published
    if published is not None and stamp[:2] == published[:2]:  # its recipes have changed, and not what lies there
        job = _of_one_version(job)
    observed = observe(job.evidence, source)
    _hold_back(job, observed)
    data = _read(job, source)
    digest = publication.content = digest_of(data)
    if back := next((key for key, content in job.returned if content == digest), None):
        return Unchanged(stamp, back)
    unfinished = required_of(Content.HOLE, job.evidence, job.stability, observed)
    photo = describe_photo(data, stamp, young=observed.changed_within(unfinished.seconds))
    del data  # the photo holds it as long as it is needed
    kind, size, metadata = photo.kind, (photo.width, photo.height), photo.metadata
    orientation = metadata.exif.orientation
    wanted = _sized(wanted, photo)
    if job.adopt:
        found, wanted = _adopt(job, stamp, photo, digest, wanted, tree)
        adopted += found
        if not wanted:
            return Done(stamp, tuple(adopted), *size, 0.0, os.getpid(), digest, kind=kind)
    if published is not None and digest == published.digest:  # it was whole when it was made before
        job = _of_one_version(job)
    wanted = [_placed(job, rendering, stamp, digest, photo, tree) for rendering in wanted]
    publication.relocation.replace([item.old for item in wanted if item.old], digest_of_output)
    with ExitStack() as stack:
        borrowed = Borrowed(job, stamp, stack)
        _borrow(job, borrowed, digest, wanted, photo)
        wanted = [rendering for rendering in wanted if rendering not in borrowed]
        # Those that lie on disk already count too: so a rendition's bytes are the same whether the others are made
        # with it or were made before.
        targets = {r.name: target(r.recipe, *size, orientation) for r in job.renderings}
        picture = _picture(job, photo, source, observed, wanted, targets) if wanted else None
        copies = _copies(photo, wanted) if wanted else {}
        del photo
        adopted += borrowed.publish(publication)
    if picture is not None:
        cascade = Cascade(picture, list(targets.values()), metadata.profile)
        del picture  # the cascade lets go of it as soon as it can
        adopted += _make(publication, stamp.mtime_ns, metadata, wanted, targets, cascade, copies)
    order = [rendering.name for rendering in job.renderings]
    adopted.sort(key=lambda item: order.index(item.name))
    return Done(stamp, tuple(adopted), *size, 0.0, os.getpid(), digest, borrowed.duplicate, kind)


def _move(
    job: Job, stamp: FileSignature, publication: Publication, tree: Tree, wanted: list[Rendering]
) -> tuple[list[Made], list[Rendering]]:
    """Move the renditions of an unchanged photo that only have a new place; return them, and what must be made."""
    if not stamp.same_content(job.done):
        return [], wanted
    moved, left, leaving = list[Made](), list[Rendering](), _leaving(job)
    for rendering in wanted:
        old, place = rendering.old, None
        if old is not None and old.current:
            places = [sized(path, old.width, old.height) for path in (rendering.output, *rendering.spares)]
            place = publication.relocation.move(old, places, stamp.mtime_ns, tree.grain, leaving)
        if old is None or place is None:
            left.append(rendering)
        else:
            moved.append(Made(rendering.name, place, old.width, old.height, old.size, old.digest, adopted=True))
    return moved, left


def _leaving(job: Job) -> set[bytes]:
    """Return the places that outputs of the photo leave."""
    return {output for rendering in job.renderings if rendering.old for output in rendering.old.outputs}


def _sized(wanted: list[Rendering], photo: Photo) -> list[Rendering]:
    """Return renditions with the size in the paths that have one."""
    found = []
    for rendering in wanted:
        size = _seen_size(rendering, photo)
        output, *spares = (sized(path, *size) for path in (rendering.output, *rendering.spares))
        found.append(replace(rendering, output=output, spares=tuple(spares)))
    return found


def _is_own(tree: Tree, rendering: Rendering) -> bool:
    """Return whether any file at a rendition's place is an earlier version of it; the mark knows the default layout."""
    return tree.own and not rendering.recipe.layout


def _read(job: Job, source: Source) -> bytes:
    size = source.stamp.size
    if size > _MAX_FILE:
        raise bad_photo(f"too large a file: {size >> 20} MB, at most {_MAX_FILE >> 20} MB are read")
    if 0 < job.memory_bytes < size:
        raise Abort(NeedsMoreMemory(size))
    return source.read()


def _of_one_version(job: Job) -> Job:
    """Return the job for a photo that is known not to be the head of one version and the tail of another."""
    return replace(job, evidence=replace(job.evidence, published=None))


def _picture(
    job: Job,
    photo: Photo,
    source: Source,
    observed: Observation,
    wanted: list[Rendering],
    targets: Mapping[str, Target],
) -> Picture:
    """Decode the photo, if it is one to be decoded."""
    refuse_huge(job, photo)
    _limit(photo, wanted)
    goals = list(targets.values())
    step = scale(goals, photo.scales)
    needed = _memory(source.stamp.size, photo, goals, step)
    needed += max(extra_bytes(r.recipe, _seen_size(r, photo)) for r in wanted)
    if 0 < job.memory_bytes < needed:
        raise Abort(NeedsMoreMemory(needed))
    return decode_whole(job, photo, step, source, observed)


def _placed(job: Job, rendering: Rendering, stamp: FileSignature, digest: bytes, photo: Photo, tree: Tree) -> Rendering:
    """Return a rendition with a place where it replaces no file of others; raise Abort where there is none."""
    if _is_own(tree, rendering):
        return rendering
    size = _seen_size(rendering, photo)
    for output in (rendering.output, *rendering.spares):
        there = replace(rendering, output=output)
        if not rendering.spares or output in _leaving(job) or not is_file(job.output_root, output):
            return there
        file = open_current(job.output_root, there, stamp.mtime_ns, size, photo.channels, digest)
        if file is not None:  # made before, and not recorded
            os.close(file)
            return there
    raise bad_photo(
        f"files that watcher did not make lie at {shown(rendering.output)} and where else it could go: move them away"
    )


def _borrow(job: Job, borrowed: Borrowed, digest: bytes, wanted: list[Rendering], photo: Photo) -> None:
    """Take from photos of the same content what was made of it."""
    for duplicate in (duplicate for duplicate in job.duplicates if duplicate.digest == digest):
        for rendering in wanted:
            borrowed.look(duplicate, rendering, _seen_size(rendering, photo), photo.channels)


def _seen_size(rendering: Rendering, photo: Photo) -> tuple[int, int]:
    """Return the size in pixels of a rendition, as people see it."""
    return seen_size(rendering.recipe, photo.width, photo.height, photo.metadata.exif.orientation)


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


def _adopt(
    job: Job, stamp: FileSignature, photo: Photo, digest: bytes, wanted: list[Rendering], tree: Tree
) -> tuple[list[Made], list[Rendering]]:
    """Part `wanted` into what proves to be current and what must be made."""
    adopted, left = [], []
    for rendering in wanted:
        size = _seen_size(rendering, photo)
        outputs = (rendering.output,) if _is_own(tree, rendering) else (rendering.output, *rendering.spares)
        places = (replace(rendering, output=output) for output in outputs)
        tried = (adopt(job.output_root, at, stamp.mtime_ns, size, photo.channels, digest) for at in places)
        made = next(filter(None, tried), None)
        if made:
            adopted.append(made)
        else:
            left.append(rendering)
    return adopted, left


def _limit(photo: Photo, wanted: list[Rendering]) -> None:
    for rendering in wanted:
        if reason := too_large(rendering.recipe.format, *_seen_size(rendering, photo)):
            raise bad_photo(f"rendition {rendition_of(rendering.name)} {reason}")


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


def _copies(photo: Photo, wanted: list[Rendering]) -> Mapping[str, bytes]:
    """Return the files of those renditions that a photo is already, but for its metadata."""
    metadata, size = photo.metadata, (photo.width, photo.height)
    mode = "L" if photo.channels == 1 else "RGB"
    copies: dict[str, bytes] = {}
    for rendering in wanted:
        recipe = rendering.recipe
        if (
            recipe.small == "copy"
            and recipe.format == "jpeg"
            and _seen_size(rendering, photo) == size
            and not changes(recipe)
            and metadata.exif.orientation == 1
            and is_srgb(metadata.profile, mode)
        ):
            data = photo.with_metadata(metadata.keep(recipe.metadata, size, recipe.format, whole=True))
            if data and len(data) <= most_bytes(recipe.max_kb):
                copies[rendering.name] = data
    return copies


def _make(
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
    return [made[r.name] for r in wanted]
