"""The one loop: everything from outside is a message on one queue, one thread reads it, decides, and owns all state.

Theory of operation:
- Events and listings become tasks, tasks become jobs, results become rows of the state file. See the picture
  in docs/architecture.md.
- Nothing here waits on a disk or a decoder, the state file excepted. `deadline` tells how long the loop may sleep.
- Two ways to run: as a daemon, until it is asked to stop, and once, until nothing is left to do.
"""

from __future__ import annotations

import queue
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import assert_never

from watcher.config import Mark
from watcher.core.messages import (
    FolderSeen,
    FoldersMeet,
    Gone,
    HookAnswered,
    Listing,
    Looked,
    OutputsRemoved,
    Pruned,
    PutBack,
    Reload,
    RequestsPending,
    ScanDone,
    Seen,
    Stop,
    TakenAway,
    WatchBack,
    WatchLost,
    WatchReady,
    WorkerReport,
)
from watcher.core.stability import INCOMPLETE_SECONDS, Look, recheck_after
from watcher.core.status import Progress, StatusQuery
from watcher.core.task import Dropped, Lane, PhotoTask, Rechecked, State
from watcher.core.types import Origin, Result
from watcher.engine.build import Components, Dependencies
from watcher.engine.jobs import untouched
from watcher.engine.ports import Message, Reloaded, Settings
from watcher.engine.results import Retry
from watcher.engine.store_health import Use
from watcher.errors import StateError, WatcherError

_DRAIN = 256  # messages between two looks at the clock
_SAME_STOP_SECONDS = 0.05  # `timeout` signals its child and then the group it is in: that is one request, not two
_LONGEST_SLEEP = 3600.0


class Daemon(Components):
    """The loop: it handles messages, decides, and records; the pool renders."""

    def __init__(self, settings: Settings, outside: Dependencies, *, once: bool = False) -> None:
        super().__init__(settings, outside, once=once)
        self.stops: list[str] = []
        self.on_progress: Callable[[Progress], None] | None = None
        self._once = once
        self._messages = outside.messages
        self._pool = outside.pool
        self._log = outside.log
        self._clock = outside.clock
        self._reload = outside.reload
        self._open_inbox = outside.open_inbox
        self._stopped_at: float | None = None
        self._last_look = False  # a single run has checked incomplete photos once more

    # ---- running ----

    def run(self) -> None:
        """Work until asked to stop (or, once: until nothing is left to do), and leave everything in order."""
        self.start()
        while not self.finished():
            self.turn(self._next_message())
        self.finish()

    def start(self) -> None:
        """Open every inbox."""
        now = self._clock.monotonic()
        self.hooks.start(self.settings)
        for plan in self.settings.inboxes:
            self.inboxes.open(plan, self._open_inbox(plan, self._messages.put), self.settings.config)
        self.commands.take_up(now, self._clock.time())
        self.duplicates.start(now, self._clock.time())
        self.reporter.start(now)
        self.watchdog.start(now)

    def _next_message(self) -> Message | None:
        deadline = self.deadline()
        timeout = _LONGEST_SLEEP if deadline is None else max(0.0, deadline - self._clock.monotonic())
        try:
            return self._messages.get(timeout=min(timeout, _LONGEST_SLEEP))
        except queue.Empty:
            return None

    def turn(self, message: Message | None) -> None:
        """Handle one message and those that came with it, then do all that is due."""
        for left in range(_DRAIN, 0, -1):
            if message is None:
                break
            try:
                self.handle(message)
            except StateError as error:
                now = self._clock.monotonic()
                self.records.health.met(error, Use.READING, now, unwritten=0)
                self.reconciler.rescan_all(now)
                break  # each took seconds: the service manager would wait too long for a sign of life
            message = self._next_now() if left > 1 else None
        self.tick()

    def _next_now(self) -> Message | None:
        try:
            return self._messages.get_nowait()
        except queue.Empty:
            return None

    def finished(self) -> bool:
        """Return whether the daemon may end."""
        if self.stops:
            waits = any(self.photos.tracker.in_flight) or self._hooks_run()
            return len(self.stops) > 1 or not waits
        if not self._once:
            return False
        self.records.health.check(self._clock.monotonic())
        tracker = self.photos.tracker
        if self.scheduler.gave_up_reason and tracker.idle and self.inboxes.scanned:
            return True  # whatever else waits would wait for the same
        waiting = (
            tracker.retries
            or self.records.blocked
            or not (self.duplicates.idle and self.archiver.idle and self.orphans.idle)
        )
        if not tracker.idle or not self.inboxes.scanned or waiting:
            return False
        if self._last_look:
            return self.hooks.idle
        self._last_look = True
        self._recheck(list(tracker.of(State.COOLING, Lane.RECHECK)))
        self.tick()
        return tracker.idle and self.inboxes.scanned and self.hooks.idle

    def _hooks_run(self) -> bool:
        return self._stopped_at is not None and self.hooks.keeps(self._stopped_at, self._clock.monotonic())

    def _recheck(self, tasks: Iterable[PhotoTask]) -> None:
        """Try photos again whose timers are due; where only a change can help, a stat shows whether there is one."""
        now, wall = self._clock.monotonic(), self._clock.time()
        others, looks = [], defaultdict[bytes, list[Look]](list)
        for task in tasks:
            photo, evidence, left = task.photo, task.evidence, task.gives_up - wall
            to_be_tried = task.state is State.DEFERRED or task.crashes or left <= 0
            if evidence.incomplete is None or to_be_tried or photo.inbox not in self._by_path:
                others.append(task)
                continue
            inode = evidence.seen.inode if evidence.seen is not None else 0
            looks[photo.inbox].append(Look(photo.path, evidence.incomplete._replace(inode=inode), evidence.changed_ns))
            due = now + recheck_after(task.checks + 1, INCOMPLETE_SECONDS - left)
            self.photos.apply(photo, Rechecked(due), now, wall)
        for inbox, some in looks.items():
            self._by_path[inbox].looking += 1
            self._by_path[inbox].parts.look(some)
        self.photos.try_again(others, now, wall)

    def finish(self) -> None:
        """Close everything; attempts that have no result are removed from the state file."""
        now, wall = self._clock.monotonic(), self._clock.time()
        self.inboxes.close()
        self._pool.close(wait=False)
        for task in list(self.photos.tracker.in_flight):
            before = task.tried.before
            if before is not None and task.state is State.RENDERING:
                before = replace(before, recipes=untouched(before, task.tried.job))
            self.photos.apply(task.photo, Dropped(), now, wall)
            self.records.put(task.photo, before, now)
            self.cleanup.note(None, now)  # its worker was not waited for
        self.batches.close_all(now)
        self.records.flush(now, force=True)
        self.event_log.write()
        self.duplicates.act(now)
        self.cleanup.tick(now, force=True)
        self.reporter.report(now, wall)
        if not self._once:
            self._log.info("stopped", reason=self.stops[0] if self.stops else "")

    # ---- messages ----

    def handle(self, message: Message) -> None:  # noqa: C901, PLR0912  # a case a message, and nothing else
        """Handle one message."""
        now, wall = self._clock.monotonic(), self._clock.time()
        match message:
            case Seen() | FolderSeen() | Gone():
                self.events.event(message, now, wall)
            case Listing():
                self.reconciler.listing(message, now, wall)
            case Looked():
                self.reconciler.looked(message, now, wall)
            case ScanDone():
                self.reconciler.done(message, now, wall)
                self.commands.take_up(now, wall)  # their message may have been lost
            case WorkerReport():
                self._settle(self._pool.take(message), now, wall)
            case WatchReady():
                self.events.ready(message)
            case WatchLost():
                self.events.lost(message)
            case WatchBack():
                self.events.back(message)
            case TakenAway():
                self.archiver.taken(message, now, wall)
            case PutBack():
                self.archiver.is_back(message)
            case OutputsRemoved(number):
                self.duplicates.removed(number)
            case Pruned():
                self.orphans.pruned(message, now)
            case Stop(reason):
                self._stop(reason, now)
            case Reload():
                self.watchdog.reloading()
                self._reload()
            case Reloaded(settings):
                self._use(settings, now)
                self.watchdog.reloaded()
            case FoldersMeet(reasons):
                self.inboxes.folders_meet(reasons)
            case HookAnswered():
                self.hooks.answered(message, now, wall)
            case RequestsPending():
                self.commands.take_up(now, wall)
            case StatusQuery(answer):
                answer(self.reporter.snapshot(now, wall))
            case _ as unreachable:
                assert_never(unreachable)

    def _settle(self, results: Iterable[Result], now: float, wall: float) -> None:
        for result in results:
            self.watchdog.answered(now)
            for event, text in result.log:
                self._log.warning(event, text=text)
                if event == "decoder.fallback" and not result.host:
                    self.reporter.decoder = "pillow"
            task = self.photos.tracker.get(result.job.photo)
            if task is not None and task.attempt is not None and task.attempt.job.number == result.job.number:
                self.results.handle(result, now, wall)
            self.cleanup.note(result.outcome, now)

    def _stop(self, reason: str, now: float) -> None:
        if self._stopped_at is not None and now - self._stopped_at < _SAME_STOP_SECONDS:
            return
        self._stopped_at = now
        self.stops.append(reason)
        if len(self.stops) == 1:
            self.scheduler.take_back(now, self._clock.time())
            self.watchdog.stopping(now)
            self._log.info("daemon.stopping", reason=reason, in_flight=self.photos.tracker.count(State.RENDERING))

    def _use(self, settings: Settings | WatcherError, now: float) -> None:
        """Use new settings from now on; what is in the workers ends with the old ones."""
        if isinstance(settings, WatcherError):
            self._log.error("config.rejected", reason=str(settings))
            self.reporter.config_read(str(settings))
            return
        self.reporter.config_read("")
        new = settings.config
        fixed = self.settings.config.changed(new, Mark.RESTART)
        self.settings = settings
        self.results.retry = Retry(new.retry.attempts, new.retry.backoff_seconds)
        self.scheduler.limits = self.scheduler.limits.reloaded(new)
        self.inboxes.reload(settings, lambda plan: self._open_inbox(plan, self._messages.put), now)
        self.hooks.reload(settings)
        self._log.info("config.reloaded", inboxes=len(settings.inboxes), takes_a_restart=fixed)

    # ---- what is due ----

    def deadline(self) -> float | None:
        """Return when something is due next, on the monotonic clock; None: nothing is."""
        deadlines = [
            self._pool.deadline(),
            self.records.deadline(),
            self.reporter.deadline(),
            self.watchdog.deadline(),
            self.cleanup.deadline(),
            self.hooks.deadline(self._stopped_at),
            None if self.stops else self.photos.tracker.deadline(),
            None if self.stops else self.inboxes.deadline(),
        ]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def tick(self) -> None:
        """Do all that is due."""
        now, wall = self._clock.monotonic(), self._clock.time()
        self._settle(self._pool.check(now), now, wall)
        if not self.stops:
            self._recheck(self.photos.tracker.due(now))
            self.inboxes.tick(now, wall)
            if self.records.blocked:
                self.records.flush(now)  # so that what waited for it goes on in this turn
            self.scheduler.dispatch(now, wall)
        self.records.flush(now)
        if not self.records.blocked:
            self.event_log.write()
        self.duplicates.act(now)
        self.orphans.act(now)
        if not self.stops:
            self.hooks.act(now)
            self.archiver.act(now, wall)
            self.commands.make_again(self.archiver.take_unproven(), now, wall)
            for inbox in self.archiver.take_again():
                self.reconciler.scan(inbox, Origin.SCAN, counts_missed=False)
        self.cleanup.tick(now)
        self.reporter.tick(now, wall)
        self.watchdog.tick(now)
        if self.on_progress is not None:
            self.on_progress(self.reporter.progress())
