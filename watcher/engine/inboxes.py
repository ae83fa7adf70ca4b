"""All inboxes at work: opened and closed, and what is due of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from watcher.config import Config
from watcher.core.debounce import Debouncer
from watcher.core.task import IN_FLIGHT, Dropped, Released, State
from watcher.core.types import (
    Origin,
    PhotoId,
)
from watcher.core.volumes import belongs_on
from watcher.engine.inbox import WATCHFUL_SCANS, InboxState, terms_of
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
        ledger: WriteBuffer,
        scans: Reconciler,
        log: Log,
        *,
        once: bool,
    ) -> None:
        # photos that a single run leaves, for want of room in their output or of anybody to make them
        self.abandoned = 0
        self._desks = by_path
        self._photos = photos
        self._batches = photos.batches
        self._scheduler = scheduler
        self._ledger = ledger
        self._scans = scans
        self._log = log
        self._started: Config | None = None  # of the first inbox that was opened: some keys take a restart
        self._once = once
        self._ticked = 0.0

    # ---- opening and closing ----

    def open(self, plan: InboxPlan, parts: InboxParts, config: Config) -> None:
        """Take an inbox on. The watch is set first, and the first scan begins when that has been answered."""
        batch = config.batch
        debouncer = Debouncer(batch.quiet_seconds, batch.max_wait_seconds, batch.max_files)
        desk = InboxState(plan, parts, debouncer, terms=self._terms(plan, config))
        was = self._ledger.store.report(plan.inbox)
        desk.moved = was is not None and was.output != plan.output
        desk.cured = was is not None and was.terms not in {"", desk.terms}
        if not desk.moved and self._ledger.store.counts(plan.inbox).done:
            desk.volume = belongs_on(b"" if was is None else was.volume, plan.volume, bare=plan.bare)
        before = None if was is None else was.originals
        if before is not None and before[0] == plan.originals:
            desk.originals_volume = before[1]
        desk.originals_volume = desk.originals_volume or plan.originals_volume
        self._desks[plan.inbox] = desk
        self._tell_of_output(plan)
        parts.open()

    def _tell_of_output(self, plan: InboxPlan) -> None:
        if plan.away:  # whether it still is, the first photo finds out
            self._log.error("output.unwritable", inbox=plan.inbox, output=plan.output, reason=plan.away)
        if plan.weaker:
            self._log.warning("output.weaker", inbox=plan.inbox, output=plan.output, reason=plan.weaker)

    def _terms(self, plan: InboxPlan, config: Config) -> str:
        self._started = self._started or config
        return terms_of(plan, config, self._started)

    def close(self, inbox: bytes | None = None, now: float = 0.0) -> None:
        """Let go of an inbox, or of all of them."""
        for path in list(self._desks) if inbox is None else [inbox]:
            desk = self._desks[path]
            desk.parts.close()
            if inbox is not None:
                for task in self._photos.tracker:
                    if task.photo.inbox == path and task.state not in {*IN_FLIGHT, State.ARCHIVING}:
                        self._photos.apply(task.photo, Dropped(), now, 0.0)
                for number in (*desk.batches.values(), *([desk.scan_batch] if desk.scan_batch else [])):
                    self._batches.close(number, now)
                del self._desks[path]

    def reload(self, settings: Settings, parts_of: Callable[[InboxPlan], InboxParts], now: float) -> None:
        """Take on new settings: inboxes come and go, and those that stay lose no event."""
        plans = {plan.inbox: plan for plan in settings.inboxes}
        for path, desk in list(self._desks.items()):
            plan = plans.get(path)
            if plan is None or not desk.same_watch(plan):
                self.close(path, now)
        batch = settings.config.batch
        for path, plan in plans.items():
            kept = self._desks.get(path)
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
            kept.cured = kept.cured or kept.terms != terms
            kept.terms = terms
            if kept.use(plan):
                self._scans.scan(kept, Origin.SCAN, counts_missed=False)

    @property
    def scanned(self) -> bool:
        """Whether every inbox was scanned, and all that was found was digested."""
        return all(
            desk.ready and not (desk.scan or desk.again or desk.afresh or desk.looking or len(desk.debouncer))
            for desk in self._desks.values()
        )

    # ---- what is due ----

    def deadline(self) -> float | None:
        """When something is due next."""
        deadlines: list[float] = []
        for desk in self._desks.values():
            burst = desk.debouncer.deadline()
            if burst is not None:
                deadlines.append(burst)
            if desk.next_scan is not None and (desk.afresh or not self._once):
                deadlines.append(desk.next_scan)
            if (desk.moved or desk.cured) and not self._ledger.blocked:
                deadlines.append(self._ticked)
            if desk.suspects:
                deadlines.append(min(desk.suspects.values()))
            # One that has come already waits for a worker, which tells by a message that it is free.
            until = desk.hold.until
            if until is not None and until > self._ticked and self._photos.tracker.waiting(desk.inbox):
                deadlines.append(until)
        return min(deadlines, default=None)

    def tick(self, now: float, wall: float) -> None:
        """Release bursts, count missed events, begin scans, and let listings flow that were held back."""
        self._ticked = now
        for desk in self._desks.values():
            self._mend_books(desk, now)
            self._release(desk, now, wall)
            self._count_missed(desk, now)
            if desk.next_scan is not None and now >= desk.next_scan and (desk.afresh or not self._once):
                self._scans.scan(desk, Origin.SCAN, counts_missed=desk.trusted and not desk.afresh)
            if self._photos.tracker.queued < MOST_PENDING // 2:
                for _ in range(desk.held):
                    desk.parts.ack()
                desk.held = 0
                if desk.collapsed:
                    desk.collapsed = False
                    self._scans.scan(desk, Origin.SCAN, counts_missed=False)
        if self._once:
            self._abandon(now, wall)

    def _abandon(self, now: float, wall: float) -> None:
        """Leave photos alone that would wait in vain: a single run waits neither for workers nor for room."""
        despair = self._scheduler.despair
        held = [desk.inbox for desk in self._desks.values() if despair or desk.hold.why]
        if not held:
            return
        if despair:
            self._scheduler.take_back(now, wall)
        for task in self._photos.tracker:
            if task.state is State.QUEUED and task.photo.inbox in held:
                self.abandoned += self._ledger.known(task.photo) is None  # the others are named one by one
                self._photos.apply(task.photo, Dropped(), now, wall)

    def _mend_books(self, desk: InboxState, now: float) -> None:
        """Forget what was made in another output folder, and have tried again what failed on other terms."""
        scan = False
        if desk.moved and self._ledger.forget_inbox(desk.inbox, now):
            desk.moved = desk.cured = False  # what proves to be current in the new folder is taken over
            desk.hold.end()
            self._log.info("output.changed", inbox=desk.inbox, output=desk.plan.output)
            scan = True
        if desk.cured and (reopened := self._ledger.reopen_failed(desk.inbox, now)) is not None:
            desk.cured = False
            if reopened:
                self._log.info("failed.reopened", inbox=desk.inbox, photos=reopened)
                scan = True
        if scan and desk.ready:
            self._scans.scan(desk, Origin.SCAN, counts_missed=False)

    def _release(self, desk: InboxState, now: float, wall: float) -> None:
        """Queue the photos of bursts that have ended, and closed ones as far as workers are free for them."""
        early = [b""]
        while early:
            while (released := desk.debouncer.due(now)) is not None:
                self._queue(desk, *released, now, wall)
                self._batches.close(desk.batches.pop(released[1], None), now)
                if len(desk.debouncer) and desk.debouncer.burst not in desk.batches:
                    desk.batches[desk.debouncer.burst] = self._batches.begin(desk.inbox, now)
            early = desk.debouncer.take(max(0, self._scheduler.spare - len(self._photos.tracker.live)))
            self._queue(desk, early, desk.debouncer.burst, now, wall)

    def _queue(self, desk: InboxState, paths: Iterable[bytes], burst: int, now: float, wall: float) -> None:
        for path in paths:
            if burst not in desk.batches:
                desk.batches[burst] = self._batches.begin(desk.inbox, now)
            self._photos.apply(PhotoId(desk.inbox, path), Released(wall, desk.batches[burst]), now, wall)

    def _count_missed(self, desk: InboxState, now: float) -> None:
        late = [path for path, due in desk.suspects.items() if due <= now]
        for path in late:
            del desk.suspects[path]
        if late:
            desk.missed += len(late)
            desk.watchful = WATCHFUL_SCANS
            desk.next_scan = now + desk.scan_interval()
            desk.touched = True
            self._log.warning("events.missed", inbox=desk.inbox, photos=len(late), total=desk.missed)

    def folders_meet(self, reasons: Mapping[bytes, str]) -> None:
        """Hold up the inboxes whose folders lie in each other, and no others for that."""
        for desk in self._desks.values():
            reason, before = reasons.get(desk.inbox, ""), desk.hold.met
            desk.hold.met = reason
            desk.touched = desk.touched or reason != before
            if reason and not before:
                self._log.error("folders.meet", inbox=desk.inbox, output=desk.plan.output, reason=reason)
            if before and not reason:
                self._log.info("folders.apart", inbox=desk.inbox, output=desk.plan.output)
                self._scans.scan(desk, Origin.SCAN, counts_missed=False)

    @property
    def unreachable(self) -> Mapping[bytes, str]:
        """Inboxes that could not be read whole, and why."""
        return self._scans.missing.unreachable
