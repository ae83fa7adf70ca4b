"""From what happened on a road to its row."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.e2e.harness import tree
from tests.transports.card import ABANDONED, CONTESTED, RESUMED, Version, shown_by
from tests.transports.drop import QUIET, RENDITIONS, Journey
from tests.transports.row import Row
from tests.transports.witness import Appearance

_DAMAGED = ("damaged", "it can't be decoded")


def count(journey: Journey) -> Row:
    """Fill the row of a road while its files are still there."""
    road = journey.road
    row = Row(type(road), journey.card.form, wait=QUIET + road.lag + float(str(road.settings.get("poll_seconds", 0))))
    lies = {ABANDONED: shown_by(journey.landing / ABANDONED), CONTESTED: journey.left_by_rivals()}
    _count_arrivals(journey, row)
    _count_outputs(journey, row, lies)
    _count_again(journey, row, spoilt=bool(journey.rivals) and lies[CONTESTED] is None)
    _tell_ends(journey, row, lies)
    _hold_status(journey, row, spoilt=bool(journey.rivals) and lies[CONTESTED] is None)
    return row


def _count_arrivals(journey: Journey, row: Row) -> None:
    dones = _makings(journey.log)
    prefix = f"{journey.place.inbox.resolve()}/"
    for sent in journey.sent:
        visible = journey.visible(sent)
        if visible is None:
            row.lost.append(sent.name)
            continue
        came = journey.witness.last_byte(sent.name, visible)
        row.seconds.append(visible - (sent.at if came is None else came))
        own = [line for line in dones if line["path"] == prefix + sent.name]
        nearest = min(own, key=lambda line: abs(_moment(line) - visible))
        row.renders.append(nearest["seconds"])


def _moment(line: dict[str, str]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def _count_outputs(journey: Journey, row: Row, lies: dict[str, Version | None]) -> None:
    """Look at every output that ever appeared, and at those that lie there now."""
    allowed: dict[str, set[Version]] = {name: {version} for name, version in journey.before.items()}
    final: dict[str, Version] = dict(journey.before)
    for sent in journey.sent:
        allowed.setdefault(sent.name, set()).add(sent.version)
        final[sent.name] = sent.version
    allowed.setdefault(CONTESTED, set()).update(journey.rivals)
    contested = lies[CONTESTED]
    if contested is not None:
        final[CONTESTED] = contested
    else:
        final.pop(CONTESTED, None)
    seen = journey.witness.appearances
    strange = (a for a in seen if a.name not in {*allowed, ABANDONED} and not journey.road.adds(a.name))
    row.doubled = sorted({f"{a.rendition}/{a.name}" for a in strange})
    spoilt = {CONTESTED} if journey.rivals and contested is None else set()  # by the writers themselves
    row.half = [f"{a.rendition}/{a.name}" for a in seen if not _shows(a, allowed) and a.name not in spoilt]
    found = tree(journey.place.output)
    wanted = {f"{rendition}/{name}": version for name, version in final.items() for rendition in RENDITIONS}
    lost = {path.partition("/")[2] for path, version in wanted.items() if not _is(found.get(path), version)}
    row.lost = sorted(lost | set(row.lost))


def _shows(appearance: Appearance, allowed: dict[str, set[Version]]) -> bool:
    return appearance.version is not None and appearance.version in allowed.get(appearance.name, {appearance.version})


def _is(path: Path | None, version: Version) -> bool:
    return path is not None and shown_by(path) == version


def _count_again(journey: Journey, row: Row, *, spoilt: bool) -> None:
    """Count what was made or appeared more often than there were versions of it; `spoilt`: two writers mixed theirs."""
    runs: Counter[str] = Counter()  # how often a photo's outputs came to show another version than before
    again: Counter[str] = Counter()
    last: dict[tuple[str, str], Version | None] = {}
    for seen in journey.witness.appearances:
        place = (seen.rendition, seen.name)
        same = place in last and last[place] == seen.version
        last[place] = seen.version
        if seen.rendition == "web":
            (again if same else runs)[seen.name] += 1
    prefix = f"{journey.place.inbox.resolve()}/"
    made = Counter(line["path"].removeprefix(prefix) for line in _makings(journey.log))
    for name, times in made.items():
        again[name] = max(again[name], times - runs[name])
    row.again = {name: times for name, times in again.items() if times > 0}
    remade = {line["path"].removeprefix(prefix) for line in _makings(journey.later)}
    if remade := remade - ({CONTESTED} if spoilt else set()):
        row.wrong.append(f"made again after a restart: {sorted(remade)}")


def _makings(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the lines of a log that tell of a photo whose renditions were written, not found to be as they should."""
    return [line for line in log if line["event"] == "photo.done" and len(line["renditions"]) > line["adopted"]]


def _tell_ends(journey: Journey, row: Row, lies: dict[str, Version | None]) -> None:
    row.resumed = "" if "resume" in journey.road.cannot else "lost" if RESUMED in row.lost else "done"
    if journey.rivals:
        mixed = "mixed by the writers"
        row.contested = mixed if lies[CONTESTED] is None else "lost" if CONTESTED in row.lost else "one of them"
    state, reason = journey.abandoned[-1]
    if not (journey.landing / ABANDONED).exists():
        row.abandoned, good = "left nothing", state == "unknown"
    elif lies[ABANDONED] is not None:
        row.abandoned, good = "left as it was", state == "done" and lies[ABANDONED] == journey.before.get(ABANDONED)
    else:
        row.abandoned, good = state, journey.abandoned[0][0] == "waiting" and state == "failed" and bool(reason)
    if not good:
        row.wrong.append(f"the abandoned one ({row.abandoned}): {journey.abandoned}")


def _hold_status(journey: Journey, row: Row, *, spoilt: bool) -> None:
    """Hold what the program says of itself; a mixture that two writers left has failed once it has been unchanged."""
    said = journey.inbox
    if said["watch"] != journey.road.watch or (said["watch"] == "poll" and not said["watch_reason"]):
        row.wrong.append(f"status says {said['watch']}: {said['watch_reason']!r}")
    damaged = f"/{CONTESTED}" if spoilt else None
    lines = [line for line in journey.log if line["event"] == "photo.failed"]
    if failed := [
        f"{line['path']}: {line['reason']}"
        for line in lines
        if not (damaged and line["path"].endswith(damaged) and line["reason"].startswith(_DAMAGED))
    ]:
        row.wrong.append(f"failed: {failed}")
