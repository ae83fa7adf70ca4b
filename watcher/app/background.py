"""What is done to files beside the work, on a thread of its own, since a disk may be slow and a dead mount hangs."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Sequence

from watcher.core.types import PhotoId, ReusableRendition
from watcher.core.volumes import belongs_on
from watcher.engine.ports import Original, PutBack, Removed, TakenAway
from watcher.errors import tell_fault
from watcher.fs import archive as keeping
from watcher.fs.mounts import mount_point
from watcher.render import digest_of_file, has_writer, remove, stands
from watcher.text import shown

_WANTING = (
    "an output of it is missing or was replaced, and so the original stays; `watcher verify --repair` makes it again"
)
_Answer = Removed | TakenAway | PutBack
_Work = Callable[[], _Answer]
_JOIN_SECONDS = 10.0  # a mount that hangs must not keep a run from ending


class Chores:
    """Does one after the other, and tells by message; see `watcher.engine.ports.Chores`."""

    def __init__(self, post: Callable[[_Answer], None]) -> None:
        self._post = post
        self._asked: queue.SimpleQueue[tuple[_Work, Callable[[str], _Answer]] | None] = queue.SimpleQueue()
        self._folders = keeping.Folders()
        self._thread: threading.Thread | None = None

    def remove(self, number: int, output_root: bytes, outputs: Sequence[ReusableRendition], mtime_ns: int) -> None:
        """Remove outputs, as long as they have that size and modification time."""

        def work() -> Removed:
            remove(output_root, outputs, mtime_ns)
            return Removed(number)

        self._ask(work, lambda _: Removed(number))

    def take_away(self, original: Original) -> None:
        """Move an original, or delete it, if it is what its renditions were made of and these are there."""
        self._ask(lambda: self._take_away(original), lambda why: TakenAway(original.photo, None, why))

    def _take_away(self, original: Original) -> TakenAway:
        photo, originals = original.photo, original.originals
        if not all(stands(path, size, original.digest) for path, size in original.outputs):
            return TakenAway(photo, None, _WANTING)
        volume = b"" if originals is None else mount_point(originals)
        if originals is not None and (fault := lost_volume(originals, original.volume, volume)):
            return TakenAway(photo, None, fault)

        def holds(file: int) -> bool:
            if has_writer(file):
                raise keeping.KeptError("somebody has it open for writing")
            return digest_of_file(file) == original.digest

        taken = keeping.take_away(photo, original.stamp, originals, holds, self._folders)
        return TakenAway(photo, taken.where, taken.fault, taken.other, volume)

    def put_back(self, photo: PhotoId) -> None:
        """Give an original of a hidden name its own name again."""

        def work() -> PutBack:
            try:
                return PutBack(photo, keeping.put_back(*photo))
            except OSError as error:
                return PutBack(photo, fault=error.strerror or str(error))

        self._ask(work, lambda why: PutBack(photo, fault=why))

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


def lost_volume(originals: bytes, before: bytes, now: bytes) -> str:
    """Say that the folder for originals has lost its volume; empty: it has not."""
    if now == before or belongs_on(before, now, bare=_is_bare(originals)) != before:
        return ""
    return (
        f"{shown(originals)} was on a volume at {shown(before)} that is not mounted now: mount it, or, to go on without"
        " it, put something into that folder"
    )


def _is_bare(folder: bytes) -> bool:
    try:
        return not os.listdir(folder)
    except OSError:
        return True
