"""What the keys of a recipe may be, where that is more than a number."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Position = Literal[
    "centre", "north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"
]  # as people see the picture
Small = Literal["encode", "copy"]  # what becomes of a JPEG that is as it should be already
Sharpening = Literal["none", "low", "standard", "high"]


@dataclass(frozen=True, slots=True)
class Watermark:
    """A picture that is drawn on a rendition. Its file's content travels with each job: it is the same for all."""

    digest: str  # of the content
    position: Position
    share: float  # its width, as a share of the rendition's
    margin: float  # to the edges, as such a share too
    opacity: float
    path: str = field(compare=False)  # absolute
    content: bytes = field(compare=False, repr=False)  # a PNG file
    size: tuple[int, int] = field(compare=False)  # pixels

    def __str__(self) -> str:
        """Return what a person wants to know of it."""
        return f"{self.path} ({self.position}, {self.share:.0%} wide, opacity {self.opacity:.0%})"


def most_bytes(max_kb: int) -> float:
    """Return the size that a file should not exceed."""
    return max_kb * 1000 or math.inf
