from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.errors import DataError
from recsys.features.times import parse_order, parse_times

MOMENT = datetime(2015, 6, 2, 5, 21, 41, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())
MICROSECONDS = SECONDS * 10**6


def parsed(values, time_format=None, **kwargs):
    rows = pl.DataFrame({"t": pl.Series(values, **kwargs)}).lazy()
    moments = parse_times(rows, "t", time_format)
    return rows.select(moments.value).collect().to_series().to_list(), moments.said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([SECONDS], "epoch seconds"),
        ([SECONDS * 10**3], "epoch milliseconds"),
        ([SECONDS * 10**6], "epoch microseconds"),
        ([SECONDS * 10**9], "epoch nanoseconds"),
        ([float(SECONDS)], "epoch seconds"),
        ([str(SECONDS)], "epoch seconds"),
        ([f"{SECONDS}.0"], "epoch seconds"),
        ([MOMENT.replace(tzinfo=None)], "datetimes"),
        ([MOMENT], "datetimes"),
        (["2015-06-02 05:21:41"], "text in ISO 8601"),
        (["2015-06-02T05:21:41Z"], "text in ISO 8601"),
        (["2015-06-02T07:21:41.000+02:00"], "text in ISO 8601"),
    ],
)
def test_one_moment_in_every_notation(values, said):
    assert parsed(values) == ([MICROSECONDS], said)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_datetimes_of_any_unit(unit):
    values, _ = parsed([MOMENT.replace(tzinfo=None)], dtype=pl.Datetime(unit))
    assert values == [MICROSECONDS]


def test_zones_become_utc():
    zoned = pl.Series([MOMENT]).dt.convert_time_zone("Asia/Tokyo")
    assert parsed(zoned) == ([MICROSECONDS], "datetimes of Asia/Tokyo")


def test_dates_are_midnight():
    day = int(datetime(2015, 6, 2, tzinfo=UTC).timestamp()) * 10**6
    assert parsed([date(2015, 6, 2)]) == ([day], "dates")
    assert parsed(["2015-06-02"]) == ([day], "text in ISO 8601")


def test_a_format_of_ones_own():
    assert parsed(["02.06.2015 05:21:41", "x"], "%d.%m.%Y %H:%M:%S") == (
        [MICROSECONDS, None],
        "text as '%d.%m.%Y %H:%M:%S'",
    )


def test_what_cannot_be_read_is_null():
    assert parsed(["2015-06-02 05:21:41", "yesterday", None])[0] == [MICROSECONDS, None, None]
    odd = [float("nan"), float("inf"), 1e300]
    assert parsed([float(SECONDS), *odd, 0.5])[0] == [MICROSECONDS, None, None, None, 500_000]
    assert parsed([SECONDS, SECONDS, 2**62])[0] == [MICROSECONDS, MICROSECONDS, None]
    assert parsed([None, None], dtype=pl.Int64) == ([None, None], "nothing")


def test_fractions_of_a_second_are_kept():
    assert parsed([SECONDS + 0.25])[0] == [MICROSECONDS + 250_000]


def test_numbers_of_no_plausible_year_are_refused():
    with pytest.raises(DataError, match=r"'t' must count seconds.*median is 3 .*mapped as order"):
        parsed([1, 3, 5])


def test_text_in_no_known_notation_is_refused():
    with pytest.raises(DataError, match=r"such as '02/06/2015'\); say how .* time_format"):
        parsed(["02/06/2015"])


def test_types_that_are_no_time_are_refused():
    with pytest.raises(DataError, match="got Boolean"):
        parsed([True])


@given(st.integers(631_152_000, 4_102_444_799), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_every_second_of_a_plausible_year_is_told_apart(second, per_second):
    assert parsed([second * per_second])[0] == [second * 10**6]


def order(values, **kwargs):
    rows = pl.DataFrame({"o": pl.Series(values, **kwargs)}).lazy()
    return rows.select(parse_order(rows, "o")).collect().to_series().to_list()


def test_an_order_is_any_number():
    assert order([3, None, -1]) == [3, None, -1]
    assert order([0.5, float("nan")]) == [0.5, None]
    assert order(["10", "9", "x"]) == [10, 9, None]
    assert order(["1.5", "2"]) == [1.5, 2.0]
    assert order([date(1970, 1, 3)]) == [2]
    with pytest.raises(DataError, match="order column 'o' must hold numbers"):
        order([[1]])
