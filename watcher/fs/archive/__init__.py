"""Move or delete an original that is no longer wanted: never over another file, never unread, never partly.

Rules:
- Only the file that was read is moved or deleted. The open file's content is compared with the content that its
  renditions were made from. Then its name is changed to a hidden one in the same folder (see
  `core.selection.hidden_name`), and the file there must be the open one. Otherwise it is put back, without replacing
  anything. So a newer version that arrives in between is never touched.
- On the same file system, the original first gets its new name as a hard link, or, if there are no links, by a rename
  that replaces nothing. On another file system it is copied to a temporary file, made durable, read back and compared.
  Then it gets its name in the same way (`placing`), with everything that `cp -a` keeps (`attributes`).
- A name that is taken is not replaced: `a (1).jpg` follows `a.jpg`. Only a file of the same content and time, as an
  interrupted move leaves it, counts as moved.
- If the process is killed at any call, the original is complete in one place or in both. A hidden name that is left is
  recognized by its form: the scan reports it, and `put_back` restores the original's name.
"""

from watcher.fs.archive.attributes import Folders, KeptError
from watcher.fs.archive.taking import Taken, put_back, take_away

__all__ = ["Folders", "KeptError", "Taken", "put_back", "take_away"]
