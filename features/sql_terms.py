"""Values of a condition, each with its kind, so that they are only compared with their like."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time
from typing import Any

import polars as pl

from recsys.features.errors import DataError
from recsys.features.sql_constants import Interval, temporal_of

NUMBER, TEXT, FLAG = "a number", "text", "true or false"
DATE, MOMENT, TIME, SPAN = "a date", "a date with time", "a time of day", "a length of time"
LIST, NOTHING = "a list", "null"
"""The kinds."""

_VARIABLE: Any = object()


@dataclass(frozen=True, slots=True)
class Term:
    """An expression, what kind of value it gives, and what messages call it."""

    expression: pl.Expr
    kind: str
    said: str
    constant: Any = _VARIABLE  # its value, where that is known before any row
    whole: bool = False  # a number without a fraction
    narrow: bool = False  # a float of 32 bits: constants are compared with it in 32 bits
    inner: str = NOTHING  # of a list what it holds
    size: int = 1  # nodes of the expression
    depth: int = 1  # of them in one another; what polars makes several of counts as several
    most: float = 2.0**64  # of a whole number: none of its values is further from 0
    made: bool = False  # by an operator or a function: a number may be NaN

    @property
    def is_constant(self) -> bool:
        return self.constant is not _VARIABLE

    @property
    def told(self) -> str:
        return self.said if self.kind == NOTHING else f"{self.said} is {self.kind}"


def result(
    name: str,
    expression: pl.Expr,
    kind: str,
    *of: Term,
    whole: bool = False,
    times: int = 1,
    deeper: int = 1,
) -> Term:
    """What an operator or a function makes of terms, each of which stands in it `times` times."""
    size = 1 + times * sum(term.size for term in of)
    depth = deeper + max((term.depth for term in of), default=0)
    most = max((term.most for term in of), default=2.0**64)
    made = Term(expression, kind, f"the result of {name}", whole=whole, size=size, depth=depth)
    return replace(made, most=most, made=True)


def known(term: Term) -> Term:
    """The term, null where it is NaN, as 0 / 0 is: of that nothing can be said.

    It is done where values are compared, not where they are made: polars writes it as a choice in
    which the expression stands twice, so that a chain of them would grow without end.
    """
    if term.kind != NUMBER or term.whole or not term.made:
        return term
    expression = term.expression.fill_nan(None)
    return replace(term, expression=expression, size=2 * term.size + 1, made=False)


def column_term(name: str, dtype: pl.DataType) -> Term:
    """A column as conditions see it, whatever type its table came with.

    Integers have 64 bits, decimals are floats, categories text, moments UTC; NaN is missing.
    """
    column, said = pl.col(name), f"column {name!r} ({dtype})"
    if dtype.is_integer():
        wide = dtype in (pl.UInt64, pl.Int128, pl.UInt128)
        most = 2.0**127 if dtype in (pl.Int128, pl.UInt128) else 2.0**64
        typed = column.cast(pl.Int128 if wide else pl.Int64)
        return Term(typed, NUMBER, said, whole=True, most=most)
    if dtype.is_float():
        return Term(column.fill_nan(None), NUMBER, said, narrow=dtype == pl.Float32)
    if dtype.is_decimal():
        return Term(column.cast(pl.Float64), NUMBER, said)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return Term(column.cast(pl.String), TEXT, said)
    if isinstance(dtype, pl.Datetime):
        plain = column if dtype.time_zone is None else column.dt.convert_time_zone("UTC")
        naive = plain.dt.replace_time_zone(None).cast(pl.Datetime("us"))
        return Term(naive, MOMENT, said)
    if isinstance(dtype, pl.List | pl.Array):
        inner = _kind_in(dtype.inner)
        return Term(column if dtype == pl.List else column.arr.to_list(), LIST, said, inner=inner)
    kind = next((kind for plain, kind in _PLAIN.items() if dtype == plain), None)
    if kind is None:
        raise DataError(f"{said} is of a type that conditions cannot read")
    return Term(column, kind, said)


_PLAIN: Mapping[Any, str] = {
    pl.String: TEXT,
    pl.Boolean: FLAG,
    pl.Date: DATE,
    pl.Time: TIME,
    pl.Duration: SPAN,
    pl.Null: NOTHING,
}


def _kind_in(inner: Any) -> str:
    """What a list holds, as far as it can be looked for in it."""
    if inner.is_numeric():
        return NUMBER
    return TEXT if inner in (pl.String, pl.Categorical, pl.Enum) else _PLAIN.get(inner, NOTHING)


def constant_term(value: Any) -> Term:
    """A constant of a condition."""
    said = "NULL" if value is None else repr(value)[:60]
    if isinstance(value, Interval):
        return Term(pl.lit(value.rest), SPAN, "the interval", value)
    if isinstance(value, tuple):
        kinds = {constant_term(each).kind for each in {type(one): one for one in value}.values()}
        kinds -= {NOTHING}
        if len(kinds) > 1:
            raise DataError(f"a list must be of one kind; got {' and '.join(sorted(kinds))}")
        inner = next(iter(kinds), NOTHING)
        listed = [float(each) if inner == NUMBER and each is not None else each for each in value]
        return Term(pl.lit(listed), LIST, "the array", value, inner=inner)
    if isinstance(value, int) and not isinstance(value, bool):
        fits = -(2**63) <= value < 2**63
        made = pl.lit(value) if fits else pl.lit(value, pl.Int128)
        return Term(made, NUMBER, said, value, whole=True, most=float(abs(value)))
    for types, name in _CONSTANTS:
        if isinstance(value, types):
            return Term(pl.lit(value), name, said, value)
    if isinstance(value, datetime):
        return Term(pl.lit(value, pl.Datetime("us")), MOMENT, f"'{value}'", value)
    return Term(pl.lit(value), TIME if isinstance(value, time) else DATE, f"'{value}'", value)


_CONSTANTS: tuple[tuple[Any, str], ...] = (
    (type(None), NOTHING),
    (bool, FLAG),
    (float, NUMBER),
    (str, TEXT),
)


def alike(*terms: Term) -> tuple[Term, ...]:
    """The terms as one kind, so that they may be compared; raises DataError where there is none.

    Flags stand beside numbers as 1 and 0, dates beside moments as their midnight; texts are read
    as the dates that they stand beside, 'true' and 'false' as flags, and '7' beside a number as 7:
    a column of codes is one of whole numbers, whatever file it came from.
    """
    kinds = {term.kind for term in terms} - {NOTHING}
    if len(kinds) <= 1:
        return terms
    for known, wanted in _MEETING:
        if kinds <= known:
            return tuple(_as(term, wanted, terms) for term in terms)
    raise _unlike(terms)


_MEETING = (
    ({NUMBER, FLAG}, NUMBER),
    ({NUMBER, TEXT}, NUMBER),
    ({TEXT, FLAG}, FLAG),
    ({TEXT, TIME}, TIME),
    ({TEXT, DATE, MOMENT}, MOMENT),
)


def _as(term: Term, kind: str, beside: tuple[Term, ...]) -> Term:
    if term.kind in (kind, NOTHING):
        return term
    if term.kind == FLAG:
        return replace(term, expression=term.expression.cast(pl.Int64), kind=kind, whole=True)
    if kind == MOMENT:
        return moment(term)
    if term.kind == TEXT and term.is_constant:
        if kind == TIME:
            return constant_term(temporal_of("TIME", term.constant))
        if kind == NUMBER:
            number = number_of(term.constant)
            if number is None:
                raise _unlike(beside)
            return constant_term(number)
        if term.constant.lower() in ("true", "false"):
            return constant_term(term.constant.lower() == "true")
    raise _unlike(beside)


def number_of(constant: Any) -> float | None:
    """A constant as the number that it is, or that stands in quotes; None for any other."""
    if not isinstance(constant, str):
        return constant  # type: ignore[no-any-return]
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,18})", constant):
        return int(constant)
    return float(constant) if re.fullmatch(r"-?[0-9]{1,15}\.[0-9]{1,15}", constant) else None


def _unlike(terms: tuple[Term, ...]) -> DataError:
    told = dict.fromkeys(term.told for term in terms if term.kind != NOTHING)
    kinds, hint = {term.kind for term in terms}, ""
    if kinds >= {NUMBER, TEXT}:
        hint = "; numbers stand without quotes, texts in single quotes"
    elif LIST in kinds:
        hint = "; a list is asked with ARRAY_CONTAINS(tags, 'red')"
    return DataError(f"{', '.join(told)}: they cannot be compared{hint}")


def moment(term: Term, strict: bool = True) -> Term:
    """A date or a text of ISO 8601 as a moment; where strict, other texts are an error."""
    if term.kind == MOMENT:
        return term
    if term.kind == TEXT and term.is_constant:
        try:
            return constant_term(temporal_of("TIMESTAMP", term.constant))
        except DataError:
            if strict:
                raise
            return constant_term(None)
    if term.kind == TEXT:
        expression = _read_moments(term.expression, strict)
        size, depth = term.size + _READING, term.depth + 2 * _READING
        return replace(term, expression=expression, kind=MOMENT, size=size, depth=depth)
    wanted("a date", term, DATE)
    return replace(term, expression=term.expression.cast(pl.Datetime("us")), kind=MOMENT)


_READING = 7  # operations that read a text as a moment


def _read_moments(text: pl.Expr, strict: bool) -> pl.Expr:
    spaced = text.str.strip_chars().str.replace(r"(?i)T|\s+", " ")
    zoneless = spaced.str.replace(r"(?i)\s*(?:Z|UTC|[+-]00:?00)$", "")
    timed = zoneless.str.replace(r"^(\d{4}-\d\d-\d\d)$", "$1 00:00:00")
    full = timed.str.replace(r"^(\S+ \d\d:\d\d)$", "$1:00")
    given = full.str.extract(r"^([\s\S]+)$")  # an empty text is a missing date
    return given.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=strict)


def wanted(what: str, term: Term, *kinds: str) -> Term:
    """The term, if it is of such a kind; else raises DataError."""
    if term.kind in kinds or term.kind == NOTHING:
        return term
    raise DataError(f"{what} must be {' or '.join(kinds)}; {term.told}")


def fixed(what: str, term: Term, kind: type, rule: Callable[[Any], bool] = lambda _: True) -> Any:
    """The value of a constant; raises DataError where the term is none, or breaks the rule."""
    if not (term.is_constant and isinstance(term.constant, kind) and rule(term.constant)):
        raise DataError(f"{what}; got {term.said}")
    return term.constant


@dataclass(frozen=True, slots=True)
class Function:
    """How a function is made of its arguments, and how many it takes."""

    make: Callable[..., Term]
    least: int
    most: int

    @property
    def said(self) -> str:
        if self.least == self.most:
            return f"{self.least} argument{'s' if self.least != 1 else ''}"
        return f"{self.least} to {self.most} arguments"
