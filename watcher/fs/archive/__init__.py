"""An original is moved or deleted once it is wanted no more: never over another file, never unread, never half.

Rules:
- What goes is what was read: the open file's content is compared with what its renditions were made of. Then its name
  is renamed to a hidden one in the same folder (see `select.hidden_name`), and what lies there must be that very file.
  Otherwise it is put back, over nothing. So a newer version that comes in between is never touched.
- On one file system the original gets its new name first (a hard link), where there are no links by a rename that
  replaces nothing. Elsewhere it is copied to a temporary file, made durable, read back and compared, and given its
  name in the same way (`placing`), with all that `cp -a` keeps (`attributes`).
- A name that is taken is left to whoever has it: `a (1).jpg` follows `a.jpg`. Only the same content with the same time,
  as an interrupted move leaves it, is as good as moved.
- Killed at any call, the original is in one place or in both, complete. A hidden name that is left is known by what it
  looks like: the scan reports it, and `put_back` gives the original its name again.
"""

from watcher.fs.archive.attributes import Folders, KeptError
from watcher.fs.archive.taking import Taken, put_back, take_away

__all__ = ["Folders", "KeptError", "Taken", "put_back", "take_away"]
