"""Which inbox an output folder belongs to, and whether it has lost its volume, with an empty mount point in its place.

Rules:
- The mount point is recorded, not the volume: a volume's number differs from one start of the machine to the next.
- An output has lost its volume if it is on a mount point above its previous one, and none of the folders of its
  renditions is there. An output that was emptied on purpose is still on its previous mount point. One that was moved
  for good to another disk, with its renditions, still has their folders.
"""

from __future__ import annotations

from typing import NamedTuple


class Holder(NamedTuple):
    """The inbox whose outputs are written to a tree; see `watcher.fs.output_mark`."""

    inbox: bytes  # resolved absolute path
    folder: int  # its inode number; 0: it is not there now
    state: bytes  # path of the state file
    known: bool  # outputs of this inbox in this tree are recorded in the state file


def belongs_on(before: bytes, now: bytes, *, bare: bool) -> bytes:
    """Return the mount point that an output belongs on that was on `before` and is on `now` (empty: not known).

    `bare`: none of the folders of its renditions is there.
    """
    return before if bare and now and before.startswith(now.rstrip(b"/") + b"/") else now
