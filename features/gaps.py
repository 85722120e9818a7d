"""Times that lie far from all others: a missing time that came as 1970, seconds among
milliseconds."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

FAR_BEFORE = "time far before all others"
FAR_AFTER = "time far after all others"
_DAY = 86_400 * 10**6
_EARLIEST = int(datetime(1990, 1, 1, tzinfo=UTC).timestamp() * 1e6) // _DAY
_EPOCH = datetime(1970, 1, 1)


def bounds(times: pl.Series, max_gap_days: float) -> tuple[int, int] | None:
    """The first and the last microsecond of the times that belong together; None where all do.

    Times are parted where no event falls into `max_gap_days`. Of the parts the one with the most
    events stays, and one that ends before 1990 only where all do. Nulls do not count.
    """
    first, last = times.min(), times.max()
    gap = max_gap_days * _DAY
    if first is None or last is None or last - first <= gap:  # type: ignore[operator]
        return None
    per_day = (times.drop_nulls() // _DAY).value_counts().sort(times.name)
    days, counts = per_day[times.name].to_numpy(), per_day["count"].to_numpy()
    part = np.concatenate([[0], np.cumsum(np.diff(days) > max_gap_days)])
    if part[-1] == 0:
        return None
    events = np.bincount(part, weights=counts)
    is_recent = np.zeros(len(events), np.bool_)
    is_recent[part[days >= _EARLIEST]] = True
    chosen = int(np.argmax(np.where(is_recent | ~is_recent.any(), events, -1)))
    own = days[part == chosen]
    return int(own[0]) * _DAY, (int(own[-1]) + 1) * _DAY - 1


def without_far_times(
    read: pl.DataFrame, tests: Sequence[str], max_gap_days: float
) -> tuple[pl.DataFrame, list[str]]:
    """The rows with a `reason` (1 + its place in `tests`) for each `time` that lies far from all
    others, and a note on them.
    """
    if FAR_BEFORE not in tests:
        return read, []
    passed = read["time"].filter(read["reason"] == 0)
    ends = bounds(passed, max_gap_days)
    if ends is None:
        return read, []
    code = (
        pl.when(pl.col("reason") != 0)
        .then("reason")
        .when(pl.col("time") < ends[0])
        .then(tests.index(FAR_BEFORE) + 1)
        .when(pl.col("time") > ends[1])
        .then(tests.index(FAR_AFTER) + 1)
        .otherwise(0)
    )
    far = passed.filter((passed < ends[0]) | (passed > ends[1]))
    note = (
        f"time: {len(far):,} rows, such as {moment(int(far[0]))}, are rejected: no event lies in "
        f"the {max_gap_days:,.0f} days between them and the others (max_gap_days)"
    )
    return read.with_columns(code.cast(pl.UInt8).alias("reason")), [note]


def moment(time: int) -> str:
    """A time for people; one of no year from 1 to 9999 as its number."""
    try:
        return (_EPOCH + timedelta(microseconds=time)).isoformat(" ", "minutes")
    except OverflowError:
        return f"{time:,} microseconds since 1970"
