"""`run` and `once`: run a daemon until it ends."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from watcher import logs
from watcher.app import build, once_view
from watcher.app.background import ThreadFaults
from watcher.app.early_signals import leave_on_signals
from watcher.app.preload import Startup
from watcher.app.settings import Source
from watcher.config import Config
from watcher.core.recipe import names_of
from watcher.engine.ports import InboxParts, InboxPlan, Post
from watcher.errors import EXIT_OK
from watcher.paths import nearby
from watcher.store import StateCorruptError, StateGoneError
from watcher.text import printable


def run(beginning: Startup) -> int:
    """Run the daemon until it is asked to stop."""
    source, config, name = beginning
    logs.setup(config.log.format, config.log.level)
    log = logs.log
    if sys.stderr.isatty() and config.log.format != "json" and source.level != "warning":
        for line in greeting(config):
            print(printable(line), file=sys.stderr)
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # standard error is closed, or no file
        faulthandler.enable()  # systemd ends a daemon that is stuck by SIGABRT: where it was stuck is then in the log
    faults = ThreadFaults(log)
    threading.excepthook = faults.hook
    source, damaged = replace(source, state=source.state_path(config)), False
    stops: list[str] = []
    while True:
        try:
            built = build.daemon(source, config, name, log, once=False, damaged=damaged, faults=faults)
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
                leave_on_signals()
                continue
            log.info("stopped", reason=stops[0])
        return EXIT_OK


def greeting(config: Config) -> Iterator[str]:
    """Yield what is watched, where copies go, and how to stop."""
    for inbox in config.inboxes:
        yield f"Watching {nearby(os.path.abspath(inbox.path))}"
        output = nearby(os.path.abspath(inbox.output))
        yield f"Copies go to {' and '.join(f'{output}/{name}' for name in names_of(inbox.renditions))}"
    yield "Press Ctrl-C to stop."


def once(beginning: Startup) -> int:
    """Catch up with what lies in the inboxes, and name what could not be made."""
    source, config, name = beginning
    quiet = source.level == "warning"
    # on a terminal the bar tells what the log would; -v asks for both
    logs.setup(config.log.format, "warning" if sys.stderr.isatty() and source.level is None else config.log.level)
    log = logs.log
    began = time.monotonic()
    with build.daemon(source, config, name, log, once=True) as (daemon, store):
        with contextlib.nullcontext() if quiet else once_view.progress_bar(daemon):
            daemon.run()
        return once_view.report(daemon, store, time.monotonic() - began, source, quiet=quiet)


def serve_requests(source: Source, open_inbox: Callable[[InboxPlan, Post], InboxParts]) -> None:
    """Do what the requests in the state file ask for, with parts that look for nothing else, and end."""
    config, name = source.read()
    logs.setup(config.log.format, "warning")
    with build.daemon(source, config, name, logs.log, once=True, open_inbox=open_inbox) as (daemon, _):
        daemon.run()
