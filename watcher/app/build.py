"""A daemon of real parts: built, lent out, and taken down again."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from watcher import __version__, logs
from watcher.app.background import Chores
from watcher.app.cleanup import Sweeper
from watcher.app.open_store import open_state
from watcher.app.outputs import held
from watcher.app.overlapping import MountGuard
from watcher.app.preload import PRELOAD
from watcher.app.reload import Reloader
from watcher.app.serve import require_extras, serving
from watcher.app.settings import Hub, Source, settle
from watcher.app.state_volume import await_volume, remember
from watcher.app.threads import Threads
from watcher.config import Config
from watcher.engine.build import Dependencies
from watcher.engine.jobs import Limits
from watcher.engine.loop import Daemon
from watcher.engine.ports import InboxParts, InboxPlan, Log, Message, Post, Workers
from watcher.pool import Pool, available_cpus, available_memory
from watcher.render import jpeg_decoder, render_all, warm
from watcher.service import notify as manager
from watcher.service import process as service
from watcher.store import Store

_MORE_SECONDS = 30.0  # to start, each time that the state file is found to be busy
_SLACK_BYTES = 512 << 20  # address space that a worker has beside its pictures: libraries, stacks, arenas


@contextmanager
def daemon(
    source: Source,
    config: Config,
    name: str,
    log: Log,
    *,
    once: bool,
    damaged: bool = False,
    threads: Threads | None = None,
    open_inbox: Callable[[InboxPlan, Post], InboxParts] | None = None,
) -> Iterator[tuple[Daemon, Store]]:
    """Build a daemon that works by `config`, which was read from `name`, and take it all down again.

    `damaged`: that came to light while its state file was in use, which is set aside. `open_inbox`: in a watch's place.
    """
    require_extras(config, name, once=once)
    plain = settle(config, name)
    path = source.state_path(config)
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # before anybody can learn whom to tell of a request
    with ExitStack() as stack:
        listener = stack.enter_context(manager.Nobody() if once else manager.find(partial(_last_words, log)))
        wait = None if once else partial(_waits, listener)
        await_volume(path, log, wait)
        stack.enter_context(service.Lock(path))
        workers = config.workers or available_cpus()
        jpegs, why = jpeg_decoder()
        log.info("decoder.ready", decoder=jpegs, reason=why)
        about = {
            "pid": os.getpid(),
            "since": time.time(),
            "workers": workers,
            "version": __version__,
            "config": name,
            "decoder": jpegs,
        }
        store = stack.enter_context(open_state(path, log, about, damaged=damaged, wait=wait))
        settings = held(plain, name, path, store)
        remember(path)
        # once the daemon has ended, one more request to end changes nothing
        stack.enter_context(service.Signals(messages.put, ignored_after=True))
        told = messages.put if once else stack.enter_context(serving(config, name, settings, store, messages, log))
        limits = _limits(config, workers, once=once)
        pool = _pool(config, workers, limits, messages, log, once=once)
        stack.callback(pool.close, wait=False)
        pool.start()
        sweeper, chores, hub = Sweeper(log), Chores(messages.put), Hub(watching=not once)
        for part in (sweeper, chores, hub):
            stack.callback(part.close)
        sweeper.begin(plan.output for plan in settings.inboxes)
        outside = Dependencies(
            store=store,
            pool=pool,
            limits=limits,
            messages=messages,
            open_inbox=open_inbox or hub.open,
            reload=Reloader(source, told, log).ask,
            sweep=sweeper.begin,
            manager=listener,
            watch_fault=lambda: hub.watch_fault() or (threads.ended if threads else ""),
            chores=chores,
            clock=time,
            log=log,
        )
        built = Daemon(settings, outside, once=once)
        stack.callback(built.desks.close)
        stack.enter_context(MountGuard(lambda: built.settings, messages.put))
        yield built, store


def _waits(listener: manager.Nobody, reason: str) -> None:
    listener.status(reason)
    listener.extend(_MORE_SECONDS)


def _last_words(log: Log, reason: str) -> None:
    log.error("daemon.stuck", reason=reason)


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
        preload=PRELOAD,
        bundle=16 if once else 8,  # nobody comes next and would wait for it
        log_settings=partial(logs.worker_setup, config.log.format, config.log.level),
        tell=partial(_tell_workers, log),
    )
    if config.executor.kind == "processes":
        return here()
    from watcher.app.cluster import cluster  # noqa: PLC0415  # 300 ms, and not everybody has it

    return cluster(config, here, messages.put, log, once=once)


def _tell_workers(log: Log, ailment: str) -> None:
    if ailment:
        log.error("workers.missing", reason=ailment)
    else:
        log.info("workers.back")


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
