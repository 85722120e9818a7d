"""Repeats of items, against counting them one by one."""

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD
from recsys.ranking.recent import SILENCE, Recent
from recsys.ranking.repeat_features import repeats
from tests.ranking.eventful import EVENTS, eventful
from tests.worlds import DAY

Told = dict[str, float]


def in_session(events: list[tuple[int, int, int]]) -> int:
    """How many of the newest events no long silence parts."""
    for place in range(1, len(events)):
        if events[place - 1][2] - events[place][2] > SILENCE:
            return place
    return len(events)


def counted(item: int, events: list[tuple[int, int, int]], now: int) -> Told:
    """What the features of one item should be; events come newest first."""
    own = [place for place, each in enumerate(events) if each[0] == item != PAD]
    told = {
        "times in history": log(1 + len(own)),
        "nearness of last time": 1 / sqrt(1 + own[0]) if own else 0,
        "nearness in days": 1 / (1 + (now - events[own[0]][2]) / DAY) if own else 0,
        "times in session": log(1 + sum(place < in_session(events) for place in own)),
    }
    for code, event in enumerate(EVENTS[1:], 1):
        times = sum(events[place][1] == code for place in own)
        told[f"times in history by {event}"] = log(1 + times)
    return told


@given(st.integers(0, 2**32))
def test_repeats_are_counted_by_event_and_session(seed: int) -> None:
    drawn = eventful(seed)
    histories, items = drawn.histories, drawn.items
    families, write = repeats(histories, Recent.of(histories), items, EVENTS, has_clock=True)
    columns = np.full((*items.shape, len(families)), 9, np.float32)
    write(columns)
    for query, item in np.ndindex(items.shape):
        told = dict(zip(families, columns[query, item].tolist(), strict=True))
        expected = counted(items[query, item], drawn.events(query), int(histories.now[query]))
        assert told == pytest.approx(expected, rel=1e-5)


def test_without_a_clock_or_kinds_two_features_are_left() -> None:
    drawn = eventful(0)
    recent = Recent.of(drawn.histories)
    families, write = repeats(drawn.histories, recent, drawn.items, ("view",), has_clock=False)
    assert list(families) == ["times in history", "nearness of last time"]
    write(np.empty((*drawn.items.shape, 2), np.float32))
