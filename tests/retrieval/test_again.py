"""Again: what a history holds, by how likely it is to be chosen again now."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import lognorm

from recsys.features.arrays import PAD
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.again import Again
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.retriever import Retriever, links_items
from tests.retrieval.contract import K, RetrieverContract, everything
from tests.worlds import DAY, ITEMS, World, leaving_out, log_of, sessions


class TestAgain(RetrieverContract):
    """It has nothing to say of what a history does not hold: its lists are short."""

    make = staticmethod(Again)
    recall_floor = 0.0
    offers_all = False

    def test_it_offers_what_the_history_holds_and_nothing_else(
        self, fitted: Retriever, world: World
    ) -> None:
        found = fitted.retrieve(world.histories, ITEMS, everything(world.histories))
        for query, items in enumerate(found.items):
            start, stop = world.histories.offsets[query : query + 2]
            assert set(items.tolist()) - {PAD} <= set(world.histories.items[start:stop].tolist())


def fitted(log: Interactions, **settings: object) -> Again:
    return Again(**settings).fit(log, Catalog.empty(log.items))  # type: ignore[arg-type]


def every_ten_days() -> Interactions:
    """Item 0 is had every 10 days, item 1 every 40, item 2 once, item 3 by nobody."""
    times = [0, 10, 20, 30, 40, 0, 40, 80, 5]
    return log_of(
        [0, 0, 0, 0, 0], [1, 1, 1], [2], items=4, times=[day * DAY for day in times], clock="time"
    )


def at(day: float, *items: int) -> Histories:
    """One history that had all of these items on day 0, asked on another day."""
    return replace(sessions(items), now=np.array([int(day * DAY)]))


def test_the_score_is_the_hazard_by_hand() -> None:
    again = fitted(every_ten_days(), prior=1e-9)
    again._spread = 0.5
    # item 0 was had 5 times and 4 times again, ten days apart
    of_interval = lognorm(0.5, scale=10)
    expected = 0.8 * of_interval.pdf(7) / (1 - 0.8 * of_interval.cdf(7))
    scores = again.score(at(7, 0, 1), np.array([[0, 3, PAD]], np.int32))
    np.testing.assert_allclose(scores, [[expected, 0, 0]], rtol=1e-5)


def test_the_item_whose_interval_has_passed_comes_first() -> None:
    again = fitted(every_ten_days(), prior=0.1)
    allowed = Allowed.everything(1, 4)
    assert again.retrieve(at(10, 0, 1), 3, allowed).items.tolist() == [[0, 1, PAD]]
    assert again.retrieve(at(60, 1, 0), 3, allowed).items[0, 0] == 1


def test_items_of_few_intervals_lean_on_all_others() -> None:
    again = fitted(every_ten_days(), prior=5)
    quick, slow, once, nobody = again._chances.tolist()
    assert quick > once > nobody == 0
    assert np.log(10) < again._centres[0] < again._centres[2] < again._centres[1] < np.log(40)
    assert quick > slow > once


def test_without_a_clock_intervals_are_counted_in_events() -> None:
    log = log_of([0, 1, 0, 2, 0, 3, 0], [4, 5, 6, 7, 4, 6, 7, 5], items=8)
    again = fitted(log, prior=0.1)
    assert again._centres[0] == pytest.approx(np.log(2), abs=0.15)
    scores = again.score(sessions([0, 5], [0, 5, 6, 1, 2]), np.array([[0], [0]], np.int32))
    assert scores[0, 0] > scores[1, 0] > 0


def test_what_the_policy_hides_is_not_offered() -> None:
    again = fitted(every_ten_days())
    found = again.retrieve(at(10, 0, 1), 3, leaving_out([0], items=4))
    assert found.items.tolist() == [[1, PAD, PAD]]


def test_only_the_events_that_are_named_count() -> None:
    log = every_ten_days()
    codes = np.array([0, 1, 0, 1, 0, 1, 1, 1, 1], np.uint8)
    log = replace(log, events=("view", "purchase"), event_codes=codes)
    again = fitted(log, events=("purchase",), prior=1e-9)
    assert again._centres[0] == pytest.approx(np.log(20))  # bought on day 10 and 30
    viewed = at(10, 0)
    assert not again.retrieve(viewed, 2, Allowed.everything(1, 4)).filled.any()
    with pytest.raises(DataError, match=r"counts events \['order'\]; the log has \['view'"):
        fitted(log, events=("order",))


def test_a_log_in_which_nobody_had_an_item_twice() -> None:
    with pytest.raises(DataError, match="needs items that somebody had twice"):
        fitted(log_of([0, 1], [0], items=2))


def test_twice_at_one_moment_is_one_occasion() -> None:
    with pytest.raises(DataError, match="somebody had twice"):
        fitted(log_of([0, 0], items=1, times=[5, 5], clock="time"))


def test_a_prior_out_of_range() -> None:
    with pytest.raises(SettingsError, match="prior must be above 0 observations; got 0"):
        Again(prior=0)


def test_it_links_no_items_and_fills_no_list() -> None:
    assert not links_items(Again())
    found = fitted(every_ten_days()).retrieve(at(1, 0), K, Allowed.everything(1, 4))
    assert found.filled.sum() == 1
