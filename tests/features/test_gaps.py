from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys.features.columns import LogColumns
from recsys.features.errors import SettingsError
from recsys.features.gaps import bounds, moment
from recsys.features.reading import read_interactions

FIRST = datetime(2023, 11, 14, tzinfo=UTC)
YEARS = [datetime(year, 5, 1, tzinfo=UTC) for year in range(2014, 2024)]
COLUMNS = LogColumns(time="t")


def read(times, columns=COLUMNS):
    rows = {"user_id": range(len(times)), "item_id": ["i"] * len(times), "t": times}
    log, rejections = read_interactions(pl.DataFrame(rows), columns)
    return sorted(log.times.tolist()), rejections


def seconds(n):
    return [int(FIRST.timestamp()) + second for second in range(n)]


@pytest.mark.parametrize(
    ("odd", "rest"),
    [
        ([0] * 40, seconds(60)),
        ([0] * 80, seconds(20)),
        ([-1] * 70, seconds(30)),
        (seconds(40), [second * 1000 for second in seconds(60)]),
        (["0001-01-01 00:00:00"] * 40, [f"2024-01-01 00:00:{second:02}" for second in range(60)]),
        (["1899-12-30"], ["2024-01-01", "2024-01-02"]),
        ([datetime(1900, 1, 1)], [datetime(2024, 1, 1)] * 2),
        ([datetime(2000, 1, 1)] * 3, [datetime(2024, 1, 1)] * 2 + [datetime(2020, 1, 1)] * 4),
    ],
)
def test_a_time_far_before_all_others_is_a_reason(odd, rest):
    times, rejections = read([*odd, *rest])
    assert rejections.counts == {"time far before all others": len(odd)}
    assert len(times) == len(rest)
    assert any(f"{len(odd)} rows, such as" in note for note in rejections.notes)


def test_a_time_far_after_all_others_is_a_reason_too():
    old = [datetime(1998, 1, day, tzinfo=UTC) for day in range(1, 9)]
    _, rejections = read([*old, datetime(2020, 1, 1, tzinfo=UTC)])
    assert rejections.counts == {"time far after all others": 1}


def test_the_year_9999_and_milliseconds_among_seconds_are_in_the_future():
    _, rejections = read([*YEARS, datetime(9999, 12, 31, tzinfo=UTC)])
    assert rejections.counts == {"time in the future": 1}
    _, rejections = read([*seconds(9), seconds(1)[0] * 1000])
    assert rejections.counts == {"time in the future": 1}


@pytest.mark.parametrize(
    "times",
    [
        YEARS,
        [*YEARS, datetime(2005, 1, 1, tzinfo=UTC)],
        [datetime(year, 1, 1, tzinfo=UTC) for year in range(1972, 2024)],
        [datetime(1985, 1, 1, tzinfo=UTC), datetime(1986, 1, 1, tzinfo=UTC)],
    ],
)
def test_a_log_of_many_years_loses_no_row(times):
    assert read(times)[1].counts == {}


def test_the_setting_keeps_what_is_meant():
    times = [datetime(1, 1, 1), datetime(2024, 1, 1)]
    _, rejections = read(times, LogColumns(time="t", max_gap_days=4e6))
    assert rejections.counts == {}
    assert any("0001-01-01 00:00 to 2024-01-01" in note for note in rejections.notes)
    with pytest.raises(SettingsError, match="max_gap_days"):
        LogColumns(max_gap_days=0)


def test_of_two_parts_the_larger_stays_and_a_recent_one_before_any():
    day = 86_400 * 10**6
    old = pl.Series("time", [0, 1, 2])
    assert bounds(pl.concat([old, old + 5_000 * day]), 1e9) is None
    assert bounds(pl.Series("time", [0, 0, 9_000 * day]), 3_000)[0] == 9_000 * day
    assert bounds(pl.Series("time", [None], dtype=pl.Int64), 10) is None


def test_moments_of_no_year_are_shown_as_numbers():
    assert moment(0) == "1970-01-01 00:00"
    assert moment(-(10**18)) == "-1,000,000,000,000,000,000 microseconds since 1970"
    assert moment(int(timedelta(days=1).total_seconds()) * 10**6) == "1970-01-02 00:00"


def test_no_public_log_loses_a_row_to_it(data_dir):
    for path, time in (
        ("online-retail/transactions.parquet", "timestamp"),
        ("retailrocket/train.parquet", "timestamp"),
        ("ml-1m/ratings.parquet", "timestamp"),
    ):
        rows = pl.read_parquet(data_dir / path)
        rows = rows.drop_nulls(time)
        log = rows.select(user_id=pl.int_range(pl.len()), item_id=1, t=time)
        _, rejections = read_interactions(log, COLUMNS)
        assert rejections.counts == {}, path
