"""One walk of an inbox, or of a folder in it: which files are photos, and their current size, date and inode.

Rules:
- Only regular files count; a symbolic link is followed neither to a file nor to a folder.
- A folder is reported in parts (`Listing`), the final one with `last`; a folder without photos gets one empty last
  part.
- `complete` is set only if every folder could be read and the inbox was the same folder before and after.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from watcher.core.messages import Entry, Listing
from watcher.core.naming import keeps_name
from watcher.core.selection import HIDDEN, PathFilter, name_of_hidden
from watcher.core.types import FileSignature
from watcher.fs.openat import folder_identity
from watcher.fs.spelling import Spelling
from watcher.text import INBOX_MISSING, shown, utf8_text

CHUNK = 1000  # photos in one part: about 200 KB
_MOST_ENDINGS = 100  # of files that are left alone; any more are counted as files without one
VANISHED = (FileNotFoundError, NotADirectoryError)


class Walk:
    """One walk: iterate over it for the parts; afterwards the attributes hold the result.

    Attributes:
        photos, folders: how many were found.
        complete: whether a file that was not found certainly does not exist; `reason` is why not.
        missing: the requested folder does not exist, though the inbox does.
        root: (st_dev, st_ino) of the inbox when the walk began; None: it was not reachable.
        left: ending → files that `include` does not take, and that are neither junk nor excluded.

    """

    def __init__(
        self,
        inbox: bytes,
        selection: PathFilter,
        folder: bytes = b"",
        *,
        deep: bool = True,
        number: int = 0,
        chunk: int = CHUNK,
    ) -> None:
        self.inbox = inbox
        self.folder = folder
        self.photos = 0
        self.folders = 0
        self.complete = False
        self.missing = False
        self.reason = ""
        self.root: tuple[int, int] | None = None
        self.left: dict[bytes, int] = {}
        self._selection = selection
        self._deep = deep
        self._number = number
        self._chunk = chunk

    def __iter__(self) -> Iterator[Listing]:
        """Walk once, and yield the parts."""
        self.root = folder_identity(self.inbox)
        if self.root is None:
            self.reason = INBOX_MISSING
            return
        self.complete = True
        self.missing = not _is_plain_folder(self.inbox, self.folder)
        waiting = [self.folder] if not self.missing and self._selection.enters(self.folder) else []
        while waiting:
            yield from self._list(waiting.pop(), waiting)
        if folder_identity(self.inbox) != self.root:
            self._spoil(f"the inbox {shown(self.inbox)} changed under the scan; it is looked at again")

    def _list(self, folder: bytes, waiting: list[bytes]) -> Iterator[Listing]:
        prefix = folder + b"/" if folder else b""
        takes = self._selection.takes_in(folder)
        entries: list[Entry] = []
        below: list[bytes] = []
        hidden: list[bytes] = []
        try:
            with os.scandir(os.path.join(self.inbox, folder) if folder else self.inbox) as found:
                for item in found:
                    name = item.name
                    try:
                        if not (takes(name) and item.is_file(follow_symlinks=False)):
                            self._pass_over(item, prefix, below, hidden)
                            continue
                        seen = item.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        self._spoil(_unreadable(self.inbox, prefix + name, error))
                        continue
                    if len(entries) >= self._chunk:
                        yield self._part(folder, entries, last=False)
                        entries = []
                    signature = FileSignature(seen.st_size, seen.st_mtime_ns, seen.st_ino)
                    entries.append(Entry(name, signature, seen.st_ctime_ns))
        except VANISHED:
            if folder:
                return  # removed during the walk; a removal of the inbox itself changes its identity
        except OSError as error:
            self._spoil(_unreadable(self.inbox, folder, error))
            return
        waiting.extend(sub for sub in reversed(below) if self._selection.enters(sub))
        self.folders += 1
        yield self._part(folder, entries, last=True, hidden=tuple(filter(name_of_hidden, hidden[: self._chunk])))

    @property
    def left_alone(self) -> tuple[tuple[str, int], ...]:
        """Return `left`, the commonest first."""
        ordered = sorted(self.left.items(), key=lambda item: (-item[1], item[0]))
        return tuple((utf8_text(ending), count) for ending, count in ordered)

    def _pass_over(self, item: os.DirEntry[bytes], prefix: bytes, below: list[bytes], hidden: list[bytes]) -> None:
        if item.name.endswith(HIDDEN):
            hidden.append(item.name)
        elif item.is_dir(follow_symlinks=False):
            if self._deep:
                below.append(prefix + item.name)
        elif item.is_file(follow_symlinks=False):
            ending = self._selection.left_alone(prefix + item.name)
            if ending is not None:
                known = ending if ending in self.left or len(self.left) < _MOST_ENDINGS else b""
                self.left[known] = self.left.get(known, 0) + 1

    def _part(self, folder: bytes, entries: list[Entry], *, last: bool, hidden: tuple[bytes, ...] = ()) -> Listing:
        self.photos += len(entries)
        entries.sort(key=lambda entry: not keeps_name(entry.name))  # the JPEG of `a.heic` must not take `a.jpg`'s name
        return Listing(self.inbox, self._number, folder, tuple(entries), last, hidden)

    def _spoil(self, reason: str) -> None:
        if self.complete:
            self.reason = reason  # only the first one is kept
        self.complete = False


def walk(inbox: bytes, selection: PathFilter, folder: bytes = b"") -> Walk:
    """Return a walk of `folder` and all below, for commands without a daemon: iterate, then read its attributes."""
    return Walk(inbox, selection, folder)


def _is_plain_folder(inbox: bytes, folder: bytes) -> bool:
    """Return whether `folder` is reached only through real folders with these exact names: a link may lead anywhere."""
    path = inbox
    for part in folder.split(b"/") if folder else ():
        path += b"/" + part
        try:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                return False
        except VANISHED:
            return False
        except OSError:
            return True  # listing it will report what is wrong
    return not folder or Spelling(inbox).is_exact(folder)


def _unreadable(inbox: bytes, folder: bytes, error: OSError) -> str:
    path = shown(os.path.join(inbox, folder) if folder else inbox)
    if error.errno == errno.ENAMETOOLONG:
        path = shown(b"%b/\xe2\x80\xa6/%b" % (inbox, folder[-40:]))
        return f"{path}: its path is longer than the system can open (4,095 bytes on Linux); move it further up"
    if isinstance(error, PermissionError):
        return f"{path} can't be read: permission denied; let this user read and enter it (chmod u+rx, or its group)"
    return f"{path} can't be read: {error.strerror or error}; check the disk or the mount"
