"""Hours and weekdays: what a clock tells of items, and what a clock of days must not."""

from dataclasses import replace
from math import log

import numpy as np
import pytest

from recsys.features.arrays import PAD
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.ranking.day_features import DayTimes, Told, of_day
from tests.worlds import DAY, log_of

HOUR = DAY // 24


def log_at(*times: int) -> Interactions:
    """One user, who had item 0 first and item 1 from then on."""
    sequence = [0, *[1] * (len(times) - 1)]
    return log_of(sequence, items=3, times=list(times), clock="time")


def columns_of(times: DayTimes, histories: Histories, items: list[int]) -> dict[str, list[float]]:
    families, write = of_day(times, histories, np.array([items], np.int32))
    assert set(families.values()) <= {"time of day"}
    columns = np.full((1, len(items), len(families)), 9, np.float32)
    write(columns)
    return {name: columns[0, :, place].tolist() for place, name in enumerate(families)}


def test_items_are_told_by_the_part_of_the_day_of_the_newest_event() -> None:
    log_ = log_at(1 * HOUR, 9 * HOUR, 20 * HOUR)
    nobody = np.array([0], np.int32)
    times = DayTimes.of(log_, Told(hours=True))
    columns = columns_of(times, Histories.of(log_, nobody, 30 * HOUR), [0, 1, 2, PAD])
    assert list(columns) == ["suits part of day"]
    # the user's two events with item 1 count as one: half of it lies in the evening
    share = 1.5 / 6  # of the evening in the log, an event more in each part
    expected = [log(20 / 21), log((0.5 + 20 * share) / 21 / share), 0, 0]
    assert columns["suits part of day"] == pytest.approx(expected, abs=1e-6)


def test_weekdays_are_told_where_all_of_them_occur() -> None:
    log_ = log_at(*(day * DAY for day in range(7)))
    one = np.array([0], np.int32)
    columns = columns_of(DayTimes.of(log_, Told(weekdays=True)), Histories.of(log_, one), [0, 1])
    assert list(columns) == ["suits weekday"]
    share = (1 / 6 + 1) / 9
    expected = [log(20 / 21), log((1 / 6 + 20 * share) / 21 / share)]
    assert columns["suits weekday"] == pytest.approx(expected)


@pytest.mark.parametrize(
    "log_",
    [
        log_at(0, 30 * DAY, 61 * DAY),  # months
        log_at(22 * HOUR, DAY + 23 * HOUR, 2 * DAY + 23 * HOUR),  # dates of a zone with summer time
        log_of([0, 1, 2], items=3, clock="order"),
        log_of([], items=3, clock="time"),
    ],
)
def test_a_log_without_hours_does_not_pretend(log_: Interactions) -> None:
    assert Told.of(log_) == Told()
    assert DayTimes.of(log_, Told()) == DayTimes(None, None)


def test_of_events_at_no_time_that_is_told_nothing_is_said() -> None:
    log_ = log_at(1 * HOUR, 9 * HOUR, 20 * HOUR)
    histories = replace(Histories.of(log_, np.array([0], np.int32)), timed=False)
    for each in (histories, histories.take(np.array([0]))):
        columns = columns_of(DayTimes.of(log_, Told(hours=True)), each, [0, 1])
        assert columns == {"suits part of day": [0, 0]}


def test_a_log_tells_its_hours_and_its_weekdays() -> None:
    assert Told.of(log_at(1 * HOUR, 9 * HOUR, 20 * HOUR)) == Told(hours=True)
    assert Told.of(log_at(*(day * DAY for day in range(7)))) == Told(weekdays=True)


def test_a_past_has_the_columns_of_the_whole() -> None:
    """Even one that has none of the hours and days, and says nothing by them."""
    whole = log_at(*(day * (DAY + HOUR) for day in range(7)))
    past = whole.where(whole.times < 0)
    columns = columns_of(
        DayTimes.of(past, Told.of(whole)), Histories.of(past, np.array([0], np.int32)), [0, 1]
    )
    assert list(columns) == ["suits part of day", "suits weekday"]
    assert np.array(list(columns.values())) == pytest.approx(0)
