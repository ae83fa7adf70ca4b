"""What is counted, and when a photo counts as having become visible."""

from __future__ import annotations

from dataclasses import replace

import pytest

from watcher.core.counters import KEPT_MINUTES, Counters, Histogram, RateCounter, recent
from watcher.core.formats import to_install
from watcher.core.observer import PhotoDone
from watcher.core.status import InboxStatus, Status, left_alone
from watcher.core.types import Done, FileSignature, Made, PhotoId

SEEN = 1_000_000.0
PHOTO = PhotoId(b"/in", b"a.jpg")


def done(written: float = SEEN, *, adopted: bool = False, renditions: int = 1) -> Done:
    made = tuple(Made(f"r{number}", b"r/a.jpg", 1, 1, 1, adopted=adopted) for number in range(renditions))
    return Done(FileSignature(1, int(written * 1e9)), made, 6000, 4000, 0.1, 1)


def test_a_value_falls_below_the_bound_that_it_reaches_and_above_all_into_the_last() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.1, 100.0):
        histogram.observe(value)
    spread = histogram.freeze()
    assert (spread.bounds, spread.counts, spread.total) == ((1.0, 2.0), (2, 2, 2), 107.1)


def test_what_was_handed_out_does_not_change_any_more() -> None:
    numbers = Counters()
    frozen = numbers.visible.freeze()
    numbers.photo_done(PhotoDone(PHOTO, done(), SEEN + 1, SEEN))
    assert sum(frozen.counts) == 0


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (SEEN - 0.1, 2.1),  # closed a moment before the event came
        (SEEN + 1.5, 0.5),  # written for long after it was first seen
        (SEEN - 59.0, 61.0),  # renamed into place after a minute
        (SEEN - 86400.0, 2.0),  # moved here with its date
        (SEEN + 86400.0, 2.0),  # a date from the future
    ],
)
def test_a_photo_becomes_visible_so_long_after_its_last_write(written: float, seconds: float) -> None:
    numbers = Counters()
    numbers.photo_done(PhotoDone(PHOTO, done(written), SEEN + 2.0, SEEN))
    assert numbers.visible.freeze().total == pytest.approx(seconds)


def test_renditions_that_were_there_are_counted_apart_also_of_a_photo_that_was_decoded() -> None:
    numbers = Counters()
    there, new = done(adopted=True, renditions=2), done()
    numbers.photo_done(PhotoDone(PHOTO, replace(new, made=there.made + new.made), SEEN))
    assert (numbers.renditions, numbers.reused_renditions, numbers.reused) == (3, 2, 0)


def test_a_photo_that_nobody_announced_or_that_was_there_already_is_not_timed() -> None:
    numbers = Counters()
    numbers.photo_done(PhotoDone(PHOTO, done(renditions=3), SEEN, None))
    assert sum(numbers.visible.freeze().counts) == 0
    assert sum(numbers.render.freeze().counts) == 1
    numbers.photo_done(PhotoDone(PHOTO, done(adopted=True), SEEN, SEEN))
    assert sum(numbers.visible.freeze().counts) == 0
    assert sum(numbers.render.freeze().counts) == 1
    assert (numbers.done, numbers.renditions, numbers.pixels) == (2, 4, 24_000_000)
    assert numbers.results == {(b"/in", "done"): 2}


def test_a_copy_of_what_was_made_already_becomes_visible_and_is_not_rendered() -> None:
    numbers = Counters()
    copy = Made("web", b"web/b.jpg", 1, 1, 1, copied=True)
    numbers.photo_done(
        PhotoDone(PHOTO, Done(FileSignature(1, int(SEEN * 1e9)), (copy,), 6000, 4000, 0.1, 1), SEEN + 1, SEEN)
    )
    assert (sum(numbers.visible.freeze().counts), sum(numbers.render.freeze().counts), numbers.pixels) == (1, 0, 0)


def test_a_wall_clock_that_is_set_back_makes_no_negative_time() -> None:
    numbers = Counters()
    numbers.photo_done(PhotoDone(PHOTO, done(SEEN), SEEN - 3600.0, SEEN))
    assert numbers.visible.freeze().total == 0.0


def test_what_is_left_alone_is_told_with_what_makes_it_a_photo() -> None:
    left = ((".mov", 1200), (".png", 4), ("", 2), *((f".{number}", 1) for number in range(9)))
    text = left_alone(left)
    assert text.startswith('1,200 .mov, 4 .png (add "*.png"), 2 without an ending, 1 .0, ')
    assert text.endswith(", 1 .4, 4 others")
    assert left_alone(()) == ""


def test_one_remedy_for_several_endings_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.core.formats.readable", lambda: ("jpeg", "png"))
    text = left_alone(((".heic", 25), (".mov", 2), (".hif", 1), (".png", 1)))
    assert text == f'25 .heic ({to_install("heic")}), 2 .mov, 1 .hif (the same), 1 .png (add "*.png")'


def test_what_is_left_alone_has_its_reason_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.core.formats.readable", lambda: ("jpeg", "png"))
    monkeypatch.setattr("sys.executable", "/nowhere/my python")
    inbox = InboxStatus(b"/in", b"/out", left_alone=((".mov", 2), (".heic", 1), (".png", 1)))
    status = Status("1", "native", (inbox,), (), ())
    remedy = "'/nowhere/my python' -m pip install 'photo-watcher[heic]'"
    assert status.encode(0.0)["inboxes"][0]["left_alone"] == [
        {"ending": ".mov", "count": 2, "reason": "not a format that is read"},
        {"ending": ".heic", "count": 1, "reason": f"can't be read here: {remedy}"},
        {"ending": ".png", "count": 1, "reason": 'not in `include`: add "*.png"'},
    ]


def test_photos_of_the_last_minutes_are_counted_and_older_ones_are_not() -> None:
    rate = RateCounter()
    for wall, photos in ((0, 5), (59, 1), (60, 2), (290, 3), (300, 4)):
        rate.count(wall, photos)
    assert rate.minutes() == ((0, 6), (1, 2), (4, 3), (5, 4))
    assert recent(rate.minutes(), 310, 5) == 9
    assert recent(rate.minutes(), 310, 60) == 15
    assert recent(rate.minutes(), 10_000, 5) == 0


def test_only_an_hour_is_kept_and_a_clock_that_is_set_back_loses_nothing() -> None:
    rate = RateCounter()
    for minute in range(2 * KEPT_MINUTES):
        rate.count(60.0 * minute)
    assert len(rate.minutes()) == KEPT_MINUTES
    rate.count(0.0)
    assert rate.minutes()[-1] == (2 * KEPT_MINUTES - 1, 2)
