"""Whether a photo is to be made: what is refused, what is waited for, what has failed, each with its reason."""

from __future__ import annotations

from watcher.core.stability import Content, Observation, required_of
from watcher.core.types import FileSignature, Job, Unready
from watcher.fs.faults import Abort, bad_photo, short
from watcher.render.decoders import describe
from watcher.render.decoders.base import Completeness, EndsEarlyError, NotWholeError, Photo, UndecodableError, has_hole
from watcher.render.kinds import named
from watcher.render.picture import Picture
from watcher.render.source import Source
from watcher.text import size

_NEVER_WRITTEN = "truncated: a part of it was never written, its copy never finished"


def describe_photo(data: bytes, stamp: FileSignature, *, young: bool) -> Photo:
    """Read a photo's header; raise the outcome of what can't be decoded, or ends within."""
    try:
        return describe(data)
    except EndsEarlyError as error:
        raise Abort(Unready(stamp, f"truncated: {_ends_early(error, len(data))}")) from None
    except UndecodableError as error:
        if young and not named(data) and (not data[0] or has_hole(data)):
            raise Abort(Unready(stamp, "zeros where data is missing: still being copied", settling=True)) from None
        raise bad_photo(str(error)) from None


def _ends_early(error: EndsEarlyError, length: int) -> str:
    if error.filled:
        return f"it ends in zeros after {percent(error.filled / length)} of {size(length)}, its copy never finished"
    if error.needed:
        return f"it ends early, after {percent(length / error.needed)} of {size(error.needed)}"
    return f"it ends inside its header, after {size(length)}"


def refuse_huge(job: Job, photo: Photo) -> None:
    """Raise the outcome of what is too large, or a bomb."""
    pixels = photo.width * photo.height
    if pixels > job.max_pixels:
        found = f"{photo.size_text} is {pixels / 1e6:.0f} megapixels"
        raise bad_photo(f"too large: {found}, max_megapixels allows {job.max_pixels / 1e6:g}")
    if refusal := photo.refusal():
        raise bad_photo(refusal)


def decode_whole(job: Job, photo: Photo, scale: int, source: Source, observed: Observation) -> Picture:
    """Decode a photo that is whole, and raise the outcome of any other and of one that may still be written."""
    try:
        decoded = photo.decode(scale)
    except NotWholeError as error:
        raise _not_whole(job, error, photo.completeness(), source, observed) from error
    except OSError as error:
        raise bad_photo(f"it can't be decoded: {short(error)}") from error
    found = photo.completeness()
    if not decoded.ended:
        _refuse(Content.NO_END_MARKER, job, observed)
    if found.hole:
        _refuse(Content.HOLE, job, observed, sparse=source.is_sparse())
    if not found.closed:
        _refuse(Content.TRAILER, job, observed)
    wait = required_of(Content.COMPLETE, job.evidence, job.stability, observed)
    if observed.changed_within(wait.seconds):
        seconds = wait.seconds - observed.unchanged
        raise Abort(Unready(source.stamp, wait.reason, settling=True, seconds=seconds))
    return Picture.whole(decoded.image, photo.width, photo.height, scale)


def _refuse(content: Content, job: Job, observed: Observation, *, sparse: bool = False) -> None:
    """Raise Abort for a photo that has not been unchanged for long enough for what was found in it."""
    wait = required_of(content, job.evidence, job.stability, observed, sparse=sparse)
    within = observed.touched_within if content is Content.HOLE else observed.changed_within
    if within(wait.seconds):
        raise Abort(Unready(observed.signature, wait.reason, settling=True))


def _not_whole(job: Job, error: NotWholeError, found: Completeness, source: Source, observed: Observation) -> Abort:
    """Return the outcome of a photo of which a part is missing."""
    stamp, length = source.stamp, source.stamp.size
    if found.filled < length:
        share = f"{percent(found.filled / length)} of {size(length)}"
        return Abort(Unready(stamp, f"truncated: it ends in zeros after {share}, its copy never finished"))
    if error.truncated:
        share = f"{percent(error.share)} of the picture, " if 0 < error.share < 1 else ""
        return Abort(Unready(stamp, f"truncated: it ends early, after {share}{size(length)}"))
    after = f" after {percent(error.share)} of the picture" if 0 < error.share < 1 else ""
    reason, sparse = f"damaged{after}: {error.reason}", source.is_sparse()
    wait = required_of(Content.DAMAGED, job.evidence, job.stability, observed, sparse=sparse)
    if observed.touched_within(wait.seconds):
        seconds = wait.seconds - observed.untouched
        return Abort(Unready(stamp, f"{reason}; {wait.reason}", settling=True, seconds=seconds))
    return Abort(Unready(stamp, _NEVER_WRITTEN)) if sparse else bad_photo(reason)


def percent(part: float) -> str:
    """Return a share for a person; neither nothing nor all of it, where some is there and some is missing."""
    return f"{min(99, max(1, round(part * 100)))} %"
