"""The parts of the daemon, each given those that it works with; what they do together is the loop's business."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from watcher.core.counters import Counters
from watcher.core.observer import Observer
from watcher.engine.archiver import Archiver
from watcher.engine.batches import BatchTracker
from watcher.engine.cleanup import CleanupTimer
from watcher.engine.commands import CommandHandler
from watcher.engine.dedup import Deduplicator
from watcher.engine.events import EventHandler
from watcher.engine.hooks import Hooks
from watcher.engine.inbox import InboxState
from watcher.engine.inboxes import Inboxes
from watcher.engine.jobs import Limits
from watcher.engine.leasing import Leasing
from watcher.engine.observers import EventLog, Observers, Rates
from watcher.engine.orphans import Orphans
from watcher.engine.photos import Photos
from watcher.engine.ports import (
    Clock,
    FileTasks,
    HookRunner,
    InboxParts,
    InboxPlan,
    Log,
    Message,
    Notifier,
    Pool,
    Post,
    Settings,
    Store,
)
from watcher.engine.reconcile import Reconciler
from watcher.engine.results import ResultHandler, Retry
from watcher.engine.scheduler import Scheduler
from watcher.engine.status import StatusReporter
from watcher.engine.watchdog import Watchdog
from watcher.engine.writer import WriteBuffer


@dataclass(frozen=True, slots=True)
class Dependencies:
    """All that the daemon has of the outside: real parts, or fakes."""

    store: Store
    pool: Pool
    limits: Limits
    messages: queue.SimpleQueue[Message]
    open_inbox: Callable[[InboxPlan, Post], InboxParts]
    reload: Callable[[], None]  # has the config read again; answered by Reloaded
    clean_up: Callable[[Iterable[bytes]], bool]  # removes what dead workers left in outputs; False: one still runs
    manager: Notifier
    watch_fault: Callable[[], str]
    file_tasks: FileTasks
    hook_runner: HookRunner
    clock: Clock
    log: Log
    observers: Sequence[Observer] = ()  # what else happens after a photo or a batch


class Components:
    """One daemon's parts. They are built in this order, since each is given those before it."""

    def __init__(self, settings: Settings, outside: Dependencies, *, once: bool) -> None:
        log, by_path, retry = outside.log, dict[bytes, InboxState](), settings.config.retry
        self.settings = settings
        self._by_path = by_path
        self.records = records = WriteBuffer(outside.store, log)
        numbers = Counters()
        self.hooks = hooks = Hooks(records, by_path, outside.hook_runner, outside.clock, log, once)
        self.event_log = event_log = EventLog(log)
        observers = Observers(event_log, Rates(by_path), numbers, hooks, *outside.observers)
        self.batches = BatchTracker(observers.batch_done, hooks.left_batch)
        self.duplicates = Deduplicator(records, by_path, outside.file_tasks)
        self.photos = photos = Photos(by_path, records, self.batches, self.duplicates)
        self.archiver = Archiver(photos, records, by_path, outside.file_tasks, log)
        self.results = ResultHandler(
            photos,
            records,
            log,
            retry=Retry(retry.attempts, retry.backoff_seconds),
            once=once,
            inboxes=by_path,
            duplicates=self.duplicates,
            archiver=self.archiver,
            numbers=numbers,
            observers=observers,
        )
        leasing = Leasing(photos, records, by_path, self.duplicates, self.archiver, self.results.refuse)
        self.scheduler = scheduler = Scheduler(outside.pool, records, by_path, photos, leasing, outside.limits)
        self.orphans = Orphans(records, photos, self.duplicates, outside.file_tasks, log, once=once)
        self.reconciler = Reconciler(by_path, photos, records, self.archiver, self.orphans, log, once=once)
        self.inboxes = Inboxes(by_path, photos, scheduler, records, self.reconciler, log, once=once)
        self.events = EventHandler(by_path, photos, records, self.reconciler, self.duplicates, log, once=once)
        self.commands = CommandHandler(by_path, photos, records, self.reconciler, self.orphans, log)
        self.cleanup = CleanupTimer(outside.clean_up, lambda: [plan.output for plan in self.settings.inboxes])
        self.watchdog = Watchdog(
            outside.manager,
            outside.watch_fault,
            by_path,
            photos.tracker,
            records,
            log,
            liveness_seconds=outside.pool.liveness_seconds,
        )
        self.reporter = StatusReporter(
            by_path, photos.tracker, self.results, records, self.watchdog, outside.pool, outside.messages.qsize, hooks
        )
