"""What the page shows of photos and inboxes, as JSON holds it."""

from __future__ import annotations

import binascii
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from hashlib import sha256
from threading import Lock
from typing import Any

from watcher.core.counters import KEPT_MINUTES, MINUTE
from watcher.core.naming import called
from watcher.core.records import ListedPhoto, Phase, PhotoRecord
from watcher.core.status import BY_CHOICE, InboxStatus, left_alone
from watcher.core.types import PhotoId
from watcher.http.events import Row
from watcher.http.files import renditions, small
from watcher.http.ports import Records, Shown, Site
from watcher.text import shown as readable

_STATES = {Phase.WAITING: "waiting", Phase.DONE: "done", Phase.FAILED: "failed"}


def tile(photo: PhotoId, known: PhotoRecord, shown: Shown, took: float | None = None) -> dict[str, Any]:
    """Return what the contact sheet and the lists show of one photo."""
    made = renditions(photo, known, shown)
    thumb = small(made)
    return {
        "id": id_of(photo),
        "name": readable(called(photo.name)),
        "folder": readable(photo.folder),
        "inbox": key_of(photo.inbox),
        "where": readable(b"/".join(filter(None, (_name(photo.inbox), photo.folder)))),
        "state": _STATES[known.phase],
        "at": known.at,
        "seen": known.first_seen or known.at,
        "working": known.leased,  # a worker has it
        "took": took if took is None else round(took, 2),
        "reason": readable(known.reason),
        "attempts": known.attempts,
        "size": known.stamp.size,
        "version": f"{known.at:.3f}",  # of the pictures: they may be kept for as long as this is the same
        "small": thumb and thumb.name,
        "large": made[-1].name if made else None,
        "made": [
            {
                "name": item.name,
                "width": item.fact.width,
                "height": item.fact.height,
                "bytes": item.fact.size,
                "file": readable(os.path.basename(item.path)),
                "also": item.also,
            }
            for item in made
        ],
    }


def entries(found: Iterable[ListedPhoto], site: Site) -> list[dict[str, Any]]:
    """Return the photos of a list."""
    return [
        tile(entry.photo, entry.known, shown, entry.took)
        for entry in found
        if (shown := site.of(entry.photo.inbox)) is not None
    ]


def changes(rows: Iterable[Row], site: Site) -> dict[str, Any]:
    """Return what happened to photos: made or failed, or neither any more."""
    told: list[dict[str, Any]] = []
    gone: list[str] = []
    for photo, known, made, took in rows:
        shown = site.of(photo.inbox)
        if shown is None:
            continue
        if known is None:
            gone.append(id_of(photo))
        else:
            told.append({**tile(photo, known, shown, took), "fresh": made})
    return {"photos": told, "gone": gone}


def summary(records: Records, site: Site, hour: LastHour) -> dict[str, Any]:
    """Return the state of the inboxes."""
    now = time.time()
    minutes = hour.minutes(records, site.inboxes(), now)
    return {
        "version": site.version,
        "now": now,  # by which browsers measure: their clock may be another
        "since": records.meta("since"),
        "workers": records.meta("workers"),
        "hooks": [{**asdict(hook), "to": readable(hook.to)} for hook in records.hooks()],
        "inboxes": [_inbox(records, shown, minutes.get(shown.inbox, {})) for shown in site.shown],
    }


def _inbox(records: Records, shown: Shown, minutes: Mapping[int, int]) -> dict[str, Any]:
    status = records.report(shown.inbox) or InboxStatus(shown.inbox, shown.output)
    counts = records.counts(shown.inbox)
    return {
        "key": key_of(shown.inbox),
        "name": readable(_name(shown.inbox)),
        "path": readable(shown.inbox),
        "output": readable(shown.output),
        "watch": status.watch,
        "watch_reason": readable(status.watch_reason),
        "reachable": status.reachable,
        "by_choice": status.watch_reason == BY_CHOICE,  # it is scanned on an interval because the config says so
        "held_up": readable(status.held_up),
        "config_fault": readable(status.config_fault),
        "missed": status.missed_events,
        "left_alone": readable(left_alone(status.left_alone)),
        "orphans_held": status.orphans_held,
        "waiting": counts.waiting if status.waiting is None else status.waiting,
        "oldest_waiting": status.oldest_waiting,
        "done": counts.done,
        "failed": counts.failed,
        "minutes": sorted(minutes.items()),
        "last_batch": status.last_batch and asdict(status.last_batch),
    }


def _name(inbox: bytes) -> bytes:
    return os.path.basename(inbox) or inbox


# ---- names of photos, which may be any bytes ----


@lru_cache(maxsize=256)
def key_of(inbox: bytes) -> str:
    """Return a short name of an inbox that says nothing about where it lies."""
    return sha256(inbox).hexdigest()[:8]


def id_of(photo: PhotoId) -> str:
    """Name a photo in characters that no browser or proxy touches."""
    return f"{key_of(photo.inbox)}.{urlsafe_b64encode(photo.path).decode().rstrip('=')}"


def photo_of(name: str, inboxes: Iterable[bytes]) -> PhotoId | None:
    """Return the photo of which `id_of` gave `name`; None: there can't be one. Whether it is known is not said."""
    key, _, path = name.partition(".")
    inbox = next((inbox for inbox in inboxes if key_of(inbox) == key), None)
    if inbox is None or not path.isascii():
        return None
    try:
        photo = PhotoId(inbox, urlsafe_b64decode(path + "=" * (-len(path) % 4)))
    except (ValueError, binascii.Error):
        return None
    return photo if id_of(photo) == name else None


class LastHour:
    """The photos made in each minute of the last hour, by the history: so they are the same after a restart.

    Reads the history once, from then on only what was added to it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._last = 0  # the last entry that was read
        self._counts: dict[bytes, Counter[int]] = {}

    def minutes(self, records: Records, inboxes: Sequence[bytes], now: float) -> Mapping[bytes, Mapping[int, int]]:
        """Return for each inbox the minutes since the epoch in which photos were made, with their number."""
        first = int(now) // MINUTE - KEPT_MINUTES
        with self._lock:
            if not set(inboxes) <= self._counts.keys():  # at the start, or a new config has more of them
                self._last, self._counts = 0, {inbox: Counter() for inbox in inboxes}
            self._last, made = records.made_since(inboxes, self._last, first * MINUTE)
            for inbox, at in made:
                self._counts[inbox][int(at) // MINUTE] += 1
            for counts in self._counts.values():
                for minute in [minute for minute in counts if minute <= first]:
                    del counts[minute]
            return {inbox: dict(counts) for inbox, counts in self._counts.items()}
