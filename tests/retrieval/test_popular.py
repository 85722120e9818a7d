"""Popular: weighted counts whose worth halves with time."""

from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
import pytest

from recsys.features.arrays import PAD
from recsys.features.catalog import Catalog
from recsys.features.columns import CatalogColumns
from recsys.features.errors import DataError, SettingsError
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


class TestPopularByCategory(RetrieverContract):
    make = staticmethod(partial(Popular, by="category"))
    recall_floor = 0.5
    answers_nobody = True


class TestPopularByWeekday(RetrieverContract):
    make = staticmethod(partial(Popular, by="weekday"))
    recall_floor = 0.03
    answers_nobody = True


def fitted(log: Interactions, half_life: float = 10) -> Popular:
    return Popular(half_life=half_life).fit(log, Catalog.empty(log.items))


def scores_of(popular: Popular, items: int) -> list[float]:
    return popular.score(sessions([]), np.arange(items, dtype=np.int32)[None]).tolist()[0]


def test_an_event_is_worth_half_after_the_half_life() -> None:
    log = log_of(
        [0],
        [0, 1, 2],
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
        [0], [0, 1], [0, 2], items=3, times=[0, 10 * DAY, 20 * DAY, 0, 0], clock=clock,
        weights=[1, 2, 1, 1, 1.5],
    )  # fmt: skip
    assert scores_of(fitted(log), 3) == [4, 1, 1.5]


def test_a_customer_counts_once_by_the_newest_event_of_each_kind() -> None:
    """A thousand reloads weigh like one customer; a view and a purchase are two things."""
    log = log_of(
        [0] * 1_000 + [1], [1], [2, 2], items=3, clock="time",
        times=[*(20 * DAY - n for n in range(1_000, 0, -1)), 20 * DAY, 20 * DAY, 0, 20 * DAY],
    )  # fmt: skip
    assert scores_of(fitted(log), 3) == pytest.approx([1, 2, 1])
    kinds = np.zeros(len(log), np.uint8)
    kinds[-1] = 1
    log = replace(log, event_codes=kinds, events=("view", "purchase"))
    assert scores_of(fitted(log), 3) == pytest.approx([1, 2, 1 / 4 + 1])


def test_in_a_season_a_customer_counts_once() -> None:
    days = [*[7 * n for n in range(10)], 1, 0, 1]  # item 0 ten times on one weekday by one
    log = log_of([0] * 10, [0], [1], [1], items=2, times=[d * DAY for d in days], clock="time")
    popular = Popular(by="weekday", prior=1, half_life=1e6).fit(log, Catalog.empty(log.items))
    # of four customers' items two are of the first weekday, one of each item: nothing is lifted
    histories = replace(sessions([]), now=np.array([0]))
    np.testing.assert_allclose(popular.score(histories, np.array([[0, 1]])), [[2, 2]], rtol=1e-4)


def test_equally_popular_items_come_in_the_order_of_their_rows() -> None:
    log = log_of([3, 1, 2], [2], items=5)
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


def shelved(log: Interactions, *categories: str | None) -> Catalog:
    frame = pl.DataFrame({"shelf": categories}, schema={"shelf": pl.String})
    known = np.ones(len(log.items), bool)
    return Catalog(log.items, frame, CatalogColumns(category="shelf"), {}, known)


def test_by_category_by_hand() -> None:
    log = log_of([0, 1, 2, 3], [0, 1, 2], [0, 2], [0], items=4)
    popular = Popular(by="category", prior=2).fit(log, shelved(log, "a", "a", "b", None))
    # of 10 events 6 are in a, 3 in b, 1 in none; the history has one of b: (1 / .3 + 2) / (1 + 2)
    scores = popular.score(sessions([2], []), np.array([[0, 1, 2, 3]] * 2, np.int32))
    of_b = 3 * (10 / 3 + 2) / 3
    np.testing.assert_allclose(scores, [[4 * 2 / 3, 2 * 2 / 3, of_b, 2 / 3], [4, 2, 3, 1]])
    found = popular.retrieve(sessions([2], []), 4, Allowed.everything(2, 4))
    assert found.items.tolist() == [[2, 0, 1, 3], [0, 2, 1, 3]]


def test_by_category_the_best_of_all_items_are_found() -> None:
    rng = np.random.default_rng(4)
    log = log_of(rng.integers(0, 40, 400).tolist(), items=40)
    popular = Popular(by="category").fit(log, shelved(log, *"abcdefgh" * 5))
    histories = sessions(*(rng.integers(0, 40, length).tolist() for length in range(12)))
    every = np.broadcast_to(np.arange(40, dtype=np.int32), (12, 40))
    found = popular.retrieve(histories, 7, Allowed.everything(12, 40))
    expected = np.argsort(-popular.score(histories, every), axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(found.items, expected)


@pytest.mark.parametrize(("by", "other_day"), [("weekday", 1), ("month", 40)])
def test_by_season_by_hand(by: str, other_day: int) -> None:
    days = [0, 0, 0, other_day]
    log = log_of([0], [1], [1], [0], items=2, times=[day * DAY for day in days], clock="time")
    popular = Popular(by=by, prior=1, half_life=1e6).fit(log, Catalog.empty(log.items))  # type: ignore[arg-type]
    # of 4 events 3 are in the first season: item 0 has 1 of 1.5 expected there, item 1 has 2 of 1.5
    histories = replace(sessions([], []), now=np.array([0, other_day * DAY]))
    scores = popular.score(histories, np.array([[0, 1], [0, 1]], np.int32))
    expected = [[2 * 2 / 2.5, 2 * 3 / 2.5], [2 * 2 / 1.5, 2 * 1 / 1.5]]
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    found = popular.retrieve(histories, 2, Allowed.everything(2, 2))
    assert found.items.tolist() == [[1, 0], [0, 1]]


def test_segments_that_the_data_do_not_know() -> None:
    log = log_of([0, 1], items=2)
    with pytest.raises(DataError, match=r"a category of the catalogue is needed; there are \[\]"):
        Popular(by="category").fit(log, Catalog.empty(log.items))
    with pytest.raises(DataError, match=r"'colour' of the catalogue.*there are \['shelf'\]"):
        Popular(by="category", category="colour").fit(log, shelved(log, "a", "b"))
    with pytest.raises(DataError, match="worth by month needs a log with a clock"):
        Popular(by="month").fit(log, Catalog.empty(log.items))


def test_settings_out_of_range() -> None:
    with pytest.raises(SettingsError, match="half_life must be above 0 days; got 0"):
        Popular(half_life=0)
    with pytest.raises(SettingsError, match="prior must be above 0 events; got 0"):
        Popular(prior=0)
    with pytest.raises(SettingsError, match=r"by must be one of everybody, .*; got 'week'"):
        Popular(by="week")  # type: ignore[arg-type]
