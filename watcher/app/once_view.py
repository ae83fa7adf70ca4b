"""What `once` shows people: how far it is while it runs, and at its end what was made, where, and what was not."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from watcher.app.settings import Source
from watcher.core.output_paths import top_folders
from watcher.core.records import Phase, PhotoRecord
from watcher.core.status import Progress, left_alone
from watcher.core.task import State
from watcher.core.types import PhotoId
from watcher.engine.loop import Daemon
from watcher.engine.ports import InboxPlan
from watcher.errors import EXIT_OK, EXIT_SOME_FAILED
from watcher.paths import nearby
from watcher.store import Store
from watcher.text import counted, printable

_MOST_FOLDERS = 3  # folders of copies that the last line names


@contextmanager
def progress_bar(daemon: Daemon) -> Iterator[None]:
    """Show how far a run is on a terminal, and answer Ctrl-C at once; off a terminal the log does both."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415  # 40 ms that only a terminal needs
    from rich.progress import BarColumn, TextColumn  # noqa: PLC0415  # the same
    from rich.progress import Progress as Bar  # noqa: PLC0415  # the same

    columns = (
        TextColumn("photos"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.fields[known]}"),
        TextColumn("{task.fields[rate]}"),
    )
    with Bar(*columns, console=Console(stderr=True), refresh_per_second=5) as bar:
        task = bar.add_task("photos", total=None, known="?", rate="")
        began, reported = time.monotonic(), 0

        def show(progress: Progress) -> None:
            nonlocal reported
            made = progress.done + progress.failed
            known = f"{progress.total:,}" if progress.total else "?"
            rate = rate_text(made, progress.total - made, time.monotonic() - began)
            bar.update(task, completed=made, total=progress.total or None, known=known, rate=rate)
            for count in range(reported, len(daemon.stops)):
                bar.console.print(stopping(count, daemon.photos.tracker.count(State.RENDERING)), highlight=False)
            reported = len(daemon.stops)

        daemon.on_progress = show
        yield
        bar.update(task, visible=daemon.reporter.progress().total > 0)


def stopping(before: int, in_flight: int) -> str:
    """Return what is said when the user asks to stop, who has asked `before` times already."""
    if before:
        return "Stopping at once; photos that were begun are made by the next run."
    if not in_flight:
        return "Stopping."
    return (
        f"Stopping: {counted(in_flight, 'photo')} already begun will be finished. Press Ctrl-C again to stop at once."
    )


def rate_text(made: int, ahead: int, seconds: float) -> str:
    """Return the rate, the time that has passed and the time that is left, each with its name."""
    parts = [f"{made / max(seconds, 0.1):.1f}/s"] if made else []
    parts.append(f"{clock(seconds)} elapsed")
    if made and ahead > 0:
        parts.append(f"about {clock(ahead * seconds / made)} left")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """Return a duration as `m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


# ---- the end ----


def report(daemon: Daemon, store: Store, seconds: float, source: Source, *, quiet: bool = False) -> int:
    """Name every photo that is not made, say what was done, and return the exit code; `quiet`: only what is wrong."""
    unfinished = 0
    for plan in daemon.settings.inboxes:
        _print_missing(daemon, store, plan, source)
        for phase, word in ((Phase.FAILED, "failed"), (Phase.WAITING, "waiting")):
            for photo, known in store.photos(plan.inbox, phase):
                unfinished += 1
                print(f"{word}: {_named(photo)}: {_why(known)}")
        unfinished += _unreachable(daemon, plan)
    unfinished += daemon.inboxes.abandoned
    if why := daemon.scheduler.gave_up_reason:
        print(f"waiting: {counted(daemon.inboxes.abandoned, 'photo')} that could not be made: {printable(why)}")
    kept = len(daemon.archiver.kept)
    if kept:
        print(f"kept: {counted(kept, 'original')} that could not be taken away; the log says why (`original.kept`)")
    if not quiet:
        _print_left_alone(daemon, store)
        print(" \u00b7 ".join(summary(daemon, store, unfinished, seconds, source)))
    if daemon.stops:
        print(f"stopped by {daemon.stops[0]} before the end; the next run goes on from here")
    return EXIT_SOME_FAILED if unfinished or kept or daemon.stops else EXIT_OK


def _print_missing(daemon: Daemon, store: Store, plan: InboxPlan, source: Source) -> None:
    """Print how many photos have lost all copies: the state file has them, and none of their folders is there."""
    recorded = plan.holder is not None and plan.holder.known  # in this folder, and not in an earlier `output`
    if plan.bare and recorded and (before := _up_to_date(daemon, store, plan)):
        hint = f"is a disk not mounted? If they were removed, `{source.command('verify', '--repair')}` makes them again"
        print(f"missing: the copies of {counted(before, 'photo')} in {places([plan])}: {hint}")


def _up_to_date(daemon: Daemon, store: Store, plan: InboxPlan) -> int:
    """Return how many photos were done before this run; stopped, it has not looked at all of them."""
    made = daemon.results.numbers.results.get((plan.inbox, "done"), 0)
    return 0 if daemon.stops else max(0, store.counts(plan.inbox).done - made)


def _print_left_alone(daemon: Daemon, store: Store) -> None:
    """Print which files are no photos by their names, and how to include them."""
    plans = daemon.settings.inboxes
    for plan in plans:
        found = store.report(plan.inbox)
        if found is not None and (left := left_alone(found.left_alone)):
            print(f"left alone{f' in {_shown(plan.inbox)}' if len(plans) > 1 else ''}: {printable(left)}")


def summary(daemon: Daemon, store: Store, unfinished: int, seconds: float, source: Source) -> Iterator[str]:
    """Return the parts of the last line."""
    counts, plans = daemon.results.numbers, daemon.settings.inboxes
    made, copies = counts.done - counts.reused, counts.renditions - counts.reused_renditions
    looked_at = [plan for plan in plans if plan.inbox not in daemon.inboxes.unreachable]
    current = sum(_up_to_date(daemon, store, plan) for plan in looked_at)
    idle = not (made or counts.reused or unfinished or daemon.stops)
    if made:
        yield f"{counted(made, 'photo')}, {counted(copies, 'copy')} made in {places(plans)}"
    elif idle:
        yield "nothing to do" if current else f"no photos found in {', '.join(_shown(plan.inbox) for plan in plans)}"
    elif not counts.reused:
        yield "nothing made"
    if counts.reused:
        yield f"{counts.reused:,} renamed, moved, alike or made before: existing copies used in {places(plans)}"
    if current:
        # the copies are not looked at: that would take as long as the scan, each time
        hint = f" by the state file (`{source.command('verify')}` checks the copies)"
        yield f"{current:,} up to date" + (hint if idle else "")
    if unfinished:
        yield f"{unfinished:,} not made"
    yield f"{seconds:.1f} s"


def places(plans: Sequence[InboxPlan]) -> str:
    """Return where copies are: the folder of each rendition, or the outputs alone where those are many."""
    pairs = [(plan, folder) for plan in plans for folder in top_folders(plan.wanted)]
    folders = list(dict.fromkeys(_shown(plan.output) + f"/{printable(folder)}".rstrip("/") for plan, folder in pairs))
    if len(folders) > _MOST_FOLDERS:
        folders = list(dict.fromkeys(_shown(plan.output) for plan in plans))
    if len(folders) > _MOST_FOLDERS:
        return f"{len(folders)} folders"
    return ", ".join(folders[:-1]) + " and " + folders[-1] if len(folders) > 1 else "".join(folders)


def _shown(path: bytes) -> str:
    return printable(nearby(os.fsdecode(path)))


def _unreachable(daemon: Daemon, plan: InboxPlan) -> int:
    reason = daemon.inboxes.unreachable.get(plan.inbox)
    if reason is None:
        return 0
    print(f"not read: {printable(os.fsdecode(plan.inbox))}: {printable(reason)}")
    return 1


def _named(photo: PhotoId) -> str:
    return printable(os.fsdecode(photo.absolute)).replace("\n", "\\n")


def _why(known: PhotoRecord) -> str:
    return printable(known.reason).replace("\n", "\\n") or "not looked at yet"
