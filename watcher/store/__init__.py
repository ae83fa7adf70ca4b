"""The state file: what is known of every photo, in SQLite, written by one thread of one process.

Rules and theory of operation:
- The only package that knows SQL. In the daemon one thread owns the one connection that writes (`Store`). Other
  threads and programs read through connections of their own (`Queries`) and add only requests (`ask`).
- WAL, synchronous=NORMAL: losing the last commits to a power cut costs work done twice, nothing else. Attempts must
  survive one, or a photo that takes the machine down could do so for ever: they are written with `durable`
  (synchronous=FULL).
- Paths are BLOBs: names need not be UTF-8.
- A photo's key begins with its folder and its stem (see `naming.stem_of`), so that the photos whose outputs could meet
  lie side by side. Counts are kept per folder by triggers, so that nothing counts a million rows.
- The columns of `photo` are the fields of `PhotoRecord`: a new field needs a migration and nothing else here.
- `user_version` is the schema's version; a migration and its record are one transaction, and a copy is kept first.
- A reader that may not write leaves nothing beside the file: what it made there, nobody else could write to.
- A file that SQLite calls corrupt is set aside under a new name, never deleted.
"""

from watcher.store.commands import ask
from watcher.store.faults import (
    StateBusyError,
    StateCorruptError,
    StateGoneError,
    refuse_other_file,
    unwritable,
)
from watcher.store.queries import Queries
from watcher.store.store import Store

__all__ = [
    "Queries",
    "StateBusyError",
    "StateCorruptError",
    "StateGoneError",
    "Store",
    "ask",
    "refuse_other_file",
    "unwritable",
]
