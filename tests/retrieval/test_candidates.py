"""Candidates: rows of lists, chosen by query or by place."""

import numpy as np
import pytest

from recsys.features.arrays import PAD
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.union import union
from tests.worlds import offered


@pytest.fixture
def lists() -> Candidates:
    return offered([[4, 2, 7], [1, PAD, PAD], [PAD, PAD, PAD]])


def test_the_lists_of_one_source(lists: Candidates) -> None:
    assert len(lists) == 3
    assert lists.sources == ("one",)
    assert lists.ranks[:, :, 0].tolist() == [[0, 1, 2], [0, PAD, PAD], [PAD, PAD, PAD]]
    assert lists.scores.shape == (3, 3, 1)
    assert lists.filled.sum(axis=1).tolist() == [3, 1, 0]


def test_some_of_the_queries(lists: Candidates) -> None:
    taken = lists.take(np.array([2, 0, 0]))
    assert taken.items.tolist() == [[PAD, PAD, PAD], [4, 2, 7], [4, 2, 7]]
    assert taken.ranks[:, :, 0].tolist() == [[PAD, PAD, PAD], [0, 1, 2], [0, 1, 2]]
    assert len(taken.users) == 3


def test_the_candidates_at_given_places_keep_what_was_thought_of_them(lists: Candidates) -> None:
    chosen = lists.at(np.array([[2, 0], [0, 1], [1, 2]]))
    assert chosen.items.tolist() == [[7, 4], [1, PAD], [PAD, PAD]]
    assert chosen.ranks[:, :, 0].tolist() == [[2, 0], [0, PAD], [PAD, PAD]]
    np.testing.assert_allclose(
        chosen.scores[:, :, 0], [[0.8, 1], [1, -np.inf], [-np.inf, -np.inf]], rtol=1e-6
    )


def test_what_one_source_offers_comes_first() -> None:
    merged = union([offered([[4, 2, 7], [1, PAD, PAD]]), offered([[7, 9], [3, 2]], "two")])
    assert merged.items.tolist() == [[7, 4, 2, 9], [1, 3, 2, PAD]]
    assert merged.led_by("one").items.tolist() == [[4, 2, 7, 9], [1, 3, 2, PAD]]
    led = merged.led_by("two")
    assert led.items.tolist() == [[7, 9, 4, 2], [3, 2, 1, PAD]]
    assert led.ranks[0].tolist() == [[2, 0], [PAD, 1], [0, PAD], [1, PAD]]


def test_the_first_of_each_list(lists: Candidates) -> None:
    assert lists.top(2).items.tolist() == [[4, 2], [1, PAD], [PAD, PAD]]
    assert lists.top(9).items.tolist() == lists.items.tolist()
    assert lists.top(0).items.shape == (3, 0)
