"""`why`: the story of one path, read from the state file that knows it and from what lies there."""

from __future__ import annotations

import json
import os
import stat
import time
from dataclasses import dataclass, replace
from typing import Any

from watcher.app.commands import check_access
from watcher.app.locate import KnownInbox, all_watched, claimed_by, find, left_by
from watcher.core.history import Event, Explanation, FileState, HistoryEntry, Place, State
from watcher.core.history import explain as explain_path
from watcher.core.naming import called
from watcher.core.recipe import label_of, rendition_of
from watcher.core.selection import SPECIAL
from watcher.core.types import FileSignature, PhotoId
from watcher.errors import EXIT_OK
from watcher.service import process
from watcher.store import Queries
from watcher.text import iso, shown, utf8_text

_UNKNOWN_RULES = "this state file does not know it; whether the inbox takes it, its config says"


@dataclass(frozen=True, slots=True)
class Explained:
    """A story, and where it was found."""

    path: str  # absolute, as it was asked for
    story: Explanation
    watched: KnownInbox | None = None
    pid: int | None = None  # of the daemon
    others: tuple[KnownInbox, ...] = ()  # other inboxes that hold the same path
    photo: Explained | None = None  # what it is an output of


def why(path: str, config_file: str | None, state_file: str | None, *, as_json: bool) -> int:
    """Print the story of a path."""
    explained = gather(os.fsencode(path), config_file, state_file)
    if as_json:
        print(json.dumps(as_mapping(explained), indent=2))
    else:
        from watcher.app import explain_view  # noqa: PLC0415  # 40 ms that `--json` need not pay

        explain_view.show(explained, time.time())
    return EXIT_OK


def gather(path: bytes, config_file: str | None = None, state_file: str | None = None) -> Explained:
    """Find out all that is known of a path, which need not exist; relative to the current folder."""
    absolute = os.path.abspath(path)
    watched = all_watched(config_file, state_file)
    found = find(absolute, watched)
    if not found:
        outside, of = _outside(absolute, watched)
        return Explained(utf8_text(absolute), outside, photo=of)
    (item, photo), *rest = found
    story, pid = story_of(item, photo)
    return Explained(utf8_text(absolute), story, item, pid, tuple(other for other, _ in rest))


def story_of(watched: KnownInbox, photo: PhotoId) -> tuple[Explanation, int | None]:
    """Explain a photo of one inbox; return also the process that watches it, if any."""
    check_access(watched.state)
    holder = process.holding(watched.state)
    reader = Queries.open_to_read(watched.state)
    known, notes, report, asked = None, list[HistoryEntry](), None, False
    below: dict[State, int] = {}
    now_at = b""
    untold: list[Event] = []
    file = look(photo.absolute if photo.path else photo.inbox)
    if reader is not None:
        with reader:
            known, report = reader.known(photo), reader.report(photo.inbox)
            photo = PhotoId(photo.inbox, called(photo.path))  # it may be the key of one whose original is away
            notes = reader.notes(photo)
            untold = [Event(at, "hook", detail) for at, detail in reader.outbox.of_photo(photo)]
            known = known or next((away for _, away in reader.taken_away(photo)), None)
            if file.kind == "folder":
                counts = reader.counts_below(photo) if photo.path else reader.counts(photo.inbox)
                below = {"done": counts.done, "waiting": counts.waiting, "failed": counts.failed}
            elif file.kind == "nothing" and known is None:
                now_at = _now_at(reader, photo)
            asked = any(item.inbox == photo.inbox and item.path in {None, photo.path} for _, item in reader.requests())
    native = report is not None and report.watch == "native"
    config = watched.config
    place = Place(
        photo=photo,
        output=watched.output,
        excluded=watched.excluded(photo.path, folder=file.kind == "folder") if photo.path else "",
        wanted=watched.recipes,
        running=holder is not None,
        report=report,
        below={state: count for state, count in below.items() if count},
        now_at=now_at,
        look_seconds=(config.rescan_seconds if native else config.poll_seconds) if config else 300.0,
    )
    story = explain_path(place, file, known, notes, time.time())
    if known is None and file.kind == "file" and not watched.may_take(photo.path):
        story = replace(story, state="unknown", reason=_UNKNOWN_RULES, next="name the config with `--config`")
    if asked and story.state == "failed":
        by = "the daemon" if holder else "the next `watcher run` or `watcher once`"
        story = replace(story, next=f"another try is asked for, and {by} takes it up")
    story = replace(story, events=(*story.events, *untold))
    return _with_outputs(story), holder.pid if holder else None


def _now_at(reader: Queries, photo: PhotoId) -> bytes:
    """Return where a renamed photo is now, over any number of renames; empty: that is not known."""
    seen = {photo}
    moved = reader.copied_to(photo)
    while moved is not None and moved not in seen and not os.path.lexists(moved.absolute):
        seen.add(moved)
        moved = reader.copied_to(moved)
    return moved.absolute if moved is not None and moved not in seen else b""


def look(path: bytes) -> FileState:
    """Look what lies at a path, without opening it."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return FileState("nothing")
    except OSError as error:
        return FileState("unreadable", detail=error.strerror or str(error))
    if stat.S_ISREG(found.st_mode):
        return FileState("file", FileSignature(found.st_size, found.st_mtime_ns), changed_ns=found.st_ctime_ns)
    if stat.S_ISDIR(found.st_mode):
        return FileState("folder")
    if stat.S_ISLNK(found.st_mode):
        return FileState("link", detail=f" to {shown(os.readlink(path))}")
    return FileState("special", detail=SPECIAL.get(stat.S_IFMT(found.st_mode), "a special file"))


def _with_outputs(story: Explanation) -> Explanation:
    """Hold the renditions against the disk: which of the names that one may have it has, and whether all are there."""
    renditions = tuple(
        replace(item, paths=tuple(path for path in item.paths if os.path.lexists(path))[:1] or item.paths[:1])
        for item in story.renditions
    )
    missing = [label_of(item.key) for item in renditions if not os.path.lexists(item.paths[0])]
    if story.state == "done" and missing:
        reason = f"{story.reason}, but {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} no longer on disk"
        return replace(story, renditions=renditions, reason=reason, next="`watcher verify --repair` makes it again")
    return replace(story, renditions=renditions)


# ---- paths outside of every inbox ----


def _outside(path: bytes, watched: list[KnownInbox]) -> tuple[Explanation, Explained | None]:
    if not watched:
        reason = "no inbox is known: there is no config, and no state file in this user's state folder"
        return Explanation("unknown", reason, next="name one with --config or --state"), None
    for item in watched:
        made = _made_of(path, item)
        if made is not None:
            return made
    inboxes = ", ".join(sorted({shown(item.inbox) for item in watched}))
    return Explanation("unknown", f"it lies in none of the inboxes: {inboxes}"), None


def _made_of(path: bytes, watched: KnownInbox) -> tuple[Explanation, Explained | None] | None:
    """Return of a path in an output tree which photo it was made of, and that one's story; None: it is in none."""
    resolved = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if watched.output is None or not resolved.startswith(watched.output + b"/"):
        return None
    output = resolved[len(watched.output) + 1 :]
    where = f"it lies in the output of {shown(watched.inbox)}"
    reader = Queries.open_to_read(watched.state)
    if reader is not None:
        with reader:
            claim = claimed_by(reader, watched, output) or left_by(reader, watched, output)
        if claim is not None:
            claimant, rendition = claim
            photo = shown(claimant.absolute)
            old = watched.recipes is not None and rendition not in watched.recipes
            unwanted = ", which is no longer in the config" if old else ""
            reason = f"{where}: the rendition {shown(label_of(rendition, watched.recipes or ()))}{unwanted} of {photo}"
            story, pid = story_of(watched, claimant)
            explained = Explained(utf8_text(claimant.absolute), story, watched, pid)
            return Explanation("excluded", reason, next=f"ask about {photo}"), explained
    return Explanation("excluded", f"{where}, and is no photo of an inbox; it is not recorded as a copy of one"), None


# ---- for programs ----


def as_mapping(explained: Explained) -> dict[str, Any]:
    """Return an explanation with the keys that programs rely on."""
    story = explained.story
    return {
        "path": explained.path,
        "state": story.state,
        "reason": story.reason,
        "seen": {"at": iso(story.seen[0], "milliseconds"), "how": story.seen[1]} if story.seen else None,
        "events": [
            {
                "at": iso(event.at, "milliseconds"),
                "what": event.what,
                **{key: _value(key, item) for key, item in event.detail.items()},
            }
            for event in story.events
        ],
        "renditions": [
            {
                "name": rendition_of(item.key),
                "path": utf8_text(item.paths[0]),
                "width": item.fact.width,
                "height": item.fact.height,
                "bytes": item.fact.size,
            }
            for item in story.renditions
        ],
    }


def _value(key: str, value: object) -> object:
    return iso(value, "milliseconds") if key in {"next", "until"} and isinstance(value, float | int) else value
