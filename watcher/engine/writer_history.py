"""What is remembered of an inbox's photos that were looked at and not taken: only while the daemon runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from watcher.core.types import PublishedVersion

_MOST = 10_000  # photos; of those beyond the oldest are forgotten


@dataclass(slots=True)
class WriterHistory:
    """Which photos were closed and not whole, and what is shown of them meanwhile."""

    _closed: dict[bytes, None] = field(default_factory=dict)
    _shown: dict[bytes, PublishedVersion] = field(default_factory=dict)
    _fresh: dict[bytes, int] = field(default_factory=dict)

    def note_fresh(self, path: bytes, inode: int) -> None:
        """Remember that a file came into being under a name: whatever it holds is of one version."""
        self._fresh[path] = inode
        if len(self._fresh) > _MOST:
            del self._fresh[next(iter(self._fresh))]

    def note_closed(self, path: bytes) -> None:
        """Remember that a photo was closed and not whole, or that it was closed twice."""
        self._closed[path] = None
        if len(self._closed) > _MOST:
            del self._closed[next(iter(self._closed))]

    def note_shown(self, path: bytes, shown: PublishedVersion) -> None:
        """Remember what a photo was made of last."""
        self._shown[path] = shown
        if len(self._shown) > _MOST:
            del self._shown[next(iter(self._shown))]

    def reopened(self, path: bytes) -> bool:
        """Tell whether more may follow though a photo is closed."""
        return path in self._closed

    def shown(self, path: bytes) -> PublishedVersion | None:
        """Give what a photo was made of last, if that is known."""
        return self._shown.get(path)

    def fresh(self, path: bytes) -> int:
        """Give the inode of the file that came into being under a name; 0: that was not seen."""
        return self._fresh.get(path, 0)

    def forget(self, path: bytes) -> None:
        """Hear that a photo is made or gone."""
        self._closed.pop(path, None)
        self._shown.pop(path, None)
        self._fresh.pop(path, None)
