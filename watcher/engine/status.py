"""What the daemon is doing, as values; what `status` shows of it is written twice a second while something happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from watcher.core.hooks import HookStatus
from watcher.core.status import BatchStatus, Counts, InboxStatus, Progress, Snapshot
from watcher.core.task import State
from watcher.core.tracker import Tracker
from watcher.engine.hooks import Hooks
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
        inboxes: Mapping[bytes, InboxState],
        tracker: Tracker,
        results: ResultHandler,
        records: WriteBuffer,
        watchdog: Watchdog,
        pool: Pool,
        messages: Callable[[], int],
        hooks: Hooks,
    ) -> None:
        self._inboxes = inboxes
        self._tracker = tracker
        self._results = results
        self._records = records
        self._watchdog = watchdog
        self._pool = pool
        self._messages = messages
        self._hooks = hooks
        self.config_fault = ""  # why the config on disk is not in use; empty: it is
        self.decoder = ""  # what a worker decodes JPEGs with, where it is not what was said at the start
        self._executor = pool.info()
        self._reported: dict[bytes, InboxStatus] = {}
        self._next: float | None = None

    # ---- collecting ----

    def inboxes(self, now: float, wall: float) -> tuple[InboxStatus, ...]:
        """Return the status of each inbox, without what the state file knows itself."""
        return tuple(self._inbox(inbox, wall - now) for inbox in self._inboxes.values())

    def _inbox(self, inbox: InboxState, since_epoch: float) -> InboxStatus:
        cooling = sum(task.photo.inbox == inbox.path for task in self._tracker.cooling)
        batch = inbox.rate.last_batch
        at = 0 if batch is None else round(batch.ended + since_epoch)  # the clocks' jitter alone must make no change
        return InboxStatus(
            path=inbox.path,
            output=inbox.plan.output,
            volume=inbox.volume,
            originals=None if inbox.plan.originals is None else (inbox.plan.originals, inbox.originals_volume),
            terms=inbox.terms,
            watch="native" if inbox.native and inbox.trusted else "poll",
            watch_reason=(inbox.watch_reason if inbox.reachable else "") or inbox.unreachable_reason,
            reachable=inbox.reachable,
            missed_events=inbox.missed,
            left_alone=inbox.left_alone,
            held_up=inbox.breaker.why,
            orphans_held=inbox.orphans_held,
            waiting=self._tracker.waiting(inbox.path) + cooling + len(inbox.debouncer),
            oldest_waiting=self._tracker.oldest(inbox.path),
            minutes=inbox.rate.minutes(),
            last_batch=None if batch is None else BatchStatus(at, batch.files, batch.failed, batch.seconds),
            executor=self._pool.info(),
            decoder=self.decoder,
            config_fault=self.config_fault,
        )

    def snapshot(self, now: float, wall: float) -> Snapshot:
        """Return all that is known."""
        numbers = self._results.numbers
        in_flight = self._tracker.count(State.RENDERING)
        return Snapshot(
            unavailable_reasons=tuple(self._unavailable_reasons(now)),
            inboxes=tuple(replace(inbox, counts=self._counts(inbox.path)) for inbox in self.inboxes(now, wall)),
            progress=self.progress(),
            results=dict(numbers.results),
            batches=numbers.batches.freeze(),
            render=numbers.render.freeze(),
            visible=numbers.visible.freeze(),
            in_flight=in_flight,
            queued=sum(self._tracker.waiting(inbox) for inbox in self._inboxes) - in_flight,
            messages=self._messages(),
            losses=self._pool.losses,
            hooks=self._hook_status(),
        )

    def progress(self) -> Progress:
        """Return how far this run is."""
        counts = self._results.numbers
        ahead = sum(self._tracker.waiting(inbox) for inbox in self._inboxes) + self._tracker.retries
        return Progress(counts.done, counts.failed, counts.done + counts.failed + ahead, counts.pixels)

    def _counts(self, inbox: bytes) -> Counts | None:
        if self._records.blocked:
            return None
        try:
            return self._records.store.counts(inbox)
        except StateError:
            return None

    def _hook_status(self) -> tuple[HookStatus, ...]:
        try:
            return () if self._records.blocked else self._hooks.status()
        except StateError:
            return ()

    def _unavailable_reasons(self, now: float) -> Iterator[str]:
        yield from self._watchdog.unavailable_reasons(now)
        if unavailable_reason := self._pool.unavailable_reason:
            yield unavailable_reason
        if self._records.blocked:
            yield "the state file can't be written: results wait in memory"
        for inbox in self._inboxes.values():
            if not inbox.reachable:
                yield f"the inbox {os.fsdecode(inbox.path)} is not reachable: {inbox.unreachable_reason}"
            if inbox.breaker.met:
                yield f"the inbox {os.fsdecode(inbox.path)} is held up: {inbox.breaker.met}"
            elif inbox.breaker.cause is not None:
                yield f"the output {os.fsdecode(inbox.plan.output)} can't be written: {inbox.breaker.reason}"

    # ---- writing ----

    def start(self, now: float) -> None:
        """Write the first report in this turn."""
        self._next = now

    def config_read(self, fault: str) -> None:
        """Report from now on that the daemon works by an older config; empty: it does not."""
        self.config_fault = fault
        for inbox in self._inboxes.values():
            inbox.touched = True

    def deadline(self) -> float | None:
        """Return when the next report is due; None: nothing has happened since the last."""
        return self._next

    def tick(self, now: float, wall: float) -> None:
        """Write what is due."""
        if self._next is not None and now >= self._next:
            self.report(now, wall)
        elif self._next is None and (
            not self._tracker.idle
            or any(inbox.touched for inbox in self._inboxes.values())
            or self._pool.info() != self._executor
        ):
            self._next = now + REPORT_SECONDS

    def report(self, now: float, wall: float) -> None:
        """Write what has changed, and tell systemd."""
        self._executor = self._pool.info()
        inboxes = self.inboxes(now, wall)
        # What the next start reads there stays as it was until it has been acted on.
        fixed = {inbox.path for inbox in self._inboxes.values() if inbox.moved or inbox.reopens_failed}
        reports = {inbox.path: inbox for inbox in inboxes if inbox.path not in fixed}
        changed = [inbox for inbox in reports.values() if self._reported.get(inbox.path) != inbox]
        written = not changed or self._records.report(changed, now)
        for inbox in self._inboxes.values():
            inbox.touched = not written
        if written:
            self._reported = reports
        self._next = None if written and self._tracker.idle else now + REPORT_SECONDS
        if self._watchdog.shows_status:
            self._watchdog.show([replace(inbox, counts=self._counts(inbox.path)) for inbox in inboxes])
