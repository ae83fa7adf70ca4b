"""What becomes of an original once every rendition is safely on disk: moved or deleted, where `after` says so.

Rules:
- Only an original that looks as it did when its renditions were made, and all of them are current and where they were
  put: somebody who has lost one and brings the original back must not lose that too.
- First its books are written, durable, under a key that no file can have (`plan.aside`), with where it is to go; then
  it is taken away. So its outputs are its own for ever, whatever comes later under its name, and what is interrupted
  between is seen at the next scan: a file that looks like one whose books are aside goes on where it was.
- One that can't be taken away is no failure of the photo. That is said once, and each scan tries again.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from watcher import plan
from watcher.daemon import notes
from watcher.daemon.desk import Desk
from watcher.daemon.ledger import Ledger
from watcher.daemon.parts import Chores, Log, TakenAway
from watcher.model import PhotoId, Stamp
from watcher.plan import Known, Phase

_AT_ONCE = 64  # originals that are on their way, and books that are written in one go
_MOST_WANTED = 10_000  # that wait to be taken away; scans find those beyond


@dataclass(slots=True)
class _Leaving:
    """An original on its way."""

    aside: PhotoId  # the key of its books
    stamp: Stamp


class Keeper:
    """Has originals taken away."""

    def __init__(self, ledger: Ledger, desks: Mapping[bytes, Desk], chores: Chores, log: Log) -> None:
        self._ledger = ledger
        self._desks = desks
        self._chores = chores
        self._log = log
        self._wanted: dict[PhotoId, Stamp] = {}
        self._leaving: dict[PhotoId, _Leaving] = {}
        self._said: dict[bytes, str] = {}  # inbox → why its originals can't be taken away
        self._any: dict[bytes, bool] = {}  # inbox → whether any were ever taken away

    def want(self, photo: PhotoId, stamp: Stamp) -> None:
        """Have an original taken away that is done, if its inbox is one where that is asked for."""
        desk = self._desks.get(photo.inbox)
        if desk is not None and desk.plan.config.after != "keep" and len(self._wanted) < _MOST_WANTED:
            self._wanted[photo] = stamp

    def busy_with(self, photo: PhotoId) -> bool:
        """Tell whether an original is on its way."""
        return photo in self._leaving

    @property
    def idle(self) -> bool:
        """Whether nothing is to be taken away or on its way."""
        return not (self._wanted or self._leaving)

    def returned(self, photo: PhotoId, looks: Stamp | None) -> Known | None:
        """Give the books of a photo that looks like one whose original was taken away, under its own name again."""
        if photo.inbox not in self._any:
            self._any[photo.inbox] = self._ledger.store.any_away(photo.inbox)
        if looks is None or not self._any[photo.inbox]:
            return None
        for key, known in self._ledger.taken_away(photo):
            if known.stamp.same_content(looks):
                return self._restore(photo, key, known)
        return None

    def _restore(self, photo: PhotoId, key: PhotoId, known: Known) -> Known:
        restored = replace(known, away=None)
        self._ledger.rekey(key, photo, restored, 0.0)
        return restored

    # ---- taking away ----

    def act(self, now: float) -> None:
        """Put aside the books of those that can go, and have them taken away."""
        if not self._wanted or self._ledger.blocked:
            return
        going = []
        for photo in list(itertools.islice(self._wanted, _AT_ONCE - len(self._leaving))):
            stamp = self._wanted.pop(photo)
            desk, known = self._desks.get(photo.inbox), self._ledger.known(photo)
            if desk is not None and known is not None and _may_go(desk, known, stamp):
                outputs = _outputs(desk, photo, known)
                key = self._put_aside(desk, photo, known, now)
                going.append((photo, key, stamp, desk.plan.originals, outputs))
        if not going:
            return
        if not self._ledger.commit(now):
            for photo, key, *_ in going:
                known = self._ledger.known(key)
                if known is not None:
                    self._restore(photo, key, known)  # the next scan finds it
            return
        for photo, key, stamp, originals, outputs in going:
            self._leaving[photo] = _Leaving(key, stamp)
            self._chores.take_away(photo, stamp, originals, outputs)

    def _put_aside(self, desk: Desk, photo: PhotoId, known: Known, now: float) -> PhotoId:
        self._any[photo.inbox] = True
        taken = {key for key, _ in self._ledger.taken_away(photo)}
        key = next(key for number in itertools.count(1) if (key := plan.aside(photo, number)) not in taken)
        made = plan.with_names(known.made, known.recipes, photo.name, desk.plan.wanted)
        where = b"" if desk.plan.originals is None else desk.plan.originals + b"/" + photo.path
        self._ledger.rekey(photo, key, replace(known, made=made, away=where), now)
        return key

    # ---- what became of it ----

    def taken(self, message: TakenAway, now: float, wall: float) -> None:
        """Hear what became of an original."""
        photo, where = message.photo, message.where
        leaving = self._leaving.pop(photo, None)
        known = self._ledger.known(leaving.aside) if leaving is not None else None
        if leaving is None or known is None or known.away is None:
            return
        if where is not None:
            self._said.pop(photo.inbox, None)
            if known.away != where:
                self._ledger.put(leaving.aside, replace(known, away=where), now)
            self._ledger.note(photo, wall, notes.TAKEN, {"to": os.fsdecode(where)} if where else {})
            self._log.debug("original.moved" if where else "original.deleted", path=photo.absolute, to=where)
            return
        if self._ledger.known(photo) is None:
            self._ledger.rekey(leaving.aside, photo, replace(known, away=None), now)
        desk = self._desks.get(photo.inbox)
        if not message.fault:
            if desk is not None:
                desk.parts.examine([photo.path], [])  # it changed, which its event tells, or went by itself
            return
        if self._said.get(photo.inbox) != message.fault:
            self._said[photo.inbox] = message.fault
            self._ledger.note(photo, wall, notes.KEPT, {"reason": message.fault})
            self._log.warning("original.kept", path=photo.absolute, reason=message.fault)


def _outputs(desk: Desk, photo: PhotoId, known: Known) -> list[tuple[bytes, int]]:
    """Say what must lie in the output for an original to go: absolute paths, and sizes."""
    folder = photo.folder + b"/" if photo.folder else b""
    made = plan.with_names(known.made, known.recipes, photo.name, desk.plan.wanted)
    return [
        (b"/".join((desk.plan.output, os.fsencode(name), folder + (made[name].name or photo.name))), made[name].size)
        for name in desk.plan.wanted
    ]


def _may_go(desk: Desk, known: Known, stamp: Stamp) -> bool:
    return (
        desk.plan.config.after != "keep"
        and not desk.moved
        and known.phase is Phase.DONE
        and not known.leased
        and known.stamp.same_content(stamp)
        and plan.is_current(known.recipes, desk.plan.wanted)
    )
