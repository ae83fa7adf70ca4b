"""The line of photos against a plain set: nobody is lost, nobody comes twice, the counts are right."""

from __future__ import annotations

from functools import partial
from operator import ne

from hypothesis import given
from hypothesis import strategies as st

from watcher.core.queue import Queue, Sighting
from watcher.core.types import Origin, PhotoId

PHOTOS = st.builds(PhotoId, st.sampled_from([b"/a", b"/b", b"/c"]), st.sampled_from([b"1", b"2", b"3"]))
STEPS = st.tuples(st.sampled_from(["put", "front", "remove", "take", "live", "drop"]), PHOTOS, st.booleans())


@given(st.lists(STEPS, max_size=40))
def test_the_line_holds_what_a_set_would_hold(steps: list[tuple[str, PhotoId, bool]]) -> None:
    queue = Queue()
    waiting: dict[PhotoId, bool] = {}  # photo → in the live lane
    for number, (what, photo, live) in enumerate(steps):
        match what:
            case "put" | "front":
                replaced = queue.put(Sighting(photo, Origin.EVENT, 0.0, number), live=live, front=what == "front")
                assert (replaced is not None) == (photo in waiting)
                waiting[photo] = live or waiting.get(photo, False)
            case "remove":
                assert (queue.remove(photo) is not None) == (waiting.pop(photo, None) is not None)
            case "take" | "live":
                taken = queue.take(partial(ne, photo.inbox), live=what == "live")
                may = [p for p, is_live in waiting.items() if p.inbox != photo.inbox and (is_live or what == "take")]
                assert (taken is None) == (not may)
                if taken is not None:
                    was_live = waiting.pop(taken.photo)
                    assert was_live or not any(waiting[p] for p in may if p in waiting)  # the live lane first
            case "drop":
                dropped = {item.photo for item in queue.drop(photo.inbox)}
                assert dropped == {p for p in waiting if p.inbox == photo.inbox}
                waiting = {p: is_live for p, is_live in waiting.items() if p.inbox != photo.inbox}
        assert len(queue) == len(waiting)
        assert queue.live == sum(waiting.values())
        assert all((p in queue) for p in waiting)
        assert sum(queue.waiting(inbox) for inbox in (b"/a", b"/b", b"/c")) == len(waiting)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_between_two_turns_of_an_inbox_every_other_one_that_waits_has_its_turn(inboxes: list[int]) -> None:
    queue = Queue()
    left = [0, 0, 0]
    for number, inbox in enumerate(inboxes):
        queue.put(Sighting(PhotoId(b"%d" % inbox, b"%d" % number), Origin.SCAN, 0.0, 1), live=False)
        left[inbox] += 1
    since: dict[int, int] = {}
    for turn in range(len(inboxes)):
        item = queue.take(lambda _: True)
        assert item is not None
        inbox = int(item.photo.inbox)
        waited = turn - since.get(inbox, 0)
        assert waited <= 3
        since[inbox] = turn
        left[inbox] -= 1
