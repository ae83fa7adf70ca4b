"""What is remembered of photos that are not whole stays bounded."""

from __future__ import annotations

from watcher.core.types import PublishedVersion
from watcher.engine.writer_history import _MOST, WriterHistory


def test_of_too_many_the_oldest_are_forgotten_and_what_is_made_is_forgotten_at_once() -> None:
    doubts = WriterHistory()
    for number in range(_MOST + 10):
        doubts.note_closed(b"%d" % number)
        doubts.note_shown(b"%d" % number, PublishedVersion(number))
    assert not doubts.reopened(b"9")
    assert doubts.shown(b"9") is None
    assert doubts.reopened(b"10")
    assert doubts.shown(b"10") == PublishedVersion(10)
    doubts.forget(b"10")
    assert not doubts.reopened(b"10")
    assert doubts.shown(b"10") is None
