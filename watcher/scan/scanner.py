"""The thread that scans an inbox on request.

Rules:
- There is one thread per inbox, so that a mount that hangs delays no other inbox.
- At most `outstanding` parts are unacknowledged.
- Requests for single folders are handled before a walk of the whole inbox goes on.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from watcher.core.messages import Gone, Listing, Looked, ScanDone
from watcher.core.selection import PathFilter
from watcher.core.stability import Look
from watcher.core.types import FileSignature, Origin
from watcher.errors import tell_fault
from watcher.fs.openat import folder_identity
from watcher.fs.spelling import Spelling
from watcher.scan.walk import CHUNK, VANISHED, Walk
from watcher.text import shown

OUTSTANDING = 4
_STOP_SECONDS = 0.5  # how long `close` waits for the thread; it is a daemon thread, so a hung one ends with the process


class _Request(NamedTuple):
    scan: int
    origin: Origin
    folder: bytes
    deep: bool


class Scanner:
    """The thread that walks one inbox on request and answers with messages.

    Args:
        inbox: resolved absolute path.
        selection: what counts as a photo.
        post: receives the messages, on the scanner's thread; must not block.
        chunk: the maximum number of photos in one Listing.
        outstanding: the maximum number of unacknowledged Listings; beyond it the walk waits for `ack`.

    Each request that is neither covered by another one nor cut off by `close` is answered by exactly one ScanDone.

    """

    def __init__(
        self,
        inbox: bytes,
        selection: PathFilter,
        post: Callable[[Listing | Looked | ScanDone | Gone], None],
        *,
        chunk: int = CHUNK,
        outstanding: int = OUTSTANDING,
    ) -> None:
        self._inbox = inbox
        self._selection = selection
        self._post = post
        self._chunk = chunk
        self._outstanding = outstanding
        self._changed = threading.Condition()  # guards all attributes below
        self._requests: deque[_Request] = deque()
        self._doubtful: dict[tuple[bytes, bool], None] = {}  # (path, is a folder), in the order of the requests
        self._looks: list[Look] = []
        self._unanswered = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"scan {shown(inbox)}", daemon=True)
        self._thread.start()

    def request(self, scan: int, origin: Origin, folder: bytes = b"", *, deep: bool = True) -> bool:
        """Request a walk of `folder`, numbered `scan`.

        Returns:
            False if a queued request covers it: then no message will ever have this number. A request for the whole
            inbox covers the queued ones for single folders, which are dropped without an answer.

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
        """Request which of these no longer exist; answered by Gone, or not at all if all exist."""
        with self._changed:
            self._doubtful.update(dict.fromkeys((path, False) for path in paths))
            self._doubtful.update(dict.fromkeys((folder, True) for folder in folders))
            self._changed.notify_all()

    def look(self, looks: Sequence[Look]) -> None:
        """Request which of these photos have changed; answered by one Looked."""
        with self._changed:
            self._looks += looks
            self._changed.notify_all()

    def ack(self) -> None:
        """Acknowledge one Listing."""
        with self._changed:
            self._unanswered = max(0, self._unanswered - 1)
            self._changed.notify_all()

    def close(self) -> None:
        """Stop soon; a walk that hangs in the kernel is abandoned on its daemon thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._requests or self._doubtful or self._looks)
                if self._closing:
                    return
                request = self._requests.popleft() if self._requests else None
            try:
                self._look_after()
                if request is not None:
                    self._walk(request)
            except Exception as error:  # noqa: BLE001 — after any error, the next request must be answered
                tell_fault(error)
                if request is not None:
                    self._post(self._failed(request, error))

    def _failed(self, request: _Request, error: Exception) -> ScanDone:
        """Return the answer to a request that a fault of the program cut off."""
        return ScanDone(
            inbox=self._inbox,
            scan=request.scan,
            origin=request.origin,
            folder=request.folder,
            photos=0,
            folders=0,
            seconds=0.0,
            complete=False,
            reason=f"{shown(self._inbox)} could not be looked through, by a fault of the program: {error!r}",
            root=folder_identity(self._inbox),
        )

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
                left_alone=walk.left_alone,
            )
        )

    def _serve_the_urgent(self) -> None:
        """Handle new requests for single folders before the walk of a whole inbox, which may take long, goes on."""
        while True:
            with self._changed:
                urgent = next((r for r in self._requests if r.folder), None)
                if urgent is None or self._closing:
                    break
                self._requests.remove(urgent)
            self._walk(urgent)
        self._look_after()

    def _post_listing(self, part: Listing) -> bool:
        """Post a part once the queue has space for it; return False if the scanner is closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._unanswered < self._outstanding)
            if self._closing:
                return False
            self._unanswered += 1
        self._post(part)
        return True

    def _look_after(self) -> None:
        while True:
            with self._changed:
                some = list(self._doubtful)[: self._chunk]
                for key in some:
                    del self._doubtful[key]
            if not some or self._closing:
                break
            root = folder_identity(self._inbox)
            lacking = self._lacking(some)
            paths = tuple(path for path, is_folder in lacking if not is_folder)
            folders = tuple(path for path, is_folder in lacking if is_folder)
            if (paths or folders) and root is not None and folder_identity(self._inbox) == root:
                self._post(Gone(self._inbox, paths, folders, root))

        with self._changed:
            looks, self._looks = self._looks, []
        if looks:
            self._post(Looked(self._inbox, tuple(found for look in looks if (found := self._changed_since(look)))))

    def _changed_since(self, look: Look) -> tuple[bytes, FileSignature] | None:
        """Return a photo that has changed; one that is gone or whose stat fails is left to events and scans."""
        try:
            seen = os.lstat(os.path.join(self._inbox, look.path))
        except OSError:
            return None
        stamp = FileSignature(seen.st_size, seen.st_mtime_ns, seen.st_ino)
        return None if look.is_same(stamp, seen.st_ctime_ns) else (look.path, stamp)

    def _lacking(self, doubtful: Iterable[tuple[bytes, bool]]) -> list[tuple[bytes, bool]]:
        """Return those that do not exist, or exist only with another spelling."""
        kinds = {True: stat.S_ISDIR, False: stat.S_ISREG}
        lacking = {key: self._lacks(key[0], kinds[key[1]]) for key in doubtful}
        spelling = Spelling(self._inbox)  # listings are read after all were found to exist, so they contain them
        return [key for key, lacks in lacking.items() if lacks or not spelling.is_exact(key[0])]

    def _lacks(self, path: bytes, kind: Callable[[int], bool]) -> bool:
        try:
            return not kind(os.lstat(os.path.join(self._inbox, path)).st_mode)
        except VANISHED:
            return True
        except OSError:
            return False  # unknown: absence is reported only if it is certain
