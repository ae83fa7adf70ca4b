"""The observers that each daemon has: the log, and the rates that `status` shows. The counters are one too."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from watcher.core.counters import LastBatch
from watcher.core.naming import called
from watcher.core.observer import BatchDone, Observer, PhotoDone, PhotoFailed
from watcher.core.recipe import names_of
from watcher.engine.inbox import InboxState
from watcher.engine.ports import Log


class Observers:
    """Several observers as one."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def photo_done(self, item: PhotoDone) -> None:
        """Pass on a photo that is done."""
        for observer in self._observers:
            observer.photo_done(item)

    def photo_failed(self, item: PhotoFailed) -> None:
        """Pass on a photo that has failed."""
        for observer in self._observers:
            observer.photo_failed(item)

    def batch_done(self, batch: BatchDone) -> None:
        """Pass on a batch that has ended."""
        for observer in self._observers:
            observer.batch_done(batch)


class EventLog:
    """Logs photos and batches, once the state file has them: what a line calls done is not made again after a kill."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lines: list[tuple[Callable[..., object], str, dict[str, object]]] = []

    def write(self) -> None:
        """Write the lines of this turn."""
        lines, self._lines = self._lines, []
        for log, event, fields in lines:
            log(event, **fields)

    def photo_done(self, item: PhotoDone) -> None:
        """Log a photo and its renditions."""
        done, moved = item.outcome, item.moved_from
        fields = {
            "path": item.photo.absolute,
            "renditions": names_of(made.name for made in done.made),
            "adopted": sum(made.adopted for made in done.made),
            "copied": sum(made.copied for made in done.made),
            **({"moved_from": called(moved.absolute)} if moved else {}),
            **({"same_as": called(done.duplicate.photo.absolute)} if done.duplicate and not moved else {}),
            "seconds": round(done.seconds, 3),
            "pid": done.pid,
        }
        self._lines.append((self._log.debug, "photo.done", fields))

    def photo_failed(self, item: PhotoFailed) -> None:
        """Log why a photo failed."""
        fields = {"path": item.photo.absolute, "reason": item.reason, "attempts": item.attempts}
        self._lines.append((self._log.warning, "photo.failed", fields))

    def batch_done(self, batch: BatchDone) -> None:
        """Log in one line what a batch came to."""
        seconds = max(batch.seconds, 1e-6)
        copied = [item for item in batch.photos if any(made.copied for made in item.outcome.made)]
        fields = {
            "inbox": batch.inbox,
            "files": batch.files,
            "renditions": sum(len(item.outcome.made) for item in batch.photos),
            "failed": len(batch.failed),
            "copied": sum(item.moved_from is None for item in copied),
            "moved": sum(item.moved_from is not None for item in batch.photos),
            "seconds": round(seconds, 3),
            "megapixels_per_second": round(sum(item.pixels for item in batch.photos) / 1e6 / seconds, 1),
        }
        self._lines.append((self._log.info, "batch.done", fields))


class Rates:
    """Counts the photos of the last hour and remembers the last batch, for each inbox."""

    def __init__(self, inboxes: Mapping[bytes, InboxState]) -> None:
        self._inboxes = inboxes

    def photo_done(self, item: PhotoDone) -> None:
        """Count a photo."""
        if (inbox := self._inboxes.get(item.photo.inbox)) is not None:
            inbox.rate.count(item.at)

    def photo_failed(self, item: PhotoFailed) -> None:
        """Failed photos have no rate."""

    def batch_done(self, batch: BatchDone) -> None:
        """Remember the batch."""
        if (inbox := self._inboxes.get(batch.inbox)) is not None:
            inbox.rate.last_batch = LastBatch(batch.ended, batch.files, len(batch.failed), round(batch.seconds, 3))
            inbox.touched = True
