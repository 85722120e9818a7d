"""Ranks within a list, against counting what is better."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD
from recsys.ranking.source_features import _in_list

Lists = list[tuple[float, bool]]

LISTS = st.lists(st.tuples(st.sampled_from([-2.0, -0.5, 0.0, 0.25, 3.0]), st.booleans()))


@given(LISTS)
def test_ranks_count_what_is_better_among_the_items(each: Lists) -> None:
    scores = np.array([[score for score, _ in each]], np.float32)
    items = np.array([[place if known else PAD for place, (_, known) in enumerate(each)]], np.int32)
    columns = np.zeros((*items.shape, 3), np.float32)
    _in_list(0, 1, scores, items, columns)
    known = [score for score, there in each if there]
    best = max([*known, 0.0])
    for place, (score, there) in enumerate(each):
        if there:
            share, better = score / best if best else 0, sum(other > score for other in known)
            expected = [score, share, 1 / sqrt(1 + better)]
            assert columns[0, place] == pytest.approx(expected, rel=1e-6)
