"""What became of a watch: whether its events can be trusted, and the scan that makes up for those that were lost."""

from __future__ import annotations

from collections.abc import Mapping

from watcher.core.types import Origin, WatchBack, WatchLost, WatchReady
from watcher.engine.inbox import InboxState
from watcher.engine.ports import Log
from watcher.engine.reconcile import Reconciler


class Watching:
    """What is known of every inbox's watch."""

    def __init__(self, desks: Mapping[bytes, InboxState], scans: Reconciler, log: Log, *, once: bool) -> None:
        self._desks = desks
        self._scans = scans
        self._log = log
        self._once = once

    def ready(self, ready: WatchReady) -> None:
        """Begin the first scan of an inbox: its watch is set."""
        desk = self._desks.get(ready.inbox)
        if desk is None or desk.ready:
            return
        desk.ready, desk.native = True, ready.native
        desk.watch_reason = ready.reason or desk.watch_reason  # some of it may have been found wanting already
        desk.trusted = ready.native and not desk.watch_reason
        if not self._once:
            self._log.info("watch.started", inbox=desk.inbox, watch="native" if ready.native else "poll")
            if not ready.native and desk.plan.config.watch != "poll":
                self._log.warning("watch.degraded", inbox=desk.inbox, reason=ready.reason)
        self._scans.scan(desk, Origin.START, counts_missed=False)

    def lost(self, lost: WatchLost) -> None:
        """Look through an inbox whose events can't be trusted, and go on by scans until they can."""
        desk = self._desks.get(lost.inbox)
        if desk is None:
            return
        self._log.warning("watch.degraded" if lost.silent else "watch.lost", inbox=lost.inbox, reason=lost.reason)
        desk.touched = True
        desk.heals = lost.healed
        desk.native = desk.native and not lost.silent
        if not lost.healed:
            desk.trusted, desk.watch_reason = False, lost.reason
        self._scans.scan(desk, Origin.SCAN, counts_missed=False)

    def back(self, back: WatchBack) -> None:
        """Trust the events of an inbox again; a scan finds what they missed, and whether it is the inbox at all."""
        desk = self._desks.get(back.inbox)
        if desk is None:
            return
        desk.native = desk.trusted = desk.heals = True
        desk.watch_reason = ""
        desk.touched = True
        self._scans.scan(desk, Origin.SCAN, counts_missed=False)
