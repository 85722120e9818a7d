"""Affinities to categories, tags and numbers, against sums over pairs."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD, Floats
from recsys.ranking.affinity_features import code_affinity, number_distance
from recsys.ranking.feature_group import Group
from recsys.ranking.recent import PROFILE, Recent
from tests.ranking.eventful import EVENTS, ITEMS, Eventful, eventful
from tests.ranking.test_repeat_features import in_session

TAGS = [[0, 1], [1], [], [2, 0], [0, 1, 2], [2], [1]]
NUMBERS = np.array([1, 2, 2, np.nan, 5, 8, 3], np.float32)


def written(group: Group, drawn: Eventful) -> Floats:
    columns = np.full((*drawn.items.shape, len(group[0])), 9, np.float32)
    group[1](columns)
    return columns


def share(worth: list[float], alike: list[float]) -> float:
    return sum(w * a for w, a in zip(worth, alike, strict=True)) / sum(worth) if worth else 0


def expected_of_tags(item: int, drawn: Eventful, query: int) -> dict[str, float]:
    events = drawn.events(query)
    session = in_session(events)
    newest = events[:PROFILE] if item != PAD else []
    worth = [0.85**age for age in range(len(newest))]
    own = TAGS[item]
    alike = [len(set(own) & set(TAGS[other])) / max(1, len(own)) for other, _, _ in newest]
    near = [[age for age, (o, _, _) in enumerate(newest) if tag in TAGS[o]] for tag in own]
    told = {
        "tag affinity": share(worth, alike),
        "tag of last item": alike[0] if alike else 0,
        "tag nearness": sum(1 / sqrt(1 + n[0]) for n in near if n) / max(1, len(own)),
        "tag in session": share(worth[:session], alike[:session]),
    }
    for code, event in enumerate(EVENTS[1:], 1):
        of = [a * (c == code) for a, (_, c, _) in zip(alike, newest, strict=True)]
        told[f"tag affinity by {event}"] = share(worth, of)
    return told


@given(st.integers(0, 2**32), st.sampled_from([1, 64]))
def test_codes_are_matched_by_event_and_session(seed: int, apart: int) -> None:
    """Also codes that end in the same bits."""
    drawn = eventful(seed)
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in TAGS])])
    codes = np.array([apart * tag for each in TAGS for tag in each], np.int32)
    recent = Recent.of(drawn.histories)
    group = code_affinity("tag", (offsets, codes), recent, drawn.items, EVENTS, True)
    columns = written(group, drawn)
    for query, place in np.ndindex(drawn.items.shape):
        told = dict(zip(group[0], columns[query, place].tolist(), strict=True))
        expected = expected_of_tags(drawn.items[query, place], drawn, query)
        assert told == pytest.approx(expected, rel=1e-4, abs=1e-6)


def expected_of_numbers(item: int, newest: list[int]) -> list[float]:
    if item == PAD or np.isnan(NUMBERS[item]):
        return [0, 0, 0, 0]
    pairs = [(0.85**age, float(NUMBERS[other])) for age, other in enumerate(newest)]
    known = [(worth, number) for worth, number in pairs if not np.isnan(number)]
    value = float(NUMBERS[item])
    if not known:
        return [value, 0, 0, 0]
    mean = share([worth for worth, _ in known], [number for _, number in known])
    below = sum(number < value for _, number in known)
    equal = sum(number == value for _, number in known)
    return [value, value - mean, abs(value - mean), (below + equal / 2) / len(known) - 0.5]


@given(st.integers(0, 2**32))
def test_numbers_are_compared_with_those_of_the_history(seed: int) -> None:
    drawn = eventful(seed)
    recent = Recent.of(drawn.histories)
    columns = written(number_distance("size", NUMBERS, recent, drawn.items), drawn)
    for query, place in np.ndindex(drawn.items.shape):
        newest = [item for item, _, _ in drawn.events(query)[:PROFILE]]
        expected = expected_of_numbers(drawn.items[query, place], newest)
        assert columns[query, place].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_items_of_these_tests_are_all_described() -> None:
    assert len(TAGS) == len(NUMBERS) == ITEMS
