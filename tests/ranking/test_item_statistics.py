"""ItemStatistics: counts, trends, rates and ages by hand, at the end of a log and before it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import exp, log
from time import sleep

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD, Rows
from recsys.features.interactions import Clock, Interactions
from recsys.ranking.item_statistics import ItemStatistics
from recsys.ranking.past import Past
from recsys.ranking.timeline import Events, Timeline
from tests.worlds import DAY, log_of


def of_items(log_: Interactions) -> ItemStatistics:
    return ItemStatistics.of(Past.of_all(log_))


def of_groups(log_: Interactions, groups: Rows) -> ItemStatistics:
    return ItemStatistics.of_groups(Past.of_all(log_), groups)


def columns_of(statistics: ItemStatistics, moment: int | None = None) -> dict[str, list[float]]:
    """Of every item, at the end of the log unless a moment is given."""
    log_ = statistics.whole.log
    end = int(log_.times.max(initial=0)) if moment is None else moment
    columns = np.full((1, len(log_.items), len(statistics.names)), 9, np.float32)
    statistics.write(np.arange(len(log_.items), dtype=np.int32)[None], np.array([end]), columns)
    return {name: columns[0, :, place].tolist() for place, name in enumerate(statistics.names)}


def bought(log_: Interactions, *places: int) -> Interactions:
    """The same log; the events at these places are purchases, the others views."""
    codes = np.isin(np.arange(len(log_)), places).astype(np.uint8)
    return replace(log_, event_codes=codes, events=("view", "purchase"))


def test_without_a_clock_events_count_by_steps_from_each_users_newest() -> None:
    columns = columns_of(of_items(log_of([0, 1], [1], items=3)))
    assert list(columns)[:4] == ["popularity", *(f"popularity of {n} steps" for n in (1, 5, 20))]
    assert columns["popularity"] == pytest.approx([log(2), log(3), 0])
    assert columns["popularity of 1 steps"] == pytest.approx([log(1 + exp(-1)), log(3), 0])
    share = (2 + exp(-1)) / (2 + exp(-1 / 5))  # of the log: what lies in the shorter span
    expected = log((exp(-1) + 1) / (exp(-1 / 5) * share + 1))
    assert columns["trend, 1 steps to 5 steps"][0] == pytest.approx(expected, rel=1e-5)
    share = (2 + exp(-1 / 20)) / 3
    expected = log((2 + 1) / (2 * share + 1))
    assert columns["trend, 20 steps to ever"][1] == pytest.approx(expected, rel=1e-5)


def test_without_an_order_nothing_is_late() -> None:
    assert list(columns_of(of_items(log_of([0, 1], items=2, clock="none")))) == ["popularity"]


def test_with_a_clock_events_count_by_days() -> None:
    times = [0, 20 * DAY, 30 * DAY]
    log_ = log_of([0], [0], [1], items=3, times=times, clock="time")
    columns = columns_of(of_items(log_))
    assert columns["popularity"] == pytest.approx([log(3), log(2), 0])
    weeks = exp(-30 / 7) + exp(-10 / 7)
    assert columns["popularity of 7 days"] == pytest.approx([log(1 + weeks), log(2), 0])
    assert columns["age"] == pytest.approx([log(31), 0, 0])
    assert columns["days since last event"] == pytest.approx([log(11), 0, log(31)])


def test_as_of_a_moment_nothing_later_is_known() -> None:
    times = [0, 20 * DAY, 30 * DAY]
    log_ = log_of([0], [0], [1], items=3, times=times, clock="time")
    columns = columns_of(of_items(log_), moment=20 * DAY)
    assert columns["popularity"] == pytest.approx([log(3), 0, 0])
    assert columns["popularity of 7 days"] == pytest.approx([log(2 + exp(-20 / 7)), 0, 0])
    assert columns["age"] == pytest.approx([log(21), 0, 0])
    assert columns["days since last event"] == pytest.approx([0, log(21), log(21)])


def test_a_thousand_reloads_count_as_one_event_and_as_of_any_moment() -> None:
    times = [*range(1_000), 0, 20 * DAY]
    one = of_items(log_of([0] * 1_000, [0], [1], items=2, times=times, clock="time"))
    two = of_items(log_of([0], [0], [1], items=2, times=[999, 0, 20 * DAY], clock="time"))
    for moment in (None, DAY):
        columns, expected = columns_of(one, moment), columns_of(two, moment)
        for name in expected:
            assert columns[name] == pytest.approx(expected[name], abs=1e-5), name


def test_rates_are_drawn_towards_those_of_the_log() -> None:
    log_ = bought(log_of([0, 0, 1], [1], items=3), 1)
    columns = columns_of(of_items(log_))
    share = (1 + 1) / (4 + 2)  # of purchases, one event more of each kind
    expected = [log((1 + 20 * share) / 22 / share), log(20 / 22), 0]
    assert columns["rate of purchase"] == pytest.approx(expected, abs=1e-6)


def test_groups_count_what_happened_to_their_items() -> None:
    log_ = log_of([0, 1, 2, 2], items=4)
    groups = np.array([1, 1, PAD, 0], np.int32)
    columns = columns_of(of_groups(bought(log_, 1), groups))
    assert list(columns) == [
        "popularity of 5 steps",
        "trend, 5 steps to 20 steps",
        "rate of purchase",
    ]
    lately = exp(-3 / 5) + exp(-2 / 5)
    expected = log(1 + lately)
    assert columns["popularity of 5 steps"][:3] == pytest.approx([expected, expected, 0])
    steps = [3, 2, 0]  # of the whole log, with the item in no group, by its newest event
    share = sum(exp(-n / 5) for n in steps) / sum(exp(-n / 20) for n in steps)
    expected = log((lately + 1) / ((exp(-3 / 20) + exp(-2 / 20)) * share + 1))
    assert columns["trend, 5 steps to 20 steps"][0] == pytest.approx(expected, rel=1e-5)


def some_log(seed: int) -> Interactions:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    times = np.sort(rng.integers(0, 60 * DAY, n)).tolist()
    log_ = log_of(rng.integers(0, 4, n).tolist(), items=6, times=times, clock="time")
    return bought(log_, *np.flatnonzero(rng.random(n) < 0.3))


@given(st.integers(0, 2**32), st.booleans())
def test_a_moment_is_the_end_of_the_log_up_to_it(seed: int, grouped: bool) -> None:
    """What is asked as of a moment is what a log says that ends there."""
    log_ = some_log(seed)
    place = seed % len(log_)
    before = log_.where(log_.times <= log_.times[place])
    groups = np.array([0, 1, 0, 1, PAD, 0], np.int32)
    of = (lambda some: of_groups(some, groups)) if grouped else of_items
    then, at_end = columns_of(of(log_), int(log_.times[place])), columns_of(of(before))
    for name, values in at_end.items():
        assert then[name] == pytest.approx(values, rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize("moments", [[99 * DAY, 99 * DAY], [20 * DAY, 99 * DAY], [0, 20 * DAY]])
def test_the_popularity_alone_is_the_first_column(moments: list[int]) -> None:
    statistics = of_items(some_log(4))
    items = np.array([[0, PAD, 5], [3, 2, 1]], np.int32)
    columns = np.full((2, 3, len(statistics.names)), 9, np.float32)
    statistics.write(items, np.array(moments), columns)
    alone = statistics.popularity(items, np.array(moments))
    np.testing.assert_array_equal(alone, columns[:, :, 0])


def test_what_serves_holds_no_events_but_the_logs() -> None:
    """The events sorted, which past moments are told from, are there once one is asked for."""
    statistics = of_items(some_log(4))
    items = np.zeros((1, 1), np.int32)
    statistics.popularity(items, np.array([99 * DAY]))
    assert "_timeline" not in vars(statistics.past)
    statistics.popularity(items, np.array([0]))
    assert "_timeline" in vars(statistics.past)


def test_events_are_sorted_once_for_all_who_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = [], Timeline.of

    def slowly(events: Events) -> Timeline:
        made.append(events)
        sleep(0.02)
        return make(events)

    monkeypatch.setattr(Timeline, "of", slowly)
    past, none = Past.of_all(some_log(4)), np.zeros((1, 1), np.int32)
    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda _: past.at(none, np.array([0])), range(8)))
    assert len(made) == 1


@pytest.mark.parametrize("clock", ["time", "order", "none"])
def test_an_empty_log_has_finite_statistics(clock: Clock) -> None:
    statistics = of_items(log_of([], items=2, clock=clock))
    for values in columns_of(statistics).values():
        assert values == [0, 0]


def test_after_the_end_it_stays_as_it_was() -> None:
    statistics = of_items(log_of([0, 1, 0], items=2, clock="time"))
    assert columns_of(statistics, moment=99 * DAY) == columns_of(statistics)
