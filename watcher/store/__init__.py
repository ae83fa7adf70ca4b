"""The state file: what is known of every photo, in SQLite, written by one thread of one process.

Rules and theory of operation:
- The only room that knows SQL. In the daemon one thread owns the one connection that writes; `status` reads beside it,
  and other processes add nothing but requests (see `requests`).
- WAL, synchronous=NORMAL: losing the last commits to a power cut costs work done twice, nothing else. Attempts must
  survive one, or a photo that takes the machine down could do so for ever: they are written with `durable`
  (synchronous=FULL).
- Paths are BLOBs: names need not be UTF-8.
- A photo's key begins with its folder and its stem (see `plan.stem_of`), so that the photos whose outputs could meet
  lie side by side. Counts are kept per folder by triggers, so that nothing counts a million rows.
- `user_version` is the schema's version; a migration and its record are one transaction, and a copy is kept first.
- A file that SQLite calls corrupt is set aside under a new name, never deleted.
"""

from watcher.store.commands import ask
from watcher.store.pages import PageReader as Reader
from watcher.store.queries import Gallery, took
from watcher.store.rows import Brief, Counts
from watcher.store.schema import StateBusyError, StateCorruptError, StateGoneError
from watcher.store.strangers import refuse_stranger
from watcher.store.writing import State

__all__ = [
    "Brief",
    "Counts",
    "Gallery",
    "Reader",
    "State",
    "StateBusyError",
    "StateCorruptError",
    "StateGoneError",
    "ask",
    "refuse_stranger",
    "took",
]
