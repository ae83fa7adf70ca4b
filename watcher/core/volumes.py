"""To whom an output folder belongs, and whether it has lost its volume, and an empty mount point stands in.

Rules:
- A mount point is remembered and not the volume: its number differs from one start of the machine to the next.
- An output has lost its volume where it lies on a mount point above the one that it was on, and none of the folders of
  its renditions is there. One that was emptied on purpose lies where it lay; one that was moved to another disk for
  good, with its renditions, has them.
"""

from __future__ import annotations

from typing import NamedTuple


class Holder(NamedTuple):
    """Whose outputs are written to a tree; see `watcher.fs.output_mark`."""

    inbox: bytes  # resolved absolute path
    folder: int  # its inode number; 0: it is not there now
    state: bytes  # path of the state file
    known: bool  # the state file knows outputs of this inbox in this tree


def belongs_on(before: bytes, now: bytes, *, bare: bool) -> bytes:
    """Tell on which mount point an output belongs that was on `before` and is on `now` (empty: not known).

    `bare`: none of the folders of its renditions is there.
    """
    return before if bare and now and before.startswith(now.rstrip(b"/") + b"/") else now
