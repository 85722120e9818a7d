import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.columns import EventType, LogColumns
from recsys.features.errors import DataError, SettingsError
from recsys.features.interactions import Interactions
from recsys.features.reading import read_interactions
from recsys.features.vocabulary import Vocabulary

DAY = 86_400 * 10**6


def log_of(user, item, **more):
    return pl.DataFrame({"user_id": user, "item_id": item, **more})


def told(log):
    """The events of a log as (user, item, event, time)."""
    users = log.users.ids_at(log.user_rows)
    items = log.items.ids_at(log.item_rows)
    names = [log.events[code] for code in log.event_codes]
    return list(zip(users, items, names, log.times.tolist(), strict=True))


def test_events_are_sorted_by_user_and_time():
    rows = log_of(
        ["b", "a", "b", "a"], ["x", "y", "z", "x"], day=[date(3), date(2), date(1), date(4)]
    )
    log, _ = read_interactions(rows, LogColumns(time="day"))
    assert [(user, item) for user, item, *_ in told(log)] == [
        ("a", "y"),
        ("a", "x"),
        ("b", "z"),
        ("b", "x"),
    ]
    assert log.clock == "time"
    assert log.offsets.tolist() == [0, 2, 4]


def date(day):
    return datetime(2020, 1, day, tzinfo=UTC)


SEEN = log_of(
    ["a", "a", "a", "b", "b", "c"],
    ["x", "y", "x", "x", "z", "q"],
    event=["impression", "impression", "click", "impression", "buy", "impression"],
    place=[1, 2, 1, None, None, 2],
    hour=[datetime(2020, 1, 1, hour, 30, tzinfo=UTC) for hour in (1, 1, 2, 2, 3, 3)],
)
SEEN_COLUMNS = LogColumns(event="event", position="place", time="hour")


def test_impressions_are_counted_by_their_place_and_are_no_events():
    log, rejections = read_interactions(SEEN, SEEN_COLUMNS)
    assert [each[:3] for each in told(log)] == [("a", "x", "click"), ("b", "z", "buy")]
    assert log.events == ("click", "buy")
    assert log.users.ids.to_list() == ["a", "b"]
    assert log.items.ids.to_list() == ["x", "z"]
    assert log.positions.tolist() == [1, 0]
    assert log.shown.totals().tolist() == [0, 1, 2]
    assert (rejections.kept, len(rejections.rows)) == (6, 0)
    assert "4 impressions are no events; 3 of them have a position" in rejections.notes


def test_the_past_of_a_log_has_the_impressions_of_its_hours():
    log, _ = read_interactions(SEEN, SEEN_COLUMNS)
    cut = int(datetime(2020, 1, 1, 3, tzinfo=UTC).timestamp() * 1e6)
    past, rest = log.split_at(cut)
    assert (past.shown.totals().tolist(), rest.shown.totals().tolist()) == ([0, 1, 1], [0, 0, 1])
    assert (past.positions.tolist(), rest.positions.tolist()) == ([1], [0])
    assert len(log.split_at(cut - 1)[0].shown) == 2, "an hour that a cutoff cuts is not the past"


def test_events_of_a_part_of_the_log_have_no_later_impressions():
    """An hour that was not over yet is not known either."""
    kinds = ["click", "impression", "impression", "impression", "buy"]
    hours = [(2, 30), (1, 10), (2, 50), (3, 5), (3, 30)]
    rows = log_of(["a", "a", "b", "b", "b"], ["x"] * 5, event=kinds, place=[1, 1, 2, 3, None],
                  hour=[datetime(2020, 1, 1, *each, tzinfo=UTC) for each in hours])  # fmt: skip
    log, _ = read_interactions(rows, SEEN_COLUMNS)
    assert log.where(log.times == log.times.min()).shown.totals().tolist() == [0, 1]
    assert log.where(log.times == log.times.max()).shown is log.shown
    assert len(log.where(np.zeros(2, bool)).shown) == 0


def test_positions_and_impressions_are_saved(tmp_path):
    log, _ = read_interactions(SEEN, SEEN_COLUMNS)
    log.save(tmp_path)
    again = Interactions.load(tmp_path)
    assert again.positions.tolist() == log.positions.tolist()
    assert again.shown.totals().tolist() == log.shown.totals().tolist()
    plain, _ = read_interactions(SEEN, LogColumns(event="event"))
    assert (plain.positions, plain.shown) == (None, None)
    plain.save(tmp_path / "plain")
    assert Interactions.load(tmp_path / "plain").shown is None


def test_an_event_of_any_name_can_be_an_impression():
    kinds = {"buy": EventType(), "seen": EventType(impression=True), "click": EventType(weight=0.1)}
    rows = SEEN.with_columns(pl.col("event").replace("impression", "seen"))
    log, _ = read_interactions(rows, SEEN_COLUMNS, events=kinds)
    assert log.events == ("buy", "click")
    assert [name for *_, name, _ in told(log)] == ["click", "buy"]


def test_a_log_of_impressions_alone_is_an_error_that_says_so():
    rows = SEEN.filter(pl.col("event") == "impression")
    with pytest.raises(DataError, match="4 read, 4 of them impressions, rejected: none"):
        read_interactions(rows, SEEN_COLUMNS)


@pytest.mark.parametrize("own", [{"weight": 0.5}, {"offer_again": True}])
def test_what_is_only_shown_has_no_weight(own):
    with pytest.raises(SettingsError, match="an impression is no interaction: it has no weight"):
        EventType.parse({"impression": True, **own}, "events.seen")


@pytest.mark.parametrize("place", [0, -1, 1.5, 70_000, "top"])
def test_a_position_that_is_no_place_is_a_reason(place):
    rows = log_of(["a", "a"], ["x", "y"], place=[place, None])
    log, rejections = read_interactions(rows, LogColumns(position="place"))
    assert rejections.counts == {"position is no whole number from 1": 1}
    assert log.positions.tolist() == [0]


@pytest.mark.parametrize("missing", [None, math.nan, "", "NaN"])
def test_a_position_that_is_missing_is_unknown(missing):
    text = isinstance(missing, str)
    rows = log_of(["a", "a"], ["x", "y"], place=["3" if text else 3.0, missing])
    log, rejections = read_interactions(rows, LogColumns(position="place", ties="file"))
    assert rejections.counts == {}
    assert log.positions.tolist() == [3, 0]


def test_events_at_one_time_stay_as_they_came_where_the_file_is_trusted():
    rows = log_of(["a"] * 5, ["e", "d", "c", "b", "a"], n=[2, 1, 1, 2, 1])
    log, _ = read_interactions(rows, LogColumns(order="n", ties="file"))
    assert [item for _, item, *_ in told(log)] == ["d", "c", "a", "e", "b"]
    assert log.times.tolist() == [1, 1, 1, 2, 2]
    assert log.clock == "order"
    assert not log.tied.any()


def test_without_a_clock_rows_keep_their_order_where_the_file_is_trusted():
    rows = log_of([2, 1, 2, 1], [9, 8, 7, 6])
    log, rejections = read_interactions(rows, LogColumns(ties="file"))
    assert told(log) == [
        (1, 8, "interaction", 0),
        (1, 6, "interaction", 0),
        (2, 9, "interaction", 0),
        (2, 7, "interaction", 0),
    ]
    assert log.clock == "none"
    assert rejections.notes == ()


def test_an_order_of_fractions_becomes_ranks():
    log, _ = read_interactions(
        log_of(["a"] * 3, [1, 2, 3], n=[0.5, 0.1, 0.5]), LogColumns(order="n", ties="file")
    )
    assert told(log) == [
        ("a", 2, "interaction", 1),
        ("a", 1, "interaction", 2),
        ("a", 3, "interaction", 2),
    ]


def test_an_order_that_is_no_number_is_rejected():
    rows = log_of(["a"] * 3, [1, 2, 3], n=[1.0, None, math.nan])
    _, rejections = read_interactions(rows, LogColumns(order="n"))
    assert rejections.counts == {"order is not a number": 2}


def test_a_weight_is_that_of_the_event_times_the_weight_times_the_damped_quantity():
    rows = log_of(
        ["a", "b", "c"], ["x"] * 3, e=["view", "buy", "buy"], w=[2.0, 1.0, 0.5], q=[1.0, 10.0, 0.5]
    )
    log, _ = read_interactions(rows, LogColumns(event="e", weight="w", quantity="q"))
    assert log.weights.dtype == np.float32
    assert log.weights.tolist() == pytest.approx([0.3 * 2, 1 + math.log(10), 0.5])


def test_weights_and_quantities_of_a_csv_file_are_read_as_numbers(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,w,q\n1,1,2.5,1\n1,2,x,1\n1,3,1,y\n")
    columns = LogColumns(path="log.csv", weight="w", quantity="q")
    log, rejections = read_interactions(None, columns, data_dir=tmp_path)
    assert log.weights.tolist() == [2.5]
    assert rejections.counts == {"weight not finite": 1, "quantity not finite": 1}


def test_only_events_that_occur_are_named():
    rows = log_of(["a", "b"], ["x", "y"], e=["purchase", "view"])
    log, _ = read_interactions(rows, LogColumns(event="e"))
    assert log.events == ("view", "purchase")
    assert log.event_codes.tolist() == [1, 0]


def test_declared_events_are_named_even_if_they_do_not_occur():
    declared = {"wish": EventType(weight=2), "gift": EventType()}
    rows = log_of(["a"], ["x"], e=["gift"])
    log, _ = read_interactions(rows, LogColumns(event="e"), events=declared)
    assert log.events == ("wish", "gift")
    assert log.event_codes.tolist() == [1]


def test_events_may_be_numbers():
    rows = log_of(["a", "b"], ["x", "x"], e=[0, 4])
    log, rejections = read_interactions(
        rows, LogColumns(event="e"), events={"0": EventType(), "1": EventType()}
    )
    assert len(log) == 1
    assert rejections.counts == {"unknown event": 1}


def test_too_many_events_are_refused():
    events = {str(n): EventType() for n in range(256)}
    with pytest.raises(SettingsError, match="at most 255 events are allowed; got 256"):
        read_interactions(log_of(["a"], ["x"], e=["0"]), LogColumns(event="e"), events=events)


def test_the_catalogues_items_keep_their_rows():
    catalogue = Vocabulary.of(["m", "n"], "item")
    log, _ = read_interactions(log_of(["a", "a"], ["n", "b"]), items=catalogue)
    assert log.items.ids.to_list() == ["m", "n", "b"]
    assert log.item_rows.tolist() == [1, 2]


def test_items_of_another_type_than_the_catalogues_are_compared_as_text():
    log, rejections = read_interactions(log_of(["a"], [1]), items=Vocabulary.of(["1"], "item"))
    assert (log.items.ids.to_list(), log.item_rows.tolist()) == (["1"], [0])
    assert "item ids are integers in the log and text in the catalogue" in rejections.notes[0]


@pytest.mark.parametrize("width", [pl.Int8, pl.UInt16, pl.Int32, pl.UInt64, pl.Int128])
def test_integer_ids_of_any_width_are_of_64_bits(width):
    ids = pl.Series([5, 3, 5], dtype=width)
    log, _ = read_interactions(log_of(ids, pl.Series(["x", "y", "z"])))
    assert log.users.ids.dtype == pl.Int64
    assert log.users.ids.to_list() == [3, 5]


def test_ids_that_only_unsigned_integers_hold_are_unsigned():
    ids = pl.Series([2**64 - 1, 3], dtype=pl.UInt64)
    log, _ = read_interactions(log_of(ids, ["x", "y"]))
    assert (log.users.ids.dtype, log.users.ids.to_list()) == (pl.UInt64, [3, 2**64 - 1])


def test_categories_come_back_as_text():
    ids = pl.Series(["b", "a"]).cast(pl.Categorical)
    log, _ = read_interactions(log_of(ids, ids))
    assert told(log)[0][:2] == ("a", "a")


def test_ids_of_rejected_rows_are_in_no_vocabulary():
    log, _ = read_interactions(log_of(["a", None, "c"], ["x", "y", ""]))
    assert log.users.ids.to_list() == ["a"]
    assert log.items.ids.to_list() == ["x"]


def test_one_user_and_one_item_are_enough():
    log, _ = read_interactions(log_of(["a"], ["x"]))
    assert (len(log), len(log.users), len(log.items)) == (1, 1, 1)


def test_an_empty_log_is_an_error():
    with pytest.raises(DataError, match="no row of the log is left: 0 read, rejected: none"):
        read_interactions(log_of([], []))


def test_a_log_without_a_good_row_is_an_error_that_says_why():
    with pytest.raises(DataError, match="2 read, rejected: 1 null user id, 1 null item id"):
        read_interactions(log_of([None, "a"], ["x", None]))


def test_a_log_whose_moments_are_all_null_says_so():
    rows = log_of(["a"], ["x"], t=pl.Series([None], dtype=pl.Int64))
    with pytest.raises(DataError, match="1 read, rejected: 1 unparsable time"):
        read_interactions(rows, LogColumns(time="t"))


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match=r"lacks the columns \['when'\]"):
        read_interactions(log_of(["a"], ["x"]), LogColumns(time="when"))


def test_mixed_ids_are_an_error():
    with pytest.raises(DataError, match="mixed types"):
        read_interactions(pd.DataFrame({"user_id": [1, "a"], "item_id": [1, 2]}))


def test_the_future_begins_a_tolerance_after_now():
    now = datetime(2020, 1, 1, tzinfo=UTC)
    rows = log_of(["a", "b"], ["x", "x"], t=[now + timedelta(hours=23), now + timedelta(hours=25)])
    log, rejections = read_interactions(rows, LogColumns(time="t"), now=now)
    assert rejections.counts == {"time in the future": 1}
    at_once = LogColumns(time="t", future_tolerance=0)
    with pytest.raises(DataError, match="2 time in the future"):
        read_interactions(rows, at_once, now=now.replace(tzinfo=None))
    assert len(log) == 1


def test_equal_rows_count_once_and_the_first_is_kept():
    rows = log_of(
        ["a", "a", "a", "a"],
        ["x", "y", "x", "x"],
        t=[DAY * 9_000] * 3 + [DAY * 9_001],
        w=[1, 1, 1, 1],
    )
    log, rejections = read_interactions(rows, LogColumns(time="t", weight="w"))
    assert sorted(item for _, item, *_ in told(log)[:2]) == ["x", "y"]
    assert told(log)[2][1] == "x"
    assert rejections.rows.tolist() == [2]


def test_rows_that_differ_in_one_column_are_no_duplicates():
    rows = log_of(
        ["a"] * 4, ["x"] * 4, e=["view", "cart", "view", "view"], w=[1, 1, 2, 1], q=[1, 1, 1, 2]
    )
    _, rejections = read_interactions(rows, LogColumns(event="e", weight="w", quantity="q"))
    assert rejections.counts == {}


events = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 4)), min_size=1
)


@given(events)
def test_reading_is_a_stable_sort_of_the_distinct_rows(rows):
    users, items, order = zip(*rows, strict=True)
    log, rejections = read_interactions(
        log_of(list(users), list(items), n=list(order)), LogColumns(order="n", ties="file")
    )
    distinct = list(dict.fromkeys(rows))
    expected = sorted(distinct, key=lambda row: (row[0], row[2]))
    assert [(u, i, t) for u, i, _, t in told(log)] == expected
    assert rejections.kept == len(log) == len(distinct)


def reloading(times: int) -> pl.DataFrame:
    """Twenty customers of ten different items each, and one who has one item again and again."""
    users = [f"u{n // 10:02}" for n in range(200)] + ["robot"] * times
    items = [f"i{n % 10}" for n in range(200)] + ["i0"] * times
    return log_of(users, items, n=list(range(200 + times)))


def test_a_user_with_a_large_part_of_the_log_is_named():
    _, rejections = read_interactions(reloading(300), LogColumns(order="n"))
    (note,) = rejections.notes
    assert note.startswith("the user 'robot' has 60% of all events, 300: what is repeated counts")
    _, rejections = read_interactions(reloading(15), LogColumns(order="n"))
    assert rejections.notes == ()


def test_users_with_more_events_than_are_allowed_are_left_out_and_counted():
    columns = LogColumns(order="n", max_events_per_user=10)
    log, rejections = read_interactions(reloading(11), columns)
    assert len(log) == 200
    assert "robot" not in log.users.ids
    assert rejections.counts == {"of a user with more than 10 events": 11}
    assert rejections.rows.tolist() == list(range(200, 211))
    log, rejections = read_interactions(reloading(10), columns)
    assert len(log) == 210
    assert rejections.counts == {}
    with pytest.raises(DataError, match="strict: 11 of 211 rows are rejected"):
        read_interactions(reloading(11), columns, strict=True)


def test_what_was_shown_makes_nobody_a_robot():
    rows = log_of(["a"] * 5, ["x"] * 5, e=["impression"] * 4 + ["view"], n=[1, 2, 3, 4, 5])
    columns = LogColumns(order="n", event="e", max_events_per_user=1)
    log, rejections = read_interactions(rows, columns)
    assert len(log) == 1
    assert rejections.counts == {}


def test_u_data_of_ml_100k(data_dir):
    columns = LogColumns(
        path="ml-100k/u.data",
        separator="\t",
        header=False,
        names=["user_id", "item_id", "rating", "time"],
        time="time",
        weight="rating",
    )
    log, rejections = read_interactions(None, columns, data_dir=data_dir, strict=True)
    assert (len(log), len(log.users), len(log.items)) == (100_000, 943, 1_682)
    time, ratings = rejections.notes
    assert time == "time: epoch seconds, 1997-09-20 03:05 to 1998-04-22 23:10 UTC"
    assert ratings.startswith("weights 'rating' look like ratings from 1 to 5: low ones count")


def test_online_retail_accounts_for_every_row(data_dir):
    columns = LogColumns(
        path="online-retail/transactions.parquet", time="timestamp", quantity="quantity"
    )
    log, rejections = read_interactions(None, columns, data_dir=data_dir)
    assert rejections.read == 525_461 == len(log) + sum(rejections.counts.values())
    assert rejections.counts["null user id"] == 107_927
    assert rejections.counts["negative quantity"] == 9_839
