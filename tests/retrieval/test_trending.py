"""Trending: recent counts against those that the long run lets expect."""

from functools import partial

import numpy as np
import pytest

from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.trending import Trending
from tests.retrieval.contract import RetrieverContract
from tests.worlds import DAY, log_of, sessions


class TestTrending(RetrieverContract):
    make = staticmethod(Trending)
    recall_floor = 0.03
    answers_nobody = True


class TestTrendingByCategory(RetrieverContract):
    make = staticmethod(partial(Trending, by="category"))
    recall_floor = 0.2
    answers_nobody = True


def test_by_hand() -> None:
    log = log_of(*[[0]] * 4, *[[1]] * 4, items=3, clock="time", times=[0] * 4 + [10 * DAY] * 4)
    trending = Trending(recent=5, long_run=10, smoothing=2).fit(log, Catalog.empty(log.items))
    # recent: 1 and 4 events; in the long run 2 and 4, which is 5/3 and 10/3 of 5
    expected = (4 - 10 / 3) / np.sqrt(10 / 3 + 2)
    scores = trending.score(sessions([]), np.array([[0, 1, 2]], np.int32))
    np.testing.assert_allclose(scores, [[0, expected, 0]], rtol=1e-6)
    found = trending.retrieve(sessions([]), 3, Allowed.everything(1, 3))
    assert found.items.tolist() == [[1, -1, -1]]  # what falls is not trending


def test_a_log_without_a_clock() -> None:
    with pytest.raises(DataError, match="'trending' needs a log with a clock"):
        Trending().fit(log_of([0], items=1), Catalog.empty(log_of([0], items=1).items))


@pytest.mark.parametrize("name", ["recent", "smoothing"])
def test_settings_out_of_range(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be above 0; got 0"):
        Trending(**{name: 0})  # type: ignore[arg-type]


def test_the_long_run_is_longer() -> None:
    with pytest.raises(SettingsError, match="long_run must be more days than recent; got 3 and 7"):
        Trending(long_run=3)
