"""Hooks: what is written for them, when they are tried again, and when a document is given up.

Rules:
- What a hook is told of is written with the photos themselves, so that none is lost; it may be told of one twice.
- In order: a document waits until the one before it was delivered or given up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from watcher.core.recipe import rendition_of
from watcher.core.retry import backoff_after
from watcher.core.types import Made
from watcher.text import utf8_text

_GIVE_UP_SECONDS = 3600.0
_LEAST_SECONDS = 1.0  # between two tries, whatever `backoff_seconds` is

What = Literal["photo", "failed", "batch"]


class HookId(NamedTuple):
    """What tells hooks apart, over restarts and changes of the config."""

    on: str
    target: str  # the whole command or URL, as JSON
    inboxes: str  # JSON; if only the target changes, it is the same hook, and what waits for it goes to the new target


# the numbers of the hooks of a config in the state file, and hooks that are no more with how much waited for them
Adopted = tuple[list[int], list[tuple[HookId, int]]]


class Outgoing(NamedTuple):
    """An entry of the outbox: a photo or a batch that a hook is to be told of."""

    hook: int  # its number in the state file
    what: What
    at: float  # wall clock
    inbox: bytes
    output: bytes
    item: str = ""  # JSON, of a photo
    path: bytes = b""  # of a photo, within its inbox
    batch: str = ""  # the batch that a photo is a part of, or that has ended; empty: the photo stands for itself


class Answered(NamedTuple):
    """What became of a try to deliver an entry of the outbox."""

    hook: int
    number: int  # of the entry
    at: float  # wall clock
    error: str = ""  # empty: it was delivered
    gave_up: bool = False


@dataclass(frozen=True, slots=True)
class HookStatus:
    """A hook, as `status` shows it."""

    on: str
    to: str
    waiting: int = 0
    failed: int = 0  # documents that were given up
    last_error: str = ""  # empty: the last try was successful


def photo_item(path: bytes, output: bytes, made: Iterable[Made]) -> str:
    """Return a photo as it stands in a document; `path`: absolute, `output`: the folder of the renditions."""
    renditions = [
        {
            "name": rendition_of(item.name),
            "path": utf8_text(os.path.join(output, item.output)),
            "width": item.width,
            "height": item.height,
            "bytes": item.size,
        }
        for item in made
    ]
    return json.dumps({"path": utf8_text(path), "renditions": renditions}, separators=(",", ":"))


def failed_item(path: bytes, reason: str) -> str:
    """Return a photo that has failed as it stands in a document."""
    return json.dumps({"path": utf8_text(path), "reason": reason}, separators=(",", ":"))


def document(event: What, key: str, at: str, folders: tuple[bytes, bytes], items: Iterable[tuple[str, str]]) -> bytes:
    """Return a document; `key` tells it apart from all others, `items`: kind and JSON of each photo."""
    photos: list[Any] = []
    failed: list[Any] = []
    for what, item in items:
        (failed if what == "failed" else photos).append(json.loads(item))
    inbox, output = map(utf8_text, folders)
    head = {"event": event, "id": key, "at": at, "inbox": inbox, "output": output}
    return json.dumps({**head, "photos": photos, "failed": failed}).encode()


def shown_target(target: str) -> str:
    """Return a hook's target without what may be secret: arguments, and all of a URL behind its host."""
    found = json.loads(target)
    return str(found[0]) if isinstance(found, list) else shown_url(found)


def shown_url(url: str) -> str:
    """Return a URL without what may be secret: all that is not its host."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}/{'…' if parts.path.strip('/') or parts.query else ''}"


def next_try(failures: int, backoff: float, jitter: float, left: float) -> float:
    """Return the seconds until the next try after so many that failed in a row.

    `left`: until the document is given up, so that the last try is then; 0: it was.
    """
    seconds = backoff_after(failures, backoff, jitter)
    return max(_LEAST_SECONDS, min(seconds, left) if left > 0 else seconds)


def time_left(failing_seconds: float, waiting_seconds: float) -> float:
    """Return for how long a document that could not be delivered is still tried; 0 or less: it is given up.

    `failing_seconds`: since when the hook fails. `waiting_seconds`: since when the document waits. So each is tried for
    an hour, but not one hour after the other.
    """
    return _GIVE_UP_SECONDS - min(failing_seconds, waiting_seconds)
