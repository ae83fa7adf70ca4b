"""`retry`: failed photos are tried again, by the daemon that runs or by the next one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from watcher.app.commands import check_access, hand_over
from watcher.app.explain import story_of
from watcher.app.locate import KnownInbox, all_watched, find
from watcher.core.records import Phase
from watcher.core.types import PhotoId, Request
from watcher.errors import EXIT_OK, EXIT_SOME_FAILED
from watcher.store import Queries
from watcher.text import printable, shown


@dataclass(slots=True)
class _Wanted:
    """What is to be asked, per state file."""

    requests: dict[str, list[Request]] = field(default_factory=dict)
    photos: dict[str, Counter[bytes]] = field(default_factory=dict)  # of each inbox

    def add(self, watched: KnownInbox, photo: PhotoId | None, count: int = 1) -> None:
        """Ask for one photo; None: for all of the inbox that failed, which are so many."""
        request = Request("retry", watched.inbox, photo.path if photo else None)
        self.requests.setdefault(watched.state, []).append(request)
        self.photos.setdefault(watched.state, Counter())[watched.inbox] += count


def retry(paths: Sequence[str], config_file: str | None, state_file: str | None) -> int:
    """Have photos tried again: these, those that failed below these folders, or all that failed.

    Without a path: those of the config or the state file that is named, or else of every one that is found.
    """
    by_name = bool(config_file or state_file or os.environ.get("WATCHER_CONFIG"))
    watched = all_watched(config_file, state_file, elsewhere=bool(paths) or not by_name)
    for state in {item.state for item in watched}:
        check_access(state)
    wanted, code = _Wanted(), EXIT_OK
    if not paths:
        for item in watched:
            failed = sum(1 for _ in _failed(item, b""))
            if failed:
                wanted.add(item, None, failed)
        if not wanted.requests:
            print("nothing has failed")
    for path in paths:
        code = max(code, _one(os.path.abspath(os.fsencode(path)), watched, wanted))
    for state, requests in wanted.requests.items():
        who = hand_over(state, requests)
        counts = wanted.photos[state]
        for inbox, count in ({b"": counts.total()} if paths or by_name else counts).items():
            what = f"{shown(inbox)}: " if inbox else ""
            print(printable(f"{what}{count} {'photo is' if count == 1 else 'photos are'} tried again by {who}"))
    return code


def _one(path: bytes, watched: list[KnownInbox], wanted: _Wanted) -> int:
    """Find out what a path means; 0: it is asked for, or needs nothing."""
    found = find(path, watched)
    if not found:
        print(f"{shown(path)}: it lies in none of the inboxes, or no state file knows it: see `watcher why`")
        return EXIT_SOME_FAILED
    code = EXIT_SOME_FAILED
    for item, photo in found:
        if os.path.isdir(path):
            code = min(code, _folder(path, item, photo, wanted))
            continue
        story, pid = story_of(item, photo)
        if story.state == "failed" or (story.state == "waiting" and pid and story.events):
            wanted.add(item, photo)
        else:
            print(f"{shown(path)}: not failed but {story.state}: {printable(story.reason)}")
        if story.state in {"failed", "waiting", "done"}:
            code = EXIT_OK
    return code


def _folder(path: bytes, item: KnownInbox, folder: PhotoId, wanted: _Wanted) -> int:
    failed = list(_failed(item, folder.path))
    if not failed:
        print(f"{shown(path)}: nothing below it has failed")
    elif not folder.path:
        wanted.add(item, None, len(failed))
    else:
        for photo in failed:
            wanted.add(item, photo)
    return EXIT_OK


def _failed(item: KnownInbox, folder: bytes) -> Iterator[PhotoId]:
    """List the photos below a folder of an inbox that have failed."""
    reader = Queries.open_to_read(item.state)
    if reader is None:
        return
    with reader:
        for photo, _ in reader.photos(item.inbox, Phase.FAILED):
            if not folder or photo.path.startswith(folder + b"/"):
                yield photo
