"""What is done beside the loop, each on a thread of its own, since a disk may be slow and a dead mount hangs."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from watcher.app.outputs import held
from watcher.app.serve import require_extras
from watcher.app.settings import Source, located, resolve
from watcher.core.messages import OutputsRemoved, Pruned, PutBack, TakenAway
from watcher.core.orphans import Orphan
from watcher.core.types import PhotoId, ReusableRendition
from watcher.core.volumes import belongs_on
from watcher.engine.ports import Log, Original, Reloaded
from watcher.errors import ConfigError, WatcherError, tell_fault
from watcher.fs import archive
from watcher.fs.cleanup import clean_up
from watcher.fs.mounts import mount_point
from watcher.fs.prune import prune
from watcher.fs.remove import remove
from watcher.render import digest_of_file, digest_of_output, has_writer, stands
from watcher.text import shown

_WANTING = (
    "an output of it is missing or was replaced, and so the original stays; `watcher verify --repair` makes it again"
)
_JOIN_SECONDS = 10.0  # a mount that hangs must not keep a run from ending
_Answer = OutputsRemoved | Pruned | TakenAway | PutBack


class BackgroundThread:
    """Does one thing after another; it starts with the first of them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, task: Callable[[], object]) -> None:
        """Queue a task, which must not raise."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._tasks.put(task)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()

    def close(self, seconds: float = _JOIN_SECONDS) -> None:
        """Do what was asked for, and end; wait for that so long."""
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join(seconds)


class FileTasks:
    """Removes outputs, archives originals; see `watcher.engine.ports.FileTasks`."""

    def __init__(self, post: Callable[[_Answer], None]) -> None:
        self._post = post
        self._folders = archive.Folders()
        self._thread = BackgroundThread("file tasks")
        self.close = self._thread.close

    def remove(self, number: int, output_root: bytes, outputs: Sequence[ReusableRendition], mtime_ns: int) -> None:
        """Remove outputs, as long as they have that size and modification time."""

        def work() -> OutputsRemoved:
            remove(output_root, outputs, mtime_ns)
            return OutputsRemoved(number)

        self._ask(work, lambda _: OutputsRemoved(number))

    def prune(self, number: int, orphan: Orphan) -> None:
        """Remove the outputs of an orphan, as long as they are what is recorded."""

        def work() -> Pruned:
            found = prune(orphan, digest_of_output, remove=True)
            return Pruned(number, found.found, found.kept)

        outputs = [orphan.output_root + b"/" + place.output for place in orphan.places]
        self._ask(work, lambda why: Pruned(number, kept=tuple((output, why) for output in outputs)))

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
                raise archive.KeptError("a program has it open for writing")
            return digest_of_file(file) == original.digest

        taken = archive.take_away(photo, original.stamp, originals, holds, self._folders)
        return TakenAway(photo, taken.where, taken.fault, taken.other, volume)

    def put_back(self, photo: PhotoId) -> None:
        """Rename an original from its hidden name back to its own."""

        def work() -> PutBack:
            try:
                return PutBack(photo, archive.put_back(*photo))
            except OSError as error:
                return PutBack(photo, fault=error.strerror or str(error))

        self._ask(work, lambda why: PutBack(photo, fault=why))

    def _ask(self, work: Callable[[], _Answer], failed: Callable[[str], _Answer]) -> None:
        def task() -> None:
            try:
                answer = work()
            except Exception as error:  # noqa: BLE001  # whatever it is, the loop waits for an answer
                tell_fault(error)
                answer = failed(f"a fault of the program: {error!r}")
            self._post(answer)

        self._thread.do(task)


def lost_volume(originals: bytes, before: bytes, now: bytes) -> str:
    """Return that the folder for originals has lost its volume, as a sentence; empty: it has not."""
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


class Cleanup:
    """Removes temporary files that dead workers left in the outputs."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._thread = BackgroundThread("sweep")
        self._busy = threading.Event()
        self.close = self._thread.close

    def begin(self, outputs: Iterable[bytes]) -> bool:
        """Clean these folders; False: an earlier clean-up is still under way, and may be past what is meant."""
        if self._busy.is_set():
            return False
        self._busy.set()
        folders = sorted(set(outputs))
        self._thread.do(lambda: self._clean(folders))
        return True

    def _clean(self, outputs: list[bytes]) -> None:
        for output in outputs:
            try:
                removed = clean_up(output)
            except Exception as error:  # noqa: BLE001  # the other outputs are cleaned all the same
                tell_fault(error)
                continue
            if removed:
                self._log.info("outputs.swept", output=output, temporary_files=removed)
        self._busy.clear()


class Reloader:
    """Reads the config again, one reading after the other: two at once could end in the other order."""

    def __init__(self, source: Source, post: Callable[[Reloaded], object], log: Log) -> None:
        self._source = source
        self._post = post
        self._log = log
        self._thread = BackgroundThread("read config")
        self.close = partial(self._thread.close, 1.0)  # what it reads now is of no use any more
        self._next = threading.Event()  # a reading that has not begun: it answers all that ask until then

    def ask(self) -> None:
        """Read the config as it is from now on, and post the result."""
        if not self._next.is_set():
            self._next.set()
            self._thread.do(self._read)

    def _read(self) -> None:
        self._next.clear()
        try:
            config, name = self._source.read()
            require_extras(config, name)  # it counts from the next start, which would fail
            settings = resolve(config, name)
            outcome = Reloaded(held(settings, name, self._source.state_path(config), None))
        except WatcherError as error:
            outcome = Reloaded(located(error) if isinstance(error, ConfigError) else error)
        except Exception as error:  # noqa: BLE001  # a fault of the program; the loop waits for an answer
            self._log.error("internal.error", exc_info=error)
            outcome = Reloaded(WatcherError(f"internal error while reading the config: {error!r}"))
        self._post(outcome)


class ThreadFaults:
    """Logs every fault in a thread, and remembers a thread that has ended by one."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.ended = ""
        """Which thread has ended, in a sentence; empty: none. A new start heals it, and nothing else."""

    def hook(self, fault: threading.ExceptHookArgs) -> None:
        """Handle a fault, as `threading.excepthook`. A thread that goes on names none: see `tell_fault`."""
        if fault.exc_type is SystemExit:
            return
        thread = fault.thread or threading.current_thread()
        self._log.error("internal.error", thread=thread.name, exc_info=fault.exc_value)
        healed = type(thread).__module__.startswith("watchdog")  # its watch is set up anew
        if fault.thread is not None and not healed:
            self.ended = f"the thread {thread.name!r} has ended by a fault of the program, {fault.exc_value!r}"
