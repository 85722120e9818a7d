"""The functions of dates and times that a condition may call."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

import polars as pl

from recsys.features.errors import DataError
from recsys.features.settings import nearest
from recsys.features.sql_constants import Interval
from recsys.features.sql_terms import (
    DATE,
    MOMENT,
    NUMBER,
    SPAN,
    TEXT,
    TIME,
    Function,
    Term,
    constant_term,
    fixed,
    moment,
    result,
    wanted,
)

_PARTS: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "year": lambda day: day.dt.year(),
    "isoyear": lambda day: day.dt.iso_year(),
    "quarter": lambda day: day.dt.quarter(),
    "month": lambda day: day.dt.month(),
    "week": lambda day: day.dt.week(),
    "day": lambda day: day.dt.day(),
    "doy": lambda day: day.dt.ordinal_day(),
    "dow": lambda day: day.dt.weekday() % 7,  # Sunday is 0
    "isodow": lambda day: day.dt.weekday(),
    "hour": lambda day: day.dt.hour(),
    "minute": lambda day: day.dt.minute(),
    "second": lambda day: day.dt.second(),
    "epoch": lambda day: day.dt.epoch("s"),
}


def _part(named: Term, value: Term) -> Term:
    name = fixed("DATE_PART takes the part as a text in quotes", named, str).lower()
    if name not in _PARTS:
        raise DataError(f"{name!r:.60} is no part of a date; {nearest(name, _PARTS)}")
    is_clock = value.kind == TIME and name in ("hour", "minute", "second")
    day = value if is_clock else moment(value)
    made = _PARTS[name](day.expression).cast(pl.Int64)
    return result(name.upper(), made, NUMBER, day, whole=True)


def _parsed(name: str, kind: str, value: Term, form: Term | None = None) -> Term:
    """A text as a date or moment, by a format of strftime or ISO 8601."""
    if form is None:
        day = moment(value)
    else:
        wanted(name, value, TEXT)
        rule = f"{name} takes its format in quotes, such as '%d.%m.%Y'"
        written = fixed(rule, form, str, lambda each: 0 < len(each) <= 50)
        read = pl.Date if "%H" not in written and "%I" not in written else pl.Datetime("us")
        made = value.expression.str.strptime(read, written, strict=False)
        day = result(name, made.cast(pl.Datetime("us")), MOMENT, value)
    if kind == MOMENT:
        return day
    return result(name, day.expression.dt.date(), DATE, day)


def now() -> Term:
    """This moment, in UTC."""
    return constant_term(datetime.now(UTC).replace(tzinfo=None))


def today() -> Term:
    """The date of now, in UTC."""
    return constant_term(datetime.now(UTC).date())


def shifted(sign: int, day: Term, span: Term) -> Term:
    """A date or moment, so much later or earlier."""
    whole_days = False
    made = day.expression
    if isinstance(span.constant, Interval):
        months, rest = sign * span.constant.months, sign * span.constant.rest
        whole_days = rest.seconds == 0
        made = made.dt.offset_by(f"{months}mo") if months else made
        made = made if day.kind == DATE and whole_days else made.cast(pl.Datetime("us"))
        made = made + pl.lit(rest)
    else:
        later = span.expression.cast(pl.Duration("us"))
        made = made.cast(pl.Datetime("us"))
        made = made + later if sign > 0 else made - later
    return result("a shift", made, day.kind if whole_days else MOMENT, day, span)


def between(later: Term, earlier: Term) -> Term:
    """How long one date or moment lies behind another."""
    made = moment(later).expression - moment(earlier).expression
    return result("-", made, SPAN, later, earlier)


def lengthened(sign: int, left: Term, right: Term) -> Term:
    """Two lengths of time together, or what one is longer than the other."""
    for term in (left, right):
        fixed_length(term)
    added = left.expression + right.expression if sign > 0 else left.expression - right.expression
    return result("+" if sign > 0 else "-", added, SPAN, left, right)


def fixed_length(term: Term) -> Term:
    """A length of time without months, which have no fixed length."""
    if isinstance(term.constant, Interval) and term.constant.months:
        raise DataError("months and years have no fixed length; write the interval in days")
    return wanted("a length of time", term, SPAN)


_NAMED = ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND")

DATE_FUNCTIONS: Mapping[str, Function] = {
    **{name: Function(partial(_part, constant_term(name)), 1, 1) for name in _NAMED},
    "DATE_PART": Function(_part, 2, 2),
    "DATE": Function(partial(_parsed, "DATE", DATE), 1, 2),
    "DATETIME": Function(partial(_parsed, "DATETIME", MOMENT), 1, 2),
    "TIMESTAMP": Function(partial(_parsed, "TIMESTAMP", MOMENT), 1, 2),
    "STRPTIME": Function(partial(_parsed, "STRPTIME", MOMENT), 2, 2),
    "NOW": Function(now, 0, 0),
    "CURRENT_TIMESTAMP": Function(now, 0, 0),
    "CURRENT_DATE": Function(today, 0, 0),
}
