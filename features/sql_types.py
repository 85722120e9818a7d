"""The types that a condition may cast to, and the lists that it looks into."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from recsys.features.errors import DataError
from recsys.features.sql_constants import temporal_of
from recsys.features.sql_terms import (
    DATE,
    FLAG,
    LIST,
    MOMENT,
    NOTHING,
    NUMBER,
    TEXT,
    TIME,
    Term,
    alike,
    constant_term,
    known,
    moment,
    number_of,
    result,
    wanted,
)
from recsys.features.sql_texts import as_text

_WHOLE = "a whole number"

TYPES: Mapping[str, str] = {
    **dict.fromkeys(("INT", "INTEGER", "BIGINT", "SMALLINT", "TINYINT", "INT2", "INT4"), _WHOLE),
    **dict.fromkeys(("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32"), _WHOLE),
    **dict.fromkeys(("FLOAT", "DOUBLE", "REAL", "FLOAT4", "FLOAT8", "DECIMAL"), NUMBER),
    **dict.fromkeys(("FLOAT32", "FLOAT64", "NUMERIC", "DEC"), NUMBER),
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR", "STRING"), TEXT),
    **dict.fromkeys(("BOOLEAN", "BOOL"), FLAG),
    **dict.fromkeys(("DATETIME", "TIMESTAMP"), MOMENT),
    "DATE": DATE,
    "TIME": TIME,
}
"""The types of CAST, and what kind of value each makes."""

_FLAGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}


def cast(term: Term, kind: str, strict: bool) -> Term:
    """A value as another kind; where strict, one that cannot be read as such is an error."""
    if term.kind == LIST:
        raise DataError(f"{term.told}, which cannot be cast")
    name, value = "CAST", term.expression
    if kind == TEXT:
        return result(name, as_text(term), TEXT, term)
    if kind == MOMENT:
        return moment(term, strict)
    if kind == DATE:
        day = moment(term, strict)
        return result(name, day.expression.dt.date(), DATE, day)
    if kind == TIME:
        return _time(term, strict)
    wanted("what is cast to a number or a flag", term, NUMBER, TEXT, FLAG)
    if kind == FLAG:
        return result(name, _as_flag(term, strict), FLAG, term)
    if kind == NUMBER:
        return result(name, value.cast(pl.Float64, strict=strict), NUMBER, term)
    whole = value if term.whole else value.cast(pl.Int64, strict=strict)
    return result(name, whole, NUMBER, term, whole=True)


def _as_flag(term: Term, strict: bool) -> pl.Expr:
    if term.kind != TEXT:
        return term.expression.cast(pl.Boolean)
    words = term.expression.str.strip_chars().str.to_lowercase()
    if strict:
        return words.replace_strict(_FLAGS, return_dtype=pl.Boolean)
    return words.replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean)


def _time(term: Term, strict: bool) -> Term:
    if term.kind == TIME:
        return term
    if term.kind == MOMENT:
        return result("CAST", term.expression.dt.time(), TIME, term)
    wanted("what is cast to a time of day", term, TEXT)
    return result("CAST", term.expression.str.to_time("%H:%M:%S", strict=strict), TIME, term)


def among(term: Term, values: tuple[Any, ...]) -> Term:
    """Is a value one of a list of constants? Where the list holds NULL, no other is denied."""
    given = [value for value in values if value is not None]
    if not given or term.kind == NOTHING:
        return result("IN", pl.lit(None, pl.Boolean), FLAG, term)
    if term.kind == LIST:
        raise DataError(f"{term.told}; ask it with ARRAY_CONTAINS({term.said}, ...)")
    one_each = {type(value): constant_term(value) for value in given}
    same = known(alike(term, *one_each.values())[0])
    if same.kind == NUMBER:
        given = [number_of(each) for each in given]
        if None in given:
            alike(same, constant_term(next(v for v in values if number_of(v) is None)))
    value, listed = _comparable(same, given)
    found = value.is_in(listed.implode())
    if len(given) < len(values):
        found = found | pl.lit(None, pl.Boolean)
    return result("IN", found, FLAG, same, deeper=3)


def _comparable(term: Term, values: list[Any]) -> tuple[pl.Expr, pl.Series]:
    """A value and those that it is compared with, of one type."""
    if term.kind == NUMBER and term.whole:  # a fraction is none of whole numbers
        whole = [int(each) for each in values if abs(each) < 2**127 and each == int(each)]
        return term.expression.cast(pl.Int128), pl.Series(whole, dtype=pl.Int128)
    if term.kind == NUMBER:
        width = pl.Float32 if term.narrow else pl.Float64
        return term.expression, pl.Series([float(each) for each in values], dtype=width)
    if term.kind == FLAG:
        return term.expression, pl.Series([str(each).lower() == "true" for each in values])
    if term.kind == TEXT:
        return term.expression, pl.Series(values, dtype=pl.String)
    if term.kind == TIME:
        clocks = [temporal_of("TIME", each) for each in values]
        return term.expression, pl.Series(clocks, dtype=pl.Time)
    moments = [temporal_of("TIMESTAMP", each) for each in values]
    return term.expression, pl.Series(moments, dtype=pl.Datetime("us"))
