"""Build a daemon out of its real parts, and take it down again."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from watcher import __version__, logs
from watcher.app.background import Cleanup, FileTasks, Reloader, ThreadFaults
from watcher.app.hooks import HookRunner
from watcher.app.outputs import held
from watcher.app.overlapping import MountGuard
from watcher.app.preload import PRELOAD
from watcher.app.serve import PublishingStore, require_extras, serving
from watcher.app.settings import Hub, Source, resolve
from watcher.app.state_file import await_volume, open_state, remember
from watcher.config import Config
from watcher.engine.build import Dependencies
from watcher.engine.jobs import Limits
from watcher.engine.loop import Daemon
from watcher.engine.ports import InboxParts, InboxPlan, Log, Message, Post, Reloaded, Settings, Workers
from watcher.pool import Pool, available_cpus, available_memory
from watcher.render import jpeg_decoder, render_all, warm
from watcher.service import notify, process
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
    faults: ThreadFaults | None = None,
    open_inbox: Callable[[InboxPlan, Post], InboxParts] | None = None,
) -> Iterator[tuple[Daemon, Store]]:
    """Build a daemon that works by `config`, which was read from `name`, and take it all down again.

    `damaged`: that came to light while its state file was in use, which is set aside. `open_inbox`: in a watch's place.
    """
    require_extras(config, name, once=once)
    plain = resolve(config, name)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # before another program can learn which process to signal
    with ExitStack() as stack:
        parts = _Parts(source, config, name, log, stack, once=once)
        store, settings = parts.state(plain, damaged=damaged)
        # once the daemon has ended, one more request to end changes nothing
        stack.enter_context(process.Signals(parts.messages.put, ignored_after=True))
        built = Daemon(settings, parts.dependencies(store, settings, faults, open_inbox), once=once)
        stack.callback(built.inboxes.close)
        stack.enter_context(MountGuard(lambda: built.settings, parts.messages.put))
        yield built, store


class _Parts:
    """The real parts of one daemon, each taken down when `stack` is left."""

    def __init__(self, source: Source, config: Config, name: str, log: Log, stack: ExitStack, *, once: bool) -> None:
        self._source = source
        self._config = config
        self._name = name
        self._log = log
        self._stack = stack
        self._once = once
        self._workers = config.workers or available_cpus()
        self._notifier = stack.enter_context(notify.NoManager() if once else notify.find(self._log_stuck))
        self.messages: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def state(self, plain: Settings, *, damaged: bool) -> tuple[PublishingStore, Settings]:
        """Lock and open the state file, write there what this run is, and find out whose the outputs are."""
        path, log = self._source.state_path(self._config), self._log
        wait = None if self._once else self._wait
        await_volume(path, log, wait)
        self._stack.enter_context(process.Lock(path))
        decoder, why = jpeg_decoder()
        log.info("decoder.ready", decoder=decoder, reason=why)
        about = {
            "pid": os.getpid(),
            "since": time.time(),
            "workers": self._workers,
            "version": __version__,
            "config": self._name,
            "decoder": decoder,
        }
        store = self._stack.enter_context(open_state(path, log, about, damaged=damaged, wait=wait))
        settings = held(plain, self._name, path, store)
        remember(path)
        return store, settings

    def dependencies(
        self,
        store: PublishingStore,
        settings: Settings,
        faults: ThreadFaults | None,
        open_inbox: Callable[[InboxPlan, Post], InboxParts] | None,
    ) -> Dependencies:
        """Start the page, the workers and the threads, and return all that the engine needs."""
        post, log, limits = self.messages.put, self._log, _limits(self._config, self._workers, once=self._once)
        reloaded: Callable[[Reloaded], None] = post
        if not self._once:
            served = serving(self._config, self._name, settings, store, self.messages, log)
            reloaded = self._stack.enter_context(served)
        pool = self._pool(limits)
        self._stack.callback(pool.close, wait=False)
        pool.start()
        cleanup, file_tasks, hub = Cleanup(log), FileTasks(post), Hub(watching=not self._once)
        reloader, runner = Reloader(self._source, reloaded, log), HookRunner(store.path, post)
        for part in (cleanup, file_tasks, hub, reloader, runner):
            self._stack.callback(part.close)
        cleanup.begin(plan.output for plan in settings.inboxes)
        return Dependencies(
            store=store,
            pool=pool,
            limits=limits,
            messages=self.messages,
            open_inbox=open_inbox or hub.open,
            reload=reloader.ask,
            clean_up=cleanup.begin,
            manager=self._notifier,
            watch_fault=lambda: hub.watch_fault() or (faults.ended if faults else ""),
            file_tasks=file_tasks,
            hook_runner=runner,
            clock=time,
            log=log,
        )

    def _pool(self, limits: Limits) -> Workers:
        config, post = self._config, self.messages.put
        here = partial(
            Pool,
            render_all,
            warm,
            workers=self._workers,
            post=post,
            timeout_seconds=config.retry.timeout_seconds,
            memory_limit_bytes=limits.memory_bytes + _SLACK_BYTES,
            nice=0 if notify.is_service() else config.nice,
            preload=PRELOAD,
            bundle=16 if self._once else 8,  # no photo comes next that would wait for it
            log_settings=partial(logs.worker_setup, config.log.format, config.log.level),
            report=self._report_workers,
        )
        if config.executor.kind == "processes":
            return here()
        from watcher.app.cluster import cluster  # noqa: PLC0415  # 300 ms, and an extra

        return cluster(config, here, post, self._log, once=self._once)

    def _wait(self, reason: str) -> None:
        self._notifier.status(reason)
        self._notifier.extend(_MORE_SECONDS)

    def _log_stuck(self, reason: str) -> None:
        self._log.error("daemon.stuck", reason=reason)

    def _report_workers(self, unavailable_reason: str) -> None:
        if unavailable_reason:
            self._log.error("workers.missing", reason=unavailable_reason)
        else:
            self._log.info("workers.back")


def _limits(config: Config, workers: int, *, once: bool) -> Limits:
    memory = config.memory_mb * 1_000_000 or available_memory() // 2
    return Limits.of(config, memory_bytes=memory, share_bytes=memory // workers, once=once)
