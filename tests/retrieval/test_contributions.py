"""What events add to scores: they sum to them, for every kind of source that explains itself."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features import ragged
from recsys.features.arrays import PAD, Array
from recsys.features.histories import Histories
from recsys.parts import KINDS
from recsys.retrieval import contributions
from recsys.retrieval.als import Als
from recsys.retrieval.content import Content
from recsys.retrieval.covisit import CoVisit
from recsys.retrieval.ease import Ease
from recsys.retrieval.graph_filter import GraphFilter
from recsys.retrieval.knn import Basket, ItemKnn
from recsys.retrieval.retriever import ExplainingRetriever, explains_scores
from recsys.retrieval.tagged import Tagged
from tests.worlds import DAY, ITEMS, log_of, planted, sessions

MAKES: dict[str, Callable[[], Any]] = {
    "als": lambda: Als(factors=8, iterations=3, device="cpu"),
    "als of long histories": lambda: Als(factors=3, iterations=3, device="cpu"),
    "als by weight": lambda: Als(factors=8, iterations=3, frequency_exponent=0.5, device="cpu"),
    "basket": lambda: Basket(session_gap=1e9),
    "content": lambda: Content(last=4, device="cpu"),
    "covisit": lambda: CoVisit(last=4),
    "covisit of the last": lambda: CoVisit(decay=0.0),
    "ease": lambda: Ease(regularization=5.0),
    "ease of neighbourhoods": lambda: Ease(most_bytes=1, neighbours=8),
    "graph-filter": lambda: GraphFilter(factors=4),
    "knn": ItemKnn,
    "tagged": lambda: Tagged(last=3),
}
KIND = {name: name.partition(" ")[0] for name in MAKES}
EVERY = np.arange(ITEMS, dtype=np.int32)


@cache
def fitted(name: str) -> ExplainingRetriever:
    world = planted()
    retriever = MAKES[name]().fit(world.log, world.catalog)
    assert explains_scores(retriever)
    return retriever


def assert_they_sum(retriever: ExplainingRetriever, histories: Histories, items: Array) -> Array:
    """Contributions (n, w) that sum to the scores within 1e-4 of the largest score."""
    shares = retriever.contributions(histories, items)
    assert (shares.shape, shares.dtype) == ((len(histories.items), items.shape[1]), np.float32)
    sums = np.zeros(items.shape)
    np.add.at(sums, ragged.owners(histories.offsets), shares)
    scores = retriever.score(histories, items)
    np.testing.assert_allclose(sums, scores, atol=1e-4 * max(1.0, np.abs(scores).max(initial=0)))
    return shares


def test_every_kind_that_explains_is_among_these() -> None:
    explaining = {kind for kind, make in KINDS.items() if hasattr(make, "contributions")}
    assert explaining == set(KIND.values())


@pytest.mark.parametrize("name", MAKES)
def test_events_sum_to_the_score(name: str) -> None:
    world = planted()
    every = np.broadcast_to(EVERY, (len(world.histories), ITEMS))
    shares = assert_they_sum(fitted(name), world.histories, every)
    assert (shares != 0).any()


histories = st.lists(
    st.lists(st.tuples(st.integers(0, ITEMS - 1), st.sampled_from([0.3, 1.0, 7.5])), max_size=9),
    max_size=3,
)


@given(st.sampled_from(list(MAKES)), histories, st.lists(st.integers(PAD, ITEMS - 1), max_size=5))
def test_events_of_any_history_sum_to_any_score(
    name: str, events: list[list[tuple[int, float]]], asked: list[int]
) -> None:
    """Also of repeated items, of strangers, of nothing, and of PAD."""
    own = sessions(*([item for item, _ in each] for each in events))
    weights = np.array([weight for each in events for _, weight in each], np.float32)
    items = np.tile(np.array(asked, np.int32), (len(events), 1)).reshape(len(events), len(asked))
    shares = assert_they_sum(fitted(name), replace(own, weights=weights), items)
    assert (shares[:, np.array(asked, int) == PAD] == 0).all()


@pytest.mark.parametrize("name", MAKES)
def test_saved_and_loaded_it_explains_the_same(name: str, tmp_path: Path) -> None:
    fitted(name).save(tmp_path)
    loaded = MAKES[name]().load(tmp_path)
    own, items = sessions([3, 4, 3], [12]), np.array([[5, 6], [13, PAD]], np.int32)
    shares = loaded.contributions(own, items)
    np.testing.assert_array_equal(shares, fitted(name).contributions(own, items))


def test_events_fade_as_the_factors_do() -> None:
    log = log_of(*[[0, 1, 2], [1, 2, 3], [2, 3, 0]] * 4, items=4, clock="time")
    als = Als(factors=2, iterations=3, half_life=2.0, device="cpu").fit(log, planted().catalog)
    own = replace(
        sessions([0, 1]),
        times=np.array([0, 9 * DAY]),
        now=np.array([10 * DAY]),
    )
    old, new = assert_they_sum(als, own, np.array([[2]], np.int32))[:, 0]
    assert 0 < old < new


def test_older_events_weigh_less_and_those_too_old_nothing() -> None:
    covisit = CoVisit(window=1, backward=0, decay=0.5, last=2, source_damping=0, target_damping=0)
    covisit.fit(log_of([0, 1], items=2), planted().catalog)
    shares = covisit.contributions(sessions([0, 0, 0]), np.array([[1]], np.int32))
    assert shares.tolist() == [[0], [0.5], [1]]


def test_an_item_that_came_twice_counts_once() -> None:
    own = sessions([7, 8, 7], [7], [])
    assert contributions.once_each(own).tolist() == [0.5, 1, 0.5, 1]
    weights = np.array([3, 1, 1, 2], np.float32)
    assert contributions.of_their_item(own, weights).tolist() == [0.75, 1, 0.25, 1]
