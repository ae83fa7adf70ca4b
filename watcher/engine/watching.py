"""What became of a watch: whether its events can be trusted, and the scan that makes up for those that were lost."""

from __future__ import annotations

from collections.abc import Mapping

from watcher.core.types import Origin, WatchBack, WatchLost, WatchReady
from watcher.engine.inbox import InboxState
from watcher.engine.ports import Log
from watcher.engine.reconcile import Reconciler


class Watching:
    """What is known of every inbox's watch."""

    def __init__(self, inboxes: Mapping[bytes, InboxState], reconciler: Reconciler, log: Log, *, once: bool) -> None:
        self._inboxes = inboxes
        self._reconciler = reconciler
        self._log = log
        self._once = once

    def ready(self, ready: WatchReady) -> None:
        """Begin the first scan of an inbox: its watch is set."""
        inbox = self._inboxes.get(ready.inbox)
        if inbox is None or inbox.ready:
            return
        inbox.ready, inbox.native = True, ready.native
        inbox.watch_reason = ready.reason or inbox.watch_reason  # some of it may have been found wanting already
        inbox.trusted = ready.native and not inbox.watch_reason
        if not self._once:
            self._log.info("watch.started", inbox=inbox.path, watch="native" if ready.native else "poll")
            if not ready.native and inbox.plan.config.watch != "poll":
                self._log.warning("watch.degraded", inbox=inbox.path, reason=ready.reason)
        self._reconciler.scan(inbox, Origin.START, counts_missed=False)

    def lost(self, lost: WatchLost) -> None:
        """Look through an inbox whose events can't be trusted, and go on by scans until they can."""
        inbox = self._inboxes.get(lost.inbox)
        if inbox is None:
            return
        self._log.warning("watch.degraded" if lost.silent else "watch.lost", inbox=lost.inbox, reason=lost.reason)
        inbox.touched = True
        inbox.heals = lost.healed
        inbox.native = inbox.native and not lost.silent
        if not lost.healed:
            inbox.trusted, inbox.watch_reason = False, lost.reason
        self._reconciler.scan(inbox, Origin.SCAN, counts_missed=False)

    def back(self, back: WatchBack) -> None:
        """Trust the events of an inbox again; a scan finds what they missed, and whether it is the inbox at all."""
        inbox = self._inboxes.get(back.inbox)
        if inbox is None:
            return
        inbox.native = inbox.trusted = inbox.heals = True
        inbox.watch_reason = ""
        inbox.touched = True
        self._reconciler.scan(inbox, Origin.SCAN, counts_missed=False)
