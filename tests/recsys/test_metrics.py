"""Metrics by hand, and against a loop over users that follows their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import metrics

lists = st.integers(1, 6).flatmap(
    lambda k: st.lists(
        st.tuples(st.lists(st.booleans(), min_size=k, max_size=k), st.integers(1, 12)),
        min_size=1,
        max_size=8,
    )
)
"""Per user: which places are hits, and how many positives there are besides."""


def arrays(users):
    hits = np.array([hits for hits, _ in users])
    return hits, np.array([sum(hits) + more for hits, more in users])


def test_values_by_hand():
    hits = np.array([[False, True, False], [True, False, True], [False, False, False]])
    positives = np.array([1, 4, 2])
    assert metrics.recall(hits, positives).tolist() == [1, 0.5, 0]
    assert metrics.hit_rate(hits).tolist() == [1, 1, 0]
    best = 1 + 1 / math.log2(3) + 1 / 2
    assert metrics.ndcg(hits, positives) == pytest.approx([1 / math.log2(3), 1.5 / best, 0])


def test_a_perfect_list_has_an_ndcg_of_one():
    assert metrics.ndcg(np.array([[True, True, False]]), np.array([2])).tolist() == [1]
    assert metrics.ndcg(np.array([[True, True]]), np.array([9])).tolist() == [1]


def test_coverage_counts_items_once_and_no_padding():
    items = np.array([[0, 1, -1], [1, 2, -1]])
    assert metrics.coverage(items, 6) == 0.5
    assert metrics.coverage(np.full((2, 3), -1), 6) == 0


@given(lists)
def test_metrics_follow_their_definitions(users):
    hits, positives = arrays(users)
    recall, ndcg, hit_rate = [], [], []
    for own, n in zip(hits.tolist(), positives.tolist(), strict=True):
        gain = sum(1 / math.log2(2 + place) for place, hit in enumerate(own) if hit)
        ideal = sum(1 / math.log2(2 + place) for place in range(min(n, len(own))))
        recall.append(sum(own) / n)
        ndcg.append(gain / ideal)
        hit_rate.append(float(any(own)))
    assert metrics.recall(hits, positives) == pytest.approx(recall)
    assert metrics.ndcg(hits, positives) == pytest.approx(ndcg)
    assert metrics.hit_rate(hits) == pytest.approx(hit_rate)


@given(lists)
def test_metrics_lie_between_none_and_all(users):
    hits, positives = arrays(users)
    for values in (metrics.recall(hits, positives), metrics.ndcg(hits, positives)):
        assert (values >= 0).all()
        assert (values <= 1 + 1e-12).all()
        assert ((values > 0) == metrics.hit_rate(hits).astype(bool)).all()
