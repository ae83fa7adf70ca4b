"""Explain one photo: turn the entries of its history into what users and programs are shown.

Rules:
- Pure: the records, the file's state, the rules of its inbox and the time are arguments.
- The state is the user's view, not the recorded one: a photo that was done and has changed is waiting.
- What is no longer in the history is explained from the photo's record, and `forgotten` is set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from watcher.core.output_paths import recorded_paths
from watcher.core.recipe import Recipe, label_of
from watcher.core.records import Phase, PhotoRecord, RenditionRecord, fingerprint_in, key_of, written_since
from watcher.core.stability import INCOMPLETE_SECONDS
from watcher.core.status import InboxStatus
from watcher.core.types import FileSignature, PhotoId
from watcher.text import counted, moment, shown

State = Literal["done", "waiting", "failed", "excluded", "unknown"]
Kind = Literal["nothing", "file", "folder", "link", "special", "unreadable"]

_WORTH_TELLING = 0.05  # seconds of waiting; less is not reported

ASK = "when you ask for it with `watcher retry`"  # the page has a button for that
HOW = {
    "event": "the file system announced it",
    "folder": "its folder was announced and looked through",
    "scan": "a scan found it; no event had announced it",
    "start": "the scan at the start found it",
    "retry": "its time had come again",
}


class HistoryEntry(NamedTuple):
    """One entry of a photo's history."""

    photo: PhotoId
    at: float  # wall clock
    what: str  # a constant, see `engine.notes`
    detail: Mapping[str, object]  # JSON values, and small: a hundred thousand entries are kept


def took(detail: Mapping[str, object]) -> float | None:
    """Return the seconds from when a photo was found until it was made, from its history entry for that.

    None: it was not made in one attempt, as with a photo that was tried again.
    """
    if "line" not in detail:
        return None
    parts = (detail.get(name, 0.0) for name in ("burst", "line", "seconds"))
    return sum(float(part) for part in parts if isinstance(part, int | float))


@dataclass(frozen=True, slots=True)
class FileState:
    """What is at a path now."""

    kind: Kind
    stamp: FileSignature | None = None  # of a file
    detail: str = ""  # the kind of a special file, the target of a link, or why it can't be read
    changed_ns: int = 0  # ctime of a file


@dataclass(frozen=True, slots=True)
class Place:
    """The inbox that a path belongs to, and what its rules say about the path."""

    photo: PhotoId
    output: bytes | None  # absolute; None: not known
    excluded: str  # why its path makes it no photo; empty: it is one by its path
    wanted: Mapping[str, Recipe] | None  # None: not known
    running: bool = False
    report: InboxStatus | None = None  # the daemon's last status of the inbox
    look_seconds: float = 300.0  # the interval of scans of the inbox
    below: Mapping[State, int] = field(default_factory=dict)  # for a folder: its photos
    now_at: bytes = b""  # for a photo that is gone after a rename, move or copy: where it is now, absolute


@dataclass(frozen=True, slots=True)
class Event:
    """One event in the history of a photo."""

    at: float  # wall clock
    what: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rendition:
    """One rendition as recorded."""

    key: str
    paths: tuple[bytes, ...]  # absolute; several where its format is not recorded
    fact: RenditionRecord
    recipe: Recipe | None  # None: it is no longer in the config
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known about one path."""

    state: State
    reason: str
    seen: tuple[float, str] | None = None  # when it was first found, and how (see `HOW`)
    events: tuple[Event, ...] = ()
    renditions: tuple[Rendition, ...] = ()
    next: str = ""  # what happens next
    next_at: float | None = None  # when, where that is known
    forgotten: bool = False  # older history is no longer kept


def explain(
    place: Place, file: FileState, known: PhotoRecord | None, notes: Sequence[HistoryEntry], now: float
) -> Explanation:
    """Explain a path below an inbox."""
    state, reason = _state_of(place, file, known, notes, now)
    events = tuple(_events(known, notes))
    seen = (known.first_seen, known.origin) if known is not None and known.first_seen else None
    if seen is None:
        seen = next(((event.at, str(event.detail["how"])) for event in events if event.what == "seen"), None)
    following, at = _next(state, place, known, notes, now)
    renditions = tuple(_renditions(place, known)) if known is not None and place.output is not None else ()
    forgotten = known is not None and known.phase is not Phase.WAITING and not notes
    return Explanation(state, reason, seen, events, renditions, following, at, forgotten)


# ---- its state ----


def _state_of(
    place: Place, file: FileState, known: PhotoRecord | None, notes: Sequence[HistoryEntry], now: float
) -> tuple[State, str]:
    if file.kind == "folder":
        return _folder(place)
    if file.kind == "link":
        return "excluded", f"it is a symbolic link{file.detail}; links are not followed out of an inbox"
    if file.kind == "special":
        return "excluded", f"it is {file.detail}, no regular file"
    if place.excluded:
        return "excluded", place.excluded
    if known is not None:
        return _state_of_known(place, file, known, now)
    if file.kind == "nothing":
        if place.now_at:
            return "unknown", f"it is no longer in the inbox; the same picture is {shown(place.now_at)} now"
        if notes:
            return (
                "unknown",
                "it is no longer in the inbox; copies of it that are left, `watcher verify --prune` lists",
            )
        return "unknown", "there is no such file, and none was ever seen; by its name it would be a photo"
    if file.kind == "unreadable":
        return "unknown", f"it can't be looked at: {file.detail}"
    return "waiting", _why_untried(place)


def _folder(place: Place) -> tuple[State, str]:
    """Return the state of a folder: failed if a photo in it has failed, else waiting if one waits, else done."""
    if place.excluded:
        return "excluded", f"it is a folder, and left alone: {place.excluded}"
    known = {state: count for state, count in place.below.items() if count}
    if not known:
        return "excluded", "it is a folder; no photo in it is known yet"
    counts = ", ".join(f"{count:,} {state}" for state, count in known.items())
    state: State = next(state for state in ("failed", "waiting", "done") if state in known)
    return state, f"it is a folder with {counted(sum(known.values()), 'photo')}: {counts}"


def _why_untried(place: Place) -> str:
    """Return why a photo that is there has not been tried yet."""
    if not place.running:
        return "watcher is not running for this inbox"
    report = place.report
    if report is not None and not report.reachable:
        return f"the inbox can't be reached: {report.watch_reason or 'it is not there'}"
    if report is not None and report.held_up:
        return f"work is held up: {report.held_up}"
    ahead = report.waiting if report is not None else 0
    if ahead:
        return f"it has not been tried yet; {ahead:,} {'photo waits' if ahead == 1 else 'photos wait'} in its inbox"
    return "it has not been noticed yet"


def _state_of_known(place: Place, file: FileState, known: PhotoRecord, now: float) -> tuple[State, str]:
    changed = file.stamp is not None and not file.stamp.same_content(known.stamp)
    match known.phase:
        case Phase.DONE if changed:
            return "waiting", "it has changed since its renditions were made"
        case Phase.DONE:
            wanted = place.wanted or {}
            stale = [name for name, recipe in wanted.items() if known.recipes.get(name) != key_of(recipe)]
            unmade = [name for name in stale if fingerprint_in(known.recipes.get(name)) != wanted[name].fingerprint]
            if unmade:
                return "waiting", f"{_listed(unmade)} {'is' if len(unmade) == 1 else 'are'} still to be made"
            if stale and known.away is None:
                places = "its place" if len(stale) == 1 else "their places"
                return "waiting", f"{_listed(stale)} {'is' if len(stale) == 1 else 'are'} still to be moved to {places}"
            if known.away is not None:
                went = f"moved to {shown(known.away)}" if known.away else "deleted"
                return "done", f"all its renditions are made, and the original was then {went}"
            if file.kind == "nothing":
                return "done", "its renditions were made; the photo itself is no longer there"
            return "done", "all its renditions are made"
        case Phase.FAILED if changed or written_since(known.at, file.changed_ns, now):
            return "waiting", f"it has changed since it failed ({known.reason})"
        case Phase.FAILED:
            return "failed", known.reason
        case _:
            return "waiting", _waits(place, known)


def _waits(place: Place, known: PhotoRecord) -> str:
    if known.leased:
        return "a worker is at it" if place.running else "watcher ended while it worked on this photo"
    return known.reason or ("it waits for a worker" if place.running else _why_untried(place))


# ---- what happens next ----


def _next(
    state: State, place: Place, known: PhotoRecord | None, notes: Sequence[HistoryEntry], now: float
) -> tuple[str, float | None]:
    if place.below:
        return "ask about one of its photos", None
    if place.now_at:
        return f"ask about {shown(place.now_at)}", None
    if state == "done":
        return "nothing, until the photo or the settings of a rendition change", None
    if state == "failed":
        return f"it is tried again when it changes, or {ASK}", None
    return _next_of_waiting(place, known, notes, now) if state == "waiting" else ("", None)


def _next_of_waiting(
    place: Place, known: PhotoRecord | None, notes: Sequence[HistoryEntry], now: float
) -> tuple[str, float | None]:
    if not place.running:
        return "the next `watcher run` or `watcher once` takes it up", None
    if known is None or known.phase is not Phase.WAITING:
        if place.report is not None and (place.report.waiting or place.report.held_up):
            return "it is made when its turn comes", None
        return f"an event or the next scan takes it up, within {place.look_seconds:g} s", None
    planned = _planned(notes)
    if planned is None or known.leased:
        return "" if known.leased else "it is made when its turn comes", None
    last = notes[-1]
    if last.what == "waiting":
        end = known.at + INCOMPLETE_SECONDS
        if now < end:
            given_up = f"it is given up at {moment(end, now)} if it does not change until then"
            latest = " when it changes, or at the latest" if planned > now else ""
            return f"{given_up}; it is looked at again{latest}", max(planned, now)
        return "it is looked at once more, then given up", max(planned, now)
    return "it is tried again", max(planned, now)


def _planned(notes: Sequence[HistoryEntry]) -> float | None:
    planned = notes[-1].detail.get("next") if notes else None
    return planned if isinstance(planned, float | int) else None


# ---- what happened ----


def _events(known: PhotoRecord | None, notes: Sequence[HistoryEntry]) -> Iterator[Event]:
    if known is not None and known.first_seen and not _begins_with(notes, known.first_seen):
        yield Event(known.first_seen, "seen", {"how": known.origin})
    for note in notes:
        yield from _expanded(note)
    if known is not None and not notes and known.phase is not Phase.WAITING:
        what, detail = ("made", {}) if known.phase is Phase.DONE else ("failed", {"reason": known.reason})
        yield Event(known.at, what, detail)


def _begins_with(notes: Sequence[HistoryEntry], first_seen: float) -> bool:
    """Return whether the first entry of a history is still kept."""
    first = next(_expanded(notes[0]), None) if notes else None
    return first is not None and first.what == "seen" and first.at < first_seen + 1.0


def _expanded(note: HistoryEntry) -> Iterator[Event]:
    """Split an entry into its events: seen, waited, tried."""
    detail = dict(note.detail)
    how, burst, line = detail.pop("how", None), detail.pop("burst", 0.0), detail.pop("line", None)
    if how is not None and line is not None:
        began = note.at - _number(detail.get("seconds"))
        ready = began - _number(line)
        seen = ready - _number(burst)
        yield Event(seen, "seen", {"how": how})
        if _number(burst) >= _WORTH_TELLING:
            yield Event(seen, "waited", {"seconds": burst, "reason": "for its writer to be done or its burst to end"})
        if _number(line) >= _WORTH_TELLING:
            yield Event(ready, "waited", {"seconds": line, "reason": "for a worker"})
    yield Event(note.at, note.what, detail)


def _number(value: object) -> float:
    return float(value) if isinstance(value, float | int) else 0.0


# ---- what was made ----


def _renditions(place: Place, known: PhotoRecord) -> Iterator[Rendition]:
    for name in dict.fromkeys([*(place.wanted or ()), *known.recipes]):  # in the config's order
        fact, fingerprint = known.made.get(name), fingerprint_in(known.recipes.get(name))
        if fact is None or not fingerprint or place.output is None:
            continue
        wanted = (place.wanted or {}).get(name)
        recipe = wanted if wanted is not None and wanted.fingerprint == fingerprint else None
        outputs = recorded_paths(place.photo.path, name, fact, known.recipes, place.wanted)
        paths = tuple(place.output + b"/" + output for output in outputs)
        yield Rendition(name, paths, fact, recipe, fingerprint)


def _listed(names: Sequence[str]) -> str:
    labels = [label_of(name) for name in names]
    return ", ".join(labels[:-1]) + " and " + labels[-1] if len(labels) > 1 else "".join(labels)
