"""What is done to files beside the work, on a thread of its own, since a disk may be slow and a dead mount hangs."""

from __future__ import annotations

import os
import queue
import stat
import threading
from collections.abc import Callable, Sequence

from watcher import originals as keeping
from watcher.daemon.parts import Removed, TakenAway
from watcher.errors import tell_fault
from watcher.model import Lent, PhotoId, Stamp
from watcher.render import remove

_WANTING = (
    "an output of it is missing or was replaced, and so the original stays; `watcher verify --repair` makes it again"
)
_Answer = Removed | TakenAway
_Work = Callable[[], _Answer]
_JOIN_SECONDS = 10.0  # a mount that hangs must not keep a run from ending


class Chores:
    """Does one after the other, and tells by message; see `watcher.daemon.parts.Chores`."""

    def __init__(self, post: Callable[[_Answer], None]) -> None:
        self._post = post
        self._asked: queue.SimpleQueue[tuple[_Work, Callable[[str], _Answer]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def remove(self, number: int, output_root: bytes, outputs: Sequence[Lent], mtime_ns: int) -> None:
        """Remove outputs, as long as they have that size and modification time."""

        def work() -> Removed:
            remove(output_root, outputs, mtime_ns)
            return Removed(number)

        self._ask(work, lambda _: Removed(number))

    def take_away(
        self, photo: PhotoId, stamp: Stamp, originals: bytes | None, outputs: Sequence[tuple[bytes, int]]
    ) -> None:
        """Move an original below `originals`, or delete it (None), if it looks like `stamp` and has its `outputs`.

        These are absolute paths, and sizes.
        """

        def work() -> TakenAway:
            if not all(_is_there(path, size) for path, size in outputs):
                return TakenAway(photo, None, _WANTING)
            taken = keeping.take_away(photo, stamp, originals)
            return TakenAway(photo, taken.where, taken.fault)

        self._ask(work, lambda why: TakenAway(photo, None, why))

    def _ask(self, work: _Work, failed: Callable[[str], _Answer]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="chores", daemon=True)
            self._thread.start()
        self._asked.put((work, failed))

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            work, failed = asked
            try:
                answer = work()
            except Exception as error:  # noqa: BLE001  # whatever it is, whoever asked waits for an answer
                tell_fault(error)
                answer = failed(f"a fault of the program: {error!r}")
            self._post(answer)

    def close(self) -> None:
        """Do what was asked for, and end."""
        if self._thread is not None:
            self._asked.put(None)
            self._thread.join(_JOIN_SECONDS)


def _is_there(path: bytes, size: int) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size
