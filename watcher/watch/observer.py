"""One observer: watchdog, with threads that report their errors."""

from __future__ import annotations

import errno
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator

from watchdog.events import FileSystemEvent
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, EventQueue, ObservedWatch
from watchdog.utils import BaseThread

from watcher.watch.errors import limit_of
from watcher.watch.handler import WANTED, Handler
from watcher.watch.observer_state import JOIN_SECONDS, ObserverState, ReportingThread

# watchdog delays all events after a file was moved out for this long; its default, 0.5 s, delays new photos
_PAIRING_SECONDS = 0.02

logging.getLogger("watchdog").addHandler(logging.NullHandler())  # all that it logs reaches the loop as messages
logging.getLogger("watchdog").propagate = False

if sys.platform == "linux":
    from watchdog.observers import inotify
    from watchdog.observers.inotify import InotifyFullEmitter, InotifyWatchGroup
    from watchdog.observers.inotify_c import (
        CallbackId,
        InotifyConstants,
        InotifyEvent,
        InotifyFD,
        Mask,
        WatchCallback,
        WatchDescriptor,
    )
    from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

    def _nothing(*_: object) -> tuple[()]:
        return ()

    # They walk a new folder and generate synthetic events, which the handler drops.
    for _name in ("generate_sub_created_events", "generate_sub_moved_events"):
        setattr(inotify, _name, _nothing)

    class _Group(InotifyWatchGroup):
        """A watch group without a depth limit: on Python 3.11 `os.walk` recurses for each level, 1,000 at most."""

        def _add_all_callbacks(self, path: bytes) -> None:
            self._add_callback(path)
            if self.is_recursive:
                for root, folders, _ in _walk(path):
                    for name in folders:
                        self._add_callback(root + b"/" + name)

        def _recursive_simulate(self, src_path: bytes) -> list[InotifyEvent]:
            events = []
            for root, folders, files in _walk(src_path):
                watch = self._active_callbacks_by_path.get(root)
                if watch is not None:  # else its own event, which is still to come, covers its contents
                    mask = Mask(InotifyConstants.IN_CREATE | InotifyConstants.IN_ISDIR)
                    events += [InotifyEvent(watch, mask, 0, name) for name in folders]
                    events += [InotifyEvent(watch, InotifyConstants.IN_CREATE, 0, name) for name in files]
            return events

    class _Quiet:
        """A proxy for a callback, whose repr is its whole watch table: watchdog formats it per folder added twice."""

        def __init__(self, callback: WatchCallback) -> None:
            self.callback = callback
            self.on_event = callback.on_event
            self.on_watch_deleted = callback.on_watch_deleted
            self.on_queue_overflow = callback.on_queue_overflow

    class _Reader(ReportingThread, InotifyFD):
        """The reader of the kernel's queue; it reports folders that could not be watched, and queue overflows."""

        def __init__(self, signs: ObserverState, wanted: Callable[[bytes], bool]) -> None:
            self.signs = signs
            self._wanted = wanted
            self._quiet: _Quiet | None = None
            super().__init__()

        def add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
            if not self._wanted(path):
                raise FileNotFoundError(errno.ENOENT, "excluded", path)  # the caller goes on with the next folder
            if self._quiet is None:
                self._quiet = _Quiet(callback)
            mask = Mask(mask | InotifyConstants.IN_ATTRIB)  # watchdog requests it only with every write, if at all
            try:
                watch = super().add_callback(path, mask, self._quiet, id_)
            except OSError as error:
                self.signs.note(path, error.errno or 0)
                raise
            if watch == -1:  # watchdog treats "permission denied" as success
                self.remove_callbacks([(watch, id_)])
                self.signs.note(path, errno.EACCES)
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            self.signs.unwatched.pop(path, None)
            return watch

        def handle_event(self, event: InotifyEvent) -> None:
            super().handle_event(event)  # first, since it sets up its watches again after an overflow
            if event.is_queue_overflow:
                self.signs.lost(
                    "the kernel's queue of events overflowed (fs.inotify.max_queued_events, now "
                    f"{limit_of('fs.inotify.max_queued_events')}); everything is looked at again"
                )
            elif event.mask & InotifyConstants.IN_UNMOUNT:
                # The next mount may have the same device and inode numbers, and this watch is gone.
                self.signs.failure = "a file system was unmounted there"
                self.signs.wake()

        def release(self) -> None:
            """Release all watches; watchdog raises KeyError for each that it no longer knows, and can then go on."""
            group = self._quiet.callback if self._quiet is not None else None
            while isinstance(group, InotifyWatchGroup):
                try:
                    group.deactivate()
                except KeyError:
                    continue  # one entry fewer: it ends
                return

    class _Emitter(ReportingThread, InotifyFullEmitter):
        """An emitter that distinguishes a file moved in from one created; watchdog's default emitter does not."""

        def __init__(
            self,
            event_queue: EventQueue,
            watch: ObservedWatch,
            *,
            timeout: float,
            event_filter: list[type[FileSystemEvent]] | None,
            inotify_fd: InotifyFD,
            signs: ObserverState,
        ) -> None:
            self.signs = signs
            super().__init__(event_queue, watch, timeout=timeout, event_filter=event_filter, inotify_fd=inotify_fd)

        def on_thread_start(self) -> None:
            self._inotify = _Group(
                self._inotify_fd,
                os.fsencode(self.watch.path),
                is_recursive=self.watch.is_recursive,
                event_mask=self.get_event_mask_from_filter(),
            )

    class _Dispatcher(ReportingThread, BaseObserver):
        """The thread that calls the handler."""

        def __init__(self, signs: ObserverState, reader: _Reader) -> None:
            self.signs = signs
            super().__init__(_Emitter, inotify_fd=reader, signs=signs)


def _walk(top: bytes) -> Iterator[tuple[bytes, list[bytes], list[bytes]]]:
    """Yield every readable folder from `top` down, with the names of its folders and of all other entries."""
    waiting = [top]
    while waiting:
        root = waiting.pop()
        folders: list[bytes] = []
        others: list[bytes] = []
        try:
            with os.scandir(root) as found:
                for item in found:
                    (folders if item.is_dir(follow_symlinks=False) else others).append(item.name)
        except OSError:  # it was removed, or may not be read: the watch or the scan reports it
            continue
        yield root, folders, others
        waiting += [root + b"/" + name for name in reversed(folders)]


class NativeObserver:
    """One observer with its threads; never repaired, only replaced."""

    def __init__(
        self, inbox: bytes, handler: Handler, signs: ObserverState, wanted: Callable[[bytes], bool], *, recursive: bool
    ) -> None:
        # Raised for each folder that is added twice, which is usual; the stack level is watchdog's or ours.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watch(dog\.|er\.watch)")
        self._threads: list[BaseThread] = []
        self._release: Callable[[], None] = lambda: None
        if sys.platform == "linux":
            InotifyMoveEventGrouper.delay = _PAIRING_SECONDS
            reader = _Reader(signs, wanted)
            self._release = reader.release
            self._threads.append(reader)
            reader.start()
            observer: BaseObserver = _Dispatcher(signs, reader)
        else:
            observer = Observer()
        self._observer = observer
        try:
            observer.schedule(handler, os.fsdecode(inbox), recursive=recursive, event_filter=WANTED)
            self._threads += observer.emitters
            observer.start()
            self._threads.append(observer)
        except BaseException:
            self.close()
            raise

    def is_alive(self) -> bool:
        """Return whether every thread that events pass through is alive."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Stop the threads and close their descriptors."""
        self._release()
        self._observer.stop()
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(JOIN_SECONDS)
