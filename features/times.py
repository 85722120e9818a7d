"""Moments of every notation, as microseconds since 1970 in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from recsys.features.errors import DataError

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
_LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_ISO = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
)
_SAMPLE = 10_000  # values that a notation is judged by
_MOST = 9.2e18  # below the largest Int64


@dataclass(frozen=True, slots=True)
class Moments:
    """How a column is read as numbers that sort."""

    value: pl.Expr  # Int64 microseconds, or an order number; null where it cannot be read
    said: str  # for people, such as "epoch seconds"


def parse_times(rows: pl.LazyFrame, column: str, time_format: str | None = None) -> Moments:
    """Read a column as moments: datetimes, dates, text, or numbers since 1970.

    The unit of numbers is the one that puts their median between 1990 and 2100. Moments without a
    zone are taken as UTC. Raises DataError where no unit or notation fits.
    """
    kind = rows.collect_schema()[column]
    if kind == pl.Date:
        return Moments(pl.col(column).cast(pl.Datetime("us")).dt.timestamp("us"), "dates")
    if isinstance(kind, pl.Datetime):
        zone = "" if kind.time_zone in (None, "UTC") else f" of {kind.time_zone}"
        return Moments(pl.col(column).dt.timestamp("us"), f"datetimes{zone}")
    if kind == pl.String:
        return _parse_text(rows, column, time_format)
    if kind.is_numeric():
        return _parse_numbers(rows, column, pl.col(column), whole=kind.is_integer())
    if kind == pl.Null:
        return _nothing(column)
    raise DataError(
        f"time column {column!r} must hold datetimes, dates, text or numbers; got {kind}"
    )


def parse_order(rows: pl.LazyFrame, column: str) -> pl.Expr:
    """Read a column as numbers that only sort: Int64 where they are whole, else Float64."""
    kind = rows.collect_schema()[column]
    if kind == pl.String:
        whole, number = pl.col(column).cast(pl.Int64, strict=False), _number(column)
        are_whole = rows.select(whole.count() == number.count()).collect(engine="streaming").item()
        return whole if are_whole else number
    if kind.is_integer():
        return pl.col(column).cast(pl.Int64, strict=False)
    if kind.is_temporal():
        return pl.col(column).to_physical().cast(pl.Int64)
    if kind.is_numeric():
        return _number(column)
    raise DataError(f"order column {column!r} must hold numbers; got {kind}")


def _nothing(column: str) -> Moments:
    return Moments(pl.col(column).cast(pl.Int64, strict=False), "nothing")


def _number(column: str) -> pl.Expr:
    value = pl.col(column).cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value)


def _parse_text(rows: pl.LazyFrame, column: str, time_format: str | None) -> Moments:
    if time_format is not None:
        return Moments(_moment(column, time_format), f"text as {time_format!r}")
    sample = rows.select(column).drop_nulls().head(_SAMPLE).collect(engine="streaming")
    if not len(sample):
        return _nothing(column)
    if sample.select(_number(column).count()).item() > len(sample) / 2:
        return _parse_numbers(rows, column, _number(column), whole=False)
    fitting = [each for each in _ISO if sample.select(_moment(column, each).count()).item()]
    if not fitting:
        raise DataError(
            f"time column {column!r} holds neither ISO 8601 nor numbers (such as "
            f"{sample.item(0, 0)!r}); say how to read it with time_format"
        )
    return Moments(pl.coalesce([_moment(column, each) for each in fitting]), "text in ISO 8601")


def _moment(column: str, notation: str) -> pl.Expr:
    parsed = (
        pl.col(column).str.strip_chars().str.to_datetime(notation, strict=False, time_unit="us")
    )
    return parsed.dt.timestamp("us")


def _parse_numbers(rows: pl.LazyFrame, column: str, value: pl.Expr, whole: bool) -> Moments:
    """Numbers since 1970; `value` reads the column as numbers."""
    finite = value.cast(pl.Float64).filter(value.is_finite()) if not whole else value
    median = rows.select(finite.quantile(0.5, "nearest")).collect(engine="streaming").item()
    if median is None:
        return _nothing(column)
    unit = _unit_of(float(median), column)
    return Moments(_microseconds(value, _UNITS[unit], whole), f"epoch {unit}")


def _unit_of(median: float, column: str) -> str:
    for unit, per_second in _UNITS.items():
        if _EARLIEST <= median / per_second <= _LATEST:
            return unit
    raise DataError(
        f"time column {column!r} must count {', '.join(_UNITS)} since 1970 and lie between 1990 "
        f"and 2100; its median is {median:g} (a column that only sorts is mapped as order)"
    )


def _microseconds(value: pl.Expr, per_second: int, whole: bool) -> pl.Expr:
    """Scale to microseconds; null for what does not fit Int64."""
    if not whole:
        scaled = value.cast(pl.Float64) * (10**6 / per_second)
        return pl.when(scaled.abs() < _MOST).then(scaled.round()).cast(pl.Int64, strict=False)
    exact = value.cast(pl.Int64, strict=False)
    if per_second > 10**6:
        return exact // (per_second // 10**6)
    factor = 10**6 // per_second
    limit = int(_MOST) // factor
    return pl.when(exact.is_between(-limit, limit)).then(exact) * factor
