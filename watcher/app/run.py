"""`run` and `once`: have a daemon work, and tell how it ended."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from watcher import logs
from watcher.app import build as building
from watcher.app.early_signals import heed_signals
from watcher.app.preload import Beginning
from watcher.app.settings import Source
from watcher.app.threads import Threads
from watcher.core.plan import Phase, PhotoRecord
from watcher.core.types import PhotoId
from watcher.engine.batches import Progress
from watcher.engine.loop import Daemon
from watcher.engine.ports import InboxParts, InboxPlan, Post
from watcher.errors import EXIT_OK, EXIT_SOME_FAILED
from watcher.store import State, StateCorruptError, StateGoneError
from watcher.text import printable


def run(beginning: Beginning) -> int:
    """Run the daemon until it is asked to stop."""
    source, config, name = beginning
    logs.setup(config.log.format, config.log.level)
    log = logs.log
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # standard error is closed, or no file
        faulthandler.enable()  # systemd ends a daemon that is stuck by SIGABRT: where it was stuck is then in the log
    threads = Threads(log)
    threading.excepthook = threads.fault
    source, damaged = replace(source, state=source.state_path(config)), False
    stops: list[str] = []
    while True:
        try:
            built = building.daemon(source, config, name, log, once=False, damaged=damaged, threads=threads)
            with built as (daemon, _):
                try:
                    daemon.run()
                finally:
                    # a reload counts after a new start too
                    config, stops = daemon.settings.config, daemon.stops
        except StateCorruptError as error:
            # damaged, it is set aside when it is opened next: found in use, that may not show at opening
            damaged = not isinstance(error, StateGoneError)
            log.error("state.damaged" if damaged else "state.gone", reason=str(error))  # noqa: TRY400  # no fault of ours
            if not stops:
                heed_signals()
                continue
            log.info("stopped", reason=stops[0])
        return EXIT_OK


def once(beginning: Beginning) -> int:
    """Catch up with what lies in the inboxes, and name what could not be made."""
    source, config, name = beginning
    logs.setup(config.log.format, "warning" if sys.stderr.isatty() else config.log.level)
    log = logs.log
    began = time.monotonic()
    with building.daemon(source, config, name, log, once=True) as (daemon, store):
        with _progress_bar(daemon):
            daemon.run()
        return _tell(daemon, store, time.monotonic() - began)


def serve_requests(source: Source, open_inbox: Callable[[InboxPlan, Post], InboxParts]) -> None:
    """Do what the requests in the state file ask for, with parts that look for nothing else, and end."""
    config, name = source.read()
    logs.setup(config.log.format, "warning")
    with building.daemon(source, config, name, logs.log, once=True, open_inbox=open_inbox) as (daemon, _):
        daemon.run()


# ---- once ----


@contextmanager
def _progress_bar(daemon: Daemon) -> Iterator[None]:
    """Show how far a run is, where somebody looks; elsewhere the log tells."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415  # 40 ms that only a terminal needs
    from rich.progress import (  # noqa: PLC0415  # the same
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar  # noqa: PLC0415  # the same

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), refresh_per_second=5) as bar:
        task = bar.add_task("photos", total=None, rate="")
        began = time.monotonic()

        def show(progress: Progress) -> None:
            made = progress.done + progress.failed
            rate = made / max(time.monotonic() - began, 0.1)
            bar.update(task, completed=made, total=progress.total or None, rate=f"{rate:.1f} photos/s")

        daemon.on_progress = show
        yield
        bar.update(task, visible=daemon.progress().total > 0)


def _tell(daemon: Daemon, store: State, seconds: float) -> int:
    """Name every photo that is not made, say what was done, and give the exit code."""
    counts = daemon.settler.numbers
    unfinished = 0
    for plan in daemon.settings.inboxes:
        for phase, word in ((Phase.FAILED, "failed"), (Phase.WAITING, "waiting")):
            for photo, known in store.photos(plan.inbox, phase):
                unfinished += 1
                print(f"{word}: {_named(photo)}: {_why(known)}")
        unfinished += _unreachable(daemon, plan)
    unfinished += daemon.desks.abandoned
    if why := daemon.dispatcher.despair:
        print(f"waiting: {_count(daemon.desks.abandoned, 'photo')} that nobody could make: {printable(why)}")
    kept = len(daemon.keeper.kept)
    if kept:
        print(f"kept: {_count(kept, 'original')} that could not be taken away; the log says why (`original.kept`)")
    seen = f"{_count(counts.done, 'photo')} made, {_count(counts.renditions, 'rendition')}, {seconds:.1f} s"
    print(f"{seen}; {unfinished} not made" if unfinished else seen)
    if len(daemon.stops):
        print(f"stopped by {daemon.stops[0]} before the end")
    return EXIT_SOME_FAILED if unfinished or kept or daemon.stops else EXIT_OK


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _unreachable(daemon: Daemon, plan: InboxPlan) -> int:
    reason = daemon.desks.unreachable.get(plan.inbox)
    if reason is None:
        return 0
    print(f"not read: {printable(os.fsdecode(plan.inbox))}: {printable(reason)}")
    return 1


def _named(photo: PhotoId) -> str:
    return printable(os.fsdecode(photo.absolute)).replace("\n", "\\n")


def _why(known: PhotoRecord) -> str:
    return printable(known.reason).replace("\n", "\\n") or "not looked at yet"
