"""What becomes of an original once every rendition is safely on disk: moved or deleted, where `after` says so.

Rules:
- Only an original that holds what its renditions were made of, and all of them are current and where they were put:
  a user who has lost one and brings the original back must not lose that too. What it looks like proves nothing:
  its content is compared when it goes. Where their content is not known, they are made again first.
- First its row is written, durable, under a key that no file can have (`naming.aside`), with where it is to go; then
  it is taken away. So its outputs are its own for ever, whatever comes later under its name, and what is interrupted
  between is seen at the next scan: a worker reads a file that looks like one whose row is aside, and if it has its
  content, it goes on where it was.
- One that can't be taken away is no failure of the photo. That is said once, and each scan tries again.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

from watcher.core import naming, records
from watcher.core.messages import PutBack, TakenAway
from watcher.core.output_paths import settled_paths
from watcher.core.records import Phase, PhotoRecord
from watcher.core.task import ArchivingBegun, ArchivingEnded
from watcher.core.types import FileSignature, PhotoId
from watcher.engine import notes
from watcher.engine.inbox import InboxState
from watcher.engine.photos import Photos
from watcher.engine.ports import FileTasks, Log, Original
from watcher.engine.writer import WriteBuffer
from watcher.text import utf8_text

_AT_ONCE = 64  # originals that are on their way, and rows that are written in one go
_MOST_WANTED = 10_000  # that wait to be taken away; a scan that follows finds those beyond
_CHANGES = "it reads otherwise each time; see whether its disk is sound"


class Archiver:
    """Moves or deletes originals, and restores the rows of those that come back."""

    def __init__(
        self, photos: Photos, records: WriteBuffer, inboxes: Mapping[bytes, InboxState], file_tasks: FileTasks, log: Log
    ) -> None:
        self._photos = photos
        self._records = records
        self._inboxes = inboxes
        self._file_tasks = file_tasks
        self._log = log
        self._wanted: dict[PhotoId, FileSignature] = {}
        self._leaving: dict[PhotoId, PhotoId] = {}  # on its way → the key of its row
        self._reported: dict[bytes, str] = {}  # inbox → why its originals can't be taken away
        self._any: dict[bytes, bool] = {}  # inbox → whether any were ever taken away
        self._unproven: list[PhotoId] = []  # to be made again, since their content is not what is on record
        self._remade: set[PhotoId] = set()  # those that were, until they are taken away
        self._hidden: set[PhotoId] = set()  # on their way back from a hidden name
        self._more: dict[bytes, bool] = {}  # inboxes with more than can wait → whether any was taken away since
        self._again: set[bytes] = set()  # inboxes that are to be scanned again
        self.kept: set[PhotoId] = set()  # photos whose originals could not be taken away, as many as are remembered

    def want(self, photo: PhotoId, stamp: FileSignature) -> None:
        """Archive the original of a photo that is done, if its inbox asks for that."""
        inbox = self._inboxes.get(photo.inbox)
        if inbox is None or inbox.plan.config.after == "keep":
            return
        if len(self._wanted) < _MOST_WANTED or photo in self._wanted:
            self._wanted[photo] = stamp
        else:
            self._more.setdefault(photo.inbox, False)

    def put_back(self, photo: PhotoId) -> None:
        """Put an original back whose hidden name a scan has found, unless it is just being archived."""
        if photo not in self._hidden:
            self._hidden.add(photo)
            self._file_tasks.put_back(photo)

    def take_again(self) -> list[InboxState]:
        """Return the inboxes that are to be scanned again."""
        if self._more and not (self._wanted or self._leaving):
            self._again.update(inbox for inbox, some in self._more.items() if some)  # else it would never end
            self._more.clear()
        again, self._again = self._again, set()
        return [self._inboxes[inbox] for inbox in again if inbox in self._inboxes]

    def take_unproven(self) -> list[PhotoId]:
        """Return the photos that are to be made again before their originals go."""
        unproven, self._unproven = self._unproven, []
        return unproven

    @property
    def idle(self) -> bool:
        """Whether nothing is to be taken away or on its way."""
        return not (self._wanted or self._leaving or self._unproven or self._hidden or self._again or self._more)

    def returned(self, photo: PhotoId, looks: FileSignature | None) -> tuple[tuple[PhotoId, bytes], ...]:
        """Return photos of this name whose originals were archived and looked like this: it may be one of them."""
        if photo.inbox not in self._any:
            self._any[photo.inbox] = self._records.store.any_away(photo.inbox)
        if looks is None or not self._any[photo.inbox]:
            return ()
        found = self._records.taken_away(photo, looks)
        return tuple((key, known.digest) for key, known in found if known.digest)

    def restore(self, photo: PhotoId, key: PhotoId) -> PhotoRecord | None:
        """Restore the row of a photo that is back under its own name; None: there is none any more."""
        known = self._records.known(key)
        return self._restore(photo, key, known) if known is not None and known.away is not None else None

    def _restore(self, photo: PhotoId, key: PhotoId, known: PhotoRecord) -> PhotoRecord:
        restored = replace(known, away=None)
        self._records.rekey(key, photo, restored, 0.0)
        return restored

    # ---- taking away ----

    def act(self, now: float, wall: float) -> None:
        """Put the rows of those aside that can go, and archive them."""
        if not self._wanted or self._records.blocked:
            return
        going: list[tuple[PhotoId, PhotoId, Original]] = []
        for photo in list(itertools.islice(self._wanted, _AT_ONCE - len(self._leaving))):
            stamp = self._wanted.pop(photo)
            inbox, known = self._inboxes.get(photo.inbox), self._records.known(photo)
            if inbox is None or known is None or not _may_go(inbox, known, stamp):
                continue
            if self._photos.tracker.get(photo) is not None:
                continue  # what becomes of it is recorded first
            if not known.digest:
                self._remake(photo)
                continue
            outputs = _outputs(inbox, photo, known)
            original = Original(photo, stamp, known.digest, outputs, inbox.plan.originals, inbox.originals_volume)
            going.append((photo, self._put_aside(inbox, photo, known, now), original))
        if going and not self._records.commit(now):
            for photo, key, _ in going:
                known = self._records.known(key)
                if known is not None:
                    self._restore(photo, key, known)  # the next scan finds it
            return
        for photo, key, original in going:
            self._leaving[photo] = key
            self._photos.apply(photo, ArchivingBegun(original.stamp), now, wall)
            self._file_tasks.take_away(original)

    def _remake(self, photo: PhotoId) -> bool:
        """Make a photo again, once; False: it was already."""
        if photo in self._remade or len(self._remade) >= _MOST_WANTED:
            return False
        self._remade.add(photo)
        self._unproven.append(photo)
        return True

    def _put_aside(self, inbox: InboxState, photo: PhotoId, known: PhotoRecord, now: float) -> PhotoId:
        self._any[photo.inbox] = True
        made = naming.with_names(known.made, known.recipes, photo.name, inbox.plan.wanted)
        key = naming.aside(photo, naming.aside_number(photo, made, self._records.last_aside(photo)))
        where = b"" if inbox.plan.originals is None else inbox.plan.originals + b"/" + photo.path
        self._records.rekey(photo, key, replace(known, made=made, away=where), now)
        return key

    # ---- what became of it ----

    def taken(self, message: TakenAway, now: float, wall: float) -> None:
        """Handle what became of an original."""
        key = self._leaving.pop(message.photo, None)
        if key is None:
            return
        known = self._records.known(key)
        if known is not None and known.away is not None:
            if message.where is not None:
                self._gone(key, known, message, now, wall)
            else:
                self._not_taken(key, known, message, now, wall)
        self._photos.apply(message.photo, ArchivingEnded(wall), now, wall)

    def _not_taken(self, key: PhotoId, known: PhotoRecord, message: TakenAway, now: float, wall: float) -> None:
        photo, inbox = message.photo, self._inboxes.get(message.photo.inbox)
        if self._records.known(photo) is None:
            self._records.rekey(key, photo, replace(known, away=None), now)
        fault = message.fault
        if message.other:
            fault = "" if self._remake(photo) else _CHANGES
        elif not fault and inbox is not None:
            inbox.parts.examine([photo.path], [])  # it changed, which its event tells, or went by itself
        if fault:
            self._stays(photo, fault, now, wall)

    def _gone(self, key: PhotoId, known: PhotoRecord, message: TakenAway, now: float, wall: float) -> None:
        photo, where, inbox = message.photo, message.where, self._inboxes.get(message.photo.inbox)
        self._reported.pop(photo.inbox, None)
        self._remade.discard(photo)
        self.kept.discard(photo)
        if photo.inbox in self._more:
            self._more[photo.inbox] = True
        if inbox is not None and where:
            inbox.originals_volume = message.volume
            inbox.touched = True
        if known.away != where:
            self._records.put(key, replace(known, away=where), now)
        self._records.note(photo, wall, notes.TAKEN, {"to": utf8_text(where)} if where else {}, now)
        self._log.debug("original.moved" if where else "original.deleted", path=photo.absolute, to=where)

    def _stays(self, photo: PhotoId, reason: str, now: float, wall: float) -> None:
        if len(self.kept) < _MOST_WANTED:
            self.kept.add(photo)
        if self._reported.get(photo.inbox) != reason:
            self._reported[photo.inbox] = reason
            self._records.note(photo, wall, notes.KEPT, {"reason": reason}, now)
            self._log.warning("original.kept", path=photo.absolute, reason=reason)

    def is_back(self, message: PutBack) -> None:
        """Handle what became of an original that had a hidden name."""
        self._hidden.discard(message.photo)
        if message.fault:
            self._log.warning("original.hidden", path=message.photo.absolute, reason=message.fault)
        elif message.done:
            self._again.add(message.photo.inbox)


def _outputs(inbox: InboxState, photo: PhotoId, known: PhotoRecord) -> list[tuple[bytes, int]]:
    """Return what must lie in the output for an original to go: absolute paths, and sizes."""
    paths = settled_paths(photo, known.made, known.recipes, inbox.plan.wanted)
    return [(inbox.plan.output + b"/" + paths[name], known.made[name].size) for name in inbox.plan.wanted]


def _may_go(inbox: InboxState, known: PhotoRecord, stamp: FileSignature) -> bool:
    return (
        inbox.plan.config.after != "keep"
        and not inbox.moved
        and known.phase is Phase.DONE
        and not known.leased
        and known.stamp.same_content(stamp)
        and records.is_current(known.recipes, inbox.plan.wanted)
    )
