"""The config is read again beside the loop, which waits for an answer: it gets one whatever happens."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from watcher import logs
from watcher.app.background import Reloader
from watcher.app.settings import Source
from watcher.errors import WatcherError

if TYPE_CHECKING:
    from watcher.config import Config
    from watcher.engine.ports import Reloaded


@dataclass(frozen=True, slots=True)
class Broken(Source):
    """A config that breaks whatever reads it, as nothing that we know of does."""

    def read(self, *, require_inbox: bool = True) -> tuple[Config, str]:
        del require_inbox
        raise RuntimeError("out of the blue")


def test_a_fault_of_the_program_is_answered_too_and_the_next_one_who_asks_is(capfd: pytest.CaptureFixture[str]) -> None:
    logs.setup("json", "info")
    answers: queue.SimpleQueue[Reloaded] = queue.SimpleQueue()
    reloader = Reloader(Broken(None, None, None), answers.put, logs.log)
    for _ in range(2):
        reloader.ask()
        found = answers.get(timeout=10)
        assert isinstance(found.settings, WatcherError)
        assert "out of the blue" in str(found.settings)
    reloader.close()
    assert "Traceback" in capfd.readouterr().err
