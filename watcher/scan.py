"""The walk of an inbox: which files are photos, and what they look like now.

Rules:
- Only regular files count; a symbolic link is followed neither to a file nor to a folder.
- A folder is told in parts (`Listing`), the final one with `last`; a folder without photos gets one empty last part.
- `complete` is claimed only if every folder could be read and the inbox was the same folder before and after.
- A `Scanner` is one thread per inbox, so that a mount that hangs holds up nobody else. It keeps at most `outstanding`
  parts unanswered, and lets requests for single folders overtake a walk of the whole inbox.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from watcher.model import Entry, Gone, Listing, Origin, ScanDone
from watcher.select import Selection, shown

CHUNK = 1000  # photos in one part: some 200 KB
OUTSTANDING = 4
_STOP_SECONDS = 0.5  # how long `close` waits for the thread; it is a daemon thread, so that a hung one ends with us
_VANISHED = (FileNotFoundError, NotADirectoryError)


def root_identity(inbox: bytes) -> tuple[int, int] | None:
    """Give the (st_dev, st_ino) of the folder at `inbox`, or None while no folder can be reached there. May block."""
    try:
        found = os.stat(inbox)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


class Walk:
    """One walk: iterate over it for the parts; afterwards the attributes tell how it went.

    Attributes:
        photos, folders: how many were found.
        complete: whether absence means something; `reason` says why not.
        missing: the folder that was asked for is not there, though the inbox is.
        root: (st_dev, st_ino) of the inbox when the walk began; None: it was not reachable.

    """

    def __init__(
        self,
        inbox: bytes,
        selection: Selection,
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
        self._selection = selection
        self._deep = deep
        self._number = number
        self._chunk = chunk

    def __iter__(self) -> Iterator[Listing]:
        """Walk, once."""
        self.root = root_identity(self.inbox)
        if self.root is None:
            self.reason = f"the inbox {shown(self.inbox)} is not there; mount it or make it again"
            return
        self.complete = True
        self.missing = not _is_plain_folder(self.inbox, self.folder)
        waiting = [self.folder] if not self.missing and self._selection.enters(self.folder) else []
        while waiting:
            yield from self._list(waiting.pop(), waiting)
        if root_identity(self.inbox) != self.root:
            self._spoil(f"the inbox {shown(self.inbox)} changed under the scan; it is looked at again")

    def _list(self, folder: bytes, waiting: list[bytes]) -> Iterator[Listing]:
        prefix = folder + b"/" if folder else b""
        takes = self._selection.takes_in(folder)
        entries: list[Entry] = []
        below: list[bytes] = []
        try:
            with os.scandir(os.path.join(self.inbox, folder) if folder else self.inbox) as found:
                for item in found:
                    name = item.name
                    try:
                        if takes(name) and item.is_file(follow_symlinks=False):
                            seen = item.stat(follow_symlinks=False)
                        else:
                            if self._deep and item.is_dir(follow_symlinks=False):
                                below.append(prefix + name)
                            continue
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        self._spoil(_unreadable(self.inbox, prefix + name, error))
                        continue
                    if len(entries) >= self._chunk:
                        yield self._part(folder, entries, last=False)
                        entries = []
                    entries.append(Entry(name, seen.st_size, seen.st_mtime_ns, seen.st_ino))
        except _VANISHED:
            if folder:
                return  # went away under the walk; whoever removes the inbox itself changes its identity
        except OSError as error:
            self._spoil(_unreadable(self.inbox, folder, error))
            return
        waiting.extend(sub for sub in reversed(below) if self._selection.enters(sub))
        self.folders += 1
        yield self._part(folder, entries, last=True)

    def _part(self, folder: bytes, entries: list[Entry], *, last: bool) -> Listing:
        self.photos += len(entries)
        return Listing(self.inbox, self._number, folder, tuple(entries), last)

    def _spoil(self, reason: str) -> None:
        if self.complete:
            self.reason = reason  # the first one stands for all
        self.complete = False


def walk(inbox: bytes, selection: Selection, folder: bytes = b"") -> Walk:
    """Give a walk of `folder` and all below, for commands without a daemon: iterate, then ask it how it went."""
    return Walk(inbox, selection, folder)


def _is_plain_folder(inbox: bytes, folder: bytes) -> bool:
    """Tell whether `folder` is reached through real folders only: a symbolic link on the way may lead anywhere."""
    path = inbox
    for part in folder.split(b"/") if folder else ():
        path += b"/" + part
        try:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                return False
        except _VANISHED:
            return False
        except OSError:
            return True  # listing it will say what is wrong
    return True


def _unreadable(inbox: bytes, folder: bytes, error: OSError) -> str:
    path = shown(os.path.join(inbox, folder) if folder else inbox)
    if isinstance(error, PermissionError):
        return f"{path} can't be read: permission denied; let this user read and enter it (chmod u+rx, or its group)"
    return f"{path} can't be read: {error.strerror or error}; check the disk or the mount"


class _Request(NamedTuple):
    scan: int
    origin: Origin
    folder: bytes
    deep: bool


class Scanner:
    """The thread that walks one inbox on request and answers by message.

    Args:
        inbox: resolved absolute path.
        selection: what counts as a photo.
        post: takes the messages, on the scanner's thread; must not block.
        chunk: photos in one Listing at most.
        outstanding: unanswered Listings at most; then the walk waits for `ack`.

    Each request that is neither swallowed nor cut off by `close` is answered by exactly one ScanDone.

    """

    def __init__(
        self,
        inbox: bytes,
        selection: Selection,
        post: Callable[[Listing | ScanDone | Gone], None],
        *,
        chunk: int = CHUNK,
        outstanding: int = OUTSTANDING,
    ) -> None:
        self._inbox = inbox
        self._selection = selection
        self._post = post
        self._chunk = chunk
        self._outstanding = outstanding
        self._changed = threading.Condition()  # guards all below
        self._requests: deque[_Request] = deque()
        self._doubtful: dict[tuple[bytes, bool], None] = {}  # (path, is a folder), in the order of asking
        self._unanswered = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"scan {shown(inbox)}", daemon=True)
        self._thread.start()

    def request(self, scan: int, origin: Origin, folder: bytes = b"", *, deep: bool = True) -> bool:
        """Ask for a walk of `folder`, numbered `scan`.

        Returns:
            False if a waiting request covers it: then no message will ever carry this number. A request for the whole
            inbox covers the waiting ones for single folders, which are dropped without an answer.

        """
        with self._changed:
            covering = {(b"", True), (folder, True), (folder, deep)}
            if any((waiting.folder, waiting.deep) in covering for waiting in self._requests):
                return False
            if deep and not folder:
                self._requests.clear()
            self._requests.append(_Request(scan, origin, folder, deep))
            self._changed.notify_all()
        return True

    def examine(self, paths: Sequence[bytes], folders: Sequence[bytes]) -> None:
        """Ask which of these are no longer there; answered by Gone, and by nothing where all are."""
        with self._changed:
            self._doubtful.update(dict.fromkeys((path, False) for path in paths))
            self._doubtful.update(dict.fromkeys((folder, True) for folder in folders))
            self._changed.notify_all()

    def ack(self) -> None:
        """Say that one Listing has been dealt with."""
        with self._changed:
            self._unanswered = max(0, self._unanswered - 1)
            self._changed.notify_all()

    def close(self) -> None:
        """Stop soon; a walk that hangs in the kernel is left behind on its daemon thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._requests or self._doubtful)
                if self._closing:
                    return
                request = self._requests.popleft() if self._requests else None
            self._examine_doubtful()
            if request is not None:
                self._walk(request)

    def _walk(self, request: _Request) -> None:
        began = time.monotonic()
        walk = Walk(
            self._inbox,
            self._selection,
            request.folder,
            deep=request.deep,
            number=request.scan,
            chunk=self._chunk,
        )
        for part in walk:
            if not self._post_listing(part):
                return
            if not request.folder:
                self._serve_the_urgent()
        if walk.missing and walk.complete:
            self._post(Gone(self._inbox, folders=(request.folder,), root=walk.root))
        self._post(
            ScanDone(
                inbox=self._inbox,
                scan=request.scan,
                origin=request.origin,
                folder=request.folder,
                photos=walk.photos,
                folders=walk.folders,
                seconds=time.monotonic() - began,
                complete=walk.complete,
                reason=walk.reason,
                root=walk.root,
            )
        )

    def _serve_the_urgent(self) -> None:
        """Let what just arrived overtake the walk of a whole inbox, which may take long."""
        while True:
            with self._changed:
                urgent = next((r for r in self._requests if r.folder), None)
                if urgent is None or self._closing:
                    break
                self._requests.remove(urgent)
            self._walk(urgent)
        self._examine_doubtful()

    def _post_listing(self, part: Listing) -> bool:
        """Post a part once there is room for it; False: closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._unanswered < self._outstanding)
            if self._closing:
                return False
            self._unanswered += 1
        self._post(part)
        return True

    def _examine_doubtful(self) -> None:
        while True:
            with self._changed:
                some = list(self._doubtful)[: self._chunk]
                for key in some:
                    del self._doubtful[key]
            if not some or self._closing:
                return
            root = root_identity(self._inbox)
            paths = tuple(path for path, is_folder in some if not is_folder and self._lacks(path, stat.S_ISREG))
            folders = tuple(path for path, is_folder in some if is_folder and self._lacks(path, stat.S_ISDIR))
            if (paths or folders) and root is not None and root_identity(self._inbox) == root:
                self._post(Gone(self._inbox, paths, folders, root))

    def _lacks(self, path: bytes, kind: Callable[[int], bool]) -> bool:
        try:
            return not kind(os.lstat(os.path.join(self._inbox, path)).st_mode)
        except _VANISHED:
            return True
        except OSError:
            return False  # can't be told: absence is claimed only where it is certain
