"""The best k of many scores, against a sort in Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD, Floats
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.topk import first_k, top_k
from tests.worlds import leaving_out

few = st.sampled_from([-np.inf, -2.0, -1.0, 0.0, 1.0, 2.0, np.inf, np.nan])  # ties are frequent


def sorted_in_python(scores: Floats, k: int, allowed: Allowed) -> list[list[int]]:
    lists = []
    for query, row in enumerate(scores.tolist()):
        barred = set(allowed.excluded[slice(*allowed.offsets[query : query + 2])].tolist())
        free = [
            item
            for item, score in enumerate(row)
            if allowed.mask[item] and item not in barred and score > -np.inf
        ]
        best = sorted(free, key=lambda item: (-row[item], item))[:k]
        lists.append(best + [PAD] * (k - len(best)))
    return lists


@st.composite
def tasks(draw: st.DrawFn) -> tuple[Floats, Allowed]:
    queries, items = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    row = st.lists(few, min_size=items, max_size=items)
    scores = draw(st.lists(row, min_size=queries, max_size=queries))
    own = st.lists(st.integers(0, items - 1), unique=True).map(sorted)
    excluded = draw(st.lists(own, min_size=queries, max_size=queries))
    mask = draw(st.lists(st.booleans(), min_size=items, max_size=items))
    return np.array(scores, np.float32), leaving_out(*excluded, items=items, mask=mask)


@given(tasks(), st.integers(0, 14))
def test_top_k_equals_a_sort(task: tuple[Floats, Allowed], k: int) -> None:
    scores, allowed = task
    items, best = top_k(scores, k, allowed)
    assert items.tolist() == sorted_in_python(scores, k, allowed)
    expected = np.where(items == PAD, -np.inf, np.take_along_axis(scores, items.clip(0), axis=1))
    np.testing.assert_array_equal(best, expected.reshape(best.shape))


@given(tasks(), st.integers(0, 14))
def test_first_k_follows_the_shared_order(task: tuple[Floats, Allowed], k: int) -> None:
    scores, allowed = task
    shared = np.nan_to_num(scores[0], neginf=-9, posinf=9)
    order = np.argsort(-shared, kind="stable").astype(np.int32)
    items, best = first_k(order, shared, k, allowed)
    every = np.broadcast_to(shared, scores.shape)
    assert items.tolist() == sorted_in_python(every, k, allowed)
    assert (best[items == PAD] == -np.inf).all()
    assert best[items != PAD].tolist() == shared[items[items != PAD]].tolist()


def test_many_rows_on_all_cores_equal_each_alone() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 50, (300, 200)).astype(np.float32)
    allowed = leaving_out(*[sorted({row % 200, row % 7}) for row in range(300)], items=200)
    items, best = top_k(scores, 25, allowed)
    assert items.tolist() == sorted_in_python(scores, 25, allowed)
    np.testing.assert_array_equal(best, np.take_along_axis(scores, items, axis=1))


def test_ties_come_in_the_order_of_their_rows() -> None:
    items, _ = top_k(np.ones((1, 9), np.float32), 4, leaving_out([1], items=9))
    assert items.tolist() == [[0, 2, 3, 4]]


def test_nan_is_never_offered() -> None:
    scores = np.array([[np.nan, 1, np.nan, -np.inf]], np.float32)
    items, best = top_k(scores, 3, Allowed.everything(1, 4))
    assert items.tolist() == [[1, PAD, PAD]]
    assert best.tolist() == [[1, -np.inf, -np.inf]]


@pytest.mark.parametrize("queries", [0, 1, 40])
def test_no_queries_and_k_of_0(queries: int) -> None:
    scores, allowed = np.ones((queries, 3), np.float32), Allowed.everything(queries, 3)
    assert top_k(scores, 0, allowed)[0].shape == (queries, 0)
    assert top_k(scores, 2, allowed)[0].shape == (queries, 2)


def test_the_scores_stay_as_they_are() -> None:
    scores = np.array([[3, 1, 2]], np.float32)
    mask = np.array([True, False, True])
    top_k(scores, 2, Allowed(mask, np.array([0, 1], np.int64), np.array([0], np.int32)))
    assert scores.tolist() == [[3, 1, 2]]
    assert mask.tolist() == [True, False, True]
