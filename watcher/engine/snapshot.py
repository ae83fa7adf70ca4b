"""What the daemon tells of itself to whoever asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from watcher.core.status import InboxSnapshot, Snapshot
from watcher.engine.inbox import InboxState
from watcher.engine.ports import Pool
from watcher.engine.results import ResultHandler
from watcher.engine.scheduler import Scheduler
from watcher.engine.status import report
from watcher.engine.watchdog import Watchdog
from watcher.engine.writer import WriteBuffer
from watcher.errors import StateError


class Snapshotter:
    """Gathers the vitals from all over the daemon."""

    def __init__(
        self,
        desks: Mapping[bytes, InboxState],
        dispatcher: Scheduler,
        settler: ResultHandler,
        ledger: WriteBuffer,
        health: Watchdog,
        pool: Pool,
        messages: Callable[[], int],
    ) -> None:
        self._desks = desks
        self._dispatcher = dispatcher
        self._settler = settler
        self._ledger = ledger
        self._health = health
        self._pool = pool
        self._messages = messages

    def examine(self, now: float, wall: float) -> Snapshot:
        """Tell how the daemon fares."""
        numbers = self._settler.numbers
        inboxes = tuple(self._inbox(desk, now, wall) for desk in self._desks.values())
        in_flight = self._dispatcher.in_workers
        return Snapshot(
            ailments=tuple(self._ailments(now)),
            inboxes=inboxes,
            results=dict(numbers.results),
            pixels=numbers.pixels,
            batches=numbers.batches.freeze(),
            render=numbers.render.freeze(),
            visible=numbers.visible.freeze(),
            in_flight=in_flight,
            queued=sum(self._dispatcher.waiting(inbox) for inbox in self._desks) - in_flight,
            messages=self._messages(),
            losses=self._pool.losses,
        )

    def _inbox(self, desk: InboxState, now: float, wall: float) -> InboxSnapshot:
        shown = report(desk, self._dispatcher, self._settler.waiting, self._pool.about(), now=now, wall=wall)
        waiting, oldest = shown["waiting"], shown["oldest_waiting"]
        return InboxSnapshot(
            path=desk.inbox,
            output=desk.plan.output,
            waiting=int(str(waiting)),
            oldest_waiting=None if oldest is None else float(str(oldest)),
            missed=desk.missed,
            known=self._known(desk.inbox),
        )

    def _known(self, inbox: bytes) -> Mapping[str, int]:
        if self._ledger.blocked:
            return {}
        try:
            counts = self._ledger.store.counts(inbox)
        except StateError:
            return {}
        return {"done": counts.done, "failed": counts.failed}

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
