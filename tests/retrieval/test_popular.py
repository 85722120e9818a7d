"""Popular: weighted counts whose worth halves with time."""

import numpy as np
import pytest

from recsys.features.arrays import PAD
from recsys.features.catalog import Catalog
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.popular import Popular
from recsys.retrieval.retriever import links_items
from tests.retrieval.contract import RetrieverContract
from tests.worlds import DAY, leaving_out, log_of, sessions


class TestPopular(RetrieverContract):
    make = staticmethod(Popular)
    recall_floor = 0.03
    answers_nobody = True


def fitted(log: Interactions, half_life: float = 10) -> Popular:
    return Popular(half_life=half_life).fit(log, Catalog.empty(log.items))


def scores_of(popular: Popular, items: int) -> list[float]:
    return popular.score(sessions([]), np.arange(items, dtype=np.int32)[None]).tolist()[0]


def test_an_event_is_worth_half_after_the_half_life() -> None:
    log = log_of(
        [0, 0, 1, 2],
        items=4,
        times=[0, 10 * DAY, 20 * DAY, 20 * DAY],
        weights=[1, 1, 0.5, 2],
        clock="time",
    )
    popular = fitted(log)
    assert scores_of(popular, 4) == pytest.approx([0.25 + 0.5, 0.5, 2, 0])
    found = popular.retrieve(sessions([]), 4, Allowed.everything(1, 4))
    assert found.items.tolist() == [[2, 0, 1, 3]]


@pytest.mark.parametrize("clock", ["order", "none"])
def test_without_a_clock_events_are_counted(clock: str) -> None:
    log = log_of(
        [0, 0, 1], [0, 2], items=3, times=[0, 10 * DAY, 20 * DAY, 0, 0], clock=clock,
        weights=[1, 2, 1, 1, 1.5],
    )  # fmt: skip
    assert scores_of(fitted(log), 3) == [4, 1, 1.5]


def test_equally_popular_items_come_in_the_order_of_their_rows() -> None:
    log = log_of([3, 1, 2, 2], items=5)
    found = fitted(log).retrieve(sessions([], []), 9, leaving_out([], [2], items=5))
    assert found.items.tolist() == [
        [2, 1, 3, 0, 4, *[PAD] * 4],
        [1, 3, 0, 4, *[PAD] * 5],
    ]


def test_a_log_without_events_offers_all_alike() -> None:
    for clock in ("time", "order"):
        popular = fitted(log_of([], items=3, clock=clock))
        found = popular.retrieve(sessions([]), 2, Allowed.everything(1, 3))
        assert found.items.tolist() == [[0, 1]]
        assert found.scores[:, :, 0].tolist() == [[0, 0]]


def test_it_links_no_items() -> None:
    assert not links_items(Popular())
