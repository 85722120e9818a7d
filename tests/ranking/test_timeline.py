"""Timeline: what is known at a moment, against counting by hand."""

from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD
from recsys.ranking.timeline import Events, Tally, Timeline

SPANS = (2.0, 50.0)

Event = tuple[int, int, int]
"""A thing (or PAD), a time and a code."""

events = st.lists(
    st.tuples(st.integers(-1, 2), st.integers(0, 30), st.integers(0, 1)), min_size=0, max_size=30
)


def events_of(of: list[Event]) -> Events:
    things, times, codes = (np.array([each[k] for each in of], np.int64) for k in range(3))
    gaps = np.full(len(of), PAD)
    return Events(things.astype(np.int32), times, codes.astype(np.uint8), gaps, 3, 2, SPANS)


def check(known: Tally, place: tuple[int, ...], own: list[Event], moment: int) -> None:
    """What is known at a place rests on these events alone."""
    assert known.counts[place].tolist() == [sum(c == code for _, _, c in own) for code in (0, 1)]
    decayed = [sum(exp((time - moment) / span) for _, time, _ in own) for span in SPANS]
    assert known.decayed[place].tolist() == pytest.approx(decayed, rel=1e-4)
    if own:
        times = [time for _, time, _ in own]
        assert (known.first[place], known.last[place]) == (min(times), max(times))


@given(events, st.integers(0, 40))
def test_at_a_moment_only_what_has_happened_is_known(of: list[Event], moment: int) -> None:
    things = np.array([[2, PAD, 0, 1]], np.int32)
    known = Timeline.of(events_of(of)).at(things, np.array([moment]))
    for place, thing in enumerate(things[0]):
        own = [e for e in of if e[0] == thing != PAD and e[1] <= moment]
        check(known, (0, place), own, moment)
        if not own:
            assert known.first[0, place] == moment


def test_a_moment_hangs_on_no_other() -> None:
    timeline = Timeline.of(events_of([(0, 5, 0), (1, 9, 1)]))
    moments = np.array([2, 20, 7])
    known = timeline.at(np.array([[0, 1, 2]] * 3, np.int32), moments)
    assert known.last.tolist() == [[2, 2, 2], [5, 9, 5], [5, 5, 5]]
    for row in range(3):
        alone = timeline.at(np.array([[0, 1, 2]], np.int32), moments[[row]])
        for name in ("counts", "decayed", "first", "last"):
            np.testing.assert_array_equal(getattr(known, name)[row], getattr(alone, name)[0])


def test_sums_do_not_drift() -> None:
    n = 200_000
    one, times = np.zeros(n, np.int32), np.arange(n) * 3
    every = Events(one, times, one.astype(np.uint8), one - 1, 1, 2, (1e3, 1e6))
    known = Timeline.of(every).at(np.zeros((1, 1), np.int32), times[-1:])
    expected = [np.exp((times - times[-1]) / span).sum() for span in (1e3, 1e6)]
    assert known.decayed[0, 0].tolist() == pytest.approx(expected, rel=1e-6)


visits = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 30), st.integers(0, 1)),
    min_size=1,
    max_size=30,
)
"""A user, a thing, a time and a code."""


@given(visits, st.integers(0, 40))
def test_of_what_a_user_repeats_the_newest_counts(of: list[tuple[int, ...]], moment: int) -> None:
    of = sorted(of, key=lambda visit: visit[2])
    gaps = []
    for place, (user, thing, time, code) in enumerate(of):
        same = [t for u, i, t, c in of[:place] if (u, i, c) == (user, thing, code)]
        gaps.append(time - same[-1] if same else PAD)
    _, things, times, codes = (np.array(column) for column in zip(*of, strict=True))
    every = Events(
        things.astype(np.int32), times, codes.astype(np.uint8), np.array(gaps), 2, 2, SPANS
    )
    at_end, timeline = every.at_end(), Timeline.of(every)
    known = timeline.at(np.array([[0, 1]], np.int32), np.array([moment]))
    for thing in (0, 1):
        for now, tally, place in ((moment, known, (0, thing)), (every.end, at_end, (thing,))):
            newest = {(u, c): t for u, i, t, c in of if i == thing and t <= now}
            codes_of = [sum(code == c for _, c in newest) for code in (0, 1)]
            assert tally.counts[place].tolist() == codes_of
            decayed = [sum(exp((t - now) / span) for t in newest.values()) for span in SPANS]
            assert tally.decayed[place].tolist() == pytest.approx(decayed, rel=1e-4, abs=1e-6)


@given(events)
def test_at_the_end_all_is_known(of: list[Event]) -> None:
    every = events_of(of)
    known = every.at_end()
    for thing in range(3):
        own = [each for each in of if each[0] == thing]
        check(known, (thing,), own, every.end)
        if not own:
            assert (known.first[thing], known.last[thing]) == (every.end, every.start)
