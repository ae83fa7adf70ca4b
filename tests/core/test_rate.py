from __future__ import annotations

from watcher.core.counters import KEPT_MINUTES, RateCounter, recent


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
