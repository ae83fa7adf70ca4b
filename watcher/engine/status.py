"""What `status` shows of a running daemon, kept true to half a second while something happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping

from watcher.engine.inbox import InboxState
from watcher.engine.rate import LastBatch
from watcher.engine.scheduler import Scheduler
from watcher.engine.timers import Waiting
from watcher.engine.writer import WriteBuffer

REPORT_SECONDS = 0.5  # how old what is shown may be

Report = Mapping[str, object]


def report(
    desk: InboxState, dispatcher: Scheduler, waiting: Waiting, executor: Report, *, now: float, wall: float
) -> Report:
    """Say of an inbox what only the running daemon knows."""
    inbox = desk.inbox
    looked_at = [item.seen for item in waiting.photos() if item.photo.inbox == inbox]
    queued = dispatcher.oldest(inbox)
    oldest = min([*looked_at, *([queued] if queued is not None else [])], default=None)
    return {
        "output": os.fsdecode(desk.plan.output),
        "volume": os.fsdecode(desk.volume),
        **({"originals": _originals(desk)} if desk.plan.originals is not None else {}),
        "terms": desk.terms,
        "watch": "native" if desk.native and desk.trusted else "poll",
        "watch_reason": (desk.watch_reason if desk.reachable else "") or desk.unreachable_reason,
        "reachable": desk.reachable,
        "missed_events": desk.missed,
        "held_up": desk.hold.why,
        "executor": executor,
        "waiting": dispatcher.waiting(inbox) + len(looked_at) + len(desk.debouncer),
        "oldest_waiting": oldest,
        "minutes": desk.pace.minutes(),
        "last_batch": _last_batch(desk.pace.last_batch, wall - now),
    }


def _originals(desk: InboxState) -> list[str]:
    return [os.fsdecode(desk.plan.originals or b""), os.fsdecode(desk.originals_volume)]


def _last_batch(batch: LastBatch | None, since_epoch: float) -> Report | None:
    if batch is None:
        return None
    return {
        "at": round(batch.ended + since_epoch),  # whole seconds: the clocks' jitter alone must make no new report
        "files": batch.files,
        "failed": batch.failed,
        "seconds": batch.seconds,
    }


class StatusWriter:
    """Writes what has changed of it to the state file, and tells `also` all of it."""

    def __init__(
        self,
        desks: Mapping[bytes, InboxState],
        dispatcher: Scheduler,
        waiting: Waiting,
        ledger: WriteBuffer,
        about: Callable[[], Report],  # the workers
        also: Callable[[Collection[Report]], None],
    ) -> None:
        self._desks = desks
        self._dispatcher = dispatcher
        self._waiting = waiting
        self._ledger = ledger
        self._about = about
        self._also = also
        self.config_fault = ""  # why the config is not taken on that is there now; empty: it is
        self.decoder = ""  # what a worker decodes JPEGs with, where it is not what was said at the start
        self._executor: Report = {}
        self._reported: dict[bytes, Report] = {}
        self._next: float | None = None

    def start(self, now: float) -> None:
        """Have the first report made in this turn."""
        self._next = now

    def config_read(self, fault: str) -> None:
        """Have the next report say that the daemon works by an older config; empty: it does not."""
        self.config_fault = fault
        for desk in self._desks.values():
            desk.touched = True

    def deadline(self) -> float | None:
        """When the next report is due; None: nothing has happened since the last."""
        return self._next

    def tick(self, now: float, wall: float) -> None:
        """Report what is due."""
        if self._next is not None and now >= self._next:
            self.report(now, wall)
        elif self._next is None and (self._touched or not self._dispatcher.idle or self._about() != self._executor):
            self._next = now + REPORT_SECONDS

    @property
    def _touched(self) -> bool:
        return any(desk.touched for desk in self._desks.values())

    def report(self, now: float, wall: float) -> None:
        """Report now."""
        self._executor = self._about()
        reports: dict[bytes, Report] = {
            inbox: {
                **report(desk, self._dispatcher, self._waiting, self._executor, now=now, wall=wall),
                "decoder": self.decoder,
                **({"config_fault": self.config_fault} if self.config_fault else {}),
            }
            for inbox, desk in self._desks.items()
            if not (desk.moved or desk.cured)  # by the report the next start knows that
        }
        changed = {inbox: report for inbox, report in reports.items() if self._reported.get(inbox) != report}
        told = not changed or self._ledger.report(changed, now)
        for desk in self._desks.values():
            desk.touched = not told
        if told:
            self._reported = reports
        self._next = None if told and self._dispatcher.idle else now + REPORT_SECONDS
        self._also(reports.values())
