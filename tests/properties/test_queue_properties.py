"""A queue of photos against a plain set: none is lost, none comes twice, the counts are right."""

from __future__ import annotations

from functools import partial
from operator import ne

from hypothesis import given
from hypothesis import strategies as st

from watcher.core.queue import FairQueue
from watcher.core.task import PhotoTask
from watcher.core.types import PhotoId

PHOTOS = st.builds(PhotoId, st.sampled_from([b"/a", b"/b", b"/c"]), st.sampled_from([b"1", b"2", b"3"]))
STEPS = st.tuples(st.sampled_from(["put", "first", "remove", "take"]), PHOTOS)


@given(st.lists(STEPS, max_size=40))
def test_a_queue_holds_what_a_set_would_hold(steps: list[tuple[str, PhotoId]]) -> None:
    queue, waiting = FairQueue(), set[PhotoId]()
    for what, photo in steps:
        match what:
            case "put" | "first":
                queue.put(PhotoTask(photo), first=what == "first")
                waiting.add(photo)
            case "remove":
                assert queue.remove(photo) == (photo in waiting)
                waiting.discard(photo)
            case "take":
                taken = queue.take(partial(ne, photo.inbox))
                may = {other for other in waiting if other.inbox != photo.inbox}
                assert (taken is None) == (not may)
                if taken is not None:
                    assert taken.photo in may
                    waiting.remove(taken.photo)
        assert len(queue) == len(waiting)
        assert all(photo in queue for photo in waiting)
        assert sum(queue.waiting(inbox) for inbox in (b"/a", b"/b", b"/c")) == len(waiting)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_between_two_turns_of_an_inbox_every_other_one_that_waits_has_its_turn(inboxes: list[int]) -> None:
    queue = FairQueue()
    left = [0, 0, 0]
    for number, inbox in enumerate(inboxes):
        queue.put(PhotoTask(PhotoId(b"%d" % inbox, b"%d" % number)))
        left[inbox] += 1
    since: dict[int, int] = {}
    for turn in range(len(inboxes)):
        task = queue.take(lambda _: True)
        assert task is not None
        inbox = int(task.photo.inbox)
        assert turn - since.get(inbox, 0) <= 3
        since[inbox] = turn
        left[inbox] -= 1
    assert left == [0, 0, 0]
