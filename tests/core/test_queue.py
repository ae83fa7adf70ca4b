"""Whose turn it is."""

from __future__ import annotations

from watcher.core.queue import FairQueue
from watcher.core.task import PhotoTask
from watcher.core.types import PhotoId

A, B = b"/a", b"/b"


def queue_of(*names: str) -> FairQueue:
    """Return a queue of photos: an inbox's letter and a name."""
    queue = FairQueue()
    for name in names:
        queue.put(PhotoTask(photo(name)))
    return queue


def photo(name: str) -> PhotoId:
    return PhotoId(b"/" + name[:1].encode(), name[1:].encode())


def drain(queue: FairQueue, *, allowed: bytes | None = None) -> list[str]:
    taken = []
    while (task := queue.take(lambda inbox: allowed in {None, inbox})) is not None:
        taken.append((task.photo.inbox[1:] + task.photo.path).decode())
    return taken


def test_no_inbox_starves_another() -> None:
    assert drain(queue_of("a1", "a2", "a3", "b1", "b2")) == ["a1", "b1", "a2", "b2", "a3"]


def test_a_photo_that_goes_back_to_the_head_of_the_queue_is_the_next() -> None:
    queue = queue_of("a1")
    queue.put(PhotoTask(photo("a2")), first=True)
    assert queue.head(A) is not None
    assert drain(queue) == ["a2", "a1"]


def test_an_inbox_that_may_not_work_keeps_its_photos_and_holds_up_no_other() -> None:
    queue = queue_of("a1", "b1")
    assert drain(queue, allowed=B) == ["b1"]
    assert drain(queue) == ["a1"]


def test_a_photo_is_removed_once() -> None:
    queue = queue_of("a1", "a2")
    assert [queue.remove(photo("a1")), queue.remove(photo("a1"))] == [True, False]
    assert (len(queue), queue.waiting(A), queue.waiting(B)) == (1, 1, 0)
    assert drain(queue) == ["a2"]
