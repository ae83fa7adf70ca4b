"""The history of photos and the requests of people, in the real state file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from watcher.core.history import HistoryEntry
from watcher.core.records import Phase, PhotoRecord
from watcher.core.types import FileSignature, PhotoId, Request
from watcher.errors import StateError
from watcher.store import Queries, Store, ask, history
from watcher.store import schema as schema_module

IN = b"/in"
A, B = PhotoId(IN, b"a.jpg"), PhotoId(IN, b"x/\xff.jpg")
KNOWN = PhotoRecord(FileSignature(1, 2), Phase.FAILED, {}, {}, at=1.0, reason="because")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "s.db")


@pytest.fixture
def state(path: str) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


def count(path: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT count(*) FROM event").fetchone()[0])


def test_what_happened_to_a_photo_comes_back_in_order_and_only_to_that_photo(state: Store) -> None:
    notes = [HistoryEntry(A, 1.5, "made", {"worker": 5}), HistoryEntry(B, 2.0, "failed", {"reason": "\udcff it is"})]
    state.write([(A, KNOWN)], notes)
    state.write([], [HistoryEntry(A, 3.0, "gone", {})])
    assert state.notes(A) == [notes[0], HistoryEntry(A, 3.0, "gone", {})]
    assert state.notes(B) == [notes[1]]
    assert state.notes(PhotoId(b"/other", b"a.jpg")) == []


def test_a_history_is_written_together_with_its_result_or_not_at_all(state: Store) -> None:
    with pytest.raises(TypeError):
        state.write([(A, KNOWN)], [HistoryEntry(A, 1.0, "made", {"not JSON": object()})])
    assert state.known(A) is None
    assert state.notes(A) == []


def test_a_wait_that_goes_on_for_the_same_reason_is_one_entry(state: Store) -> None:
    for at in range(5):
        state.write([], [HistoryEntry(A, float(at), "waiting", {"reason": "truncated", "next": at + 1})])
    state.write([], [HistoryEntry(A, 9.0, "waiting", {"reason": "empty", "next": 10})])
    first, second = state.notes(A)
    assert (first.at, first.detail["times"], first.detail["until"], first.detail["next"]) == (0.0, 5, 4.0, 5)
    assert "times" not in second.detail


def test_one_photo_keeps_its_newest_entries_and_costs_others_nothing(state: Store, path: str) -> None:
    state.write([], [HistoryEntry(B, 1.0, "made", {})])
    for at in range(100):
        state.write([], [HistoryEntry(A, float(at), "failed", {})])
    assert [note.at for note in state.notes(A)] == list(map(float, range(100 - history.KEPT_EACH, 100)))
    assert len(state.notes(B)) == 1
    assert count(path) == history.KEPT_EACH + 1


def test_all_photos_together_keep_no_more_than_the_newest_entries(
    state: Store, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT", 50)
    most = 0
    for start in range(0, 2000, 10):
        photos = [PhotoId(IN, b"%d.jpg" % number) for number in range(start, start + 10)]
        state.write([], [HistoryEntry(photo, 1.0, "made", {}) for photo in photos])
        most = max(most, count(path))
    assert 50 <= count(path) <= most <= 50 + 128 + 10
    assert state.notes(PhotoId(IN, b"0.jpg")) == []
    assert state.notes(PhotoId(IN, b"1999.jpg"))


def test_a_request_is_there_until_it_is_answered_in_one_transaction_with_what_it_led_to(
    state: Store, path: str
) -> None:
    asked = [Request("retry", IN), Request("remake", IN, b"x/\xff.jpg", ("web", "thumb"))]
    ask(path, asked)
    numbers = [number for number, _ in state.requests()]
    assert [request for _, request in state.requests()] == asked
    assert state.requests(1) == [(numbers[0], asked[0])]
    with pytest.raises(TypeError):
        state.write([], [HistoryEntry(A, 1.0, "asked", {"not JSON": object()})], numbers)
    assert len(state.requests()) == 2
    state.write([(A, KNOWN)], (), numbers[:1])
    assert state.requests() == [(numbers[1], asked[1])]


def test_asking_never_brings_an_older_file_up_to_date_under_its_daemon(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(path).close()
    monkeypatch.setattr(schema_module, "MIGRATIONS", (*schema_module.MIGRATIONS, "CREATE TABLE fresh (x);"))
    with pytest.raises(StateError, match="restart the daemon"):
        ask(path, [Request("retry", IN)])
    reader = Queries.open_to_read(path)
    assert reader is not None
    with reader:  # what there is can be told all the same
        assert reader.notes(A) == []
        assert reader.requests() == []


def test_asking_where_there_is_no_state_file_makes_none(path: str) -> None:
    with pytest.raises(StateError):
        ask(path, [Request("retry", IN)])
    assert not Path(path).exists()
