"""`status`: what is watched, waiting, done and failed, read from the state file beside the daemon or without it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from watcher import __version__
from watcher.cli.status_subject import RunningPair, Subject, find_subject
from watcher.config import Config, Inbox
from watcher.core.hooks import HookStatus, shown_target
from watcher.core.recipe import label_of
from watcher.core.records import Phase, PhotoRecord
from watcher.core.status import Counts, ExecutorStatus, InboxStatus, PhotoStatus, Status
from watcher.core.types import PhotoId
from watcher.errors import EXIT_OK
from watcher.render import jpeg_decoder
from watcher.service import process
from watcher.store import Queries

_MOST_WAITING = 1000  # waiting photos that `--json` names; all of them are counted
_FOLLOW_SECONDS = 1.0  # between two looks
_NEW = "not watched by the running daemon yet: it reads a changed config when it is reloaded or started again"


@dataclass(frozen=True, slots=True)
class View:
    """What people are shown; programs get `status`."""

    status: Status
    state: str  # path of the state file
    superseded: Mapping[bytes, Mapping[str, int]]  # inbox → rendition that is no longer wanted → photos
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
    view = _look(subject)
    if as_json:
        print(json.dumps(view.status.encode(time.time()), indent=2))
    else:
        from watcher.cli import status_view  # noqa: PLC0415  # 40 ms that `--json` need not pay

        status_view.show(view)
    return EXIT_OK


def _follow(subject: Subject, *, as_json: bool) -> None:
    from watcher.cli import status_view  # noqa: PLC0415  # see `status`

    last = None
    with status_view.screen(live=not as_json) as show:
        try:
            while True:
                view = _look(subject)
                if not as_json:
                    show(view)
                elif last != (last := view.status.encode(time.time())):
                    print(json.dumps(last), flush=True)
                time.sleep(_FOLLOW_SECONDS)
        except KeyboardInterrupt:
            pass  # how a person ends it


def _look(subject: Subject) -> View:
    config, path = subject.config, subject.state
    holder = process.holding(path)
    reader = Queries.open_to_read(path)
    if reader is None:
        inboxes = [_inbox(None, inbox, running=holder is not None) for inbox in config.inboxes]
        found = Status(__version__, jpeg_decoder()[0], tuple(inboxes), (), (), pid=holder.pid if holder else None)
        found = replace(found, hooks=_hooks(None, config))
        return View(
            _with_executor(found, config), path, {}, known=False, config_fault=subject.fault, others=subject.others
        )
    with reader:
        found = _with_executor(_read(reader, config, holder.pid if holder else None), config)
        superseded = _superseded(reader, config.inboxes) if subject.by_config else {}
    fault = subject.fault or next((item.config_fault for item in found.inboxes if holder and item.config_fault), "")
    return View(found, path, superseded, config_fault=fault, others=subject.others)


def _hooks(reader: Queries | None, config: Config) -> tuple[HookStatus, ...]:
    known = reader.outbox.statuses() if reader else {}
    return tuple(known.get(hook.id) or HookStatus(hook.on, shown_target(hook.id.target)) for hook in config.hooks)


def _read(reader: Queries, config: Config, pid: int | None) -> Status:
    """Return what the state file has; `pid`: of the daemon that runs."""
    running = pid is not None
    inboxes = tuple(_inbox(reader, inbox, running=running) for inbox in config.inboxes)
    failed, waiting = list[PhotoStatus](), list[PhotoStatus]()
    for inbox in inboxes:
        failed += [_photo(*item) for item in reader.photos(inbox.path, Phase.FAILED)]
        waiting += [_photo(*item) for item in reader.photos(inbox.path, Phase.WAITING, _MOST_WAITING) if item[1].reason]
    since, workers, decoder = (reader.meta(key) if running else None for key in ("since", "workers", "decoder"))
    reported = next((inbox.decoder for inbox in inboxes if running and inbox.decoder), "")  # as its workers found
    return Status(
        version=__version__,
        decoder=reported or str(decoder or "") or jpeg_decoder()[0],
        inboxes=inboxes,
        failed=tuple(failed),
        waiting=tuple(waiting),
        pid=pid,
        since=None if since is None else float(str(since)),
        workers=None if workers is None else int(str(workers)),
        hooks=_hooks(reader, config),
    )


def _with_executor(status: Status, config: Config) -> Status:
    """Add where photos are made, if that is a cluster; every inbox of a running daemon reports the same."""
    if config.executor.kind != "dask":
        return status
    address = config.executor.address or config.executor.scheduler_file or ""
    reported = next((inbox.executor for inbox in status.inboxes if status.pid and inbox.executor), None)
    executor = reported or ExecutorStatus(config.executor.kind, address)
    return replace(status, executor=executor, workers=executor.threads if status.pid else None)


def _photo(photo: PhotoId, known: PhotoRecord) -> PhotoStatus:
    return PhotoStatus(photo.absolute, known.reason, known.attempts, known.at)


def _inbox(reader: Queries | None, inbox: Inbox, *, running: bool) -> InboxStatus:
    path = os.path.realpath(os.fsencode(inbox.path))
    reported = reader.report(path) if reader else None
    counts = reader.counts(path) if reader else Counts()
    output = os.path.realpath(os.fsencode(inbox.output))
    found = replace(reported or InboxStatus(path, output), output=output, counts=counts)
    if running and reported is not None:
        return found
    return replace(
        found,
        watch="poll" if inbox.watch == "poll" else "native",
        watch_reason=_NEW if running else "not running",
        reachable=os.path.isdir(path),
        waiting=counts.waiting,
        oldest_waiting=reader.oldest_waiting(path) if reader else None,
    )


def _superseded(reader: Queries, inboxes: tuple[Inbox, ...]) -> dict[bytes, Mapping[str, int]]:
    paths = {os.path.realpath(os.fsencode(inbox.path)): inbox.renditions for inbox in inboxes}
    return {
        path: {label_of(key, wanted): photos for key, photos in reader.superseded(path, wanted).items()}
        for path, wanted in paths.items()
    }
