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


@given(st.lists(st.sampled_from([float("nan"), float("inf"), -1.0, 0.0, 2.0]), max_size=40))
def test_scores_that_are_not_finite_have_ranks_of_the_list(each: list[float]) -> None:
    scores = np.array([each], np.float32)
    items = np.arange(scores.size, dtype=np.int32)[None]
    columns = np.zeros((*items.shape, 3), np.float32)
    _in_list(0, 1, scores, items, columns)
    assert (columns[..., 2] >= np.float32(1 / sqrt(2 + scores.size))).all()
    assert (columns[..., 2] <= 1).all()
