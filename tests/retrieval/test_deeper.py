"""Candidates from beyond the depths, by hand."""

import numpy as np

from recsys.features.arrays import PAD, Rows
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.deeper import with_tier


def offered(lists: list[list[int]]) -> Candidates:
    items: Rows = np.array(lists, np.int32)
    scores = np.where(items == PAD, -np.inf, -items).astype(np.float32)
    return Candidates.of_one(np.arange(len(items), dtype=np.int32), items, scores, "a")


def test_new_items_stand_behind_in_their_order() -> None:
    first = offered([[1, 2, PAD], [3, 4, 5]])
    both, left = with_tier(first, np.array([0]), offered([[2, 9, 1, 7]]), 2)
    assert both.items.tolist() == [[1, 2, 9, 7], [3, 4, 5, PAD]]
    assert both.tiers is not None
    assert both.tiers[both.filled].tolist() == [0, 0, 1, 1, 0, 0, 0]
    assert both.ranks[0, :, 0].tolist() == [0, 1, 1, 3]
    assert left.tolist() == [False]
    more, left = with_tier(both, np.array([0, 1]), offered([[6, 8], [5, PAD]]), 1)
    assert more.items.tolist() == [[1, 2, 9, 7, 6], [3, 4, 5, PAD, PAD]]
    assert more.tiers is not None
    assert more.tiers[0].tolist() == [0, 0, 1, 1, 2]
    assert left.tolist() == [True, False]


def test_scores_order_within_a_tier() -> None:
    both, _ = with_tier(offered([[1, 2, PAD]]), np.array([0]), offered([[3, 4]]), 9)
    places = both.best_first(np.array([[0, 1, 5, 9]], np.float32))
    assert both.at(places).items.tolist() == [[2, 1, 4, 3]]
    assert both.led_by("a").items.tolist() == [[1, 2, 3, 4]]


def test_nothing_new() -> None:
    first = offered([[1, 2]])
    both, left = with_tier(first, np.array([0]), offered([[2, 1, PAD]]), 9)
    assert both.items.tolist() == [[1, 2]]
    assert left.tolist() == [False]
