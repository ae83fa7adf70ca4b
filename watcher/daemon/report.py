"""What `status` shows of an inbox while the daemon runs."""

from __future__ import annotations

import os
from collections.abc import Mapping

from watcher.daemon.desk import Desk
from watcher.daemon.dispatch import Dispatcher
from watcher.daemon.waiting import Waiting


def report(desk: Desk, dispatcher: Dispatcher, waiting: Waiting) -> Mapping[str, object]:
    """Say of an inbox what only the running daemon knows."""
    inbox = desk.inbox
    looked_at = [item.seen for item in waiting.photos() if item.photo.inbox == inbox]
    queued = dispatcher.oldest(inbox)
    oldest = min([*looked_at, *([queued] if queued is not None else [])], default=None)
    return {
        "output": os.fsdecode(desk.plan.output),
        "terms": desk.terms,
        "watch": "native" if desk.native and desk.trusted else "poll",
        "watch_reason": desk.watch_reason,
        "reachable": desk.reachable,
        "unreachable_reason": desk.unreachable_reason,
        "missed_events": desk.missed,
        "waiting": dispatcher.waiting(inbox) + len(looked_at) + len(desk.debouncer),
        "oldest_waiting": oldest,
    }
