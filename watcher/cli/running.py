"""`run` and `once`: build the real parts, hand them to the daemon, and tell how it ended."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from watcher import __version__, logs, manager, service
from watcher.cli import paging, printable, serving
from watcher.cli.chores import Chores
from watcher.cli.opening import open_state
from watcher.cli.reloading import Reloader
from watcher.cli.sweeping import Sweeper
from watcher.cli.wiring import Hub, Source, settle
from watcher.config import Config
from watcher.daemon.attempt import Limits
from watcher.daemon.loop import Daemon
from watcher.daemon.parts import InboxParts, InboxPlan, Log, Message, Post, Workers
from watcher.daemon.tally import Progress
from watcher.errors import EXIT_OK, EXIT_SOME_FAILED, ConfigError, Fault
from watcher.model import PhotoId
from watcher.plan import Known, Phase
from watcher.pool import Pool, available_cpus, available_memory
from watcher.render import render_all, warm
from watcher.state import State, StateCorruptError

_MORE_SECONDS = 30.0  # to start, each time that the state file is found to be busy
_SLACK_BYTES = 512 << 20  # address space that a worker has beside its pictures: libraries, stacks, arenas


def run(pair: tuple[str, str] | None, config_file: str | None, state_file: str | None) -> int:
    """Run the daemon until it is asked to stop."""
    source = Source(pair, config_file, state_file)
    config, name = source.read()
    logs.setup(config.log.format, config.log.level)
    log = logs.log
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # standard error is closed, or no file
        faulthandler.enable()  # systemd ends a daemon that is stuck by SIGABRT: where it was stuck is then in the log
    threading.excepthook = partial(_fault_of_thread, logs.log)
    damaged = False
    while True:
        try:
            with _daemon(source, config, name, log, once=False, damaged=damaged) as (daemon, _):
                daemon.run()
        except StateCorruptError as error:
            damaged = True  # and set aside when it is opened next: found in use, the damage may not show at opening
            log.error("state.damaged", reason=str(error))  # noqa: TRY400  # no fault of ours
        else:
            return EXIT_OK


def once(pair: tuple[str, str] | None, config_file: str | None, state_file: str | None) -> int:
    """Catch up with what lies in the inboxes, and name what could not be made."""
    source = Source(pair, config_file, state_file)
    config, name = source.read()
    if pair is not None and not os.path.isdir(config.inboxes[0].path):
        fault = Fault("inbox[0].path", f"found no folder {config.inboxes[0].path!r}", "name a folder that exists")
        raise ConfigError(name, [fault])
    logs.setup(config.log.format, "warning" if sys.stderr.isatty() else config.log.level)
    log = logs.log
    began = time.monotonic()
    with _daemon(source, config, name, log, once=True) as (daemon, store):
        with _progress_bar(daemon):
            daemon.run()
        return _tell(daemon, store, time.monotonic() - began)


def serve_requests(source: Source, open_inbox: Callable[[InboxPlan, Post], InboxParts]) -> None:
    """Do what the requests in the state file ask for, with parts that look for nothing else, and end."""
    config, name = source.read()
    logs.setup(config.log.format, "warning")
    with _daemon(source, config, name, logs.log, once=True, open_inbox=open_inbox) as (daemon, _):
        daemon.run()


@contextmanager
def _daemon(
    source: Source,
    config: Config,
    name: str,
    log: Log,
    *,
    once: bool,
    damaged: bool = False,
    open_inbox: Callable[[InboxPlan, Post], InboxParts] | None = None,
) -> Iterator[tuple[Daemon, State]]:
    """Build a daemon of real parts, and take it all down again."""
    serving.require_extras(config, name, once=once)
    settings = settle(config, name)
    path = source.state_path(config)
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # before anybody can learn whom to tell of a request
    with ExitStack() as stack:
        stack.enter_context(service.Lock(path))
        workers = config.workers or available_cpus()
        about = {"pid": os.getpid(), "since": time.time(), "workers": workers, "version": __version__}
        listener = stack.enter_context(manager.Nobody() if once else manager.find(partial(_last_words, log)))
        wait = None if once else partial(_waits, listener)
        store = stack.enter_context(open_state(path, log, about, damaged=damaged, wait=wait))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # once the daemon has ended, one more request to end changes nothing
        stack.enter_context(service.Signals(messages.put))
        if not once:
            stack.enter_context(serving.metrics(config, name, messages.put, log))
        told = messages.put if once else stack.enter_context(paging.page(config, name, settings, store, messages, log))
        limits = _limits(config, workers, once=once)
        pool = _pool(config, workers, limits, messages, log, once=once)
        stack.callback(pool.close, wait=False)
        pool.start()
        sweeper = Sweeper(log)
        stack.callback(sweeper.close)
        chores = Chores(messages.put)
        stack.callback(chores.close)
        sweeper.begin(plan.output for plan in settings.inboxes)
        hub = Hub(watching=not once)
        stack.callback(hub.close)
        daemon = Daemon(
            settings,
            store=store,
            pool=pool,
            limits=limits,
            messages=messages,
            open_inbox=open_inbox or hub.open,
            reload=Reloader(source, told).ask,
            sweep=sweeper.begin,
            manager=listener,
            watch_fault=hub.watch_fault,
            chores=chores,
            clock=time,
            log=log,
            once=once,
        )
        stack.callback(daemon.desks.close)
        yield daemon, store


def _fault_of_thread(log: Log, fault: threading.ExceptHookArgs) -> None:
    if fault.exc_type is not SystemExit:
        log.error("fault", thread=fault.thread.name if fault.thread else "", exc_info=fault.exc_value)


def _waits(listener: manager.Nobody, reason: str) -> None:
    listener.status(reason)
    listener.extend(_MORE_SECONDS)


def _last_words(log: Log, reason: str) -> None:
    log.error("stuck", reason=reason)


def _pool(
    config: Config, workers: int, limits: Limits, messages: queue.SimpleQueue[Message], log: Log, *, once: bool
) -> Workers:
    here = partial(
        Pool,
        render_all,
        warm,
        workers=workers,
        post=messages.put,
        timeout_seconds=config.retry.timeout_seconds,
        memory_limit_bytes=limits.memory_bytes + _SLACK_BYTES,
        preload=("watcher.render.preloaded", "watcher.logs"),
        log_settings=partial(logs.worker_setup, config.log.format, config.log.level),
    )
    if config.executor.kind == "processes":
        return here()
    from watcher.cli.clustering import cluster  # noqa: PLC0415  # 300 ms, and not everybody has it

    return cluster(config, here, messages.put, log, once=once)


def _limits(config: Config, workers: int, *, once: bool) -> Limits:
    memory = config.memory_mb * 1_000_000 or available_memory() // 2
    return Limits(
        attempts=config.retry.attempts,
        max_pixels=config.max_megapixels * 1_000_000,
        quiet_seconds=config.batch.quiet_seconds,
        open_seconds=config.batch.max_wait_seconds,
        memory_bytes=memory,
        share_bytes=memory // workers,
        patient=not once,
    )


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
    seen = f"{_count(counts.done, 'photo')} made, {_count(counts.renditions, 'rendition')}, {seconds:.1f} s"
    print(f"{seen}; {unfinished} not made" if unfinished else seen)
    if len(daemon.stops):
        print(f"stopped by {daemon.stops[0]} before the end")
    return EXIT_SOME_FAILED if unfinished or daemon.stops else EXIT_OK


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


def _why(known: Known) -> str:
    return printable(known.reason).replace("\n", "\\n") or "not looked at yet"
