"""Photos that may have the same content as one that is to be made: their renditions are lent, not made again.

Rules:
- What is lent is on the books: whose renditions, of which content. Whether it is the same content is found out by the
  worker, which reads the photo anyway.
- While an output is lent or being removed, no photo is begun that would be given its place (`in_the_way`).
- A photo that may be the same as one that is being made waits for it, once and shortly.
- A photo that went, and whose renditions another one was given copies of, has moved: its own are removed. That takes
  the copies to be on the books, the same modification time, an inbox that is there, and a place that nobody claims.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from watcher.backlog import Sighting
from watcher.daemon.desk import Desk
from watcher.daemon.ledger import Ledger
from watcher.daemon.parts import Chores
from watcher.model import Done, Format, Job, PhotoId, Rendering, Stamp, Twin
from watcher.plan import folded, lent_by

HOLD_SECONDS = 0.2  # until one that waits for another is looked at again
_FOLLOW_SECONDS = 3600.0  # how long after it was copied a photo can go and have moved
_MOST_FOLLOWED = 100_000
_MOST_TWINS = 4  # a job carries
_MOST_OF_ONE = 2  # with the same content: the outputs of one may have been removed by hand

Place = tuple[bytes, bytes]  # output folder, output


@dataclass(slots=True)
class _Followed:
    """A photo that is still there, and was copied."""

    twin: Twin
    to: PhotoId
    until: float


class Twins:
    """Who may lend what to whom, and what is left behind by those that moved."""

    def __init__(self, ledger: Ledger, desks: Mapping[bytes, Desk], chores: Chores) -> None:
        self._ledger = ledger
        self._desks = desks
        self._chores = chores
        self._followed: dict[PhotoId, _Followed] = {}
        self._left: list[tuple[Twin, PhotoId]] = []  # renditions to be removed, once the copies are on the books
        self._removing: dict[int, frozenset[Place]] = {}
        self._last = 0

    # ---- before a photo is begun ----

    def of(self, photo: PhotoId, looks: Stamp | None, renderings: Iterable[Rendering]) -> tuple[Twin, ...]:
        """Give those whose renditions would do, the likeliest first."""
        if looks is None or looks.size <= 0:
            return ()
        wanted: dict[str, Format] = {item.recipe.fingerprint: item.recipe.format for item in renderings}
        found: list[tuple[bool, int, Twin]] = []
        for claim in self._ledger.alike(looks.size, looks.mtime_ns):
            desk = self._desks.get(claim.photo.inbox)
            lent = lent_by(claim, wanted)
            if desk is None or desk.moved or not lent or (claim.gone and self._claimed(claim.photo, but=photo)):
                continue
            root, mtime_ns = desk.plan.output, claim.stamp.mtime_ns
            twin = Twin(claim.photo, claim.digest, mtime_ns, root, lent, gone=claim.gone, lately=claim.lately)
            # Who went a moment ago has most likely been renamed; who went before that may have lost its outputs.
            found.append((mtime_ns != looks.mtime_ns, claim.gone - 2 * claim.lately, twin))
        found.sort(key=lambda item: item[:2])
        return _some(twin for _, _, twin in found)

    def _claimed(self, photo: PhotoId, *, but: PhotoId) -> bool:
        """Tell whether the outputs of a photo that has gone could have become another one's since."""
        if photo != but and self._ledger.known(photo) is not None:
            return True
        desk = self._desks.get(photo.inbox)
        rivals = self._ledger.rivals(photo, folds_case=desk is not None and desk.plan.folds_case)
        paths = (name if b"/" in name or not photo.folder else photo.folder + b"/" + name for name in rivals)
        return any(PhotoId(photo.inbox, path) != but for path in paths)

    def in_the_way(self, job: Job, lent: Iterable[frozenset[Place]]) -> bool:
        """Tell whether a place that this job would write to is lent to another one, or is being cleared."""
        busy = [places for places in (*lent, *self._removing.values()) if places]
        if not busy:
            return False
        mine = [_folded((job.output_root, item.output)) for item in job.renderings]
        return not all(places.isdisjoint(mine) for places in busy)

    @staticmethod
    def lent_to(job: Job) -> frozenset[Place]:
        """Give the places that a job may copy from."""
        return frozenset(_folded((twin.output_root, lent.output)) for twin in job.twins for lent in twin.lent)

    @staticmethod
    def may_come(sighting: Sighting, job: Job, sizes: Container[int]) -> bool:
        """Tell whether one of those that are being made, which have `sizes` in bytes, may be the same as this one."""
        looks = sighting.expected or sighting.hint
        return looks is not None and not job.twins and not sighting.held and looks.size in sizes

    # ---- after it was made ----

    def settled(self, job: Job, done: Done, now: float) -> Twin | None:
        """Draw the conclusions where renditions were copied; the photo that has moved to here, if one has."""
        moved: Twin | None = None
        for twin in job.twins if done.twin is not None else ():
            if (twin.digest, twin.mtime_ns) != (done.digest, done.stamp.mtime_ns) or twin.photo == job.photo:
                continue
            if self._ledger.known(twin.photo) is not None:
                if len(self._followed) < _MOST_FOLLOWED and not twin.gone:
                    self._followed.pop(twin.photo, None)  # the order is that of `until`
                    self._followed[twin.photo] = _Followed(twin, job.photo, now + _FOLLOW_SECONDS)
            elif twin.lately or not twin.gone:
                self._left.append((twin, job.photo))
                moved = twin if moved is None or twin == done.twin else moved
        return moved

    def gone(self, photo: PhotoId, now: float) -> None:
        """Hear that a photo is no longer in its inbox, which is there."""
        followed = self._followed.pop(photo, None)
        if followed is not None and now < followed.until:
            self._left.append((followed.twin, followed.to))

    def folder_gone(self, inbox: bytes, folder: bytes, now: float) -> None:
        """Hear the same of all photos below a folder."""
        for photo in [photo for photo in self._followed if photo.inbox == inbox]:
            if photo.path.startswith(folder + b"/"):
                self.gone(photo, now)

    def act(self, now: float) -> None:
        """Have removed what moved photos left behind, as far as the books have it all."""
        # which has written first whatever was to be written
        if self._left and self._ledger.forget_ghosts([twin.photo for twin, _ in self._left], now):
            left, self._left = self._left, []
            for twin, to in left:
                self._remove(twin, to)
        while self._followed and next(iter(self._followed.values())).until <= now:
            del self._followed[next(iter(self._followed))]

    def _remove(self, twin: Twin, to: PhotoId) -> None:
        new = self._ledger.known(to)
        if new is None or not new.digest or new.digest != twin.digest or self._claimed(twin.photo, but=to):
            return
        desk = self._desks.get(to.inbox)
        kept = self._places(to, new.digest) if desk is not None else frozenset[Place]()
        lent = tuple(item for item in twin.lent if _folded((twin.output_root, item.output)) not in kept)
        if desk is None or not lent:
            return
        self._last += 1
        self._removing[self._last] = frozenset(_folded((twin.output_root, item.output)) for item in lent)
        self._chores.remove(self._last, twin.output_root, lent, twin.mtime_ns)

    def _places(self, photo: PhotoId, digest: bytes) -> frozenset[Place]:
        """Give the places where the renditions of a photo lie, folded."""
        known, desk = self._ledger.known(photo), self._desks[photo.inbox]
        if known is None or known.digest != digest:
            return frozenset()
        formats = {recipe.fingerprint: recipe.format for recipe in desk.plan.wanted.values()}
        lent = lent_by(known.claim(photo), formats)
        return frozenset(_folded((desk.plan.output, item.output)) for item in lent)

    def removed(self, number: int) -> None:
        """Hear that a removal is over."""
        self._removing.pop(number, None)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to be removed."""
        return not (self._left or self._removing)


def _some(twins: Iterable[Twin]) -> tuple[Twin, ...]:
    chosen: list[Twin] = []
    for twin in twins:
        if sum(twin.digest == other.digest for other in chosen) < _MOST_OF_ONE:
            chosen.append(twin)
            if len(chosen) == _MOST_TWINS:
                break
    return tuple(chosen)


def _folded(place: Place) -> Place:
    """Give a place as a file system that folds case would have it."""
    return place[0], folded(place[1])
