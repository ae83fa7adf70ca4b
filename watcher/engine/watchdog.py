"""Whether the daemon makes progress, and what the service manager is told.

Rules:
- A sign of life is given only while the loop turns, the watches are looked after and the workers give answers. That
  is what a new start cures: an inbox that is not there, an output without room, a locked state file are none of it.
- Ready is said once, when every inbox's first scan is asked for. An inbox whose watch takes long (a large tree, a mount
  that hangs) keeps it back for a while only, or the service would never have started.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from watcher.core.status import InboxStatus, summary
from watcher.core.task import State
from watcher.core.tracker import Tracker
from watcher.engine.inbox import InboxState
from watcher.engine.ports import Log, Notifier
from watcher.engine.writer import WriteBuffer

READY_SECONDS = 30.0  # how long an inbox may keep the daemon from being ready
DRAIN_SECONDS = 10.0  # how often more time to stop is asked for, while what is in the workers is finished
MORE_SECONDS = 30.0  # and how much
SLACK_SECONDS = 60.0  # beyond the time after which the pool itself ends who is late


class Watchdog:
    """Reports to the service manager how the daemon is doing."""

    def __init__(
        self,
        manager: Notifier,
        watch_fault: Callable[[], str],
        inboxes: Mapping[bytes, InboxState],
        tracker: Tracker,
        records: WriteBuffer,
        log: Log,
        *,
        liveness_seconds: float,
    ) -> None:
        self._manager = manager
        self._watch_fault = watch_fault
        self._inboxes = inboxes
        self._tracker = tracker
        self._records = records
        self._log = log
        self._longest_silence = liveness_seconds + SLACK_SECONDS
        self._ready = False
        self._ready_by: float | None = None
        self._busy = False
        self._answered = 0.0  # when the workers last gave an answer, or had nothing to do
        self._next_alive: float | None = None
        self._next_extend: float | None = None
        self._stuck = ""
        self._status = ""

    def start(self, now: float) -> None:
        """Begin: inboxes are being opened."""
        self._ready_by = now + READY_SECONDS
        self._next_alive = None if self._manager.alive_seconds is None else now
        self._answered = now

    def deadline(self) -> float | None:
        """Return when `tick` must be called next; None: nothing is due."""
        deadlines = (self._ready_by, self._next_alive, self._next_extend)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def answered(self, now: float) -> None:
        """Note that something came back from the workers."""
        self._answered = now

    def tick(self, now: float) -> None:
        """Report what is due; to be called when all else is done."""
        busy = self._tracker.count(State.RENDERING) > 0
        if not (busy and self._busy):
            self._answered = now
        self._busy = busy
        if self._ready_by is not None and (
            now >= self._ready_by or all(inbox.ready for inbox in self._inboxes.values())
        ):
            self._ready, self._ready_by = True, None
            self._manager.ready()
        for_more = self._next_extend is not None and now >= self._next_extend
        for_life = self._next_alive is not None and now >= self._next_alive
        if not (for_more or for_life):
            return
        well = not self._judge(now)
        if for_more:
            self._next_extend = now + DRAIN_SECONDS
            if well:
                self._manager.extend(MORE_SECONDS)
        if for_life and self._manager.alive_seconds is not None:
            self._next_alive = now + self._manager.alive_seconds
            if well:
                self._manager.alive()

    def _judge(self, now: float) -> str:
        """Return what is stuck; empty: nothing."""
        stuck = self._watch_fault()
        if not stuck and now - self._answered > self._longest_silence:
            photos = self._tracker.count(State.RENDERING)
            stuck = f"no answer from the workers for {now - self._answered:.0f} s, with {photos} photos in them"
        if stuck and not self._stuck:
            self._log.error("daemon.stuck", reason=stuck)
            self._manager.status(f"stuck: {stuck}")
        if self._stuck and not stuck:
            self._status = ""  # whatever was told before, the manager shows otherwise now
        self._stuck = stuck
        return stuck

    def unavailable_reasons(self, now: float) -> Iterator[str]:
        """Return what keeps the daemon from its work, as far as it is known here."""
        if stuck := self._judge(now):
            yield stuck
        if self._ready_by is not None:
            yield "starting: not every inbox is watched yet"
        if self._next_extend is not None:
            yield "stopping: only what is in the workers is finished"

    # ---- a reload, and the end ----

    def reloading(self) -> None:
        """Report that the config is being read again."""
        if self._ready:
            self._manager.reloading()

    def reloaded(self) -> None:
        """Report that it was read, and is in use or rejected."""
        if self._ready:
            self._manager.ready()

    def stopping(self, now: float) -> None:
        """Report that only running jobs are finished."""
        self._ready, self._ready_by = False, None  # ready would mean that the daemon is not stopping after all
        self._manager.stopping()
        self._next_extend = now

    @property
    def shows_status(self) -> bool:
        """Whether a line about the daemon is of use now."""
        return not (self._records.blocked or self._stuck) and self._manager.reads_status

    def show(self, inboxes: Collection[InboxStatus]) -> None:
        """Report in a line what the daemon does."""
        text = summary(inboxes)
        if text and text != self._status:
            self._manager.status(text)
            self._status = text
