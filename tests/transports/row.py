"""A row of the table: what became of the photos on one road, and what it may be at most."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.transports.road import Kind, Road

HEAD = (
    *("road", "arrival", "lost", "duplicates", "half", "made again"),
    *("to visible: median", "worst", "render", "abandoned", "resumed", "two at once"),
)
_ABOVE = 0.3  # seconds above the render time (and the quiet time, where the daemon has to wait for it)


@dataclass
class Row:
    """Figures of one road; the lists name the photos."""

    road: type[Road]
    form: str = "JPEG"  # of the photos
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    again: dict[str, int] = field(default_factory=dict)  # photo -> how often more than once
    seconds: list[float] = field(default_factory=list)  # from the last byte to the last rendition, of each photo
    renders: list[float] = field(default_factory=list)  # in the worker, of the same photos
    abandoned: str = ""
    resumed: str = ""
    contested: str = ""
    wrong: list[str] = field(default_factory=list)  # whatever else must not be
    wait: float = 0.0  # seconds that the daemon has to wait for silence on this road, and for its next scan
    closes: float = 0.0  # how often the final name was closed after writing, per photo: what `kind` claims

    @property
    def above(self) -> float:
        """Median of what a photo took above its render time, in seconds."""
        return statistics.median(a - b for a, b in zip(self.seconds, self.renders, strict=True))

    @property
    def allowed(self) -> float:
        return _ABOVE + (0.0 if self.road.kind in {Kind.RENAMES, Kind.CLOSES} else self.wait)

    def faults(self) -> list[str]:
        """Say what a road must never do; times are left out, which depend on the machine."""
        most = 1 if self.road.kind in {Kind.REOPENS, Kind.SCANNED} else 0
        found = [f"{what}: {names}" for what in ("lost", "doubled", "half") if (names := getattr(self, what))]
        found += [f"made again {n} times: {name}" for name, n in self.again.items() if n > most]
        return found + self.wrong

    def cells(self) -> list[str]:
        late = "" if self.above <= self.allowed else f" (**{self.above - self.allowed:+.2f}**)"
        return [
            self.road.name if self.form == "JPEG" else f"{self.road.name}: {self.form.replace('HEIF', 'HEIC')}",
            str(self.road.kind),
            *(str(len(names)) for names in (self.lost, self.doubled, self.half)),
            str(sum(self.again.values())),
            f"{statistics.median(self.seconds):.2f}{late}",
            f"{max(self.seconds):.2f}",
            f"{statistics.median(self.renders):.2f}",
            self.abandoned,
            self.resumed,
            self.contested,
        ]


def markdown(rows: Sequence[Row]) -> str:
    """Lay the table out."""
    lines = [HEAD, ("---",) * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
