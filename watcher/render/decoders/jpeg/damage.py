"""Is a JPEG whole? What its bytes say before it is decoded.

A photo is whole when every block of its picture was decoded from data of its own. That is known once it is decoded
(`native`, `feed`). Some of it shows before: restart markers that are missing or out of order (`scans`), and damage
that leaves marks of its own, long runs of zeros or of 0xFF, which libjpeg decodes without complaint, into grey.

A copy that reserves its space first (`rsync --preallocate`, SMB, parallel downloads) leaves zeros where data is still
missing. So for a while zeros are no damage: the copy may not be over.
"""

from __future__ import annotations

import re

from watcher.render.decoders.base import NotWholeError
from watcher.render.decoders.jpeg.markers import EOI, MAX_SCANS, Header
from watcher.render.decoders.jpeg.scans import Layout, Run, all_there, lay_out, trailer_in

_ZEROS = bytes(256)  # ten blocks of which each coefficient is -1, where zeros do not mean an empty block
_ONES = b"\xff" * 256  # fill bytes, where no marker follows
_SOME_ZEROS = re.compile(rb"\0{8,}")  # more than chance has
_SHORT = 64  # bytes of these that are enough in files that are searched as a whole
_LARGE = 2_000_000  # bytes of a file in which the search would show
_STRIDE = 64  # of the bytes that are looked at first: four of them lie in each such run
_MARKER = 8  # bytes: a restart marker and its fill bytes
# As the native decoder says it.
SURPLUS, RESTART, EARLY_MARKER = "data left over", "a restart marker out of order", "a marker where none belongs"


def refuse_damage(layout: Layout, header: Header) -> None:
    """Raise NotWholeError where scans are missing, or restart markers are not those that belong to them."""
    for number, scan in enumerate(layout.scans):
        share = 0.0 if number else scan.share(scan.misplaced if scan.misplaced >= 0 else len(scan.runs) - 1)
        if scan.misplaced >= 0:
            raise NotWholeError(share, RESTART, truncated=False)
        if len(scan.runs) < scan.expected:
            cut = layout.cut and scan is layout.scans[-1]
            raise NotWholeError(share, reason_after(layout, scan.runs[-1]), truncated=cut)
        if len(scan.runs) > scan.expected:
            raise NotWholeError(0.0, SURPLUS, truncated=False)
    if not layout.ended and not all_there(layout, header):
        raise NotWholeError(0.0, "scans are missing", truncated=layout.cut)
    if {i for scan in layout.scans for i in scan.components} < set(header.ids):
        raise NotWholeError(0.0, "scans are missing", truncated=False)


def reason_after(layout: Layout, run: Run) -> str:
    """Return what comes behind a run whose blocks are not all there."""
    if run is not layout.scans[-1].runs[-1]:
        return RESTART if run.resume - run.end <= _MARKER else EARLY_MARKER
    if layout.cut:
        return "its data ends early"
    return "its end marker comes early" if layout.ended else EARLY_MARKER


def refuse_runs(data: bytes, header: Header) -> None:
    """Raise NotWholeError for long runs of one byte that no encoder writes."""
    sampled = data[header.scan :: _STRIDE] if len(data) >= _LARGE else b""
    for run, what in ((_ZEROS, "zeros"), (_ONES, "bytes of 0xFF")):
        if len(data) < _LARGE:
            at = data.find(run[:_SHORT], header.scan)
        else:
            at = data.find(run, header.scan) if run[:4] in sampled else -1
        if at >= 0 and run is _ZEROS and may_be_zeros(header):
            at = zeros_in_refinement(data, header) if header.progressive else -1
        if at < 0:
            continue
        if data.find(EOI, header.scan, at) >= 0 or trailer_in(data, header.scan, at) >= 0:
            continue  # behind the end it is none of the picture's
        end = data.find(EOI, at)
        if data[at : end if end >= 0 else len(data)].strip(run[:1]):
            share = (at - header.scan) / ((end if end >= 0 else len(data)) - header.scan)
            raise NotWholeError(share, f"{what} where data is missing", truncated=False)


def zeros_in_refinement(data: bytes, header: Header) -> int:
    """Return where a scan that refines a progressive photo has the only zeros of their length; -1: none has.

    Libjpeg takes them for bits of coefficients, which are as good as random in a photo. Patterns that are drawn may
    have them in many places, each of up to a thousand bits, which encoders write at a time. Zeros in the bits of
    averages are what flat parts have: there a hole is not told, and changes brightness by a step.
    """
    refined = set[tuple[int, int]]()
    for scan in lay_out(data, header, MAX_SCANS).scans:
        first, start, end = scan.band[0], scan.runs[0].start, scan.runs[-1].end
        coefficients = {(component, first) for component in scan.components}
        if first and coefficients <= refined:
            found = [(match.start(), len(match[0])) for match in _SOME_ZEROS.finditer(data, start, end)]
            if len(found) == 1 and _SHORT <= found[0][1] < (end - start) // 8:
                return found[0][0]
        refined |= coefficients
    return -1


def may_be_zeros(header: Header) -> bool:
    """Return whether zeros may be flat picture: in all Huffman tables the code of zeros stands for "nothing here".

    Optimised tables often are so, the standard's own are not. Nor can it be told of progressive or arithmetic coding.
    """
    if header.progressive or header.arithmetic:
        return True
    tables, at, firsts = header.tables, 0, []
    while at + 4 <= len(tables):
        end = at + 2 + int.from_bytes(tables[at + 2 : at + 4], "big")
        if tables[at + 1] == 0xC4:  # noqa: PLR2004 - DHT
            body, inner = tables[at + 4 : end], 0
            while inner + 17 < len(body):
                firsts.append(body[inner + 17])
                inner += 17 + sum(body[inner + 1 : inner + 17])
        at = end
    return bool(firsts) and not any(firsts)
