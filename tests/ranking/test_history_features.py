"""Features of a history, against counting its events one by one."""

from collections import Counter
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.ranking.history_features import of_history
from recsys.ranking.recent import PROFILE, Recent
from tests.ranking.eventful import EVENTS, eventful
from tests.ranking.test_repeat_features import in_session
from tests.worlds import DAY

MINUTE = 60_000_000


def expected_of(events: list[tuple[int, int, int]], now: int) -> dict[str, float]:
    newest, session = events[:PROFILE], in_session(events)
    items = Counter(item for item, _, _ in newest)
    worth = [0.85**age for age in range(len(newest))]
    told = {
        "history length": log(1 + len(events)),
        "share of repeats": 1 - len(items) / len(newest) if newest else 0,
        "days of silence": log(1 + (now - events[0][2]) / DAY) if events else 0,
        "events of session": log(1 + session),
        "minutes of session": log(1 + (events[0][2] - events[session - 1][2]) / MINUTE)
        if events
        else 0,
    }
    for days in (1, 7, 30):
        decayed = sum(exp((time - now) / DAY / days) for _, _, time in events)
        told[f"events of {days} days"] = log(1 + decayed)
    for code, event in enumerate(EVENTS[1:], 1):
        own = [w for w, (_, c, _) in zip(worth, newest, strict=True) if c == code]
        told[f"share of {event}"] = sum(own) / sum(worth) if worth else 0
        told[f"last is {event}"] = float(bool(events) and events[0][1] == code)
    return told


@given(st.integers(0, 2**32))
def test_pace_kinds_and_session_of_a_history(seed: int) -> None:
    drawn = eventful(seed)
    families, write = of_history(drawn.histories, Recent.of(drawn.histories), EVENTS, True)
    columns = np.full((*drawn.items.shape, len(families)), 9, np.float32)
    write(columns)
    for query in range(len(drawn.items)):
        told = dict(zip(families, columns[query, 0].tolist(), strict=True))
        expected = expected_of(drawn.events(query), int(drawn.histories.now[query]))
        assert told == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert (columns[query] == columns[query, 0]).all()


def test_without_a_clock_or_kinds_its_length_and_repeats_are_told() -> None:
    drawn = eventful(0)
    families, _ = of_history(drawn.histories, Recent.of(drawn.histories), ("view",), False)
    assert list(families) == ["history length", "share of repeats"]
