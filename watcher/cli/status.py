"""`status`: what is watched, waiting, done and failed, read from the state file beside the daemon or without it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from watcher import __version__
from watcher.cli.status_subject import RunningPair, Subject, find_subject
from watcher.config import Config, Inbox
from watcher.core.records import Phase, PhotoRecord
from watcher.core.types import PhotoId
from watcher.errors import EXIT_OK
from watcher.render import jpeg_decoder
from watcher.service import process as service
from watcher.store import Counts, Queries
from watcher.text import iso

_MOST_WAITING = 1000  # waiting photos that `--json` names; all of them are counted
_FOLLOW_SECONDS = 1.0  # between two looks


@dataclass(frozen=True, slots=True)
class Story:
    """What people are told beyond what programs are."""

    state: str  # path of the state file
    reports: Mapping[str, Mapping[str, Any]]  # inbox → what its daemon said last
    superseded: Mapping[str, Mapping[str, int]]  # inbox → rendition that is no longer wanted → photos
    known: bool = True  # the state file exists
    config_fault: str = ""  # why a running daemon works by an older config than the one that is there
    others: tuple[RunningPair, ...] = ()  # daemons beside it


def status(
    pair: tuple[str, str] | None, config_file: str | None, state_file: str | None, *, as_json: bool, follow: bool
) -> int:
    """Print what is known of every inbox of the config; `follow`: again and again, until it is interrupted."""
    subject = find_subject(pair, config_file, state_file)
    if follow:
        _follow(subject, as_json=as_json)
        return EXIT_OK
    found, story = _look(subject)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        from watcher.cli import status_view as statusview  # noqa: PLC0415  # 40 ms that `--json` need not pay

        statusview.show(found, story)
    return EXIT_OK


def _follow(subject: Subject, *, as_json: bool) -> None:
    from watcher.cli import status_view as statusview  # noqa: PLC0415  # see `status`

    last = None
    with statusview.screen(live=not as_json) as show:
        try:
            while True:
                found, story = _look(subject)
                if as_json and found != last:
                    print(json.dumps(found), flush=True)
                elif not as_json:
                    show(found, story)
                last = found
                time.sleep(_FOLLOW_SECONDS)
        except KeyboardInterrupt:
            pass  # how a person ends it


def _look(subject: Subject) -> tuple[dict[str, Any], Story]:
    config, path = subject.config, subject.state
    holder = service.holding(path)
    reader = Queries.open_to_read(path)
    try:
        found = _collect(reader, config.inboxes, running=holder is not None)
        found["pid"] = holder.pid if holder else None
        reports = {row["path"]: reader.report(os.fsencode(row["path"])) if reader else {} for row in found["inboxes"]}
        found["decoder"] = (_decoder(reader, reports.values()) if holder else "") or jpeg_decoder()[0]
        if config.executor.kind == "dask":
            found["executor"] = _executor(config, reports.values() if holder else ())
            found["workers"] = found["executor"]["threads"] if holder else None
        superseded = _superseded(reader, config.inboxes) if subject.by_config else {}
        told = (str(report["config_fault"]) for report in reports.values() if holder and report.get("config_fault"))
        fault = subject.fault or next(told, "")
        return found, Story(path, reports, superseded, reader is not None, fault, subject.others)
    finally:
        if reader is not None:
            reader.close()


def _collect(reader: Queries | None, inboxes: tuple[Inbox, ...], *, running: bool) -> dict[str, Any]:
    since = reader.meta("since") if reader and running else None
    failed, waiting = [], []
    rows = []
    for inbox in inboxes:
        path = os.path.realpath(os.fsencode(inbox.path))
        rows.append(_inbox(reader, inbox, path, running=running))
        if reader is not None:
            failed += [_entry(*item) for item in reader.photos(path, Phase.FAILED)]
            waiting += [_entry(*item) for item in reader.photos(path, Phase.WAITING, _MOST_WAITING) if item[1].reason]
    return {
        "version": __version__,
        "running": running,
        "pid": None,
        "since": iso(float(str(since))) if since is not None else None,
        "workers": reader.meta("workers") if reader and running else None,
        "decoder": None,
        "inboxes": rows,
        "failed": failed,
        "waiting": waiting,
    }


def _decoder(reader: Queries | None, reports: Iterable[Mapping[str, Any]]) -> str:
    """Return what a running daemon decodes JPEGs with: as its workers found, else as was said at its start."""
    said = reader.meta("decoder") if reader else None
    return next((report["decoder"] for report in reports if report.get("decoder")), str(said or ""))


def _executor(config: Config, reports: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Say where photos are made, and whether they can be; every report of a running daemon tells the same."""
    told: Mapping[str, Any] = next((report["executor"] for report in reports if report.get("executor")), {})
    since = told.get("away_since")
    return {
        "kind": config.executor.kind,
        "address": told.get("address", config.executor.address or config.executor.scheduler_file),
        "workers": told.get("workers"),
        "threads": told.get("threads"),
        "away_since": None if since is None else iso(since),
        "reason": told.get("reason", ""),
        "fallback": told.get("fallback", False),
        "unfit": told.get("unfit", {}),
    }


def _entry(photo: PhotoId, known: PhotoRecord) -> dict[str, Any]:
    return {
        "path": os.fsdecode(photo.absolute),
        "reason": known.reason,
        "attempts": known.attempts,
        "since": iso(known.at),
    }


def _inbox(reader: Queries | None, inbox: Inbox, path: bytes, *, running: bool) -> dict[str, Any]:
    report = reader.report(path) if reader else {}
    counts = reader.counts(path) if reader else Counts()
    if running and "waiting" in report:
        waiting, oldest = report["waiting"], report["oldest_waiting"]
    else:
        waiting, oldest = counts.waiting, reader.oldest_waiting(path) if reader else None
    watch, reason = report.get("watch"), report.get("watch_reason", "")
    if not running or watch is None:
        new = "not watched by the running daemon yet: it reads a changed config when it is reloaded or started again"
        watch, reason = ("poll" if inbox.watch == "poll" else "native"), new if running else "not running"
    return {
        "path": os.fsdecode(path),
        "output": os.path.realpath(inbox.output),
        "watch": watch,
        "watch_reason": reason,
        "reachable": report["reachable"] if running and "reachable" in report else os.path.isdir(path),
        "done": counts.done,
        "failed": counts.failed,
        "waiting": waiting,
        "missed_events": report.get("missed_events", 0),
        "oldest_waiting_seconds": None if oldest is None else round(max(0.0, time.time() - float(str(oldest))), 1),
    }


def _superseded(reader: Queries | None, inboxes: tuple[Inbox, ...]) -> dict[str, Mapping[str, int]]:
    if reader is None:
        return {}
    paths = {os.path.realpath(os.fsencode(inbox.path)): inbox.renditions for inbox in inboxes}
    return {os.fsdecode(path): reader.superseded(path, wanted) for path, wanted in paths.items()}
