"""Whose turn it is."""

from __future__ import annotations

from watcher.core.queue import Queue, Sighting
from watcher.core.types import Origin, PhotoId

A, B = b"/a", b"/b"


def sighting(inbox: bytes, name: str, *, batch: int = 1, seen: float = 0.0) -> Sighting:
    return Sighting(PhotoId(inbox, name.encode()), Origin.EVENT, seen, batch)


def drain(queue: Queue, *, live: bool = False, allowed: bytes | None = None) -> list[str]:
    taken = []
    while (item := queue.take(lambda inbox: allowed in {None, inbox}, live=live)) is not None:
        taken.append((item.photo.inbox[1:] + item.photo.path).decode())
    return taken


def test_a_photo_that_just_came_overtakes_the_backlog() -> None:
    queue = Queue()
    for name in "123":
        queue.put(sighting(A, name), live=False)
    queue.put(sighting(A, "new"), live=True)
    assert queue.live == 1
    assert drain(queue) == ["anew", "a1", "a2", "a3"]


def test_no_inbox_starves_another() -> None:
    queue = Queue()
    for name in "123":
        queue.put(sighting(A, name), live=True)
    queue.put(sighting(B, "1"), live=True)
    queue.put(sighting(B, "2"), live=True)
    assert drain(queue) == ["a1", "b1", "a2", "b2", "a3"]


def test_a_photo_waits_once_and_its_earlier_sighting_is_handed_back() -> None:
    queue = Queue()
    assert queue.put(sighting(A, "x", batch=1), live=False) is None
    replaced = queue.put(sighting(A, "x", batch=2), live=False)
    assert replaced is not None
    assert replaced.batch == 1
    assert len(queue) == 1
    taken = queue.take(lambda _: True)
    assert taken is not None
    assert taken.batch == 2


def test_a_photo_that_is_seen_again_keeps_its_place_and_its_better_lane() -> None:
    queue = Queue()
    for name in "123":
        queue.put(sighting(A, name), live=True)
    queue.put(sighting(A, "1"), live=False)
    queue.put(sighting(A, "1"), live=True)
    assert drain(queue, live=True) == ["a1", "a2", "a3"]


def test_a_photo_of_the_backlog_that_changes_now_moves_to_the_live_lane() -> None:
    queue = Queue()
    queue.put(sighting(A, "1"), live=False)
    queue.put(sighting(A, "2"), live=False)
    queue.put(sighting(A, "2"), live=True)
    assert drain(queue) == ["a2", "a1"]
    assert len(queue) == 0


def test_a_photo_that_goes_back_to_the_head_of_the_line_is_the_next() -> None:
    queue = Queue()
    queue.put(sighting(A, "1"), live=True)
    queue.put(sighting(A, "2"), live=True, front=True)
    assert drain(queue) == ["a2", "a1"]


def test_an_inbox_that_may_not_work_keeps_its_photos_and_holds_nobody_up() -> None:
    queue = Queue()
    queue.put(sighting(A, "1"), live=True)
    queue.put(sighting(B, "1"), live=False)
    assert drain(queue, allowed=B) == ["b1"]
    assert drain(queue) == ["a1"]


def test_dropping_an_inbox_hands_back_all_that_waited_in_it() -> None:
    queue = Queue()
    queue.put(sighting(A, "1"), live=True)
    queue.put(sighting(A, "2"), live=False)
    queue.put(sighting(B, "1"), live=False)
    assert sorted(item.photo.path for item in queue.drop(A)) == [b"1", b"2"]
    assert (len(queue), queue.waiting(A), queue.waiting(B)) == (1, 0, 1)


def test_the_oldest_of_an_inbox_is_the_oldest_of_both_lanes() -> None:
    queue = Queue()
    assert queue.oldest(A) is None
    queue.put(sighting(A, "1", seen=5.0), live=True)
    queue.put(sighting(A, "2", seen=3.0), live=False)
    assert queue.oldest(A) == 3.0
    queue.remove(PhotoId(A, b"2"))
    assert queue.oldest(A) == 5.0
