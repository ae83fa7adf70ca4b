"""Writing to the state file from the loop: results once a turn, attempts at once, nothing lost while it is busy.

A turn of the loop collects what arrived together. To wait for more would mean more photos made twice after a kill.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from watcher.core.history import HistoryEntry
from watcher.core.hooks import Answered, Outgoing
from watcher.core.naming import could_meet, number_of
from watcher.core.records import ContentRecord, Phase, PhotoRecord, RenditionRecord
from watcher.core.status import InboxStatus
from watcher.core.types import FileSignature, PhotoId
from watcher.engine.conflicts import NameConflicts
from watcher.engine.ports import Log, Store
from watcher.engine.store_health import StoreHealth, Use
from watcher.errors import StateError

_RETRY_SECONDS = 2.0  # while the state file can't be written
_MOST_NOTES = 10_000  # entries of history that wait while it can't; older ones are dropped


class WriteBuffer:
    """What is to be written, in order, until it is written."""

    def __init__(self, store: Store, log: Log) -> None:
        self.store = store
        self.health = StoreHealth(log)
        self._rows: dict[PhotoId, PhotoRecord | None] = {}  # the latest row of each photo
        # Every row, in order. The latest alone is not enough: a removal records what a photo leaves behind, and a photo
        # that is done replaces what others left behind, even if the next attempt begins in the same turn.
        self._steps: list[tuple[PhotoId, PhotoRecord | None]] = []
        self._conflicts = NameConflicts(store, self._rows)
        self._notes: deque[HistoryEntry] = deque(maxlen=_MOST_NOTES)
        self._answered: list[int] = []
        self._hooks: list[Outgoing | Answered] = []  # no more than rows: no attempt begins while it can't be written
        self._since: float | None = None  # when the oldest of `_rows` came
        self._blocked_until: float | None = None

    def known(self, photo: PhotoId) -> PhotoRecord | None:
        """Return the row of a photo, as it is or will be written."""
        return self._rows[photo] if photo in self._rows else self.store.known(photo)

    def __contains__(self, photo: PhotoId) -> bool:
        """Return whether something about `photo` is not written yet."""
        return photo in self._rows

    def put(self, photo: PhotoId, known: PhotoRecord | None, now: float) -> None:
        """Write a row at the end of this turn."""
        self.stage(photo, known)
        if self._since is None:
            self._since = now

    def note(
        self, photo: PhotoId, wall: float, what: str, detail: Mapping[str, object], now: float | None = None
    ) -> None:
        """Write an entry of a photo's history with the next result or attempt; given `now`, at the end of this turn."""
        self._notes.append(HistoryEntry(photo, wall, what, detail))
        if now is not None and self._since is None:
            self._since = now

    def answer(self, number: int, now: float) -> None:
        """Delete a request together with what is written because of it."""
        self._answered.append(number)
        if self._since is None:
            self._since = now

    def hook(self, entry: Outgoing | Answered, now: float | None) -> None:
        """Write what a hook is to be told of, or what became of that; None: with the row of the photo, that was put."""
        self._hooks.append(entry)
        if self._since is None:
            self._since = now

    def name_conflicts(self, photo: PhotoId, *, folds_case: bool) -> Mapping[bytes, Mapping[str, RenditionRecord]]:
        """Return the photos whose outputs could meet this one's; see `NameConflicts`."""
        return self._conflicts.of(photo, folds_case=folds_case)

    def taken_away(self, photo: PhotoId, looks: FileSignature) -> list[tuple[PhotoId, PhotoRecord]]:
        """List photos that had this name and these looks when their originals were taken away, with their keys."""
        found = {key: known for key, known in self.store.taken_away(photo, looks=looks) if key not in self._rows}
        found.update((key, known) for key, known in self._aside(photo) if known.stamp.same_content(looks))
        return list(found.items())

    def last_aside(self, photo: PhotoId) -> int:
        """Return the highest number of a key of those that had this name; 0: there are none."""
        return max([self.store.last_aside(photo), *(number_of(key.name) for key, _ in self._aside(photo))])

    def _aside(self, photo: PhotoId) -> Iterator[tuple[PhotoId, PhotoRecord]]:
        """Return those of them that are not written yet."""
        prefix = photo.path + b"\0"
        for key, known in self._rows.items():
            if known is not None and key.inbox == photo.inbox and key.path.startswith(prefix):
                yield key, known

    def rekey(self, old: PhotoId, new: PhotoId, known: PhotoRecord, now: float) -> None:
        """Write a photo under another key, in one transaction."""
        self.put(old, None, now)  # first: the next row deletes the tombstone that this leaves
        self.put(new, known, now)

    def alike(self, size: int, mtime_ns: int = 0) -> Iterator[ContentRecord]:  # noqa: C901  # a case a step
        """Return what was made of photos with so many bytes, as it is known now."""
        now: dict[PhotoId, ContentRecord] = {}
        left: dict[PhotoId, list[ContentRecord]] = defaultdict(list)
        for content in self.store.alike(size, mtime_ns):
            if content.photo not in self._rows:
                yield content
            elif content.gone:
                left[content.photo].append(content)
            else:
                now[content.photo] = content
        for photo, known in self._steps:
            if known is not None and known.phase is Phase.DONE:
                left.pop(photo, None)
                now.pop(photo, None)
                if known.stamp.size == size and known.digest:
                    now[photo] = known.content(photo)
            elif photo in now:
                left[photo].append(replace(now.pop(photo), gone=True, lately=True))
        for contents in left.values():
            yield from contents
        for photo, content in now.items():
            known = self._rows[photo]
            if known is not None and not known.leased:
                yield content

    @property
    def any_gone(self) -> bool:
        """Whether photos are remembered that have left."""
        unmade = any(known is None or known.phase is not Phase.DONE for _, known in self._steps)
        return unmade or self.store.any_gone()

    def written(self, now: float) -> bool:
        """Write everything; False: it can't be done just now."""
        if not self.blocked:
            self.flush(now, force=True)
        return not self.blocked

    def left_renditions(self, photo: PhotoId, wanted: Iterable[str]) -> set[str]:
        """Return of which renditions an output of this photo could lie there as that of another one, which has left."""
        if any(
            known is None
            and (other.inbox, other.folder) == (photo.inbox, photo.folder)
            and could_meet(other.name, photo.name)
            for other, known in self._steps
        ):
            return set(wanted)  # of which is not written yet
        return self.store.left_renditions(photo).intersection(wanted)

    def stage(self, photo: PhotoId, known: PhotoRecord | None) -> None:
        """Add a row to what `commit` writes next."""
        self._rows[photo] = known
        self._steps.append((photo, known))
        self._conflicts.add(photo)

    def commit(self, now: float) -> bool:
        """Write all that is there, durable before this returns; False: it can't be done just now."""
        return self._write(now, durable=True)

    @property
    def blocked(self) -> bool:
        """Whether the state file is left alone for a while, since it could not be used."""
        return self._blocked_until is not None

    def deadline(self) -> float | None:
        """Return when `flush` is due; None: nothing waits to be written."""
        if self._blocked_until is not None:
            return self._blocked_until
        return self._since

    def flush(self, now: float, *, force: bool = False) -> None:
        """Write what there is; while the state file is left alone, only with `force`."""
        deadline = self.deadline()
        if deadline is not None and (force or now >= deadline):
            self._write(now, durable=False)

    def forget_folder(
        self, inbox: bytes, folder: bytes, now: float, *, listed: bool
    ) -> list[tuple[PhotoId, PhotoRecord]]:
        """Delete the records of a folder; return its photos, if they are to be `listed`.

        If it can't be done just now, the next scan finds that it is gone.
        """
        photos: list[tuple[PhotoId, PhotoRecord]] = []

        def forget() -> None:
            photos.extend(self.store.known_below(inbox, folder) if listed else [])
            self.store.forget_folder(inbox, folder)

        return photos if self._change(forget, now) else []

    def forget_inbox(self, inbox: bytes, now: float) -> bool:
        """Delete all records of an inbox; return False if that can't be done just now."""
        return self._change(lambda: self.store.forget_folder(inbox, b""), now)

    def forget_tombstones(self, photos: Sequence[PhotoId], now: float) -> bool:
        """Forget what photos that have left had; False: it can't be done just now."""
        return self._change(lambda: self.store.forget_tombstones(photos), now)

    def forget_moved(self, moved: Sequence[tuple[ContentRecord, Collection[str]]], now: float) -> bool:
        """Forget renditions of photos that have another name now; False: it can't be done just now."""
        return self._change(lambda: self.store.forget_moved(moved), now)

    def reopen_failed(self, inbox: bytes, now: float) -> int | None:
        """Let the photos of an inbox that failed wait to be tried again; how many. None: it can't be done just now."""
        reopened: list[int] = []
        self._change(lambda: reopened.append(self.store.reopen_failed(inbox)), now)
        return next(iter(reopened), None)

    def _change(self, change: Callable[[], None], now: float) -> bool:
        """Change many rows at once, after all that is to be written before."""
        if not self.written(now):
            return False
        try:
            change()
        except StateError as error:
            self.block(error, Use.RESULTS, now)
            return False
        self.health.over(Use.RESULTS)
        return True

    def report(self, reports: Iterable[InboxStatus], now: float) -> bool:
        """Write what `status` shows of a running daemon; False: it can't be done just now."""
        if self.blocked:
            return False
        try:
            self.store.set_reports(reports)
        except StateError as error:
            self.block(error, Use.STATUS, now)
            return False
        self.health.over(Use.STATUS)
        return True

    def block(self, error: StateError, use: Use, now: float) -> None:
        """Leave the state file alone for a while."""
        self.health.met(error, use, now, unwritten=len(self._rows))
        self._blocked_until = now + _RETRY_SECONDS

    def _write(self, now: float, *, durable: bool) -> bool:
        if self._steps or self._notes or self._answered or self._hooks:  # a write of nothing proves nothing
            try:
                self.store.write(
                    self._steps, list(self._notes), list(self._answered), list(self._hooks), durable=durable
                )
            except StateError as error:
                self.block(error, Use.ATTEMPTS if durable else Use.RESULTS, now)
                return False
            self.health.over(Use.RESULTS, *((Use.ATTEMPTS, Use.READING) if durable else ()))
        self._rows.clear()
        self._steps.clear()
        self._conflicts.forget()
        self._notes.clear()
        self._answered.clear()
        self._hooks.clear()
        self._since = self._blocked_until = None
        return True
