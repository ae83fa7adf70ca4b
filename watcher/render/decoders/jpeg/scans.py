"""The entropy-coded data of a JPEG by its markers: its scans, what stands between restart markers, and its end.

Nothing is decoded here. But restart markers can be counted: the frame header tells how many belong to each scan.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from watcher.render.decoders.base import EndsEarlyError
from watcher.render.decoders.jpeg.markers import EOI, SOS, Header, next_marker, segment_end

_MARKER = re.compile(rb"\xff[^\x00]")  # within entropy-coded data
_FILL = re.compile(rb"\xff*")
_RESTARTS = range(0xD0, 0xD8)
_SKIPPED = frozenset({*range(0xE0, 0xF0), 0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xFE})  # what may stand between two scans
_INTERVAL = 0xDD
NO_MARKER = -1
_TRAILER = re.compile(rb"\0\0.\x0a[\x04-\x40]\0\0\0[A-Za-z]|\0\0\0[\x10-\x40]ftyp|SEFH", re.DOTALL)
_TAIL = 8  # zeros at the end that can't be entropy-coded data any more


@dataclass(frozen=True, slots=True)
class Run:
    """Entropy-coded data without a marker, as offsets; what follows, up to `resume`, is no such data."""

    start: int
    end: int
    resume: int


@dataclass(slots=True)
class Scan:
    """One scan, parted at its restart markers."""

    mcus: int  # how many minimum coded units it has by the frame header
    interval: int  # how many of them lie between two restart markers; 0: it has none
    components: tuple[int, ...]
    blocks: int  # how many blocks each of these has
    band: tuple[int, int, int] = (0, 63, 0)  # first and last coefficient, and how many of their low bits are left out
    runs: list[Run] = field(default_factory=list)
    misplaced: int = -1  # the first run that the wrong restart marker stands before

    @property
    def single(self) -> bool:
        """Return whether its minimum coded unit is a single block."""
        return self.blocks == 1

    @property
    def smallest(self) -> int:
        """Return how many bytes are less than a minimum coded unit: a block takes four bits at the least.

        One byte always is, although some grey blocks would fit: an encoder that writes one too many is more likely.
        """
        return max(1, (self.blocks * 4 - 1) // 8)

    @property
    def expected(self) -> int:
        """Return how many runs it has to have."""
        return -(-self.mcus // self.interval) if self.interval else 1

    def share(self, run: int) -> float:
        """Return which part of it lies before a run."""
        return min(1.0, run * self.interval / self.mcus)


@dataclass(slots=True)
class Layout:
    """All scans of the primary picture."""

    scans: list[Scan]
    stop: int  # offset of the marker that ends the last one, or of the end of the data
    marker: int  # which one that is: its second byte; NO_MARKER: the data ends there

    @property
    def ended(self) -> bool:
        """Return whether the end marker follows."""
        return self.marker == EOI[1]

    @property
    def cut(self) -> bool:
        """Return whether the data ends where more of the picture, or its end marker, belongs."""
        return self.marker == NO_MARKER

    def at(self, stop: int, marker: int = NO_MARKER) -> Layout:
        """Return the same with the last run ending at `stop`, before `marker`."""
        last = self.scans[-1]
        runs = [*last.runs[:-1], Run(last.runs[-1].start, stop, stop)]
        return Layout([*self.scans[:-1], replace(last, runs=runs)], stop, marker)


def lay_out(data: bytes, header: Header, most: int) -> Layout:
    """Find the scans of the picture that begins at `header.scan`; stop after `most` of them."""
    layout = Layout([], len(data), NO_MARKER)
    sos, at, interval = header.sos, header.scan, header.interval
    seen: set[int] = set()
    while True:
        scan = _scan(header, sos, interval)
        layout.scans.append(scan)
        layout.stop, layout.marker = _runs(data, at, scan)
        seen.update(scan.components)
        over = not header.progressive and len(seen) >= header.components
        if layout.marker in {NO_MARKER, EOI[1]} or over or len(layout.scans) > most:
            return layout
        found = _to_next_scan(data, layout, interval)
        if found is None:
            return layout
        sos, at, interval = found
        last = scan.runs[-1]
        scan.runs[-1] = Run(last.start, last.end, at)


def all_there(layout: Layout, header: Header) -> bool:
    """Return whether the scans give each coefficient of each component to its last bit."""
    missing = {(component, k) for component in header.ids for k in range(64)}
    for scan in layout.scans:
        first, last, low = scan.band
        if not low:
            missing.difference_update((component, k) for component in scan.components for k in range(first, last + 1))
    return not missing


def trailer_of(data: bytes, layout: Layout) -> int:
    """Return where a maker's trailer begins within the last run, as behind panoramas without an end; -1: none does."""
    run = layout.scans[-1].runs[-1]
    return trailer_in(data, run.start, run.end)


def trailer_in(data: bytes, start: int, end: int) -> int:
    """Return where a maker's trailer begins between two offsets; -1: none does."""
    found = _TRAILER.search(data, start, end)
    return found.start() if found else -1


def without_zeros(data: bytes, layout: Layout) -> Layout:
    """Return the layout without the zeros that the data ends in: space of a copy that never finished."""
    run = layout.scans[-1].runs[-1]
    end = max(run.start, len(data[run.start : run.end].rstrip(b"\0")) + run.start)
    return layout.at(end) if layout.cut and run.end - end >= _TAIL else layout


_STUFFED = 4  # bytes 0xFF, each with a zero behind it, that a picture may end in


def padded(data: bytes, layout: Layout) -> list[int]:
    """Return where the last run may end but for padding: zeros, 0xFF, and bytes too few for a unit of the picture."""
    scan = layout.scans[-1]
    run = scan.runs[-1]
    end = run.start + len(data[run.start : run.end].rstrip(b"\0\xff"))
    ends = [*range(end, max(run.start, end - scan.smallest) - 1, -1)]
    while data[end : end + 2] == b"\xff\0" and end + 2 <= run.end:  # the picture's own last byte, or padding as well
        end += 2
        ends.insert(0, end)
        if len(ends) > scan.smallest + _STUFFED:
            break
    return [at for at in ends if at > run.start]


def _scan(header: Header, sos: bytes, interval: int) -> Scan:
    """Read a scan's header."""
    ids = tuple(sos[1 : 1 + 2 * sos[0] : 2]) if sos else ()
    factors = [header.sampling[header.ids.index(i)] for i in ids if i in header.ids] or list(header.sampling)
    across, down = max(h for h, _ in header.sampling), max(v for _, v in header.sampling)
    if len(factors) == 1:
        h, v = factors[0]
        columns, rows = -(-header.width * h // across), -(-header.height * v // down)
        mcus = -(-columns // 8) * -(-rows // 8)
    else:
        mcus = -(-header.width // (8 * across)) * -(-header.height // (8 * down))
    at = 1 + 2 * len(ids)
    band = (sos[at], sos[at + 1], sos[at + 2] & 15) if header.progressive and len(sos) >= at + 3 else (0, 63, 0)
    blocks = 1 if len(factors) == 1 else sum(h * v for h, v in factors)
    return Scan(mcus, interval, ids, blocks, band)


def _runs(data: bytes, at: int, scan: Scan) -> tuple[int, int]:
    """Part a scan's data at its restart markers; return where it ends, and the marker there."""
    while True:
        end, marker, after = _next(data, at)
        scan.runs.append(Run(at, end, after if marker in _RESTARTS else end))
        if not scan.interval or marker not in _RESTARTS:
            break
        if marker != 0xD0 + (len(scan.runs) - 1) % 8 and scan.misplaced < 0:
            scan.misplaced = len(scan.runs)
        at = after
    spare = scan.runs[scan.expected :]
    if len(spare) == 1 and spare[0].end - spare[0].start <= 1:  # some write one behind the last run too
        del scan.runs[scan.expected :]
    return end, marker


def _next(data: bytes, at: int) -> tuple[int, int, int]:
    """Find the next marker within entropy-coded data: where it begins, its second byte, where it is over."""
    while True:
        found = _MARKER.search(data, at)
        if found is None:
            end = len(data) - data.endswith(b"\xff", at)
            return end, NO_MARKER, len(data)
        filled = _FILL.match(data, found.start())
        after = filled.end() if filled else found.end()
        if after >= len(data):
            return found.start(), NO_MARKER, len(data)
        if data[after]:
            return found.start(), data[after], after + 1
        at = after + 1  # fill bytes before a stuffed byte: decoders take it for one


def _to_next_scan(data: bytes, layout: Layout, interval: int) -> tuple[bytes, int, int] | None:
    """Walk the segments between two scans: the next scan's header, where its data begins, its restart interval."""
    at = layout.stop
    try:
        while True:
            layout.marker, at = next_marker(data, at)
            if layout.marker not in _SKIPPED and layout.marker != SOS[1]:
                return None
            end = segment_end(data, at)
            if layout.marker == _INTERVAL:
                interval = int.from_bytes(data[at + 2 : at + 4], "big")
            if layout.marker == SOS[1]:
                return data[at + 2 : end], end, interval
            at = end
    except EndsEarlyError:
        layout.marker = NO_MARKER
        return None
