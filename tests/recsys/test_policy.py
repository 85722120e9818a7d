"""What may be offered, by hand and against sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD
from recsys.features.columns import DEFAULT_EVENTS, EventType
from recsys.features.histories import Histories
from recsys.features.ragged import offsets_of
from recsys.policy import Policy

ITEMS = 6
events = st.lists(
    st.lists(st.tuples(st.integers(0, ITEMS - 1), st.integers(0, 2)), max_size=6), max_size=5
)
"""Per query the (item, event) pairs of its history."""


def histories_of(queries: list[list[tuple[int, int]]]) -> Histories:
    flat = [pair for own in queries for pair in own]
    return Histories(
        users=np.full(len(queries), PAD, np.int32),
        offsets=offsets_of(np.array([len(own) for own in queries], np.int64)),
        items=np.array([item for item, _ in flat], np.int32),
        events=np.array([event for _, event in flat], np.uint8),
        times=np.zeros(len(flat), np.int64),
        weights=np.ones(len(flat), np.float32),
        now=np.zeros(len(queries), np.int64),
    )


def test_default_events_hide_what_was_bought_not_what_was_viewed() -> None:
    names = ("view", "cart", "purchase", "rating", "interaction")
    policy = Policy.of(np.ones(3, bool), names, DEFAULT_EVENTS)
    assert policy.hides.tolist() == [False, False, True, True, True]


def test_an_event_without_a_rule_hides() -> None:
    policy = Policy.of(np.ones(3, bool), ("gift", "look"), {"look": EventType(offer_again=True)})
    assert policy.hides.tolist() == [True, False]


def test_excluded_items_are_distinct_and_ascending() -> None:
    policy = Policy.of(np.ones(ITEMS, bool), ("view", "purchase"), DEFAULT_EVENTS)
    allowed = policy.allowed(histories_of([[(4, 1), (2, 0), (1, 1), (4, 1)], [], [(0, 1)]]))
    assert allowed.offsets.tolist() == [0, 2, 2, 3]
    assert allowed.excluded.tolist() == [1, 4, 0]
    assert allowed.available().tolist() == [4, 6, 5]


def test_without_leaves_the_old_policy_alone() -> None:
    policy = Policy.of(np.ones(3, bool), ("view",), DEFAULT_EVENTS)
    fewer = policy.without(np.array([1], np.int32))
    assert fewer.mask.tolist() == [True, False, True]
    assert policy.mask.all()


@given(
    events,
    st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_allowed_is_what_sets_say(
    queries: list[list[tuple[int, int]]], stock: list[bool], again: list[bool]
) -> None:
    rules = {str(n): EventType(offer_again=ok) for n, ok in enumerate(again)}
    policy = Policy.of(np.array(stock), ("0", "1", "2"), rules)
    allowed = policy.allowed(histories_of(queries))
    assert len(allowed) == len(queries)
    for query, own in enumerate(queries):
        hidden = {item for item, event in own if not again[event]}
        mine = allowed.excluded[allowed.offsets[query] : allowed.offsets[query + 1]]
        assert mine.tolist() == sorted(hidden)
        left = {item for item in range(ITEMS) if stock[item]} - hidden
        assert allowed.available()[query] == len(left)
