"""What the page needs of the world: the command line fills these protocols with real parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from watcher.core.hooks import HookStatus
from watcher.core.recipe import Recipe
from watcher.core.records import ListedPhoto, PhotoRecord
from watcher.core.status import Counts, InboxStatus
from watcher.core.types import PhotoId, Request


class Shown(NamedTuple):
    """An inbox that the page shows."""

    inbox: bytes  # resolved absolute path
    output: bytes  # resolved absolute path
    wanted: Mapping[str, Recipe]


class Records(Protocol):
    """The state file, open for reading; see `watcher.store.Queries`. Every method may raise WatcherError."""

    def known(self, photo: PhotoId) -> PhotoRecord | None: ...  # noqa: D102
    def counts(self, inbox: bytes) -> Counts: ...  # noqa: D102
    def report(self, inbox: bytes) -> InboxStatus | None: ...  # noqa: D102
    def meta(self, key: str) -> object: ...  # noqa: D102
    def hooks(self) -> Sequence[HookStatus]: ...  # noqa: D102
    def newest(self, inboxes: Sequence[bytes], before: int | None, limit: int) -> Sequence[ListedPhoto]: ...  # noqa: D102
    def search(self, inboxes: Sequence[bytes], text: str, start: int, limit: int) -> Sequence[ListedPhoto]: ...  # noqa: D102
    def failed(self, inboxes: Sequence[bytes], start: int, limit: int) -> Sequence[ListedPhoto]: ...  # noqa: D102
    def waiting(self, inboxes: Sequence[bytes], start: int, limit: int) -> Sequence[ListedPhoto]: ...  # noqa: D102
    def made_since(  # noqa: D102
        self, inboxes: Sequence[bytes], after: int, at: float
    ) -> tuple[int, Sequence[tuple[bytes, float]]]: ...


@dataclass(slots=True)
class Site:
    """All that the page stands on. `shown` is replaced as a whole when the config was read again."""

    version: str
    open_records: Callable[[], AbstractContextManager[Records]]  # on any thread; raises WatcherError
    story: Callable[[PhotoId], Mapping[str, Any]]  # what `why` tells of a photo; may take as long as its disk
    retry: Callable[[Iterable[Request]], None]  # have photos that failed tried again; raises WatcherError
    shown: tuple[Shown, ...] = field(default=())

    def inboxes(self) -> list[bytes]:
        """List the inboxes that are shown."""
        return [item.inbox for item in self.shown]

    def of(self, inbox: bytes) -> Shown | None:
        """Return an inbox that is shown by its path."""
        return next((item for item in self.shown if item.inbox == inbox), None)
