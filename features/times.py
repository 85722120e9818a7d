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
    if time_format is not None and kind.is_integer():  # such as 20150602, as a CSV file has it
        text = pl.col(column).cast(pl.String)
        return Moments(_moment(text, time_format), f"whole numbers as {time_format!r}")
    if kind == pl.Date:
        return Moments(pl.col(column).cast(pl.Datetime("us")).dt.timestamp("us"), "dates")
    if isinstance(kind, pl.Datetime):
        zone = "" if kind.time_zone in (None, "UTC") else f" of {kind.time_zone}"
        return Moments(pl.col(column).dt.timestamp("us"), f"datetimes{zone}")
    if kind == pl.String:
        return _parse_text(rows, column, time_format)
    if kind.is_numeric():
        if kind.is_integer():
            return _parse_numbers(rows, column, pl.col(column), are_whole=True)
        moments = _parse_numbers(rows, column, pl.col(column), are_whole=False)
        said = f"{moments.said}, in 32 bits and so to some 2 minutes" if kind == pl.Float32 else ""
        return Moments(moments.value, said or moments.said)
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
        return Moments(_moment(pl.col(column), time_format), f"text as {time_format!r}")
    sample = rows.select(column).drop_nulls().head(_SAMPLE).collect(engine="streaming")
    if not len(sample):
        return _nothing(column)
    if sample.select(_number(column).count()).item() > len(sample) / 2:
        return _parse_numbers(rows, column, pl.col(column).str.strip_chars(), are_whole=True)
    text = pl.col(column)
    fitting = [each for each in _ISO if sample.select(_moment(text, each).count()).item()]
    if not fitting:
        raise DataError(
            f"time column {column!r} holds neither ISO 8601 nor numbers (such as "
            f"{sample.item(0, 0)!r}); say how to read it with time_format"
        )
    return Moments(pl.coalesce([_moment(text, each) for each in fitting]), "text in ISO 8601")


def _moment(text: pl.Expr, notation: str) -> pl.Expr:
    parsed = text.str.strip_chars().str.to_datetime(notation, strict=False, time_unit="us")
    return parsed.dt.timestamp("us")


def _parse_numbers(rows: pl.LazyFrame, column: str, value: pl.Expr, are_whole: bool) -> Moments:
    """Numbers since 1970; `value` are numbers or the text of them, which may be whole."""
    number = value.cast(pl.Float64, strict=False)
    # 0 and -1 stand for a missing time and say nothing of the unit.
    told = number.filter(number.is_finite() & (number != 0) & (number != -1))
    median = rows.select(pl.coalesce(told.quantile(0.5, "nearest"), number.median()))
    middle = median.collect(engine="streaming").item()
    if middle is None:
        return _nothing(column)
    unit = _unit_of(float(middle), column)
    per_second = _UNITS[unit]
    if not are_whole:
        return Moments(_fractions(number, per_second), f"epoch {unit}")
    whole = _whole(value.cast(pl.Int64, strict=False), per_second)
    return Moments(pl.coalesce(whole, _fractions(number, per_second)), f"epoch {unit}")


def _unit_of(median: float, column: str) -> str:
    for unit, per_second in _UNITS.items():
        if _EARLIEST <= median / per_second <= _LATEST:
            return unit
    raise DataError(
        f"time column {column!r} must count {', '.join(_UNITS)} since 1970 and lie between 1990 "
        f"and 2100; its median is {median:g} (a column that only sorts is mapped as order)"
    )


def _whole(value: pl.Expr, per_second: int) -> pl.Expr:
    """Whole numbers as microseconds; null for what does not fit Int64."""
    if per_second > 10**6:
        return value // (per_second // 10**6)
    factor = 10**6 // per_second
    limit = int(_MOST) // factor
    return pl.when(value.is_between(-limit, limit)).then(value) * factor


def _fractions(value: pl.Expr, per_second: int) -> pl.Expr:
    scaled = value * (10**6 / per_second)
    scaled = scaled.floor() if per_second > 10**6 else scaled.round()
    return pl.when(scaled.abs() < _MOST).then(scaled).cast(pl.Int64, strict=False)
