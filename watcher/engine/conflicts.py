"""Whose outputs could meet a photo's: those of its folder, and where case is folded those of folders called alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from watcher.core.naming import could_meet, folded, head_of
from watcher.core.records import PhotoRecord, RenditionRecord
from watcher.core.types import PhotoId
from watcher.engine.ports import Store

Found = dict[bytes, Mapping[str, RenditionRecord]]


class NameConflicts:
    """Looks conflicts up, what is not written yet (`unwritten`) included."""

    def __init__(self, store: Store, unwritten: Mapping[PhotoId, PhotoRecord | None]) -> None:
        self._store = store
        self._unwritten = unwritten
        self._heads: dict[tuple[bytes, bytes, bytes], dict[PhotoId, None]] = defaultdict(dict)  # whom to look at
        self._alike: dict[bytes, dict[bytes, set[bytes]]] = {}  # inbox → folded path → folders, once they matter

    def add(self, photo: PhotoId) -> None:
        """Add a photo that is not written yet."""
        self._heads[photo.inbox, photo.folder, head_of(photo.name)][photo] = None

    def forget(self) -> None:
        """Forget them: all are written."""
        self._heads.clear()

    def of(self, photo: PhotoId, *, folds_case: bool) -> Found:
        """Return the photos by name; those in another folder by path."""
        found = self._beside(photo)
        if folds_case and photo.folder:
            for folder in self._folders_like(photo):
                neighbour = PhotoId(photo.inbox, folder + b"/" + photo.name)
                there = self._beside(neighbour)
                known = self._unwritten[neighbour] if neighbour in self._unwritten else self._store.known(neighbour)
                if known is not None:
                    there[neighbour.name] = known.made
                found.update((folder + b"/" + name, made) for name, made in there.items())
        return found

    def _beside(self, photo: PhotoId) -> Found:
        conflicts = dict(self._store.name_conflicts(photo))
        name = photo.name
        for other in self._heads.get((photo.inbox, photo.folder, head_of(name)), ()):
            if other == photo or other not in self._unwritten or not could_meet(other.name, name):
                continue
            known = self._unwritten[other]
            if known is None:
                if b"\0" not in other.name:  # it stands for others too
                    conflicts.pop(other.name, None)
            else:
                conflicts[other.name] = known.made
        return conflicts

    def _folders_like(self, photo: PhotoId) -> list[bytes]:
        """List the folders that were ever seen whose path differs from the photo's in case alone."""
        if photo.inbox not in self._alike:
            alike: dict[bytes, set[bytes]] = defaultdict(set)
            for folder in self._store.folders(photo.inbox):
                alike[folded(folder)].add(folder)
            self._alike[photo.inbox] = alike
        same = self._alike[photo.inbox][folded(photo.folder)]
        same.add(photo.folder)
        return sorted(same - {photo.folder})
