"""What `status` shows of an inbox while the daemon runs."""

from __future__ import annotations

import os
from collections.abc import Mapping

from watcher.daemon.desk import Desk
from watcher.daemon.dispatch import Dispatcher
from watcher.daemon.pace import LastBatch
from watcher.daemon.waiting import Waiting


def report(desk: Desk, dispatcher: Dispatcher, waiting: Waiting, *, now: float, wall: float) -> Mapping[str, object]:
    """Say of an inbox what only the running daemon knows."""
    inbox = desk.inbox
    looked_at = [item.seen for item in waiting.photos() if item.photo.inbox == inbox]
    queued = dispatcher.oldest(inbox)
    oldest = min([*looked_at, *([queued] if queued is not None else [])], default=None)
    return {
        "output": os.fsdecode(desk.plan.output),
        "terms": desk.terms,
        "watch": "native" if desk.native and desk.trusted else "poll",
        "watch_reason": (desk.watch_reason if desk.reachable else "") or desk.unreachable_reason,
        "reachable": desk.reachable,
        "missed_events": desk.missed,
        "held_up": desk.hold.reason,
        "waiting": dispatcher.waiting(inbox) + len(looked_at) + len(desk.debouncer),
        "oldest_waiting": oldest,
        "minutes": desk.pace.minutes(),
        "last_batch": _last_batch(desk.pace.last_batch, wall - now),
    }


def _last_batch(batch: LastBatch | None, since_epoch: float) -> Mapping[str, object] | None:
    if batch is None:
        return None
    return {
        "at": round(batch.ended + since_epoch),  # whole seconds: the clocks' jitter alone must make no new report
        "files": batch.files,
        "failed": batch.failed,
        "seconds": batch.seconds,
    }
