"""Impressions counted by hour and place, against a count in Python."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.shown import Shown

HOUR = 3_600_000_000
seen = st.lists(st.tuples(st.integers(-5 * HOUR, 5 * HOUR), st.integers(0, 4)), max_size=30)


@given(seen, st.integers(-6 * HOUR, 6 * HOUR))
def test_they_equal_a_count_in_python(rows: list[tuple[int, int]], cutoff: int) -> None:
    times = np.array([time for time, _ in rows], np.int64)
    places = np.array([place for _, place in rows], np.uint16)
    past, rest = Shown.of(times, places, clocked=True).split_at(cutoff)
    over = {time: (time // HOUR + 1) * HOUR <= cutoff for time, _ in rows}
    for shown, of_past in ((past, True), (rest, False)):
        own = Counter(place for time, place in rows if place and over[time] == of_past)
        assert {n: count for n, count in enumerate(shown.totals().tolist()) if count} == own
        assert len(shown) == own.total()


def test_without_a_clock_they_are_of_one_time() -> None:
    shown = Shown.of(np.array([7, 9 * HOUR]), np.array([3, 65_535], np.uint16), clocked=False)
    assert shown.until.tolist() == [0, 0]
    assert shown.places.tolist() == [3, 65_535]
