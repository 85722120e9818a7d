"""ItemKnn and Basket: similarities in dense numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.features.arrays import PAD, Array
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.knn import Basket, ItemKnn
from recsys.retrieval.sessions import sessions_of
from tests.retrieval.contract import RetrieverContract
from tests.worlds import log_of, sessions

A, B, C, D = range(4)
MINUTE = 60_000_000


class TestItemKnn(RetrieverContract):
    make = staticmethod(ItemKnn)
    recall_floor = 0.6


class TestItemKnnByBm25(RetrieverContract):
    make = staticmethod(lambda: ItemKnn(similarity="bm25"))
    recall_floor = 0.6


class TestBasket(RetrieverContract):
    make = staticmethod(lambda: Basket(session_gap=7 * 24 * 60.0))
    recall_floor = 0.6


def matrix(log: Interactions, **given: object) -> Array:
    """(items, items) how strongly each item leads to each."""
    model = ItemKnn(**given).fit(log, Catalog.empty(log.items))  # type: ignore[arg-type]
    rows = np.arange(len(log.items), dtype=np.int32)
    return model.links(rows[:, None], np.tile(rows, (len(rows), 1)))[:, :, 0]


walks = st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=6)


@settings(deadline=None)
@given(walks, st.sampled_from([0.0, 1.0, 10.0]))
def test_links_are_dense_cosines(walks: list[list[int]], shrinkage: float) -> None:
    log = log_of(*walks, items=6)
    taken = np.zeros((len(walks), 6))
    taken[log.user_rows, log.item_rows] = 1
    both, had = taken.T @ taken, np.sqrt(taken.sum(axis=0))
    expected = both / np.maximum(np.outer(had, had) + shrinkage, 1e-9)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(matrix(log, shrinkage=shrinkage), expected, rtol=1e-5)


def test_bm25_by_hand() -> None:
    # 3 items, of 2, 2 and 1 users, 5 / 3 on average; the user of all 3 tells ln(4 / 4) = 0, the
    # user of two ln(4 / 3). Their pair: the square of the second's weight in a text of length 2.
    log = log_of([A, B, C], [A, B], items=3)
    norm = 1 - 0.75 + 0.75 * 2 / (5 / 3)
    weight = np.log(4 / 3) * 2.2 / (1 + 1.2 * norm)
    expected = np.zeros((3, 3))
    expected[A, B] = expected[B, A] = weight**2
    np.testing.assert_allclose(matrix(log, similarity="bm25"), expected, rtol=1e-5)


def test_neighbours_are_kept_of_what_was_had_or_of_what_is_offered() -> None:
    # Cosines: ab 3 / sqrt(12), ac 1 / sqrt(3), bc 1 / 2. The nearest to a is b, to b and c it is a.
    log = log_of([A, B], [A, B], [A, B, C], [B], items=3)
    assert (matrix(log, neighbours=1)[A] > 0).tolist() == [False, True, False]
    assert (matrix(log, neighbours=1, of="offered")[A] > 0).tolist() == [False, True, True]


def test_a_basket_is_what_was_bought_at_one_moment() -> None:
    log = log_of([A, B, C], [A, C], items=4, times=[0, 0, 1, 5, 9], clock="time")
    model = Basket().fit(log, Catalog.empty(log.items))
    found = model.retrieve(sessions([A], [C]), 4, Allowed.everything(2, 4))
    assert found.items.tolist() == [[B, PAD, PAD, PAD], [PAD] * 4]
    assert found.scores[0, 0, 0] == pytest.approx(1 / 2**0.5)


def test_a_session_ends_with_a_silence() -> None:
    times = [0, 10 * MINUTE, 41 * MINUTE, 42 * MINUTE]
    log = log_of([A, B, C], [D], items=4, times=times, clock="time")
    assert sessions_of(log, 30).tolist() == [0, 0, 1, 2]
    assert sessions_of(log, 31).tolist() == [0, 0, 0, 1]
    assert sessions_of(log, None).tolist() == [0, 0, 0, 1]


def test_a_log_without_a_clock_has_one_session_per_user() -> None:
    assert sessions_of(log_of([A, B], [C], items=3), 0).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"similarity": "jaccard"}, "similarity must be cosine or bm25; got 'jaccard'"),
        ({"of": "rows"}, "of must be history or offered; got 'rows'"),
        ({"shrinkage": -1.0}, "shrinkage must be at least 0, and 0 but for cosine; got -1"),
        ({"similarity": "bm25", "shrinkage": 1.0}, "0 but for cosine; got 1.0 for bm25"),
        ({"neighbours": 0}, "neighbours must be at least 1; got 0"),
        ({"session_gap": -1.0}, "session_gap must be at least 0 minutes or None; got -1"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        ItemKnn(**given)  # type: ignore[arg-type]
