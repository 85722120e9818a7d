"""Features of dislikes: customers are counted, not what they repeat."""

from dataclasses import replace

import numpy as np

from recsys.features.dislikes import Dislikes
from recsys.features.interactions import Interactions
from recsys.ranking.dislike_features import Refused
from tests.worlds import log_of


def disliked(log: Interactions, *said: tuple[int, int]) -> Interactions:
    users, items = (np.array(each, np.int32) for each in zip(*said, strict=True))
    times = np.arange(len(said), dtype=np.int64)
    return replace(log, dislikes=Dislikes.of(users, items, times, len(log.users)))


def test_a_customer_counts_once_among_those_who_had_an_item() -> None:
    """As a reload of the page says no more of the item than the first look."""
    once = disliked(log_of([0, 1], [0], [1], items=2), (2, 0))
    often = disliked(log_of([0] * 1000 + [1], [0], [1, 1], items=2), (2, 0), (2, 0))
    np.testing.assert_array_equal(Refused.of(once).table, Refused.of(often).table)  # type: ignore[union-attr]


def test_of_how_many_customers_and_of_which_share() -> None:
    """Item 0 has 1 no of 3 answers, item 1 none of 2; the usual share is (1 + 1) / (5 + 2)."""
    found = Refused.of(disliked(log_of([0, 1], [0], [1], items=2), (2, 0)))
    assert found is not None
    usual = 2 / 7
    shares = [(1 + 20 * usual) / (3 + 20), 20 * usual / (2 + 20)]
    np.testing.assert_allclose(found.table[:2, 0], [np.log(2), 0], rtol=1e-6)
    np.testing.assert_allclose(found.table[:2, 1], np.log(np.array(shares) / usual), rtol=1e-4)
    assert found.table[2].tolist() == [0, 0]
    assert Refused.of(log_of([0], items=1)) is None
