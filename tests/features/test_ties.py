"""Events at one time: no order of rows decides what came first, and what decides is said."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.features.arrays import PAD
from recsys.features.columns import LogColumns
from recsys.features.interactions import Interactions
from recsys.features.reading import read_interactions
from tests.worlds import log_of

ARRAYS = ("user_rows", "item_rows", "event_codes", "times", "weights")


def days(*each: int) -> list[datetime]:
    return [datetime(2024, 1, day, tzinfo=UTC) for day in each]


def read(rows: pl.DataFrame, **columns: str) -> Interactions:
    return read_interactions(rows, LogColumns.parse(columns))[0]


def items_of(log: Interactions) -> str:
    return "".join(log.items.ids_at(log.item_rows))


def assert_equal(one: Interactions, other: Interactions) -> None:
    assert one.users.ids.equals(other.users.ids)
    assert one.items.ids.equals(other.items.ids)
    assert one.events == other.events
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


rows_of_a_log = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from("xyz"),
        st.sampled_from(["view", "cart", "purchase"]),
        st.integers(1, 3),
        st.sampled_from([0.5, 1.0, 2.0]),
        st.sampled_from([None, 1, 2]),
    ),
    min_size=1,
)


@settings(max_examples=25)
@given(rows_of_a_log, st.randoms(use_true_random=False), st.sampled_from(["day", None]))
def test_rows_in_another_order_are_the_same_log(rows, random, time) -> None:
    names = ["user_id", "item_id", "event", "day", "w", "place"]
    columns = {"event": "event", "weight": "w", "position": "place"}
    columns |= {} if time is None else {"time": time}
    mixed = random.sample(rows, len(rows))
    one, other = (
        read(
            pl.DataFrame(each, schema=names, orient="row").with_columns(
                day=pl.Series(days(*(row[3] for row in each))),
                place=pl.Series([row[5] for row in each], dtype=pl.Int64),
            ),
            **columns,
        )
        for each in (rows, mixed)
    )
    assert_equal(one, other)
    np.testing.assert_array_equal(one.positions, other.positions)
    assert_equal(one.redrawn(3), other.redrawn(3))


def test_every_user_has_an_order_of_their_own() -> None:
    users = [f"u{n:04}" for n in range(2_000)]
    rows = pl.DataFrame({"user_id": users * 2, "item_id": ["a"] * 2_000 + ["b"] * 2_000})
    log = read(rows.with_columns(day=pl.Series(days(1)).first()), time="day")
    first = (log.item_rows[::2] == 0).mean()
    assert 0.46 < first < 0.54  # 3.6 standard deviations of 2,000 fair coins
    again = (log.redrawn(1).item_rows[::2] == log.item_rows[::2]).mean()
    assert 0.46 < again < 0.54
    assert log.tied.all()


def test_ids_of_another_type_have_the_same_order() -> None:
    rows = pl.DataFrame({"user_id": [7] * 9, "item_id": range(9)})
    numbers, texts = read(rows), read(rows.cast(pl.String))
    assert numbers.item_rows.tolist() == texts.item_rows.tolist() != list(range(9))


def test_a_column_of_order_beside_a_time_says_what_came_first() -> None:
    rows = pl.DataFrame(
        {
            "user_id": ["u"] * 6,
            "item_id": list("fedcba"),
            "day": days(2, 1, 1, 2, 1, 1),
            "n": [9.5, 1.0, 0.5, 1.5, 3.0, 2.0],
        }
    )
    log = read(rows, time="day", order="n")
    assert items_of(log) == "deabcf"
    assert log.clock == "time"
    assert not log.tied.any()
    assert items_of(log.redrawn(4)) == "deabcf"
    past, last = log.split_last(2)
    assert (items_of(past), items_of(last)) == ("deab", "cf")
    assert past.ranks is not None
    assert len(past.ranks) == 4


def test_rows_that_differ_in_their_order_alone_are_no_duplicates() -> None:
    rows = pl.DataFrame(
        {"user_id": ["u"] * 3, "item_id": ["a"] * 3, "day": days(1, 1, 1), "n": [1, 2, 2]}
    )
    log, rejections = read_interactions(rows, LogColumns(time="day", order="n"))
    assert len(log) == 2
    assert rejections.counts == {"duplicate": 1}


def test_an_order_beside_a_time_that_is_no_number_is_rejected() -> None:
    rows = pl.DataFrame(
        {"user_id": ["u"] * 2, "item_id": ["a", "b"], "day": days(1, 1), "n": ["1", "x"]}
    )
    _, rejections = read_interactions(rows, LogColumns(time="day", order="n"))
    assert rejections.counts == {"order is not a number": 1}


@pytest.mark.parametrize("mixed", [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]])
def test_events_of_one_item_stay_together_and_the_weaker_comes_first(mixed: list[int]) -> None:
    rows = pl.DataFrame(
        {
            "user_id": ["u"] * 5,
            "item_id": ["a", "b", "a", "b", "a"],
            "event": ["view", "purchase", "purchase", "view", "cart"],
            "day": days(1, 1, 1, 1, 1),
        }
    )
    log = read(rows[mixed], time="day", event="event")
    names = [log.events[code] for code in log.event_codes]
    told = list(zip(items_of(log), names, strict=True))
    of_a = [("a", "view"), ("a", "cart"), ("a", "purchase")]
    of_b = [("b", "view"), ("b", "purchase")]
    assert told in ([*of_a, *of_b], [*of_b, *of_a])


def test_what_is_tied_with_another_item_alone() -> None:
    rows = pl.DataFrame(
        {
            "user_id": ["u", "u", "u", "u", "v", "v", "w"],
            "item_id": ["a", "b", "c", "c", "a", "a", "b"],
            "event": ["view", "view", "view", "cart", "view", "cart", "view"],
            "day": days(1, 1, 2, 2, 3, 3, 1),
        }
    )
    log = read(rows, time="day", event="event")
    assert log.tied.tolist() == [True, True, False, False, False, False, False]


def test_what_repeats_an_event_of_the_user_with_the_item() -> None:
    log = log_of([0, 1, 0, 0], [0, 1, 1], items=2)
    assert log.repeats.earlier.tolist() == [PAD, PAD, 0, 2, PAD, PAD, 5]
    third = np.float32(1 / 3)
    assert log.repeats.shares.tolist() == [third, 1, third, third, 1, 0.5, 0.5]
    assert log.repeats.newest.tolist() == [False, True, False, True, True, False, True]
    assert log.item_users.tolist() == [2, 2]
    kinds = replace(log, event_codes=np.array([0, 0, 1, 0, 0, 0, 1], np.uint8), events=("a", "b"))
    assert kinds.repeats.earlier.tolist() == [PAD, PAD, PAD, 0, PAD, PAD, PAD]
    assert kinds.item_users.tolist() == [2, 2]
