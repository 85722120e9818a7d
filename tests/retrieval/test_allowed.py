"""Allowed: how many items are left, against sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.retrieval.allowed import Allowed
from tests.worlds import leaving_out

barred = st.lists(st.lists(st.integers(0, 5), unique=True).map(sorted), max_size=5)
masks = st.lists(st.booleans(), min_size=6, max_size=6)


def test_everything_is_available() -> None:
    allowed = Allowed.everything(3, 7)
    assert len(allowed) == 3
    assert allowed.available().tolist() == [7, 7, 7]


def test_what_the_mask_bars_is_not_counted_twice() -> None:
    allowed = leaving_out([0, 1], [], [2], items=4, mask=[False, True, True, True])
    assert allowed.available().tolist() == [2, 3, 2]


@given(barred, masks)
def test_available_counts_what_is_left(excluded: list[list[int]], mask: list[bool]) -> None:
    allowed = leaving_out(*excluded, items=6, mask=mask)
    free = set(np.flatnonzero(mask).tolist())
    assert allowed.available().tolist() == [len(free - set(own)) for own in excluded]


@given(barred, masks, st.data())
def test_some_of_the_queries(
    excluded: list[list[int]], mask: list[bool], data: st.DataObject
) -> None:
    allowed = leaving_out(*excluded, items=6, mask=mask)
    places = st.lists(st.integers(0, len(excluded) - 1)) if excluded else st.just([])
    queries = data.draw(places)
    taken = allowed.take(np.array(queries, np.int64))
    assert len(taken) == len(queries)
    assert taken.available().tolist() == allowed.available()[np.array(queries, int)].tolist()
    for position, query in enumerate(queries):
        own = taken.excluded[taken.offsets[position] : taken.offsets[position + 1]]
        assert own.tolist() == excluded[query]
