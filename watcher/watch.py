"""watchdog on one inbox, its supervision and its healing.

Rules:
- The handler decides by name and posts; it never touches a file and lets no exception out (one would end watchdog's
  thread).
- At most `budget` events are on their way; beyond, one `WatchLost` says "look at everything" in place of them all.
- `WatchLost(healed=False)` is followed by a `WatchBack` once a new watch is in place, so that a scan which starts at
  the WatchBack misses nothing. `WatchLost(healed=True)` stands alone: the watch works, some events were lost.
- watchdog keeps its troubles to itself, so its threads run here in sub-classes that report them: a thread that dies, a
  queue that overflowed, a folder for which the kernel had no watch. What no thread can see, a root that was renamed,
  unmounted or mounted over, is found by comparing its (st_dev, st_ino) on a timer.
- watchdog reports folders that it finds inside a new one again as synthetic events; those are dropped, since
  `FolderSeen` means a folder and all below.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import threading
import time
import warnings
from collections.abc import Callable

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, EventQueue, ObservedWatch
from watchdog.utils import BaseThread

from watcher.errors import WatcherError
from watcher.model import FolderSeen, Gone, Seen, WatchBack, WatchLost
from watcher.select import shown

Event = Seen | FolderSeen | Gone
Message = Event | WatchLost | WatchBack

# Opening and modifying stay out of the kernel's queue: each write of a copy would be an event.
_WANTED: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]
_PAIRING_SECONDS = (
    0.02  # watchdog holds everything behind a file moved out for this long; its own 0.5 s delays arrivals
)
_JOIN_SECONDS = 2.0  # for threads that were told to stop
_REMEMBERED = 1000  # unwatched folders that are known by name; the rest is counted
_PAUSE_SECONDS = 5.0  # between two new observers, so that a watch which keeps dying costs one scan per pause
_RETRY_SECONDS = 60.0  # between tries while the kernel has no more watches: each try sets up all of them again
_RACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # went away, or was replaced, before it could be watched

logging.getLogger("watchdog").addHandler(logging.NullHandler())  # all that it says reaches the loop as messages
logging.getLogger("watchdog").propagate = False


class WatchError(WatcherError):
    """The inbox can't be watched; the message says why and what to do about it."""


class Signs:
    """What the threads of one observer reveal about themselves; written by them, read by the supervision."""

    def __init__(self, wake: Callable[[], None], lost: Callable[[str], None]) -> None:
        self.wake = wake
        self.lost = lost  # events were lost, the watch goes on
        self.failure = ""
        self.unwatched: dict[bytes, int] = {}  # absolute path: errno
        self.beyond = 0  # how many more there are than `unwatched` remembers

    def note(self, path: bytes, code: int) -> None:
        """Remember a folder that could not be watched."""
        if code in _RACED:
            return
        if len(self.unwatched) < _REMEMBERED:
            self.unwatched[path] = code
        else:
            self.beyond += 1
        self.wake()

    def denied(self) -> list[bytes]:
        """Give the folders that this user may not read; nobody can scan them either."""
        return [path for path, code in list(self.unwatched.items()) if code == errno.EACCES]

    def exhausted(self) -> int:
        """Give the errno for which folders that are still there have no watch; 0: none is left out."""
        for path, code in list(self.unwatched.items()):
            if code != errno.EACCES and os.path.lexists(path):
                return code
        return errno.ENOSPC if self.beyond else 0


class _Supervised(BaseThread):
    signs: Signs

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 - whatever ends watchdog's thread is healed by a new one
            self.signs.failure = f"watchdog's thread {type(self).__name__} died of {error!r}"
        finally:
            self.signs.wake()


if sys.platform == "linux":
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

    class _Quiet:
        """Hands on to a callback whose repr is its whole watch table: watchdog formats that per folder added twice."""

        def __init__(self, callback: WatchCallback) -> None:
            self.callback = callback
            self.on_event = callback.on_event
            self.on_watch_deleted = callback.on_watch_deleted
            self.on_queue_overflow = callback.on_queue_overflow

    class _Reader(_Supervised, InotifyFD):
        """Reads the kernel's queue, and tells which folders could not be watched and when the queue overflowed."""

        def __init__(self, signs: Signs, wanted: Callable[[bytes], bool]) -> None:
            self.signs = signs
            self._wanted = wanted
            self._quiet: _Quiet | None = None
            super().__init__()

        def add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
            if not self._wanted(path):
                raise FileNotFoundError(errno.ENOENT, "excluded", path)  # the caller goes on with the next folder
            if self._quiet is None:
                self._quiet = _Quiet(callback)
            try:
                watch = super().add_callback(path, mask, self._quiet, id_)
            except OSError as error:
                self.signs.note(path, error.errno or 0)
                raise
            if watch == -1:  # watchdog takes "permission denied" for success
                self.remove_callbacks([(watch, id_)])
                self.signs.note(path, errno.EACCES)
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            self.signs.unwatched.pop(path, None)
            return watch

        def handle_event(self, event: InotifyEvent) -> None:
            super().handle_event(event)  # first, since it sets up its watches anew after an overflow
            if event.is_queue_overflow:
                self.signs.lost(
                    "the kernel's queue of events overflowed (fs.inotify.max_queued_events, now "
                    f"{_limit('fs.inotify.max_queued_events')}); everything is looked at again"
                )
            elif event.mask & InotifyConstants.IN_UNMOUNT:
                # What is mounted next may well have the same device and inode numbers, and this watch is gone.
                self.signs.failure = "a file system was unmounted there"
                self.signs.wake()

        def release(self) -> None:
            """Let go of all watches; watchdog stumbles over each that it lost track of, and goes on from there."""
            group = self._quiet.callback if self._quiet is not None else None
            while isinstance(group, InotifyWatchGroup):
                try:
                    group.deactivate()
                except KeyError:
                    continue  # one entry fewer: it ends
                return

    class _Emitter(_Supervised, InotifyFullEmitter):
        """Tells a file moved in from one created, which watchdog's usual emitter does not."""

        def __init__(
            self,
            event_queue: EventQueue,
            watch: ObservedWatch,
            *,
            timeout: float,
            event_filter: list[type[FileSystemEvent]] | None,
            inotify_fd: InotifyFD,
            signs: Signs,
        ) -> None:
            self.signs = signs
            super().__init__(event_queue, watch, timeout=timeout, event_filter=event_filter, inotify_fd=inotify_fd)

    class _Dispatcher(_Supervised, BaseObserver):
        """Calls the handler."""

        def __init__(self, signs: Signs, reader: _Reader) -> None:
            self.signs = signs
            super().__init__(_Emitter, inotify_fd=reader, signs=signs)


class Handler(FileSystemEventHandler):
    """Turns watchdog's events into messages, for photos and folders only."""

    def __init__(
        self,
        inbox: bytes,
        takes: Callable[[bytes], bool],
        enters: Callable[[bytes], bool],
        emit: Callable[[Event], None],
        signs: Signs,
    ) -> None:
        self._inbox = inbox
        self._prefix = inbox.rstrip(b"/") + b"/"
        self._takes = takes
        self._enters = enters
        self._emit = emit
        self._signs = signs

    def dispatch(self, event: FileSystemEvent) -> None:
        """Tell of one event."""
        try:
            if event.is_synthetic:
                return
            source, target = self._inside(event.src_path), self._inside(event.dest_path)
            if event.is_directory:
                self._tell_folder(event, source, target)
            else:
                self._tell_file(event, source, target)
        except Exception as error:  # noqa: BLE001 - an exception here would end watchdog's thread
            self._signs.lost(f"an event could not be dealt with ({error!r}); everything is looked at again")

    def _inside(self, path: bytes | str) -> bytes | None:
        raw = os.fsencode(path)
        return raw[len(self._prefix) :] if raw.startswith(self._prefix) else None

    def _tell_file(self, event: FileSystemEvent, source: bytes | None, target: bytes | None) -> None:
        if target is not None and self._takes(target):
            self._emit(Seen(self._inbox, target, complete=True))
        if source is None or not self._takes(source):
            return
        if isinstance(event, FileMovedEvent | FileDeletedEvent):
            self._emit(Gone(self._inbox, paths=(source,)))
        else:
            self._emit(Seen(self._inbox, source, complete=isinstance(event, FileClosedEvent)))

    def _tell_folder(self, event: FileSystemEvent, source: bytes | None, target: bytes | None) -> None:
        if target is not None and self._enters(target):
            self._emit(FolderSeen(self._inbox, target))
        if source is None:
            self._signs.wake()  # the inbox itself, or a folder that came in from outside
        elif self._enters(source):
            if isinstance(event, DirCreatedEvent):
                self._emit(FolderSeen(self._inbox, source))
            else:
                self._emit(Gone(self._inbox, folders=(source,)))


class _Native:
    """One observer with its threads; never mended, only replaced."""

    def __init__(
        self, inbox: bytes, handler: Handler, signs: Signs, wanted: Callable[[bytes], bool], *, recursive: bool
    ) -> None:
        # Said for each folder that is added twice, which is usual; the level of the stack is theirs or ours.
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
            observer.schedule(handler, os.fsdecode(inbox), recursive=recursive, event_filter=_WANTED)
            self._threads += observer.emitters
            observer.start()
            self._threads.append(observer)
        except BaseException:
            self.close()
            raise

    def is_alive(self) -> bool:
        """Tell whether every thread that events pass through is there."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Stop the threads and give their descriptors back."""
        self._release()
        self._observer.stop()
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_JOIN_SECONDS)


class Watch:
    """The watch over one inbox.

    Args:
        inbox: resolved absolute path.
        recursive: whether sub-folders are watched.
        takes, enters: what counts as a photo and which folders may hold some, by relative path.
        post: takes the messages, on watchdog's threads and the supervisor's; must not block.
        budget: events on their way at most. Each must be answered by `digested`.
        pause, retry: seconds between new observers, and between tries for more watches.

    """

    def __init__(
        self,
        inbox: bytes,
        *,
        recursive: bool,
        takes: Callable[[bytes], bool],
        enters: Callable[[bytes], bool],
        post: Callable[[Message], None],
        budget: int = 20_000,
        pause: float = _PAUSE_SECONDS,
        retry: float = _RETRY_SECONDS,
    ) -> None:
        self.inbox = inbox
        self.on_trouble: Callable[[], None] = lambda: None  # the supervisor's; called from any thread
        self._recursive = recursive
        self._takes = takes
        self._enters = enters
        self._post = post
        self._budget = budget
        self._pause = pause
        self._retry = retry
        self._posted = 0  # events; written by the handler's thread alone
        self._taken = 0  # of them; written by the reader of messages alone
        self._collapsed_at: int | None = None  # events posted when "look at everything" took the place of the next
        self._lock = threading.Lock()  # one of start, check and close at a time
        self._closed = threading.Event()
        self._native: _Native | None = None
        self._signs = self._new_signs()
        self._identity: tuple[int, int] | None = None
        self._reason = ""  # why events can't be trusted
        self._told_denied: set[bytes] = set()
        self._next_try = 0.0
        self._next_retry = 0.0

    @property
    def reason(self) -> str:
        """Why events can't be trusted now; empty: they can."""
        return self._reason

    @property
    def unwatched(self) -> int:
        """How many folders could not be watched."""
        return len(self._signs.unwatched) + self._signs.beyond

    def digested(self, events: int = 1) -> None:
        """Say that this many of Seen, FolderSeen and Gone were taken off the queue; before acting on them."""
        self._taken = min(self._taken + events, self._posted)

    def start(self) -> None:
        """Begin; the watch covers the whole inbox when this returns, unless a WatchLost says otherwise.

        Raises:
            WatchError: it can't be watched now. `check` goes on trying, and WatchBack tells when it could.

        """
        with self._lock:
            try:
                self._set_up()
            except WatchError as error:
                self._reason = str(error)
                raise
            self._judge()
        self._close_if_ended()

    def check(self) -> None:
        """Find out whether events still come, and heal the watch if not. May block as long as the mount does."""
        with self._lock:
            if self._closed.is_set():
                return
            identity = _identity(self.inbox)
            broken = self._broken(identity) if self._native is not None else ""
            if broken:
                self._lose(broken)
            if broken or self._may_become_whole():
                self._tear_down()
            if self._native is None and not self._heal(identity):
                return
            self._judge()
        self._close_if_ended()

    def hangs(self) -> None:
        """Say that the inbox does not answer; `check` says when it does again."""
        self._lose(f"the inbox {shown(self.inbox)} does not answer; its mount hangs")

    def close(self) -> None:
        """End the watch. Does not wait for a check that hangs: that one cleans up when it comes back."""
        self._closed.set()
        if self._lock.acquire(timeout=_JOIN_SECONDS):
            try:
                self._tear_down()
            finally:
                self._lock.release()

    def _close_if_ended(self) -> None:
        """Clean up after a `close` that did not wait for us."""
        if self._closed.is_set():
            self.close()

    # ---- setting up and judging, under the lock ----

    def _set_up(self) -> None:
        identity = _identity(self.inbox)
        if identity is None:
            raise WatchError(_not_there(self.inbox))
        signs = self._new_signs()
        handler = Handler(self.inbox, self._takes, self._enters, self._emit, signs)
        try:
            os.scandir(self.inbox).close()  # FSEvents watches what nobody may read, and says nothing
            native = _Native(self.inbox, handler, signs, self._wanted, recursive=self._recursive)
        except OSError as error:
            raise WatchError(_refusal(self.inbox, error.errno or 0, error)) from error
        if _identity(self.inbox) != identity:
            native.close()
            raise WatchError(f"the inbox {shown(self.inbox)} was replaced while its watch was set up")
        self._native, self._signs, self._identity = native, signs, identity
        self._next_retry = time.monotonic() + self._retry

    def _tear_down(self) -> None:
        native, self._native = self._native, None
        if native is not None:
            native.close()

    def _heal(self, identity: tuple[int, int] | None) -> bool:
        if identity is None:
            self._lose(_not_there(self.inbox))
            return False
        now = time.monotonic()
        if now < self._next_try:
            return False
        self._next_try = now + self._pause
        try:
            self._set_up()
        except WatchError as error:
            self._lose(str(error))
            return False
        return True

    def _broken(self, identity: tuple[int, int] | None) -> str:
        if identity is None:
            return _not_there(self.inbox)
        if identity != self._identity:
            return f"another folder is at {shown(self.inbox)} now: mounted, unmounted, or made again"
        if self._signs.failure:
            return self._signs.failure
        if self._native is not None and not self._native.is_alive():
            return "a thread of watchdog has ended"
        return ""

    def _may_become_whole(self) -> bool:
        if self._native is None:
            return False
        if any(_may_read(path) for path in self._signs.denied()):
            self._reason = self._reason or "a folder may be read again"  # so that WatchBack follows
            return True
        return time.monotonic() >= self._next_retry and bool(self._signs.exhausted())

    def _judge(self) -> None:
        exhausted = self._signs.exhausted()
        if exhausted:
            self._lose(_refusal(self.inbox, exhausted, None))
            return
        if self._reason:
            self._reason = ""
            self._post(WatchBack(self.inbox))
        denied = set(self._signs.denied())
        news = denied - self._told_denied
        self._told_denied = denied
        if news:
            self._post(WatchLost(self.inbox, _refusal(min(news), errno.EACCES, None), healed=True))

    def _lose(self, reason: str) -> None:
        if reason != self._reason:
            self._reason = reason
            self._post(WatchLost(self.inbox, reason, healed=False))

    # ---- called from watchdog's threads ----

    def _new_signs(self) -> Signs:
        return Signs(self._wake, lambda reason: self._post(WatchLost(self.inbox, reason, healed=True)))

    def _wake(self) -> None:
        self.on_trouble()

    def _wanted(self, path: bytes) -> bool:
        return path == self.inbox or self._enters(os.path.relpath(path, self.inbox))

    def _emit(self, event: Event) -> None:
        if self._collapsed_at is not None:
            # Dropping is safe only until the reader of messages comes to the WatchLost and has everything looked at.
            if self._taken < self._collapsed_at:
                return
            self._collapsed_at = None
        if self._posted - self._taken >= self._budget:
            self._collapsed_at = self._posted
            reason = f"more events than {self._budget} at once; everything is looked at in place of the rest"
            self._post(WatchLost(self.inbox, reason, healed=True))
            return
        self._posted += 1
        self._post(event)


class Supervisor:
    """The thread that has every watch checked, every `interval` seconds and whenever one reports trouble.

    Each check runs on a thread of its own, so that a mount that hangs keeps no other inbox unwatched; a check that
    takes longer than `patience` seconds is reported as an inbox that does not answer.
    """

    def __init__(self, interval: float = 5.0, patience: float = 30.0) -> None:
        self._interval = interval
        self._patience = patience
        self._checks: dict[Watch, tuple[threading.Thread | None, float]] = {}
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervise watches", daemon=True)
        self._thread.start()

    def add(self, watch: Watch) -> None:
        """Supervise this watch from now on."""
        self._checks[watch] = (None, 0.0)
        watch.on_trouble = self._wake.set

    def remove(self, watch: Watch) -> None:
        """Leave this watch alone from now on."""
        watch.on_trouble = lambda: None
        self._checks.pop(watch, None)

    def close(self) -> None:
        """Stop; a check that hangs is left behind on its daemon thread."""
        self._closing.set()
        self._wake.set()
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._interval)
            self._wake.clear()
            for watch, (running, since) in list(self._checks.items()):
                if self._closing.is_set():
                    return
                self._have_checked(watch, running, since)

    def _have_checked(self, watch: Watch, running: threading.Thread | None, since: float) -> None:
        if running is not None and running.is_alive():
            if time.monotonic() - since > self._patience:
                watch.hangs()
            return
        thread = threading.Thread(target=watch.check, name=f"check {shown(watch.inbox)}", daemon=True)
        if watch in self._checks:
            self._checks[watch] = (thread, time.monotonic())
            thread.start()


def _identity(inbox: bytes) -> tuple[int, int] | None:
    try:
        found = os.stat(inbox)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def _may_read(folder: bytes) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=effective)


def _not_there(inbox: bytes) -> str:
    return f"the inbox is not there: {shown(inbox)}; it is waited for"


def _limit(name: str) -> int | None:
    try:
        with open(f"/proc/sys/{name.replace('.', '/')}", "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _refusal(folder: bytes, code: int, error: OSError | None) -> str:
    """Say why the kernel refused to watch, and what to type."""
    if code in {errno.ENOSPC, errno.EMFILE}:
        what = "watches" if code == errno.ENOSPC else "instances"
        # A user namespace has limits of its own beside those of the system; the smaller one binds.
        limits = {name: _limit(name) for name in (f"fs.inotify.max_user_{what}", f"user.max_inotify_{what}")}
        known = [(limit, name) for name, limit in limits.items() if limit is not None]
        now, name = min(known, default=(0, f"fs.inotify.max_user_{what}"))
        more = max(2 * now, 524_288 if code == errno.ENOSPC else 1024)
        return f"the kernel has no more inotify {what}: {name} is {now}; type: sudo sysctl -w {name}={more}" + (
            " (or this process has too many files open: ulimit -n)" if code == errno.EMFILE else ""
        )
    if code == errno.EACCES:
        return f"{shown(folder)} can't be watched: permission denied; let this user read and enter it (chmod u+rx)"
    return f"{shown(folder)} can't be watched: {os.strerror(code) if code else error}"
