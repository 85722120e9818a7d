"""Ease: the closed form, and what is lost where it does not fit."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.features.arrays import PAD, Array
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError, TrainingError
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.ease import Ease
from recsys.retrieval.inverse import inverse_of_gram, inverted
from recsys.retrieval.retriever import links_items
from tests.retrieval.contract import RetrieverContract
from tests.worlds import log_of, sessions

A, B, C = range(3)


class TestEase(RetrieverContract):
    make = staticmethod(lambda: Ease(regularization=1.0))
    recall_floor = 0.5

    def test_an_empty_history(self, fitted: Ease) -> None:
        """As everywhere, but that a history leads to few items."""
        found = fitted.retrieve(sessions([], [4]), 3, Allowed.everything(2, 62))
        assert found.filled.all(axis=1).tolist() == [False, True]
        assert not found.filled[0].any()


class TestEaseOfNeighbourhoods(TestEase):
    make = staticmethod(lambda: Ease(regularization=1.0, most_bytes=1))


def fitted(log: Interactions, **given: float) -> Ease:
    return Ease(**given).fit(log, Catalog.empty(log.items))


def matrix(ease: Ease, items: int) -> Array:
    """(items, items) how strongly each item leads to each."""
    rows = np.arange(items, dtype=np.int32)
    return ease.links(rows[:, None], np.tile(rows, (items, 1)))[:, :, 0]


def closed_form(log: Interactions, regularization: float) -> Array:
    taken = np.zeros((len(log.users), len(log.items)))
    taken[log.user_rows, log.item_rows] = 1
    inverse = np.linalg.inv(taken.T @ taken + regularization * np.eye(len(log.items)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def test_three_items_by_hand() -> None:
    # X'X + 1 is [[3, 1, 0], [1, 3, 1], [0, 1, 2]], its determinant 13, and its inverse
    # [[5, -2, 1], [-2, 6, -3], [1, -3, 8]] / 13: column j over -P[j, j].
    ease = fitted(log_of([A, B], [A], [B, C, C], items=3), regularization=1.0)
    expected = [[0, 2 / 6, -1 / 8], [2 / 5, 0, 3 / 8], [-1 / 5, 3 / 6, 0]]
    np.testing.assert_allclose(matrix(ease, 3), expected, rtol=1e-5)
    scores = ease.score(sessions([A, C, A]), np.array([[B, C, PAD]], np.int32))
    np.testing.assert_allclose(scores, [[5 / 6, -1 / 8, 0]], rtol=1e-5)


walks = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=6), min_size=1, max_size=9)


@settings(deadline=None)
@given(walks, st.sampled_from([0.5, 3.0, 50.0]))
def test_exact_weights_are_the_closed_form(walks: list[list[int]], regularization: float) -> None:
    log = log_of(*walks, items=8)
    ease = fitted(log, regularization=regularization)
    np.testing.assert_allclose(matrix(ease, 8), closed_form(log, regularization), atol=1e-5)


@settings(deadline=None)
@given(walks)
def test_neighbourhoods_of_all_that_count_are_exact(walks: list[list[int]]) -> None:
    """An item never had with another one has no place in its regression: here all are."""
    log = log_of(*walks, list(range(8)), items=8)
    small = fitted(log, regularization=2.0, most_bytes=1)
    np.testing.assert_allclose(matrix(small, 8), closed_form(log, 2.0), atol=1e-5)


def test_neighbourhoods_hold_what_explains_an_item_best() -> None:
    # C is with A in 3 of A's 3 lists and with B in 2 of 6: one regressor only is (3 / (3 + 1)).
    log = log_of([A, C], [A, C], [A, B, C], [B, C], *[[B]] * 4, items=3)
    ease = fitted(log, regularization=1.0, neighbours=1, most_bytes=1)
    np.testing.assert_allclose(matrix(ease, 3)[:, C], [3 / 4, 0, 0], rtol=1e-6)


def test_pruning_keeps_the_largest_weights_of_each_item() -> None:
    log = log_of([A, B], [A], [B, C], items=3)
    weights = matrix(fitted(log, regularization=1.0, neighbours=1), 3)
    np.testing.assert_allclose(weights, [[0, 0, 0], [2 / 5, 0, 3 / 8], [0, 3 / 6, 0]], rtol=1e-5)


def test_the_bound_of_memory_decides() -> None:
    assert Ease(most_bytes=400).is_exact(10)
    assert not Ease(most_bytes=399).is_exact(10)


def test_an_inverse_in_place_is_symmetric_beyond_one_tile() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((2100, 40)).astype(np.float32)
    matrix = np.asfortranarray(root @ root.T + 10 * np.eye(2100, dtype=np.float32))
    given = matrix.copy()
    inverse = inverted(matrix)
    assert np.shares_memory(inverse, matrix)
    assert (inverse == inverse.T).all()
    np.testing.assert_allclose(given @ inverse, np.eye(2100), atol=1e-3)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([0.5, 30.0]), st.integers(0, 99))
def test_an_inverse_by_way_of_users_or_of_items(
    users: int, items: int, ridge: float, seed: int
) -> None:
    taken = (np.random.default_rng(seed).random((users, items)) < 0.4).astype(np.float32)
    expected = np.linalg.inv(taken.T.astype(np.float64) @ taken + ridge * np.eye(items))
    found = inverse_of_gram(sp.csr_matrix(taken), ridge)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_inverse_by_way_of_users_is_put_together_from_blocks() -> None:
    taken = sp.random(40, 1100, 0.05, "csr", np.float32, rng=np.random.default_rng(0))
    found = inverse_of_gram(taken, 2.0)
    gram = (taken.T @ taken).toarray() + 2 * np.eye(1100)
    np.testing.assert_allclose(found @ gram, np.eye(1100), atol=1e-4)


def test_a_gram_matrix_that_is_not_positive_definite_is_named() -> None:
    with pytest.raises(DataError, match="not positive definite"):
        inverted(np.asfortranarray(-np.eye(3, dtype=np.float32)))


def test_it_links_items_and_says_when_it_cannot() -> None:
    assert links_items(Ease())
    with pytest.raises(TrainingError, match="ease is not fitted"):
        Ease().score(sessions([A]), np.array([[B]], np.int32))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"regularization": 0.0}, "regularization must be above 0; got 0"),
        ({"neighbours": 0}, "neighbours must be at least 1; got 0"),
        ({"most_bytes": 0}, "most_bytes must be at least 1; got 0"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, float], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Ease(**given)


def test_pairs_that_would_not_fit_are_refused() -> None:
    said = "'ease' would count up to 4 pairs of items, more than most_pairs = 3"
    with pytest.raises(DataError, match=said):
        fitted(log_of([A, B], items=3), most_pairs=3)
