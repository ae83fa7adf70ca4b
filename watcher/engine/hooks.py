"""Hooks: photos and batches go to the outbox as they are recorded, and from there to the runner, one at a time each."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from watcher.config import Hook
from watcher.core.hooks import (
    Answered,
    HookStatus,
    Outgoing,
    What,
    failed_item,
    next_try,
    photo_item,
    shown_target,
    time_left,
)
from watcher.core.messages import HookAnswered
from watcher.core.observer import BatchDone, PhotoDone, PhotoFailed
from watcher.engine.inbox import InboxState
from watcher.engine.ports import Clock, HookRunner, Log, Settings
from watcher.engine.writer import WriteBuffer
from watcher.errors import StateError

_BUSY_SECONDS = 2.0  # until the state file is read again that could not be
_LAST_SECONDS = 10.0  # that a stop waits for what runs


@dataclass(slots=True)
class _Channel:
    """One hook, and what it is told at the moment."""

    number: int  # in the state file
    settings: Hook
    to: str
    more: bool = True  # something may wait for it
    last: int = 0  # the last entry of the outbox that is over with
    busy: int = 0  # the one that is being delivered; 0: none
    since: float = 0.0  # wall clock: when that was written
    due: float = 0.0  # monotonic clock: when the next try is
    failures: int = 0  # in a row
    failing_since: float | None = None  # monotonic clock


@dataclass(slots=True)
class Hooks:
    """All hooks of the config. An observer, but of batches it needs also what has left one that goes on."""

    records: WriteBuffer
    inboxes: Mapping[bytes, InboxState]
    runner: HookRunner
    clock: Clock
    log: Log
    once: bool  # each is tried once; what fails waits for the next run
    backoff_seconds: float = 5.0
    _channels: dict[int, _Channel] = field(default_factory=dict)
    _wanted: dict[tuple[str, bytes], list[_Channel]] = field(default_factory=dict)  # kind, inbox → who is told
    _run: str = ""  # tells the batches of this run from those before

    # ---- the config ----

    def start(self, settings: Settings) -> None:
        """Use the hooks of the config, and end the batches that an earlier run left open."""
        self._run = f"{self.clock.time():.6f}"
        self._adopt(settings, fresh=True)

    def reload(self, settings: Settings) -> None:
        """Use the hooks of a config that was read again."""
        self._adopt(settings, fresh=False)

    def _adopt(self, settings: Settings, *, fresh: bool) -> None:
        hooks, store = settings.config.hooks, self.records.store
        self.backoff_seconds = settings.config.retry.backoff_seconds
        if hooks or self._channels or store.outbox.statuses():
            inboxes = [plan.inbox for plan in settings.inboxes]
            numbers, lost = store.adopt_hooks([hook.id for hook in hooks], inboxes, fresh=fresh)
            for gone, waiting in lost:
                self.log.warning("hook.removed", on=gone.on, to=shown_target(gone.target), waiting=waiting)
            before, self._channels = self._channels, {}
            for number, hook in zip(numbers, hooks, strict=True):
                channel = before.get(number) or _Channel(number, hook, "")
                channel.settings, channel.to = hook, shown_target(hook.id.target)
                channel.due = 0.0  # what was changed may have mended it
                self._channels[number] = channel
        self._wanted = {}
        for plan in settings.inboxes:
            for channel in self._channels.values():
                if not channel.settings.inbox or plan.config.path in channel.settings.inbox:
                    self._wanted.setdefault((channel.settings.on, plan.inbox), []).append(channel)

    # ---- what they are told of ----

    def photo_done(self, item: PhotoDone) -> None:
        """Write that a photo is done."""
        self._photo("photo", item)

    def photo_failed(self, item: PhotoFailed) -> None:
        """Write that a photo has failed."""
        self._photo("failed", item)

    def left_batch(self, number: int, item: PhotoDone | PhotoFailed) -> None:
        """Write what became of a photo of a batch that goes on."""
        self._photo("batch", item, f"{self._run}.{number}")

    def batch_done(self, batch: BatchDone) -> None:
        """Write that a batch has ended."""
        for channel in self._wanted.get(("batch", batch.inbox), ()):
            self._write(channel, "batch", batch.inbox, batch=f"{self._run}.{batch.number}", now=batch.ended)

    def _photo(self, on: str, item: PhotoDone | PhotoFailed, batch: str = "") -> None:
        photo = item.photo
        for channel in self._wanted.get((on, photo.inbox), ()):
            what: What
            if isinstance(item, PhotoDone):
                output = self.inboxes[photo.inbox].plan.output if photo.inbox in self.inboxes else b""
                what, text = "photo", photo_item(photo.absolute, output, item.outcome.made)
            else:
                what, text = "failed", failed_item(photo.absolute, item.reason)
            self._write(channel, what, photo.inbox, text, photo.path, batch)

    def _write(
        self,
        channel: _Channel,
        what: What,
        inbox: bytes,
        item: str = "",
        path: bytes = b"",
        batch: str = "",
        now: float | None = None,
    ) -> None:
        output = self.inboxes[inbox].plan.output if inbox in self.inboxes else b""
        entry = Outgoing(channel.number, what, self.clock.time(), inbox, output, item, path, batch)
        self.records.hook(entry, now)
        channel.more = channel.more or what == "batch" or not batch

    # ---- delivery ----

    @property
    def idle(self) -> bool:
        """Whether nothing is to be delivered in this run any more."""
        return not any(channel.busy or channel.more for channel in self._channels.values())

    def keeps(self, stopped_at: float, now: float) -> bool:
        """Return whether a stop has to wait for what is being delivered."""
        return now < stopped_at + _LAST_SECONDS and any(channel.busy for channel in self._channels.values())

    def deadline(self, stopped_at: float | None) -> float | None:
        """Return when the next try is due."""
        if stopped_at is not None:
            return stopped_at + _LAST_SECONDS if any(channel.busy for channel in self._channels.values()) else None
        if self.records.blocked:
            return None  # it is written first
        due = [channel.due for channel in self._channels.values() if channel.more and not channel.busy]
        return min(due, default=None)

    def act(self, now: float) -> None:
        """Deliver what is due; it was written before."""
        if self.records.blocked:
            return
        for channel in self._channels.values():
            if not channel.more or channel.busy or channel.due > now:
                continue
            try:
                first = self.records.store.outbox.first(channel.number, channel.last)
            except StateError:
                channel.due = now + _BUSY_SECONDS
                continue
            if first is None:
                channel.more = False
            else:
                channel.busy, channel.since = first
                self.runner.deliver(channel.number, channel.settings, channel.busy)

    def answered(self, answer: HookAnswered, now: float, wall: float) -> None:
        """Handle what became of a delivery."""
        channel = self._channels.get(answer.hook)
        if channel is None or channel.busy != answer.number:
            return
        channel.busy = 0
        on, to = channel.settings.on, channel.to
        if not answer.error:
            channel.last, channel.failures, channel.failing_since = answer.number, 0, None
            self.records.hook(Answered(channel.number, answer.number, wall), now)
            self.log.debug("hook.delivered", on=on, to=to)
            return
        channel.failures += 1
        if channel.failing_since is None:
            channel.failing_since = now
        left = time_left(now - channel.failing_since, wall - channel.since)
        gave_up = left <= 0
        self.records.hook(Answered(channel.number, answer.number, wall, answer.error, gave_up), now)
        failures = 1 if gave_up else channel.failures
        seconds = next_try(failures, self.backoff_seconds, random.random(), left)  # noqa: S311  # guards nothing
        channel.due = now + seconds
        if gave_up:
            channel.last = answer.number
            self.log.error("hook.gave_up", on=on, to=to, reason=answer.error)
        elif self.once:
            channel.more = False
            self.log.warning("hook.failed", on=on, to=to, reason=answer.error)
        else:
            self.log.warning("hook.failed", on=on, to=to, reason=answer.error, seconds=round(seconds, 1))

    def status(self) -> tuple[HookStatus, ...]:
        """Return what the state file knows of the hooks; raises StateError."""
        if not self._channels:
            return ()
        known = self.records.store.outbox.statuses()
        keys = (channel.settings.id for channel in self._channels.values())
        return tuple(known[key] for key in keys if key in known)
