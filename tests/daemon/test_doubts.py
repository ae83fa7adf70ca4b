"""What is remembered of photos that are not whole stays bounded."""

from __future__ import annotations

from watcher.daemon.doubts import _MOST, Doubts


def test_of_too_many_the_oldest_are_forgotten_and_what_is_made_is_forgotten_at_once() -> None:
    doubts = Doubts()
    for number in range(_MOST + 10):
        doubts.note_closed(b"%d" % number)
        doubts.note_size(b"%d" % number, number)
    assert not doubts.reopened(b"9")
    assert doubts.size(b"9") is None
    assert doubts.reopened(b"10")
    assert doubts.size(b"10") == 10
    doubts.forget(b"10")
    assert not doubts.reopened(b"10")
    assert doubts.size(b"10") is None
