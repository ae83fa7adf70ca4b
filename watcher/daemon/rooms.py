"""The rooms of the daemon, each given those that it works with; what they do together is the loop's business."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from watcher.daemon.announced import Announced
from watcher.daemon.asked import Requests
from watcher.daemon.attempt import Limits
from watcher.daemon.booking import Booking
from watcher.daemon.checkup import Examiner
from watcher.daemon.desk import Desk
from watcher.daemon.desks import Desks
from watcher.daemon.dispatch import Dispatcher
from watcher.daemon.health import Health
from watcher.daemon.keeper import Keeper
from watcher.daemon.ledger import Ledger
from watcher.daemon.line import Line
from watcher.daemon.parts import (
    Chores,
    Clock,
    InboxParts,
    InboxPlan,
    Log,
    Manager,
    Message,
    Pool,
    Post,
    Settings,
    Store,
)
from watcher.daemon.report import Reporter
from watcher.daemon.scans import Scans
from watcher.daemon.settle import Retry, Settler
from watcher.daemon.sweeps import Sweeps
from watcher.daemon.tally import Tally
from watcher.daemon.twins import Twins
from watcher.daemon.watching import Watching


@dataclass(frozen=True, slots=True)
class Outside:
    """All that the daemon has of the outside: real parts, or fakes."""

    store: Store
    pool: Pool
    limits: Limits
    messages: queue.SimpleQueue[Message]
    open_inbox: Callable[[InboxPlan, Post], InboxParts]
    reload: Callable[[], None]  # has the config read again; answered by Reloaded
    sweep: Callable[[Iterable[bytes]], bool]  # removes what dead workers left in outputs; False: it is at it still
    manager: Manager
    watch_fault: Callable[[], str]
    chores: Chores
    clock: Clock
    log: Log


class Rooms:
    """One daemon's rooms. They are built in this order, since each is given those before it."""

    def __init__(self, settings: Settings, outside: Outside, *, once: bool) -> None:
        log, by_path, retry = outside.log, dict[bytes, Desk](), settings.config.retry
        self.settings = settings
        self._by_path = by_path
        self.ledger = ledger = Ledger(outside.store, log)
        self.tally = Tally()
        self.twins = Twins(ledger, by_path, outside.chores)
        self.keeper = Keeper(ledger, by_path, outside.chores, log)
        booking = Booking(ledger, by_path, self.twins, self.keeper)
        self.dispatcher = dispatcher = Dispatcher(outside.pool, ledger, by_path, booking, outside.limits)
        self.settler = Settler(
            dispatcher,
            ledger,
            self.tally,
            log,
            retry=Retry(retry.attempts, retry.backoff_seconds),
            desk_of=by_path.get,
            twins=self.twins,
            keeper=self.keeper,
        )
        waiting = self.settler.waiting
        self.line = Line(dispatcher, self.settler, self.tally)
        self.scans = Scans(by_path, dispatcher, waiting, ledger, self.line, self.keeper, log, once=once)
        self.desks = Desks(by_path, dispatcher, self.settler, ledger, self.scans, self.line, log, once=once)
        self.announced = Announced(by_path, dispatcher, waiting, ledger, self.scans, self.line, self.twins)
        self.requests = Requests(by_path, dispatcher, waiting, ledger, self.line, self.scans, log)
        self.watching = Watching(by_path, self.scans, log, once=once)
        self.sweeps = Sweeps(outside.sweep, lambda: [plan.output for plan in self.settings.inboxes])
        self.health = Health(
            outside.manager,
            outside.watch_fault,
            by_path,
            dispatcher,
            ledger,
            log,
            silence_seconds=outside.pool.silence_seconds,
        )
        self.reporter = Reporter(by_path, dispatcher, waiting, ledger, outside.pool.about, self.health.report)
        self.examiner = Examiner(
            by_path, dispatcher, self.settler, ledger, self.health, outside.pool, outside.messages.qsize
        )
