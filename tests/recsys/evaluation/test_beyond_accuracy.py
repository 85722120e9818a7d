"""Coverage, novelty, diversity and their kin by hand, and against their definitions over pairs."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.evaluation import beyond_accuracy as beyond
from recsys.features.errors import DataError

EMPTY = np.full((2, 3), -1, np.int32)

FUNCTIONS = [
    lambda items: beyond.novelty(items, np.full(4, 0.5)),
    lambda items: beyond.intra_list_diversity(items, np.eye(4, dtype=np.float32)),
    lambda items: beyond.category_diversity(items, rows([0, 0, 1, -1])),
    lambda items: beyond.serendipity(items, items == 0, rows([1])),
    lambda items: beyond.cold_share(items, np.array([True, False, False, False])),
    lambda items: beyond.revenue(items, items == 0, np.ones(4)),
]


def rows(values):
    return np.array(values, np.int32)


@st.composite
def lists(draw):
    """(number of items, lists (b, k) that end in PAD)."""
    n, k = draw(st.integers(1, 7)), draw(st.integers(1, 9))
    one = st.tuples(st.permutations(range(n)), st.integers(0, k)).map(lambda p: p[0][: p[1]])
    users = draw(st.lists(one, min_size=1, max_size=5))
    return n, rows([own[:k] + [-1] * (k - len(own[:k])) for own in users])


def over_pairs(items, differ):
    """(b,) the mean of differ(a, b) over the pairs of each list, by a loop; NaN without any."""
    values = []
    for own in items.tolist():
        pairs = list(itertools.combinations([item for item in own if item >= 0], 2))
        found = [value for a, b in pairs if (value := differ(a, b)) is not None]
        values.append(np.mean(found) if found else np.nan)
    return values


def test_coverage_counts_items_once_and_no_padding():
    items = rows([[0, 1, -1], [1, 2, -1]])
    assert beyond.coverage(items, 6) == 0.5
    assert beyond.coverage(EMPTY, 6) == 0
    assert math.isnan(beyond.coverage(EMPTY, 0))


def test_gini_of_an_even_and_of_a_lonely_item():
    assert beyond.gini(rows([[0, 1], [2, 3]]), 4) == 0
    assert beyond.gini(rows([[2, -1], [2, -1]]), 4) == 3 / 4
    assert beyond.gini(rows([[0], [0]]), 1) == 0
    assert beyond.gini(rows([[0, 1], [0, 1]]), 4) == 1 / 2


def test_gini_without_exposure_is_not_defined():
    assert math.isnan(beyond.gini(EMPTY, 5))
    assert math.isnan(beyond.gini(EMPTY, 0))


@given(lists())
def test_gini_is_half_the_relative_mean_difference(world):
    n, items = world
    places = np.array([(items == item).sum() for item in range(n)])
    value = beyond.gini(items, n)
    if not places.sum():
        assert math.isnan(value)
        return
    differences = np.abs(places[:, None] - places[None, :]).mean()
    assert value == pytest.approx(differences / (2 * places.mean()), abs=1e-12)


def test_novelty_is_self_information_in_bits():
    items = rows([[0, 1], [2, -1], [-1, -1]])
    values = beyond.novelty(items, np.array([1, 1 / 2, 1 / 8]))
    assert values[:2].tolist() == [0.5, 3]
    assert math.isnan(values[2])


def test_an_item_that_nobody_chose_is_novel_but_not_infinitely():
    popularity = beyond.smoothed_popularity(np.array([0, 7, 3]), 7)
    assert popularity.tolist() == [1 / 8, 1, 1 / 2]
    assert beyond.novelty(rows([[0], [1], [2]]), popularity).tolist() == [3, 0, 1]


@pytest.mark.parametrize("value", [0, -1, 1.5, np.nan])
def test_popularity_is_a_share(value):
    with pytest.raises(DataError, match=r"popularity must be in \(0, 1\]"):
        beyond.novelty(rows([[0]]), np.array([0.5, value]))


def test_diversity_by_hand():
    vectors = np.array([[1, 0], [0, 1], [-1, 0], [1, 0], [0, 0]], np.float32)
    items = rows([[0, 3, -1], [0, 1, -1], [0, 2, -1], [0, 1, 2], [0, 4, 1], [0, 4, -1]])
    values = beyond.intra_list_diversity(items, vectors)
    assert values[:5] == pytest.approx([0, 1, 2, 4 / 3, 1])
    assert math.isnan(values[5])  # one item has no vector, the other no company


@given(lists(), st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_diversity_is_the_mean_over_pairs_in_blocks_of_any_size(world, seed, at_once):
    n, items = world
    vectors = np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = over_pairs(items, lambda a, b: 1 - float(vectors[a] @ vectors[b]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beyond, "_SUMS_AT_ONCE", at_once)
        values = beyond.intra_list_diversity(items, vectors)
    assert values == pytest.approx(expected, abs=1e-5, nan_ok=True)


def test_category_diversity_by_hand():
    codes = rows([0, 0, 1, 2, -1])
    items = rows([[0, 1, -1], [0, 2, 3], [0, 1, 2], [0, 4, 2], [0, 4, -1], [-1, -1, -1]])
    values = beyond.category_diversity(items, codes)
    assert values[:4] == pytest.approx([0, 1, 2 / 3, 1])
    assert np.isnan(values[4:]).all()


@given(lists(), st.lists(st.integers(-1, 3), min_size=7, max_size=7))
def test_category_diversity_is_the_share_of_pairs_that_differ(world, codes):
    _, items = world

    def differ(a, b):
        known = codes[a] >= 0 and codes[b] >= 0
        return float(codes[a] != codes[b]) if known else None

    values = beyond.category_diversity(items, rows(codes))
    assert values == pytest.approx(over_pairs(items, differ), nan_ok=True)


def test_serendipity_counts_hits_that_the_popular_list_lacks():
    items = rows([[0, 1, 2, 3], [3, 2, -1, -1], [-1, -1, -1, -1]])
    hits = np.array([[True, True, False, True], [True, False, False, False], [False] * 4])
    popular = rows([[0, -1], [2, 3], [0, 1]])
    assert beyond.serendipity(items, hits, popular).tolist() == [2 / 4, 0, 0]
    assert beyond.serendipity(items, hits, rows([0, 1])).tolist() == [1 / 4, 1 / 4, 0]
    assert beyond.serendipity(items, hits, rows([])).tolist() == [3 / 4, 1 / 4, 0]


@given(lists(), lists(), st.sets(st.integers(0, 6)))
def test_serendipity_is_that_of_sets(world, other, positives):
    items = world[1]
    expected = np.resize(other[1], (len(items), other[1].shape[1]))
    hits = np.isin(items, list(positives))
    values = [
        len((set(own) & positives) - set(plain)) / items.shape[1]
        for own, plain in zip(items.tolist(), expected.tolist(), strict=True)
    ]
    assert beyond.serendipity(items, hits, expected) == pytest.approx(values)


def test_cold_share_is_of_the_filled_places():
    values = beyond.cold_share(rows([[0, 1, -1], [1, -1, -1]]), np.array([True, False]))
    assert values.tolist() == [0.5, 0]


def test_revenue_adds_known_prices_of_hits():
    prices = np.array([10, 2.5, np.nan], np.float32)
    items = rows([[0, 1, 2], [2, 0, -1], [0, 1, 2]])
    hits = np.array([[True, True, True], [True, False, False], [False, False, False]])
    assert beyond.revenue(items, hits, prices).tolist() == [12.5, 0, 0]


def test_empty_lists_have_no_value_or_nothing():
    novelty, diversity, categories, serendipity, cold, revenue = (f(EMPTY) for f in FUNCTIONS)
    for values in (novelty, diversity, categories, cold):
        assert np.isnan(values).all()
    assert serendipity.tolist() == revenue.tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_users_or_no_places_are_no_error(function, shape):
    assert function(np.zeros(shape, np.int32)).shape == (shape[0],)
