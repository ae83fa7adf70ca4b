"""Whether a photo is to be made: what is refused, what is waited for, what has failed, each with its reason."""

from __future__ import annotations

from watcher.core.stability import StabilityPolicy
from watcher.core.types import FileSignature, Job, Unready
from watcher.fs.faults import Abort, bad_photo, short
from watcher.render.decoders import describe
from watcher.render.decoders.base import Completeness, EndsEarlyError, NotWholeError, Photo, UndecodableError, has_hole
from watcher.render.kinds import named
from watcher.render.picture import Picture
from watcher.render.source import Source
from watcher.render.writers import REWRITE_SECONDS, Rest, doubt, mixed_perhaps, more_may_follow

_NO_END = "its end marker is missing: still being copied?"
_HOLE = "it has a long run of zeros inside: a part may still be missing"
_NEVER_WRITTEN = "truncated: a part of it was never written, its copy never finished"
_UNTOLD = "it has the size of what was there before, and may be of both: an overwrite that is not over?"
_OVERWRITE = "or the head of one photo before the tail of another: an overwrite that is not over?"


def describe_photo(data: bytes, stamp: FileSignature, *, young: bool) -> Photo:
    """Read a photo's header; raise the outcome of what can't be decoded, or ends within."""
    try:
        return describe(data)
    except EndsEarlyError:
        raise Abort(Unready(stamp, f"truncated: it ends inside its header, after {size_of(len(data))}")) from None
    except UndecodableError as error:
        if young and not named(data) and (not data[0] or has_hole(data)):
            raise Abort(Unready(stamp, "zeros where data is missing: still being copied", settling=True)) from None
        raise bad_photo(str(error)) from None


def refuse_huge(job: Job, photo: Photo) -> None:
    """Raise the outcome of what is too large, or a bomb."""
    pixels = photo.width * photo.height
    if pixels > job.max_pixels:
        size = f"{photo.size_text} is {pixels / 1e6:.0f} megapixels"
        raise bad_photo(f"too large: {size}, max_megapixels allows {job.max_pixels / 1e6:g}")
    if refusal := photo.refusal():
        raise bad_photo(refusal)


def decode_whole(job: Job, photo: Photo, scale: int, source: Source, rest: Rest) -> Picture:
    """Decode a photo that is whole, and raise the outcome of any other and of one that may still be written."""
    stamp, patience = source.stamp, job.patience
    try:
        decoded = photo.decode(scale)
    except NotWholeError as error:
        raise _not_whole(error, photo.completeness(), source, patience, rest) from error
    except OSError as error:
        raise bad_photo(f"it can't be decoded: {short(error)}") from error
    found = photo.completeness()
    if not decoded.ended and rest.within(doubt(patience, rest)):
        raise Abort(Unready(stamp, _NO_END, settling=True))
    if found.hole and rest.within(doubt(patience, rest, sparse=source.is_sparse())):
        raise Abort(Unready(stamp, _HOLE, settling=True))
    if more_may_follow(patience, rest) and not found.closed:
        raise Abort(Unready(stamp, "somebody has it open, and more may follow behind its end", settling=True))
    _refuse_mixed(patience, stamp, rest)
    return Picture.whole(decoded.image, photo.width, photo.height, scale)


def _refuse_mixed(patience: StabilityPolicy, stamp: FileSignature, rest: Rest) -> None:
    """Raise the verdict on a whole photo that may be the head of one version before the tail of another.

    They may fit by chance. Where nobody says that it is over, only stillness can.
    """
    untold = patience.rewritten and rest.writer is None and patience.quiet > 0
    if untold and mixed_perhaps(patience, stamp.size) and rest.within(REWRITE_SECONDS):
        raise Abort(Unready(stamp, _UNTOLD, settling=True, seconds=REWRITE_SECONDS - rest.still))


def _not_whole(
    error: NotWholeError, found: Completeness, source: Source, patience: StabilityPolicy, rest: Rest
) -> Abort:
    """Return the outcome of a photo of which a part is missing."""
    stamp, size = source.stamp, source.stamp.size
    if found.filled < size:
        share = f"{percent(found.filled / size)} of {size_of(size)}"
        return Abort(Unready(stamp, f"truncated: it ends in zeros after {share}, its copy never finished"))
    if error.truncated:
        share = f"{percent(error.share)} of the picture, " if 0 < error.share < 1 else ""
        return Abort(Unready(stamp, f"truncated: it ends early, after {share}{size_of(size)}"))
    after = f" after {percent(error.share)} of the picture" if 0 < error.share < 1 else ""
    reason, sparse = f"damaged{after}: {error.reason}", source.is_sparse()
    mixed = mixed_perhaps(patience, stamp.size)
    wait = REWRITE_SECONDS if mixed else doubt(patience, rest, sparse=sparse)
    if rest.within(wait):
        doubts = _OVERWRITE if mixed else "or still being copied"
        return Abort(Unready(stamp, f"{reason}; {doubts}", settling=True, seconds=wait - rest.still))
    return Abort(Unready(stamp, _NEVER_WRITTEN)) if sparse else bad_photo(reason)


def percent(part: float) -> str:
    """Give a share for a person; neither nothing nor all of it, where some is there and some is missing."""
    return f"{min(99, max(1, round(part * 100)))} %"


def size_of(count: int) -> str:
    """Give a number of bytes for a person."""
    if count < 1000:  # noqa: PLR2004 - a kilobyte
        return f"{count} bytes"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"  # noqa: PLR2004 - a megabyte
