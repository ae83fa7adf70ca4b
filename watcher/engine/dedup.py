"""Photos that may have the same content as one that is to be made: their renditions are copied, not made again.

Rules:
- What may be copied is recorded: whose renditions, of which content. Whether it is the same content is found out by the
  worker, which reads the photo anyway.
- While an output may be copied or is being removed, no photo is begun that would get its place (`in_the_way`).
- A photo that may be the same as one that is being made waits for it, once and shortly.
- A photo that went, and whose renditions another one was given copies of, has moved: its own are removed. That takes
  the copies to be recorded, the same modification time, an inbox that is there, and a place that no other photo has.
  Renditions that the config no longer has are not copied: they stay, on record as those of a photo that is gone.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from watcher.core.formats import Format
from watcher.core.layout import has_size, without_digits
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
_Removed = tuple[ContentRecord, frozenset[str]]  # a photo that has moved, and its renditions that are removed


class _Moved(NamedTuple):
    """A photo that has left its inbox, and the photo that has its content now."""

    content: ContentRecord
    to: PhotoId


class Deduplicator:
    """Which renditions can be copied, and which remain of photos that have moved."""

    def __init__(self, records: WriteBuffer, inboxes: Mapping[bytes, InboxState], file_tasks: FileTasks) -> None:
        self._records = records
        self._inboxes = inboxes
        self._file_tasks = file_tasks
        # digest, date → the photo that got copies, and until when that counts
        self._copied: dict[tuple[bytes, int], tuple[PhotoId, float]] = {}
        self._late: set[PhotoId] = set()  # photos that were made when they had left already
        self._unmade: set[PhotoId] = set()  # photos that left before their last version was made
        self._left: dict[PhotoId, _Moved] = {}  # their renditions are removed once the copies are recorded
        self._removing: dict[int, frozenset[Place]] = {}
        self._leaving: dict[int, _Removed] = {}
        self._removed: list[_Removed] = []  # and still recorded
        self._last = 0
        self._last_made = 0.0

    def start(self, now: float, wall: float) -> None:
        """Find photos that moved before this run, whose renditions are still to be removed."""
        self._last_made = now
        for content, seconds in self._records.store.lately_gone(_MOST_AT_START):
            together = wall - seconds - _TOGETHER_SECONDS
            if (to := self._moved_to(content, made=0.0, seen=together)) is not None:
                self._leave(content, to)

    def expects(self, now: float) -> bool:
        """Return whether photos that leave may have moved: others were made lately."""
        return now - self._last_made < _FOLLOW_SECONDS

    # ---- before a photo is begun ----

    def of(
        self,
        photo: PhotoId,
        looks: FileSignature | None,
        renderings: Iterable[Rendering],
        together: Iterable[ContentRecord] = (),
    ) -> tuple[DuplicateCandidate, ...]:
        """Return the photos whose renditions can be copied, the likeliest first.

        `together`: photos whose outputs are replaced by the same worker, after it has copied from them.
        """
        if looks is None or looks.size <= 0:
            return ()
        wanted: dict[str, Format] = {item.recipe.fingerprint: item.recipe.format for item in renderings}
        found: list[tuple[bool, int, DuplicateCandidate]] = []
        beside = (content for content in together if content.digest and content.stamp.size == looks.size)
        for content in chain(beside, self._records.alike(looks.size, looks.mtime_ns)):
            inbox = self._inboxes.get(content.photo.inbox)
            reusable = reusable_of(content, wanted)
            if inbox is None or inbox.moved or not reusable:
                continue
            if content.gone and self._may_be_replaced(content.photo, but=photo):
                continue
            root, mtime_ns = inbox.plan.output, content.stamp.mtime_ns
            duplicate = DuplicateCandidate(
                content.photo, content.digest, mtime_ns, root, reusable, gone=content.gone, lately=content.lately
            )
            # One that left a moment ago was most likely renamed; the outputs of one that left earlier may be lost.
            found.append((mtime_ns != looks.mtime_ns, content.gone - 2 * content.lately, duplicate))
        found.sort(key=lambda item: item[:2])
        return _some(duplicate for _, _, duplicate in found)

    def _may_be_replaced(self, photo: PhotoId, *, but: PhotoId) -> bool:
        """Return whether another photo may have taken the places of the outputs of a photo that is gone."""
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
        sizes = {without_digits(path) for _, path in mine if has_size(path)}  # any size may come of these
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
        """Return whether a photo that is being made may have the same content; `sizes`: of those photos, in bytes."""
        seen = job.evidence.seen
        return seen is not None and not job.duplicates and seen.size in sizes

    # ---- after it was made ----

    def settled(self, job: Job, done: Done, now: float, *, late: bool) -> DuplicateCandidate | None:
        """Handle a photo that was made. Return the photo that was moved here, if one was.

        `late`: it had left its inbox meanwhile, so the photo that has its content now may be made already.
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
                    self._copied.pop(key, None)  # so that the oldest comes first
                    self._copied[key] = job.photo, now + _FOLLOW_SECONDS
            elif duplicate.lately or not duplicate.gone:
                moved = duplicate if moved is None or duplicate == done.duplicate else moved
        self.stays(job.photo, done.stamp, done.digest)
        return moved

    def stays(self, photo: PhotoId, stamp: FileSignature, digest: bytes) -> None:
        """Handle a photo that is done: photos with its content that have left lately have moved to it."""
        for content in self._records.alike(stamp.size, stamp.mtime_ns) if digest and self._records.any_gone else ():
            if content.gone and content.lately and (content.digest, content.stamp.mtime_ns) == (digest, stamp.mtime_ns):
                self._leave(content, photo)

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
            self._follow(replace(known.content(photo), gone=True, lately=True), now, late=late)

    def _follow(self, content: ContentRecord, now: float, *, late: bool = False) -> None:
        """Find where a photo that is gone has moved to, if it was made there already."""
        photo = content.photo
        to, until = self._copied.get((content.digest, content.stamp.mtime_ns), (photo, 0.0))
        if to != photo and now < until and self._has(to, content):
            self._leave(content, to)
            return
        # A photo that was made before this one is a copy of it, unless this one was made after it had left.
        if (other := self._moved_to(content, made=0.0 if late else content.at)) is not None:
            self._leave(content, other)

    def _moved_to(self, content: ContentRecord, *, made: float, seen: float = 0.0) -> PhotoId | None:
        """Find a photo with the content of one that is gone that was made, and first seen, after these times."""
        for other in self._records.alike(content.stamp.size, content.stamp.mtime_ns):
            if not other.gone and other.photo != content.photo and self._has(other.photo, content):
                known = self._records.known(other.photo)
                if known is not None and known.at > made and known.first_seen >= seen:
                    return other.photo
        return None

    def _has(self, photo: PhotoId, content: ContentRecord) -> bool:
        """Return whether a photo has, by its record, the content and the date of one that is gone."""
        known = self._records.known(photo)
        return (
            known is not None
            and known.away is None
            and (known.phase, known.digest) == (Phase.DONE, content.digest)
            and known.stamp.mtime_ns == content.stamp.mtime_ns
        )

    def _leave(self, content: ContentRecord, to: PhotoId) -> None:
        if content.photo != to:
            self._left[content.photo] = _Moved(content, to)

    def act(self, now: float) -> None:
        """Remove the renditions of photos that have moved, once the copies are recorded."""
        if self._removed and self._records.forget_moved(self._removed, now):
            self._removed = []
        if self._unmade and self._records.written(now):
            unmade, self._unmade = self._unmade, set()
            for content in (content for photo in unmade for content in self._records.store.left_by(photo)):
                self._follow(content, now)
        if self._left and self._records.written(now):
            left, self._left = list(self._left.values()), {}
            for item in left:
                self._remove(item)
        while self._copied and next(iter(self._copied.values()))[1] <= now:
            del self._copied[next(iter(self._copied))]

    def _remove(self, moved: _Moved) -> None:
        content, photo = moved.content, moved.content.photo
        again = self._records.known(photo)
        if again is not None and again.leased:
            self._left[photo] = moved  # a worker finds out whether it is there again
        if again is not None or not self._has(moved.to, content):
            return
        inbox = self._inboxes.get(photo.inbox)
        if inbox is None or inbox.moved:
            return
        plan, kept = inbox.plan, self._kept(inbox, moved)
        outputs = tuple(item for item in _outputs(inbox, content) if plan.same_name(item.output) not in kept)
        removed = content, frozenset(plan.wanted)
        if not outputs:
            self._removed.append(removed)
            return
        self._last += 1
        self.reserve(self._last, ((plan.output, item.output) for item in outputs))
        self._leaving[self._last] = removed
        self._file_tasks.remove(self._last, plan.output, outputs, content.stamp.mtime_ns)

    def _kept(self, inbox: InboxState, moved: _Moved) -> set[bytes]:
        """Return the outputs that other photos have or may get, as the file system compares names."""
        plan, photo, to = inbox.plan, moved.content.photo, moved.to
        kept = taken_paths(photo, self._records.name_conflicts(photo, folds_case=plan.folds_case), plan.wanted)
        if to.inbox == photo.inbox and (known := self._records.known(to)) is not None:
            kept |= taken_paths(to, {to.name: known.made}, plan.wanted)
        return set(map(plan.same_name, kept))

    def removed(self, number: int) -> None:
        """Handle the end of a removal."""
        self.release(number)
        if (removed := self._leaving.pop(number, None)) is not None:
            self._removed.append(removed)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to be removed."""
        return not (self._unmade or self._left or self._removing)


def _outputs(inbox: InboxState, content: ContentRecord) -> tuple[ReusableRendition, ...]:
    """Return the renditions of a photo that has moved, by whatever recipe they were made."""
    wanted = inbox.plan.wanted
    paths = settled_paths(content.photo, content.made, content.recipes, wanted)
    made = ((rendition, fact) for rendition, fact in content.made.items() if rendition in wanted and fact.size)
    return tuple(ReusableRendition("", paths[rendition], fact.size) for rendition, fact in made)


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
