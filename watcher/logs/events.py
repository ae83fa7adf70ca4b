"""Every log event: its level, its fields, and what it means. docs/events.md is made from this: `python docs/events.py`.

An event that is logged under two levels has both, the usual one first. A field that is not always there ends in `?`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Event(NamedTuple):
    """What is known of one event."""

    levels: str
    fields: str
    meaning: str


EVENTS: Mapping[str, Event] = {
    "batch.done": Event(
        "info",
        "inbox files renditions failed copied moved seconds megapixels_per_second",
        "a burst of photos is through: so many made, failed, copied from duplicates, or only renamed",
    ),
    "config.rejected": Event("error", "reason", "the config that was read again is wrong; the older one stays in use"),
    "config.reloaded": Event("info", "inboxes takes_a_restart", "the config was read again and is in use"),
    "daemon.stopping": Event("info", "reason in_flight", "it stops when the photos in the workers are done"),
    "daemon.stuck": Event(
        "error", "reason", "the daemon cannot do its work any more, and is restarted or exits with 70"
    ),
    "decoder.fallback": Event("warning", "text", "a worker decodes with Pillow although the native decoder was built"),
    "decoder.ready": Event("info", "decoder reason", "which JPEG decoder is in use, and why"),
    "disk.freed": Event("info", "inbox output", "there is space again, and work goes on"),
    "disk.full": Event(
        "error", "inbox output reason", "an output's disk is full; its photos wait until there is space"
    ),
    "events.missed": Event(
        "warning", "inbox photos total", "a scan found photos that no event announced; more scans follow"
    ),
    "executor.back": Event("info", "address workers threads away_seconds", "the cluster is back"),
    "executor.fallback": Event("warning", "reason", "the cluster is away, and this machine's processes work meanwhile"),
    "executor.lost": Event("warning", "address reason", "the cluster is away; its photos are queued again"),
    "executor.ready": Event("info", "address workers threads", "the cluster is connected"),
    "executor.unfit": Event("warning", "worker reason", "a worker of the cluster is left out, and why"),
    "executor.workers": Event("info", "address workers threads", "workers joined or left the cluster"),
    "failed.reopened": Event(
        "info", "inbox photos", "failed photos are tried again, since they were asked for or the config changed"
    ),
    "folders.apart": Event("info", "inbox output", "folders that contained each other no longer do, and work goes on"),
    "folders.meet": Event(
        "error", "inbox output reason", "something was mounted so that an inbox's folders contain each other; it waits"
    ),
    "hook.delivered": Event("debug", "on to", "a hook was told of a photo or a batch"),
    "hook.failed": Event(
        "warning", "on to reason seconds?", "a hook could not be told; it is tried again, after so many seconds"
    ),
    "hook.gave_up": Event(
        "error", "on to reason", "a document could not be delivered for an hour and is dropped; the next one follows"
    ),
    "hook.removed": Event(
        "warning", "on to waiting", "a hook is no longer in the config, and what waited for it was dropped"
    ),
    "inbox.back": Event("info", "inbox output", "an inbox can be read again"),
    "inbox.unreadable": Event("error", "inbox output reason", "an inbox as a whole cannot be read; its photos wait"),
    "internal.error": Event("error", "thread? exception", "an internal error, with its traceback; please report it"),
    "library.message": Event("warning error critical", "logger message exception?", "a warning or error of a library"),
    "metrics.listening": Event(
        "info warning", "address text?", "where metrics are served; a warning where other machines can read them"
    ),
    "original.deleted": Event("debug", "path to", "an original was deleted after all its renditions were made"),
    "original.hidden": Event(
        "warning", "path reason", "an original has a hidden name since an interruption, and could not get its own back"
    ),
    "original.kept": Event("warning", "path reason", "an original could not be moved or deleted, and stays"),
    "original.moved": Event("debug", "path to", "an original was moved after all its renditions were made"),
    "orphan.kept": Event("info", "path output reason", "an output of a photo that is gone stays, and why"),
    "orphan.removed": Event("debug", "path output", "an output that no photo needs any more was removed"),
    "orphans.held": Event(
        "warning",
        "inbox photos",
        "more photos are gone than `orphans_max` allows in a day; their outputs stay until `verify --prune --yes`",
    ),
    "output.back": Event("info", "inbox output", "an output can be written again"),
    "output.changed": Event(
        "info", "inbox output", "an inbox has another output folder than before; all is made there"
    ),
    "output.kept": Event(
        "warning", "path output made", "another file has an output's name and stays; the rendition has another name"
    ),
    "output.larger": Event(
        "warning", "path output bytes", "a rendition is larger than its `max_kb`, even at the lowest quality, 40"
    ),
    "output.unwritable": Event(
        "error", "inbox output reason", "an output as a whole cannot be written; its photos wait"
    ),
    "output.weaker": Event("warning", "inbox output reason", "what an output's file system cannot do"),
    "outputs.swept": Event("info", "output temporary_files", "temporary files of an interrupted run were removed"),
    "photo.dated": Event("debug", "path", "a photo has only got another date, and its renditions get it too"),
    "photo.done": Event(
        "debug",
        "path renditions adopted copied moved_from? same_as? seconds pid",
        "a photo's renditions are on disk: made, taken over, or copied",
    ),
    "photo.failed": Event("warning", "path reason attempts", "a photo has failed"),
    "photo.retry": Event(
        "info", "path reason seconds", "a photo could not be made, and is tried again after so many seconds"
    ),
    "photo.vanished": Event("debug", "path reason", "a photo is no longer there"),
    "photo.waiting": Event("debug", "path reason", "a photo is incomplete, and waits for a change"),
    "requests.received": Event("info", "requests", "`retry`, `verify` or the page asked for photos to be made"),
    "resizer.fallback": Event("warning", "text", "a worker resizes with Pillow, and why"),
    "scan.done": Event(
        "info",
        "inbox origin photos folders seconds waiting complete reason?",
        "an inbox was scanned; where it could not be read whole, why",
    ),
    "state.back": Event("info", "", "the state file can be used again"),
    "state.busy": Event("error", "reason unwritten?", "the state file cannot be used now, and is waited for"),
    "state.damaged": Event(
        "error", "reason? state? set_aside? text?", "the state file was damaged; a copy is kept, and a new one is begun"
    ),
    "state.gone": Event("error", "reason", "the state file was removed while it was in use; a new one is begun"),
    "stopped": Event("info", "reason", "it stopped cleanly"),
    "watch.back": Event("info", "inbox", "an inbox can be reached or watched again, and was scanned"),
    "watch.degraded": Event(
        "warning", "inbox reason", "an inbox is scanned at intervals, since events cannot be relied on"
    ),
    "watch.lost": Event("warning", "inbox reason", "an inbox is gone or cannot be watched now"),
    "watch.started": Event("info", "inbox watch", "an inbox is watched"),
    "web.ended": Event("error", "reason exception", "the page's server ended by a fault, and is started again"),
    "web.listening": Event("info", "url token_file?", "where the page is"),
    "worker.error": Event("warning", "text", "a worker met an internal error, with its traceback"),
    "worker.lost": Event(
        "warning", "path reason attempt", "a worker crashed, ran out of memory or was ended after its time"
    ),
    "workers.back": Event("info", "", "workers start again"),
    "workers.missing": Event("error", "reason", "no worker can be started, and why"),
}

FIELDS: Mapping[str, str] = {
    "address": "where a server is reached",
    "adopted": "how many renditions were on disk already",
    "attempt": "the number of the attempt",
    "attempts": "how many attempts were made",
    "away_seconds": "how long it was away",
    "bytes": "its size",
    "complete": "false: nothing is concluded from what was not found",
    "copied": "how many renditions or photos were copied from a duplicate",
    "decoder": "`native` or `pillow`",
    "exception": "a traceback",
    "failed": "how many photos failed",
    "files": "how many photos",
    "folders": "how many folders",
    "in_flight": "how many photos are in the workers",
    "inbox": "the inbox's path",
    "inboxes": "how many inboxes",
    "logger": "the library's logger",
    "made": "where a rendition is instead",
    "megapixels_per_second": "of the photos, not of the renditions",
    "message": "a library's own words",
    "moved": "how many photos were only renamed",
    "moved_from": "the path before a rename",
    "on": "`photo`, `batch` or `failed`, as in the config",
    "origin": "why it was scanned: `start`, `scan`, `folder`",
    "output": "a path in the output tree, or of its root",
    "path": "the photo's path",
    "photos": "how many photos",
    "pid": "the worker's process",
    "reason": "what was found, for a person",
    "renditions": "their names, or how many",
    "requests": "how many requests",
    "same_as": "the path of the duplicate",
    "seconds": "how long it took, or until the next attempt",
    "set_aside": "where the damaged file is kept",
    "state": "the state file's path",
    "takes_a_restart": "changed keys that take effect at the next start",
    "temporary_files": "how many files",
    "text": "a sentence for a person",
    "thread": "the thread's name",
    "threads": "how many photos the cluster makes at a time",
    "to": "where an original is now; the program of a hook, or the host of its URL",
    "token_file": "a file with the page's address and token",
    "total": "how many since the start",
    "unwritten": "how many changes wait to be written",
    "url": "the page's address",
    "waiting": "how many photos wait for a worker; how many documents, for a hook",
    "watch": "`native` or `poll`",
    "worker": "the cluster's worker",
    "workers": "how many workers",
}
