"""Whether a photo is to be made: what is refused, what is waited for, what has failed, each with its reason."""

from __future__ import annotations

from watcher.core.stability import StabilityPolicy
from watcher.core.types import FileSignature, Job, Unready
from watcher.fs.faults import Abort, bad_photo, short
from watcher.render.completeness import NotWholeError, filled, has_hole, hole_in
from watcher.render.jpeg import EOI, MAX_SCANS, EndsEarlyError, Header, NotJpegError, parse, size_text
from watcher.render.kinds import named
from watcher.render.native import State
from watcher.render.picture import Picture, decode
from watcher.render.scans import lay_out
from watcher.render.source import Source
from watcher.render.writers import REWRITE_SECONDS, Rest, doubt, mixed_perhaps, more_may_follow

_TAIL = 8  # zeros at the end that can't be entropy-coded data any more
_NO_END = "its end marker is missing: still being copied?"
_HOLE = "it has a long run of zeros inside: a part may still be missing"
_NEVER_WRITTEN = "truncated: a part of it was never written, its copy never finished"
_UNTOLD = "it has the size of what was there before, and may be of both: an overwrite that is not over?"
_OVERWRITE = "or the head of one photo before the tail of another: an overwrite that is not over?"


def parse_photo(data: bytes, stamp: FileSignature, *, young: bool) -> Header:
    """Read a photo's header; raise the verdict on what is no JPEG, or ends within."""
    try:
        return parse(data)
    except EndsEarlyError:
        raise Abort(Unready(stamp, f"truncated: it ends inside its header, after {size_of(len(data))}")) from None
    except NotJpegError as error:
        if young and not named(data) and (not data[0] or has_hole(data)):
            raise Abort(Unready(stamp, "zeros where data is missing: still being copied", settling=True)) from None
        raise bad_photo(str(error)) from None


def refuse_huge(job: Job, data: bytes, header: Header) -> None:
    """Raise the verdict on what is too large, or a bomb."""
    pixels = header.width * header.height
    if pixels > job.max_pixels:
        size = f"{size_text(header)} is {pixels / 1e6:.0f} megapixels"
        raise bad_photo(f"too large: {size}, max_megapixels allows {job.max_pixels / 1e6:g}")
    if (header.progressive or not header.interleaved) and len(lay_out(data, header, MAX_SCANS).scans) > MAX_SCANS:
        raise bad_photo(f"more than {MAX_SCANS} scans: no camera writes that, and it would take very long to decode")


def decode_whole(job: Job, data: bytes, header: Header, scale: int, source: Source, rest: Rest) -> Picture:
    """Decode a photo that is whole, and raise the verdict on any other and on what more may come of."""
    stamp, patience = source.stamp, job.patience
    try:
        picture = decode(data, header, scale)
    except NotWholeError as error:
        raise _not_whole(data, header, error, source, patience, rest) from error
    except OSError as error:
        bytes(header.coefficient_bytes)  # libjpeg can't say that memory was short: this raises MemoryError if it is
        raise bad_photo(f"it can't be decoded: {short(error)}") from error
    if not picture.ended and rest.within(doubt(patience, rest)):
        raise Abort(Unready(stamp, _NO_END, settling=True))
    if hole_in(data, header) and rest.within(doubt(patience, rest, sparse=source.is_sparse())):
        raise Abort(Unready(stamp, _HOLE, settling=True))
    if more_may_follow(patience, rest) and not data.endswith(EOI):
        raise Abort(Unready(stamp, "somebody has it open, and more may follow behind its end", settling=True))
    _refuse_mixed(patience, stamp, rest)
    return picture


def _refuse_mixed(patience: StabilityPolicy, stamp: FileSignature, rest: Rest) -> None:
    """Raise the verdict on a whole photo that may be the head of one version before the tail of another.

    They may fit by chance. Where nobody says that it is over, only stillness can.
    """
    untold = patience.rewritten and rest.writer is None and patience.quiet > 0
    if untold and mixed_perhaps(patience, stamp.size) and rest.within(REWRITE_SECONDS):
        raise Abort(Unready(stamp, _UNTOLD, settling=True, seconds=REWRITE_SECONDS - rest.still))


def _not_whole(
    data: bytes, header: Header, error: NotWholeError, source: Source, patience: StabilityPolicy, rest: Rest
) -> Abort:
    """Give the verdict on a photo of which a part is not there."""
    stamp, there = source.stamp, filled(data)
    if len(data) - there >= _TAIL and data.find(EOI, header.scan, there) < 0:
        share = f"{percent(there / len(data))} of {size_of(len(data))}"
        return Abort(Unready(stamp, f"truncated: it ends in zeros after {share}, its copy never finished"))
    if error.state is State.TRUNCATED:
        share = f"{percent(error.share)} of the picture, " if 0 < error.share < 1 else ""
        return Abort(Unready(stamp, f"truncated: it ends early, after {share}{size_of(len(data))}"))
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
