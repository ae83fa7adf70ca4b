"""Photos that may have the same content as one that is to be made: their renditions are copied, not made again.

Rules:
- What may be copied is recorded: whose renditions, of which content. Whether it is the same content is found out by the
  worker, which reads the photo anyway.
- While an output may be copied or is being removed, no photo is begun that would get its place (`in_the_way`).
- A photo that may be the same as one that is being made waits for it, once and shortly.
- A photo that went, and whose renditions another one was given copies of, has moved: its own are removed. That takes
  the copies to be recorded, the same modification time, an inbox that is there, and a place that no other photo claims.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from watcher.core.formats import Format
from watcher.core.layout import without_digits
from watcher.core.naming import folded
from watcher.core.output_paths import reusable_of, settled_paths, taken_paths
from watcher.core.records import ContentRecord, Phase, PhotoRecord
from watcher.core.types import Done, DuplicateCandidate, FileSignature, Job, PhotoId, Rendering, ReusableRendition
from watcher.engine.inbox import InboxState
from watcher.engine.ports import FileTasks
from watcher.engine.writer import WriteBuffer

_FOLLOW_SECONDS = 3600.0  # how long after it was copied a photo can go and have moved
_MOST_FOLLOWED = 100_000
_MOST_AT_START = 10_000
_TOGETHER_SECONDS = 60.0  # a photo is seen under its new name and missed under its old one
_MOST_DUPLICATES = 4  # a job carries
_MOST_OF_ONE = 2  # with the same content: the outputs of one may have been removed by hand

Place = tuple[bytes, bytes]  # output folder, output


class _Left(NamedTuple):
    """What a photo has left behind that is no longer in its inbox, and who has the same content now."""

    known: ContentRecord
    to: PhotoId


class Deduplicator:
    """Who may lend what to whom, and what is left behind by those that moved."""

    def __init__(self, records: WriteBuffer, inboxes: Mapping[bytes, InboxState], file_tasks: FileTasks) -> None:
        self._records = records
        self._inboxes = inboxes
        self._file_tasks = file_tasks
        self._copied: dict[tuple[bytes, int], tuple[PhotoId, float]] = {}  # digest, time → who was given copies; until
        self._late: set[PhotoId] = set()  # were made when they had gone already
        self._unmade: set[PhotoId] = set()  # went before their last version was made; what they were before stays
        self._left: dict[PhotoId, _Left] = {}  # whose renditions are to be removed, once the copies are recorded
        self._removing: dict[int, frozenset[Place]] = {}
        self._leaving: dict[int, PhotoId] = {}
        self._removed: list[PhotoId] = []  # whose renditions are removed, and still recorded
        self._last = 0
        self._last_made = 0.0

    def start(self, now: float, wall: float) -> None:
        """Find what an earlier run could not remove any more: of those who were seen anew when the photo went."""
        self._last_made = now
        for claim, seconds in self._records.store.lately_gone(_MOST_AT_START):
            together = wall - seconds - _TOGETHER_SECONDS
            if (to := self._now_called(claim, made=0.0, seen=together)) is not None:
                self._leave(claim, to)

    def expects(self, now: float) -> bool:
        """Return whether photos that are gone may have moved: others must have been made lately."""
        return now - self._last_made < _FOLLOW_SECONDS

    # ---- before a photo is begun ----

    def of(
        self,
        photo: PhotoId,
        looks: FileSignature | None,
        renderings: Iterable[Rendering],
        together: Iterable[ContentRecord] = (),
    ) -> tuple[DuplicateCandidate, ...]:
        """Return those whose renditions would do, the likeliest first, with those that are replaced with it."""
        if looks is None or looks.size <= 0:
            return ()
        wanted: dict[str, Format] = {item.recipe.fingerprint: item.recipe.format for item in renderings}
        found: list[tuple[bool, int, DuplicateCandidate]] = []
        beside = (claim for claim in together if claim.digest and claim.stamp.size == looks.size)
        for claim in chain(beside, self._records.alike(looks.size, looks.mtime_ns)):
            inbox = self._inboxes.get(claim.photo.inbox)
            reusable = reusable_of(claim, wanted)
            if inbox is None or inbox.moved or not reusable or (claim.gone and self._claimed(claim.photo, but=photo)):
                continue
            root, mtime_ns = inbox.plan.output, claim.stamp.mtime_ns
            duplicate = DuplicateCandidate(
                claim.photo, claim.digest, mtime_ns, root, reusable, gone=claim.gone, lately=claim.lately
            )
            # Who went a moment ago has most likely been renamed; who went before that may have lost its outputs.
            found.append((mtime_ns != looks.mtime_ns, claim.gone - 2 * claim.lately, duplicate))
        found.sort(key=lambda item: item[:2])
        return _some(duplicate for _, _, duplicate in found)

    def _claimed(self, photo: PhotoId, *, but: PhotoId) -> bool:
        """Return whether the outputs of a photo that has gone could have become another one's since."""
        if photo != but and self._records.known(photo) is not None:
            return True
        inbox = self._inboxes.get(photo.inbox)
        conflicts = self._records.name_conflicts(photo, folds_case=inbox is not None and inbox.plan.folds_case)
        paths = (name if b"/" in name or not photo.folder else photo.folder + b"/" + name for name in conflicts)
        return any(PhotoId(photo.inbox, path) != but for path in paths)

    def in_the_way(self, job: Job, reusable: Iterable[frozenset[Place]]) -> bool:
        """Return whether a place that this job would write to may be copied by another one, or is being cleared."""
        busy = [places for places in (*reusable, *self._removing.values()) if places]
        if not busy:
            return False
        paths = [path for item in job.renderings for path in (item.output, *(item.old.outputs if item.old else ()))]
        mine = {_folded((job.output_root, path)) for path in paths}
        if not all(places.isdisjoint(mine) for places in busy):
            return True
        sizes = {without_digits(path) for _, path in mine if b"\0" in path}  # any size may come of these
        return bool(sizes) and any(without_digits(path) in sizes for places in busy for _, path in places)

    def reserve(self, number: int, places: Iterable[Place]) -> None:
        """Begin no photo that would get one of these places, until they are released."""
        self._removing[number] = frozenset(map(_folded, places))

    def release(self, number: int) -> None:
        """Let photos have the places again that were reserved."""
        self._removing.pop(number, None)

    @staticmethod
    def used_by(job: Job) -> frozenset[Place]:
        """Return the places that a job may copy from."""
        return frozenset(
            _folded((duplicate.output_root, reusable.output))
            for duplicate in job.duplicates
            for reusable in duplicate.reusable
        )

    @staticmethod
    def may_come(job: Job, sizes: Container[int]) -> bool:
        """Return whether one of those that are being made, which have `sizes` in bytes, may be the same as this one."""
        seen = job.evidence.seen
        return seen is not None and not job.duplicates and seen.size in sizes

    # ---- after it was made ----

    def settled(self, job: Job, done: Done, now: float, *, late: bool) -> DuplicateCandidate | None:
        """Draw the conclusions from a photo that was made; the photo that has moved to here, if one has.

        One that was made `late` had gone from its inbox meanwhile: who has its content now may be made already.
        """
        self._late.discard(job.photo)
        if late and len(self._late) < _MOST_FOLLOWED:
            self._late.add(job.photo)
        self._last_made = now
        key = (done.digest, done.stamp.mtime_ns)
        if not done.digest:
            return None
        moved: DuplicateCandidate | None = None
        for duplicate in job.duplicates if done.duplicate is not None else ():
            if (duplicate.digest, duplicate.mtime_ns) != key or duplicate.photo == job.photo:
                continue
            if self._records.known(duplicate.photo) is not None:
                if len(self._copied) < _MOST_FOLLOWED and not duplicate.gone:
                    self._copied.pop(key, None)  # the order is that of the time
                    self._copied[key] = job.photo, now + _FOLLOW_SECONDS
            elif duplicate.lately or not duplicate.gone:
                moved = duplicate if moved is None or duplicate == done.duplicate else moved
        self.stays(job.photo, done.stamp, done.digest)
        return moved

    def stays(self, photo: PhotoId, stamp: FileSignature, digest: bytes) -> None:
        """Handle a photo that is done: those of its content that have gone lately have moved to it."""
        for claim in self._records.alike(stamp.size, stamp.mtime_ns) if digest and self._records.any_gone else ():
            if claim.gone and claim.lately and (claim.digest, claim.stamp.mtime_ns) == (digest, stamp.mtime_ns):
                self._leave(claim, photo)

    def gone(self, photo: PhotoId, known: PhotoRecord, now: float) -> None:
        """Handle the removal of a photo from an inbox that is there."""
        late = photo in self._late
        self._late.discard(photo)
        if known.away is not None:
            return
        if known.phase is not Phase.DONE:
            if len(self._unmade) < _MOST_FOLLOWED:
                self._unmade.add(photo)
        elif known.digest:
            self._follow(replace(known.claim(photo), gone=True, lately=True), now, late=late)

    def _follow(self, claim: ContentRecord, now: float, *, late: bool = False) -> None:
        """Find where a photo that has gone is now, if it was made there already."""
        photo = claim.photo
        to, until = self._copied.get((claim.digest, claim.stamp.mtime_ns), (photo, 0.0))
        if to != photo and now < until and self._has(to, claim):
            self._leave(claim, to)
            return
        # Who was made before it is a copy that stays: unless it was made so late that it had gone already.
        if (other := self._now_called(claim, made=0.0 if late else claim.at)) is not None:
            self._leave(claim, other)

    def _now_called(self, claim: ContentRecord, *, made: float, seen: float = 0.0) -> PhotoId | None:
        """Find who has the content of a photo that has gone, and was made, and first seen, after those times."""
        for other in self._records.alike(claim.stamp.size, claim.stamp.mtime_ns):
            if not other.gone and other.photo != claim.photo and self._has(other.photo, claim):
                known = self._records.known(other.photo)
                if known is not None and known.at > made and known.first_seen >= seen:
                    return other.photo
        return None

    def _has(self, photo: PhotoId, claim: ContentRecord) -> bool:
        """Return whether a photo has the content of one that has gone, and its time, as it is recorded now."""
        known = self._records.known(photo)
        return (
            known is not None
            and known.away is None
            and (known.phase, known.digest) == (Phase.DONE, claim.digest)
            and known.stamp.mtime_ns == claim.stamp.mtime_ns
        )

    def _leave(self, claim: ContentRecord, to: PhotoId) -> None:
        if claim.photo != to:
            self._left[claim.photo] = _Left(claim, to)

    def act(self, now: float) -> None:
        """Remove what moved photos left behind, as far as all of it is recorded."""
        if self._removed and self._records.forget_tombstones(self._removed, now):
            self._removed = []
        if self._unmade and self._records.written(now):
            unmade, self._unmade = self._unmade, set()
            for claim in (claim for photo in unmade for claim in self._records.store.left_by(photo)):
                self._follow(claim, now)
        if self._left and self._records.written(now):
            left, self._left = list(self._left.values()), {}
            for item in left:
                self._remove(item)
        while self._copied and next(iter(self._copied.values()))[1] <= now:
            del self._copied[next(iter(self._copied))]

    def _remove(self, left: _Left) -> None:
        again = self._records.known(left.known.photo)
        if again is not None and again.leased:
            self._left[left.known.photo] = left  # whether it is there again is being found out
        if again is not None or not self._has(left.to, left.known):
            return
        inbox = self._inboxes.get(left.known.photo.inbox)
        if inbox is None or inbox.moved:
            return
        kept = self._kept(inbox, left)
        outputs = tuple(item for item in _outputs(inbox, left) if inbox.plan.same_name(item.output) not in kept)
        if not outputs:
            self._removed.append(left.known.photo)
            return
        self._last += 1
        self._removing[self._last] = frozenset(_folded((inbox.plan.output, item.output)) for item in outputs)
        self._leaving[self._last] = left.known.photo
        self._file_tasks.remove(self._last, inbox.plan.output, outputs, left.known.stamp.mtime_ns)

    def _kept(self, inbox: InboxState, left: _Left) -> set[bytes]:
        """Return the outputs that other photos have, as recorded, or may have any time, as their names are compared."""
        plan, conflicts = inbox.plan, self._records.name_conflicts(left.known.photo, folds_case=inbox.plan.folds_case)
        kept = taken_paths(left.known.photo, conflicts, plan.wanted)
        if left.to.inbox == left.known.photo.inbox and (known := self._records.known(left.to)) is not None:
            kept |= taken_paths(left.to, {left.to.name: known.made}, plan.wanted)
        return set(map(plan.same_name, kept))

    def removed(self, number: int) -> None:
        """Handle the end of a removal."""
        self._removing.pop(number, None)
        if (photo := self._leaving.pop(number, None)) is not None:
            self._removed.append(photo)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to be removed."""
        return not (self._unmade or self._left or self._removing)


def _outputs(inbox: InboxState, left: _Left) -> tuple[ReusableRendition, ...]:
    """Return the renditions that a photo left behind, by whatever recipe they were made."""
    paths = settled_paths(left.known.photo, left.known.made, left.known.recipes, inbox.plan.wanted)
    return tuple(
        ReusableRendition("", paths[rendition], fact.size)
        for rendition, fact in left.known.made.items()
        if rendition in inbox.plan.wanted and fact.size
    )


def _some(duplicates: Iterable[DuplicateCandidate]) -> tuple[DuplicateCandidate, ...]:
    chosen: list[DuplicateCandidate] = []
    for duplicate in duplicates:
        if sum(duplicate.digest == other.digest for other in chosen) < _MOST_OF_ONE:
            chosen.append(duplicate)
            if len(chosen) == _MOST_DUPLICATES:
                break
    return tuple(chosen)


def _folded(place: Place) -> Place:
    """Return a place as a file system that folds case would have it."""
    return place[0], folded(place[1])
