"""What is remembered of an inbox's photos that were looked at and not taken: only while the daemon runs."""

from __future__ import annotations

from dataclasses import dataclass, field

_MOST = 10_000  # photos; of those beyond the oldest are forgotten


@dataclass(slots=True)
class Doubts:
    """Which photos were closed and not whole, and how large they were with the content that is shown of them."""

    _closed: dict[bytes, None] = field(default_factory=dict)
    _sizes: dict[bytes, int] = field(default_factory=dict)  # bytes

    def note_closed(self, path: bytes) -> None:
        """Remember that a photo was closed and not whole, or that it was closed twice."""
        self._closed[path] = None
        if len(self._closed) > _MOST:
            del self._closed[next(iter(self._closed))]

    def note_size(self, path: bytes, size: int) -> None:
        """Remember how large a photo was before it began to change."""
        self._sizes[path] = size
        if len(self._sizes) > _MOST:
            del self._sizes[next(iter(self._sizes))]

    def reopened(self, path: bytes) -> bool:
        """Tell whether more may follow though a photo is closed."""
        return path in self._closed

    def size(self, path: bytes) -> int | None:
        """Give how large a photo was before it began to change, if that is known."""
        return self._sizes.get(path)

    def forget(self, path: bytes) -> None:
        """Hear that a photo is made or gone."""
        self._closed.pop(path, None)
        self._sizes.pop(path, None)
