"""Remove outputs that no photo needs any more: those that a user asks to remove, and with `orphans = "delete"` others.

Rules:
- Without being asked, only `run` removes any, and only outputs of photos that are gone: a complete scan of the inbox
  that is recorded did not find them, nor did another one at least `rescan_seconds` later, and no photo waits then that
  could be one of them under another name. If more than `orphans_max` of the photos would go in a day, none does.
- What is recorded decides which outputs may go (`watcher.core.orphans`), and what is on disk whether they do
  (`watcher.fs.prune`), examined once more when they go.
- While they go, no photo is begun that would get one of their places.
- A rendition is off the record before its file goes: then it is made again if the config has it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from watcher.core.messages import Pruned
from watcher.core.orphans import LeftPhoto, Orphan, Place, Removals, places_of, replaced_of, that_stay
from watcher.core.output_paths import taken_paths
from watcher.core.records import Phase, RenditionRecord
from watcher.core.types import PhotoId
from watcher.engine.dedup import Deduplicator
from watcher.engine.inbox import InboxState
from watcher.engine.photos import Photos
from watcher.engine.ports import FileTasks, Log
from watcher.engine.writer import WriteBuffer

_MOST = 1000  # photos whose outputs are removed after one scan: archiving waits for that
_MOST_KEPT = 10_000  # of which it is remembered that their outputs stayed
_AGAIN_SECONDS = 7 * 86400.0  # until outputs that stayed are examined again


class Orphans:
    """Has the outputs removed of photos that are gone, and of renditions that the config no longer has."""

    def __init__(
        self,
        records: WriteBuffer,
        photos: Photos,
        duplicates: Deduplicator,
        file_tasks: FileTasks,
        log: Log,
        *,
        once: bool,
    ) -> None:
        self._once = once
        self._records = records
        self._photos = photos
        self._duplicates = duplicates
        self._file_tasks = file_tasks
        self._log = log
        self._going: dict[int, Orphan] = {}
        self._free: list[PhotoId] = []  # whose outputs are removed, and still recorded
        self._absent: dict[bytes, tuple[float, frozenset[PhotoId]]] = {}  # inbox → when a scan missed them, and which
        self._kept: dict[PhotoId, float] = {}  # whose outputs stayed, and when they are examined again
        self._last = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is being removed."""
        return not self._going and not self._free

    # ---- what may go ----

    def remove(self, inbox: InboxState, photo: PhotoId, renditions: Sequence[str], now: float) -> bool:
        """Remove renditions of a photo that the config no longer has, or that others have replaced under other paths.

        None are named: all outputs of one that is gone.

        What may not go stays. Return False if the state file can't be written just now.
        """
        if inbox.moved or self._photos.tracker.get(photo) is not None:
            return True
        if not self._records.written(now):
            return False
        orphan = self._unwanted(inbox, photo, renditions, now) if renditions else self._gone(inbox, photo, now)
        if orphan is not None and orphan.places:
            self._last += 1
            self._going[self._last] = orphan
            places = ((orphan.output_root, place.output) for place in orphan.places)
            self._duplicates.reserve(-self._last, places)
            self._file_tasks.prune(self._last, orphan)
        return True

    def _unwanted(self, inbox: InboxState, photo: PhotoId, renditions: Sequence[str], now: float) -> Orphan | None:
        known = self._records.known(photo)
        if known is None or known.leased or known.away is not None:
            return None
        names = [name for name in renditions if name in known.made and name not in inbox.plan.wanted]
        left = LeftPhoto({}, {name: known.made[name] for name in names})
        stay = that_stay(photo, known, inbox.plan.wanted)
        places = self._places(inbox, photo, [left], stay)
        if known.phase is Phase.DONE:
            replaced = replaced_of(self._records.store.left_versions(photo), renditions)
            places += self._places(inbox, photo, replaced, {**known.made, **stay})
        orphan = Orphan(photo, inbox.plan.output, places, gone=False)
        recipes = {name: recipe for name, recipe in known.recipes.items() if name not in names}
        self._records.put(photo, replace(known, recipes=recipes), now)
        orphan = replace(orphan, holder=inbox.plan.holder, root=self._records.store.identity(inbox.path) or (0, 0))
        return orphan if self._records.written(now) else None

    def _gone(self, inbox: InboxState, photo: PhotoId, now: float) -> Orphan | None:
        store = self._records.store
        known = store.known(photo)
        if known is not None:  # it went, and no scan has noticed that yet
            if known.leased or known.away is not None or store.unsure(inbox.path):
                return None
            self._records.put(photo, None, now)
            if not self._records.written(now):
                return None
        left = store.left_versions(photo)
        if not left or any(version.unsure for version in left) or not store.has_photos(inbox.path):
            return None
        return Orphan(
            photo,
            inbox.plan.output,
            self._places(inbox, photo, left),
            gone=True,
            root=store.identity(inbox.path),
            nested=left[-1].nested,
            archives=inbox.plan.config.after != "keep",
            holder=inbox.plan.holder,
        )

    def _places(
        self,
        inbox: InboxState,
        photo: PhotoId,
        left: Sequence[LeftPhoto],
        stay: Mapping[str, RenditionRecord] | None = None,
    ) -> tuple[Place, ...]:
        """Return where the outputs of a photo that are `left` may be; those of it that `stay` may have their places."""
        plan = inbox.plan
        conflicts = {**self._records.name_conflicts(photo, folds_case=plan.folds_case)}
        conflicts |= self._records.store.archived_beside(photo)
        conflicts |= {photo.name: stay} if stay else {}
        return places_of(photo, left, plan.wanted, taken_paths(photo, conflicts, plan.wanted), plan.same_name)

    # ---- without being asked ----

    def scanned(self, inbox: InboxState, now: float, wall: float, *, complete: bool) -> None:
        """Handle the end of a scan of a whole inbox: remove what this one and an earlier one missed."""
        if self._once:
            return
        plan, store = inbox.plan, self._records.store
        sure = complete and inbox.may_forget and not inbox.moved and not store.unsure(inbox.path)
        if plan.config.orphans != "delete" or not sure:
            self._absent.pop(inbox.path, None)
            self._hold(inbox, 0)
            return
        if self._photos.tracker.waiting(inbox.path) or not self._records.written(now):
            return
        since, absent = self._absent.get(inbox.path, (now, frozenset[PhotoId]()))
        if inbox.path in self._absent and now - since < plan.config.rescan_seconds:
            return
        for photo in [photo for photo, again in self._kept.items() if again <= now]:
            del self._kept[photo]
        gone = [photo for photo in store.gone_photos(inbox.path, _MOST + len(self._kept)) if photo not in self._kept]
        self._absent[inbox.path] = now, frozenset(gone)
        self._remove_some(inbox, gone, absent, now, wall)

    def _remove_some(
        self, inbox: InboxState, gone: list[PhotoId], absent: frozenset[PhotoId], now: float, wall: float
    ) -> None:
        store, key = self._records.store, f"orphans of {inbox.path.hex()}"
        since, photos = str(store.meta(key) or "0 0").split()
        removals = Removals(float(since), int(photos)).at(wall)
        number = store.count_gone(inbox.path) - sum(photo.inbox == inbox.path for photo in self._kept)
        if not removals.allows(number, store.present(inbox.path), inbox.plan.config.orphans_max):
            self._hold(inbox, number)
            return
        self._hold(inbox, 0)
        going = [photo for photo in gone if photo in absent and not self._is_elsewhere(photo)]
        if not going:
            return
        store.set_meta({key: f"{removals.since} {removals.photos + len(going)}"})
        for photo in going:
            self.remove(inbox, photo, (), now)

    def _is_elsewhere(self, photo: PhotoId) -> bool:
        """Return whether a photo has another name now: then its outputs are dealt with by `dedup`."""
        return any(
            not other.gone and other.photo != photo and other.digest == left.digest
            for left in self._records.store.left_by(photo)
            for other in self._records.alike(left.stamp.size, left.stamp.mtime_ns)
        )

    def _hold(self, inbox: InboxState, photos: int) -> None:
        if photos and photos != inbox.orphans_held:
            self._log.warning("orphans.held", inbox=inbox.path, photos=photos)
        inbox.touched = inbox.touched or photos != inbox.orphans_held
        inbox.orphans_held = photos

    # ---- what became of it ----

    def pruned(self, message: Pruned, now: float) -> None:
        """Handle the end of a removal."""
        orphan = self._going.pop(message.number)
        self._duplicates.release(-message.number)
        for output in message.removed:
            self._log.debug("orphan.removed", path=orphan.photo.absolute, output=output)
        for output, reason in message.kept:
            self._log.info("orphan.kept", path=orphan.photo.absolute, output=output, reason=reason)
        if orphan.gone:
            if not message.kept:
                self._free.append(orphan.photo)
            elif len(self._kept) < _MOST_KEPT:
                self._kept[orphan.photo] = now + _AGAIN_SECONDS
            return
        known = self._records.known(orphan.photo)
        if known is not None and known.away is None and not known.leased:
            stay = {output for output, _ in message.kept}
            free = {place.rendition for place in orphan.places}
            free -= {place.rendition for place in orphan.places if orphan.output_root + b"/" + place.output in stay}
            free -= known.recipes.keys()
            made = {name: fact for name, fact in known.made.items() if name not in free}
            self._records.put(orphan.photo, replace(known, made=made), now)

    def act(self, now: float) -> None:
        """Delete the records of what was removed."""
        if self._free and self._records.forget_tombstones(self._free, now):
            self._free = []
