"""What the daemon is doing, as values; what `status` shows of it is written twice a second while something happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from watcher.core.status import BatchStatus, Counts, InboxStatus, Progress, Snapshot
from watcher.core.task import State
from watcher.core.tracker import Tracker
from watcher.engine.inbox import InboxState
from watcher.engine.ports import Pool
from watcher.engine.results import ResultHandler
from watcher.engine.watchdog import Watchdog
from watcher.engine.writer import WriteBuffer
from watcher.errors import StateError

REPORT_SECONDS = 0.5  # how old what is shown may be


class StatusReporter:
    """Collects the status from all over the daemon; writes what has changed of it to the state file."""

    def __init__(
        self,
        desks: Mapping[bytes, InboxState],
        tracker: Tracker,
        settler: ResultHandler,
        ledger: WriteBuffer,
        health: Watchdog,
        pool: Pool,
        messages: Callable[[], int],
    ) -> None:
        self._desks = desks
        self._tracker = tracker
        self._settler = settler
        self._ledger = ledger
        self._health = health
        self._pool = pool
        self._messages = messages
        self.config_fault = ""  # why the config on disk is not in use; empty: it is
        self.decoder = ""  # what a worker decodes JPEGs with, where it is not what was said at the start
        self._executor = pool.about()
        self._reported: dict[bytes, InboxStatus] = {}
        self._next: float | None = None

    # ---- collecting ----

    def inboxes(self, now: float, wall: float) -> tuple[InboxStatus, ...]:
        """Return the status of each inbox, without what the state file knows itself."""
        return tuple(self._inbox(desk, wall - now) for desk in self._desks.values())

    def _inbox(self, desk: InboxState, since_epoch: float) -> InboxStatus:
        cooling = sum(task.photo.inbox == desk.inbox for task in self._tracker.cooling)
        batch = desk.pace.last_batch
        at = 0 if batch is None else round(batch.ended + since_epoch)  # the clocks' jitter alone must make no change
        return InboxStatus(
            path=desk.inbox,
            output=desk.plan.output,
            volume=desk.volume,
            originals=None if desk.plan.originals is None else (desk.plan.originals, desk.originals_volume),
            terms=desk.terms,
            watch="native" if desk.native and desk.trusted else "poll",
            watch_reason=(desk.watch_reason if desk.reachable else "") or desk.unreachable_reason,
            reachable=desk.reachable,
            missed_events=desk.missed,
            held_up=desk.hold.why,
            waiting=self._tracker.waiting(desk.inbox) + cooling + len(desk.debouncer),
            oldest_waiting=self._tracker.oldest(desk.inbox),
            minutes=desk.pace.minutes(),
            last_batch=None if batch is None else BatchStatus(at, batch.files, batch.failed, batch.seconds),
            executor=self._pool.about(),
            decoder=self.decoder,
            config_fault=self.config_fault,
        )

    def snapshot(self, now: float, wall: float) -> Snapshot:
        """Return all that is known."""
        numbers = self._settler.numbers
        in_flight = self._tracker.count(State.RENDERING)
        return Snapshot(
            ailments=tuple(self._ailments(now)),
            inboxes=tuple(replace(inbox, counts=self._counts(inbox.path)) for inbox in self.inboxes(now, wall)),
            progress=self.progress(),
            results=dict(numbers.results),
            batches=numbers.batches.freeze(),
            render=numbers.render.freeze(),
            visible=numbers.visible.freeze(),
            in_flight=in_flight,
            queued=sum(self._tracker.waiting(inbox) for inbox in self._desks) - in_flight,
            messages=self._messages(),
            losses=self._pool.losses,
        )

    def progress(self) -> Progress:
        """Return how far this run is."""
        counts = self._settler.numbers
        ahead = sum(self._tracker.waiting(inbox) for inbox in self._desks) + self._tracker.retries
        return Progress(counts.done, counts.failed, counts.done + counts.failed + ahead, counts.pixels)

    def _counts(self, inbox: bytes) -> Counts | None:
        if self._ledger.blocked:
            return None
        try:
            return self._ledger.store.counts(inbox)
        except StateError:
            return None

    def _ailments(self, now: float) -> Iterator[str]:
        yield from self._health.ailments(now)
        if ailment := self._pool.ailment:
            yield ailment
        if self._ledger.blocked:
            yield "the state file can't be written: results wait in memory"
        for desk in self._desks.values():
            if not desk.reachable:
                yield f"the inbox {os.fsdecode(desk.inbox)} is not reachable: {desk.unreachable_reason}"
            if desk.hold.met:
                yield f"the inbox {os.fsdecode(desk.inbox)} is held up: {desk.hold.met}"
            elif desk.hold.cause is not None:
                yield f"the output {os.fsdecode(desk.plan.output)} can't be written: {desk.hold.reason}"

    # ---- writing ----

    def start(self, now: float) -> None:
        """Have the first report written in this turn."""
        self._next = now

    def config_read(self, fault: str) -> None:
        """Have the next report say that the daemon works by an older config; empty: it does not."""
        self.config_fault = fault
        for desk in self._desks.values():
            desk.touched = True

    def deadline(self) -> float | None:
        """Return when the next report is due; None: nothing has happened since the last."""
        return self._next

    def tick(self, now: float, wall: float) -> None:
        """Write what is due."""
        if self._next is not None and now >= self._next:
            self.report(now, wall)
        elif self._next is None and (
            not self._tracker.idle
            or any(desk.touched for desk in self._desks.values())
            or self._pool.about() != self._executor
        ):
            self._next = now + REPORT_SECONDS

    def report(self, now: float, wall: float) -> None:
        """Write what has changed, and tell systemd."""
        self._executor = self._pool.about()
        inboxes = self.inboxes(now, wall)
        fixed = {desk.inbox for desk in self._desks.values() if desk.moved or desk.cured}  # the next start reads that
        reports = {inbox.path: inbox for inbox in inboxes if inbox.path not in fixed}
        changed = [inbox for inbox in reports.values() if self._reported.get(inbox.path) != inbox]
        told = not changed or self._ledger.report(changed, now)
        for desk in self._desks.values():
            desk.touched = not told
        if told:
            self._reported = reports
        self._next = None if told and self._tracker.idle else now + REPORT_SECONDS
        if self._health.shows_status:
            self._health.show([replace(inbox, counts=self._counts(inbox.path)) for inbox in inboxes])
