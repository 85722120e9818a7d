"""ItemStatistics: counts, trends and ages by hand."""

from math import log
from pathlib import Path

import numpy as np
import pytest

from recsys.features.interactions import Interactions
from recsys.ranking.item_statistics import ItemStatistics
from tests.worlds import DAY, log_of


def columns_of(log: Interactions) -> dict[str, list[float]]:
    return {name: each.tolist() for name, each in ItemStatistics.of(log).columns.items()}


def test_without_a_clock_the_newest_five_of_each_user_are_recent() -> None:
    columns = columns_of(log_of([0, 0, 1, 1, 1, 1, 1], items=3))
    assert set(columns) == {"popularity", "recent popularity", "trend"}
    assert columns["popularity"] == pytest.approx([log(3), log(6), 0])
    assert columns["recent popularity"] == pytest.approx([0, log(6), 0])
    expected = [log(1 / (2 * 5 / 7 + 1)), log(6 / (5 * 5 / 7 + 1)), 0]
    assert columns["trend"] == pytest.approx(expected)


def test_with_a_clock_the_last_two_weeks_are_recent() -> None:
    days = [0, 20, 30]
    log_ = log_of([0, 0], [1], items=3, times=[day * DAY for day in days], clock="time")
    columns = columns_of(log_)
    assert columns["popularity"] == pytest.approx([log(3), log(2), 0])
    assert columns["recent popularity"] == pytest.approx([log(2), log(2), 0])
    assert columns["trend"] == pytest.approx([log(2 / (4 / 3 + 1)), log(2 / (2 / 3 + 1)), 0])
    assert columns["age"] == pytest.approx([log(31), 0, 0])
    assert columns["days since last event"] == pytest.approx([log(11), 0, log(31)])


def test_the_edge_of_two_weeks_is_not_recent() -> None:
    log_ = log_of([0], [1], [2], items=3, times=[16 * DAY, 16 * DAY + 1, 30 * DAY], clock="time")
    recent = columns_of(log_)["recent popularity"]
    assert recent == pytest.approx([0, log(2), log(2)])


@pytest.mark.parametrize("clock", ["time", "order", "none"])
def test_an_empty_log_has_finite_statistics(clock: str) -> None:
    statistics = ItemStatistics.of(log_of([], items=2, clock=clock))
    for values in statistics.columns.values():
        assert values.tolist() == [0, 0]
        assert values.dtype == np.float32


def test_days_are_known_where_there_is_a_clock() -> None:
    times = np.array([0, DAY // 2, 3 * DAY], np.int64)
    with_clock = ItemStatistics.of(log_of([0], items=1, clock="time"))
    assert with_clock.days(times).tolist() == [0, 0.5, 3]
    assert ItemStatistics.of(log_of([0], items=1)).days(times).tolist() == [0, 0, 0]


def test_saved_and_loaded_they_are_the_same(tmp_path: Path) -> None:
    statistics = ItemStatistics.of(log_of([0, 1, 0], items=2, clock="time"))
    statistics.save(tmp_path)
    loaded = ItemStatistics.load(tmp_path)
    assert loaded.has_clock
    assert list(loaded.columns) == list(statistics.columns)
    for name, values in statistics.columns.items():
        np.testing.assert_array_equal(loaded.columns[name], values)
