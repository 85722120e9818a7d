"""GraphFilter: its filters in dense numpy."""

from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag

from recsys.features.arrays import PAD, Array
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError, TrainingError
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.graph_filter import GraphFilter, right_singular
from tests.retrieval.contract import RetrieverContract
from tests.worlds import ITEMS, log_of, planted, sessions

LOG = log_of([0, 1, 2], [0, 1], [1, 3], [2, 3, 3], items=5)


class TestGraphFilter(RetrieverContract):
    make = staticmethod(lambda: GraphFilter(factors=6))
    recall_floor = 0.55


class TestGraphFilterWithNegativeScores(RetrieverContract):
    make = staticmethod(lambda: GraphFilter(factors=6, sharpening=1.5))
    recall_floor = 0.55
    offers_all = False  # what sharpening leaves below 0 is not offered


def fitted(log: Interactions, **given: float) -> GraphFilter:
    return GraphFilter(**given).fit(log, Catalog.empty(log.items))


def taken_of(log: Interactions) -> Array:
    taken = np.zeros((len(log.users), len(log.items)))
    taken[log.user_rows, log.item_rows] = 1
    return taken


def dense(log: Interactions, factors: int, ideal: float, sharpening: float, steps: int) -> Array:
    """(items, items) what the filter makes of a history, from the papers' equations."""
    taken = taken_of(log)
    per_user, per_item = taken.sum(axis=1), np.maximum(taken.sum(axis=0), 1)
    graph = taken / np.sqrt(per_user)[:, None] / np.sqrt(per_item)
    pass_low = graph.T @ graph
    axes = np.linalg.svd(graph)[2][:factors].T
    own = np.diag(per_item**-0.5) @ axes @ axes.T @ np.diag(per_item**0.5)
    out = pass_low + ideal * own
    for _ in range(steps):
        hops = [np.linalg.matrix_power(pass_low, power) for power in range(5)]
        worth = [(-sharpening / steps) ** power / factorial(power) for power in range(5)]
        out = sum(own * out @ hop for own, hop in zip(worth, hops, strict=True))
    known = taken.any(axis=0)
    return np.where(known, out, 0)


@pytest.mark.parametrize(("sharpening", "steps"), [(0.0, 1), (1.5, 1), (1.5, 3)])
def test_scores_are_those_of_the_papers(sharpening: float, steps: int) -> None:
    lists = [[0], [1, 3], [2, 2], [0, 1, 2, 3]]
    asked = np.zeros((4, 5))
    for row, own in enumerate(lists):
        asked[row, own] = 1
    model = fitted(LOG, factors=2, ideal=0.3, sharpening=sharpening, steps=steps)
    every = np.tile(np.arange(5, dtype=np.int32), (4, 1))
    expected = asked @ dense(LOG, 2, 0.3, sharpening, steps)
    np.testing.assert_allclose(model.score(sessions(*lists), every), expected, atol=1e-5)


def test_lists_are_those_of_the_papers() -> None:
    world = planted()
    found = fitted(world.log, factors=6, ideal=0.3, sharpening=1.0).retrieve(
        world.histories, 5, world.seen
    )
    expected = taken_of(world.log) @ dense(world.log, 6, 0.3, 1.0, 1)
    expected[taken_of(world.log) > 0] = -np.inf
    expected[:, world.log.item_counts == 0] = -np.inf
    np.testing.assert_allclose(found.scores[:, :, 0], -np.sort(-expected, axis=1)[:, :5], atol=1e-5)


def test_what_sharpening_leaves_below_0_is_not_offered() -> None:
    world = planted()
    every = np.tile(np.arange(ITEMS, dtype=np.int32), (len(world.histories), 1))
    model = fitted(world.log, factors=6, sharpening=1.5)
    scores = model.score(world.histories, every)
    everything = Allowed.everything(len(every), ITEMS)
    found = model.retrieve(world.histories, ITEMS, everything)
    assert (scores < 0).any()
    for own, items in zip(scores, found.items, strict=True):
        np.testing.assert_array_equal(np.sort(items[items != PAD]), np.flatnonzero(own > 0))


def test_what_nobody_had_is_not_offered() -> None:
    found = fitted(LOG, factors=2).retrieve(sessions([0]), 5, Allowed.everything(1, 5))
    assert 4 not in found.items
    assert found.items[0, -1] == PAD


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(0, 100))
def test_singular_vectors_span_what_numpy_finds(n: int, seed: int) -> None:
    import scipy.sparse as sp

    values = np.sqrt([36, 25, 16, 9, 4, 1])
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((size, 6)))[0] for size in (9, 7))
    matrix = (left * values) @ right.T
    axes = right_singular(sp.csr_matrix(matrix), n, 0)
    np.testing.assert_allclose(axes @ axes.T, right[:, :n] @ right[:, :n].T, atol=1e-3)


def test_two_circles_without_a_bridge_stay_apart() -> None:
    log = log_of([0, 1], [1, 2], [0, 2], [3, 4], [4, 5], [3, 5], items=6)
    model = fitted(log, factors=2, ideal=1.0)
    every = np.tile(np.arange(6, dtype=np.int32), (6, 1))
    scores = model.score(sessions(*[[item] for item in range(6)]), every)
    apart = block_diag(np.ones((3, 3)), np.ones((3, 3))) == 0
    np.testing.assert_allclose(scores[apart], 0, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"factors": 0}, "factors must be at least 1; got 0"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"ideal": -0.1}, "ideal must be at least 0; got -0.1"),
        ({"sharpening": float("nan")}, "sharpening must be at least 0; got nan"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, float], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        GraphFilter(**given)


def test_before_fit_it_says_so() -> None:
    with pytest.raises(TrainingError, match="graph-filter is not fitted"):
        GraphFilter().retrieve(sessions([0]), 1, Allowed.everything(1, ITEMS))
