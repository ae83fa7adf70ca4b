"""All inboxes: opened, closed, given new settings, and what is due in each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from watcher.config import Config
from watcher.core.debounce import Debouncer
from watcher.core.task import IN_FLIGHT, Dropped, Released, State
from watcher.core.types import Origin, PhotoId
from watcher.core.volumes import belongs_on
from watcher.engine.inbox import FAST_SCANS, InboxState, terms_of
from watcher.engine.photos import MOST_PENDING, Photos
from watcher.engine.ports import InboxParts, InboxPlan, Log, Settings
from watcher.engine.reconcile import Reconciler
from watcher.engine.scheduler import Scheduler
from watcher.engine.writer import WriteBuffer


class Inboxes:
    """The inboxes that are watched."""

    def __init__(
        self,
        by_path: dict[bytes, InboxState],
        photos: Photos,
        scheduler: Scheduler,
        records: WriteBuffer,
        reconciler: Reconciler,
        log: Log,
        *,
        once: bool,
    ) -> None:
        # photos that a single run leaves, for want of room in their output, or of workers
        self.abandoned = 0
        self._inboxes = by_path
        self._photos = photos
        self._batches = photos.batches
        self._scheduler = scheduler
        self._records = records
        self._reconciler = reconciler
        self._log = log
        self._started: Config | None = None  # of the first inbox that was opened: some keys take a restart
        self._once = once
        self._ticked = 0.0

    # ---- opening and closing ----

    def open(self, plan: InboxPlan, parts: InboxParts, config: Config) -> None:
        """Open an inbox. The watch is set first; the first scan begins when it is ready."""
        batch = config.batch
        debouncer = Debouncer(batch.quiet_seconds, batch.max_wait_seconds, batch.max_files)
        inbox = InboxState(plan, parts, debouncer, terms=self._terms(plan, config))
        was = self._records.store.report(plan.inbox)
        inbox.moved = was is not None and was.output != plan.output
        inbox.reopens_failed = was is not None and was.terms not in {"", inbox.terms}
        if not inbox.moved and self._records.store.counts(plan.inbox).done:
            inbox.volume = belongs_on(b"" if was is None else was.volume, plan.volume, bare=plan.bare)
        before = None if was is None else was.originals
        if before is not None and before[0] == plan.originals:
            inbox.originals_volume = before[1]
        inbox.originals_volume = inbox.originals_volume or plan.originals_volume
        self._inboxes[plan.inbox] = inbox
        self._log_output(plan)
        parts.open()

    def _log_output(self, plan: InboxPlan) -> None:
        if plan.away:  # whether it still is, the first photo finds out
            self._log.error("output.unwritable", inbox=plan.inbox, output=plan.output, reason=plan.away)
        if plan.weaker:
            self._log.warning("output.weaker", inbox=plan.inbox, output=plan.output, reason=plan.weaker)

    def _terms(self, plan: InboxPlan, config: Config) -> str:
        self._started = self._started or config
        return terms_of(plan, config, self._started)

    def close(self) -> None:
        """Close all inboxes, at the end of the daemon."""
        for inbox in self._inboxes.values():
            inbox.parts.close()

    def _remove(self, inbox: InboxState, now: float) -> None:
        """Close an inbox that is no longer in the config, and drop its photos, but for those that a worker has."""
        inbox.parts.close()
        for task in self._photos.tracker:
            if task.photo.inbox == inbox.path and task.state not in {*IN_FLIGHT, State.ARCHIVING}:
                self._photos.apply(task.photo, Dropped(), now, 0.0)
        for number in (*inbox.batches.values(), inbox.scan_batch):
            self._batches.close(number, now)
        del self._inboxes[inbox.path]

    def reload(self, settings: Settings, parts_of: Callable[[InboxPlan], InboxParts], now: float) -> None:
        """Use new settings: inboxes come and go, and those that stay lose no event."""
        plans = {plan.inbox: plan for plan in settings.inboxes}
        for path, inbox in list(self._inboxes.items()):
            plan = plans.get(path)
            if plan is None or not inbox.same_watch(plan):
                self._remove(inbox, now)
        batch = settings.config.batch
        for path, plan in plans.items():
            kept = self._inboxes.get(path)
            if kept is None:
                self.open(plan, parts_of(plan), settings.config)
                continue
            kept.debouncer.quiet_seconds = batch.quiet_seconds
            kept.debouncer.max_wait_seconds = batch.max_wait_seconds
            kept.debouncer.max_files = batch.max_files
            if kept.ready and kept.scan is None:
                kept.next_scan = now + kept.scan_interval()
            terms = self._terms(plan, settings.config)
            stays = kept.volume and kept.plan.output == plan.output
            kept.volume = belongs_on(kept.volume, plan.volume, bare=plan.bare) if stays else b""
            if kept.plan.originals != plan.originals:
                kept.originals_volume = plan.originals_volume
            kept.moved = kept.moved or kept.plan.output != plan.output
            kept.reopens_failed = kept.reopens_failed or kept.terms != terms
            kept.terms = terms
            if kept.use(plan):
                self._reconciler.scan(kept, Origin.SCAN, counts_missed=False)

    @property
    def scanned(self) -> bool:
        """Whether every inbox was scanned, and all that was found was handled."""
        return all(
            inbox.ready
            and not (inbox.scan or inbox.queued_scan or inbox.rescan_due or inbox.looking or len(inbox.debouncer))
            for inbox in self._inboxes.values()
        )

    # ---- what is due ----

    def deadline(self) -> float | None:
        """Return when something is due next; None: nothing is."""
        deadlines: list[float] = []
        for inbox in self._inboxes.values():
            burst = inbox.debouncer.deadline()
            if burst is not None:
                deadlines.append(burst)
            if inbox.next_scan is not None and (inbox.rescan_due or not self._once):
                deadlines.append(inbox.next_scan)
            if (inbox.moved or inbox.reopens_failed) and not self._records.blocked:
                deadlines.append(self._ticked)
            if inbox.suspects:
                deadlines.append(min(inbox.suspects.values()))
            # One that has come already waits for a worker, which tells by a message that it is free.
            until = inbox.breaker.until
            if until is not None and until > self._ticked and self._photos.tracker.waiting(inbox.path):
                deadlines.append(until)
        return min(deadlines, default=None)

    def tick(self, now: float, wall: float) -> None:
        """Release bursts, count missed events, begin scans, and let listings flow that were held back."""
        self._ticked = now
        for inbox in self._inboxes.values():
            self._reopen(inbox, now)
            self._release(inbox, now, wall)
            self._count_missed(inbox, now)
            if inbox.next_scan is not None and now >= inbox.next_scan and (inbox.rescan_due or not self._once):
                self._reconciler.scan(inbox, Origin.SCAN, counts_missed=inbox.trusted and not inbox.rescan_due)
            if self._photos.tracker.queued < MOST_PENDING // 2:
                for _ in range(inbox.held):
                    inbox.parts.ack()
                inbox.held = 0
                if inbox.overflowed:
                    inbox.overflowed = False
                    self._reconciler.scan(inbox, Origin.SCAN, counts_missed=False)
        if self._once:
            self._abandon(now, wall)

    def _abandon(self, now: float, wall: float) -> None:
        """Leave photos alone that would wait in vain: a single run waits neither for workers nor for room."""
        gave_up = self._scheduler.gave_up_reason
        held = [inbox.path for inbox in self._inboxes.values() if gave_up or inbox.breaker.why]
        if not held:
            return
        if gave_up:
            self._scheduler.take_back(now, wall)
        for task in self._photos.tracker:
            if task.state is State.QUEUED and task.photo.inbox in held:
                self.abandoned += self._records.known(task.photo) is None  # the others are named one by one
                self._photos.apply(task.photo, Dropped(), now, wall)

    def _reopen(self, inbox: InboxState, now: float) -> None:
        """Forget what was made in another output folder, and try again what failed under other settings."""
        scan = False
        if inbox.moved and self._records.forget_inbox(inbox.path, now):
            inbox.moved = inbox.reopens_failed = False  # what proves to be current in the new folder is taken over
            inbox.breaker.end()
            self._log.info("output.changed", inbox=inbox.path, output=inbox.plan.output)
            scan = True
        if inbox.reopens_failed and (reopened := self._records.reopen_failed(inbox.path, now)) is not None:
            inbox.reopens_failed = False
            if reopened:
                self._log.info("failed.reopened", inbox=inbox.path, photos=reopened)
                scan = True
        if scan and inbox.ready:
            self._reconciler.scan(inbox, Origin.SCAN, counts_missed=False)

    def _release(self, inbox: InboxState, now: float, wall: float) -> None:
        """Queue the photos of bursts that have ended, and closed ones as far as workers are free for them."""
        early = [b""]
        while early:
            while (released := inbox.debouncer.due(now)) is not None:
                self._queue(inbox, *released, now, wall)
                self._batches.close(inbox.batches.pop(released[1], None), now)
                if len(inbox.debouncer) and inbox.debouncer.burst not in inbox.batches:
                    inbox.batches[inbox.debouncer.burst] = self._batches.begin(inbox.path, now)
            early = inbox.debouncer.take(max(0, self._scheduler.spare - len(self._photos.tracker.live)))
            self._queue(inbox, early, inbox.debouncer.burst, now, wall)

    def _queue(self, inbox: InboxState, paths: Iterable[bytes], burst: int, now: float, wall: float) -> None:
        for path in paths:
            if burst not in inbox.batches:
                inbox.batches[burst] = self._batches.begin(inbox.path, now)
            self._photos.apply(PhotoId(inbox.path, path), Released(wall, inbox.batches[burst]), now, wall)

    def _count_missed(self, inbox: InboxState, now: float) -> None:
        late = [path for path, due in inbox.suspects.items() if due <= now]
        for path in late:
            del inbox.suspects[path]
        if late:
            inbox.missed += len(late)
            inbox.fast_scans_left = FAST_SCANS
            inbox.next_scan = now + inbox.scan_interval()
            inbox.touched = True
            self._log.warning("events.missed", inbox=inbox.path, photos=len(late), total=inbox.missed)

    def folders_meet(self, reasons: Mapping[bytes, str]) -> None:
        """Hold up the inboxes whose folders lie in each other, and no others for that."""
        for inbox in self._inboxes.values():
            reason, before = reasons.get(inbox.path, ""), inbox.breaker.met
            inbox.breaker.met = reason
            inbox.touched = inbox.touched or reason != before
            if reason and not before:
                self._log.error("folders.meet", inbox=inbox.path, output=inbox.plan.output, reason=reason)
            if before and not reason:
                self._log.info("folders.apart", inbox=inbox.path, output=inbox.plan.output)
                self._reconciler.scan(inbox, Origin.SCAN, counts_missed=False)

    @property
    def unreachable(self) -> Mapping[bytes, str]:
        """Inboxes that could not be read whole, and why."""
        return self._reconciler.missing.unreachable
