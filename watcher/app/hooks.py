"""Deliver what hooks are to be told of: each on a thread of its own, one at a time, so that none delays another."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from watcher import __version__, hooks
from watcher.app.background import BackgroundThread
from watcher.config import Hook
from watcher.core.hooks import shown_target
from watcher.core.messages import HookAnswered
from watcher.errors import WatcherError, tell_fault
from watcher.store import Queries

_JOIN_SECONDS = 6.0  # until a command that was told to end has ended


def look_at(settings: Sequence[Hook]) -> Iterator[tuple[Literal["ok", "warning", "fault"], str, str]]:
    """Find out whether hooks can be run and called, for `check`."""
    for hook in settings:
        if hook.url is not None:
            from watcher.hooks.url import forbidden  # noqa: PLC0415  # TLS, 30 ms: most have no URL

            fault, target = forbidden(hook.url), f"POST to {shown_target(hook.id.target)}"
        else:
            fault, target = hooks.find_program(hook.command, os.environ), hook.command[0]
        # without a network now, there may be one later
        level: Literal["warning", "fault"] = "warning" if "can't be resolved" in fault else "fault"
        yield (level, "hook", fault) if fault else ("ok", "hook", f"{target}, on {hook.on}")


class HookRunner:
    """Runs commands and calls URLs; see `watcher.engine.ports.HookRunner`."""

    def __init__(self, state_path: str, post: Callable[[HookAnswered], None]) -> None:
        self._path = state_path
        self._post = post
        self._threads: dict[int, BackgroundThread] = {}
        self._stop: tuple[int, int] | None = None  # a pipe, once there is something to stop

    def deliver(self, hook: int, settings: Hook, number: int) -> None:
        """Deliver entry `number` of the outbox."""
        self._stop = self._stop or os.pipe()
        if hook not in self._threads:
            self._threads[hook] = BackgroundThread(f"hook {hook}")
        self._threads[hook].do(lambda: self._work(hook, settings, number))

    def _work(self, hook: int, settings: Hook, number: int) -> None:
        try:
            error = self._deliver(settings, number)
        except hooks.Stopped:
            return
        except (OSError, WatcherError) as fault:
            error = str(fault)
        except Exception as fault:  # noqa: BLE001  # whatever it is, the loop waits for an answer
            tell_fault(fault)
            error = f"a fault of the program: {fault!r}"
        self._post(HookAnswered(hook, number, error))

    def _deliver(self, settings: Hook, number: int) -> str:
        records = Queries.open_to_read(self._path)  # its own, since each thread needs one
        if records is None:
            return "the state file is gone"
        with records:
            document = records.outbox.document(number)
        if document is None:
            return ""  # it was removed with a hook of another config
        if settings.url is not None:
            from watcher.hooks.url import post  # noqa: PLC0415  # the same

            return post(settings.url, document, settings.timeout_seconds, f"photo-watcher/{__version__}")
        assert self._stop is not None  # noqa: S101  # `deliver` made it
        return hooks.run(settings.command, document, settings.timeout_seconds, self._stop[0])

    def close(self) -> None:
        """End what runs; it is told again at the next start."""
        if self._stop is not None:
            os.write(self._stop[1], b"x")
        until = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads.values():
            thread.close(max(0.0, until - time.monotonic()))
