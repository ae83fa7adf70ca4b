"""The daemon's threads outlive what goes wrong in them: it is told, whoever waits is answered, and the next is done."""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path
from typing import Any

import pytest

from watcher.app import background
from watcher.app import settings as wiring
from watcher.app.background import ThreadFaults
from watcher.config import parse
from watcher.core.messages import OutputsRemoved, Pruned, PutBack, TakenAway, WatchReady
from watcher.core.types import FileSignature, PhotoId
from watcher.engine.ports import Original
from watcher.fs import archive as originals

PHOTO = PhotoId(b"/in", b"a.jpg")


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def error(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    info = warning = debug = error


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Give what is told of faults."""
    faults: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda fault: faults.append((fault.exc_type, fault.thread)))
    return faults


def broken(*_: object, **__: object) -> Any:  # noqa: ANN401  # stands for anything
    raise RecursionError


def test_an_original_that_a_fault_kept_stays_and_the_next_ones_are_dealt_with(
    told: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: queue.SimpleQueue[OutputsRemoved | Pruned | TakenAway | PutBack] = queue.SimpleQueue()
    working = background.FileTasks(answers.put)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(originals, "take_away", broken)
            patch.setattr(background, "remove", broken)
            working.take_away(Original(PHOTO, FileSignature(1, 2), b"", [], None))
            taken = answers.get(timeout=10)
            assert isinstance(taken, TakenAway)
            assert (taken.photo, taken.where) == (PHOTO, None)
            assert taken.fault == "a fault of the program: RecursionError()"
            working.remove(1, b"/out", [], 0)
            assert answers.get(timeout=10) == OutputsRemoved(1)
        working.remove(2, b"/out", [], 0)
        assert answers.get(timeout=10) == OutputsRemoved(2)
    finally:
        working.close()
    assert told == [(RecursionError, None)] * 2


def test_an_output_whose_cleanup_fails_costs_no_other_its_own(
    told: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, cleaned = Log(), []

    def clean_up(output: bytes) -> int:
        cleaned.append(output)
        return broken() if output == b"a" else 1

    monkeypatch.setattr(background, "clean_up", clean_up)
    cleanup = background.Cleanup(log)
    cleanup.begin([b"a", b"b"])
    cleanup.close()
    assert cleaned == [b"a", b"b"]
    assert told == [(RecursionError, None)]
    assert log.lines == [("outputs.swept", {"output": b"b", "temporary_files": 1})]


def test_an_inbox_whose_watch_fails_is_looked_through(
    tmp_path: Path, told: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, output = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    config = parse({"inbox": [{"path": str(inbox), "output": str(output)}]}, source="", base="/", home="/")
    (plan,) = wiring.resolve(config, "").inboxes
    messages: queue.SimpleQueue[object] = queue.SimpleQueue()
    hub = wiring.Hub(watching=True)
    parts = hub.open(plan, messages.put)
    monkeypatch.setattr("watcher.watch.watch.Watch.start", broken)
    parts.open()
    ready = messages.get(timeout=10)
    parts.close()
    hub.close()
    assert ready == WatchReady(
        os.fsencode(inbox.resolve()), native=False, reason="a fault of the program: RecursionError()"
    )
    assert told == [(RecursionError, None)]


@pytest.mark.parametrize(("name", "ended"), [("somebody", True), ("watchdog.observers", False)])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_ended_is_remembered_unless_a_new_one_takes_its_place(
    monkeypatch: pytest.MonkeyPatch, name: str, *, ended: bool
) -> None:
    threads = ThreadFaults(Log())
    monkeypatch.setattr(threading, "excepthook", threads.hook)
    made = type("Made", (threading.Thread,), {"__module__": name})(target=broken, name="made here")
    made.start()
    made.join()
    assert threads.ended == (
        "the thread 'made here' has ended by a fault of the program, RecursionError()" if ended else ""
    )


def test_a_thread_that_goes_on_and_one_that_ends_on_purpose_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    threads = ThreadFaults(log)
    monkeypatch.setattr(threading, "excepthook", threads.hook)
    sweeper = background.Cleanup(log)
    monkeypatch.setattr(background, "clean_up", broken)
    sweeper.begin([b"a"])
    sweeper.close()
    leaving = threading.Thread(target=exit)
    leaving.start()
    leaving.join()
    assert threads.ended == ""
    ((event, fields),) = log.lines
    assert (event, fields["thread"], type(fields["exc_info"])) == ("internal.error", "sweep", RecursionError)
