"""Conditions on the rows of a table, as polars expressions or as SQL."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np
import polars as pl
from polars.exceptions import PanicException, PolarsError

from recsys.features.arrays import Mask
from recsys.features.errors import DataError
from recsys.features.sql_functions import FUNCTIONS, OPERATORS
from recsys.features.sql_parser import MAX_KEPT, parse_condition
from recsys.features.sql_steps import MAX_DEPTH, Condition, Step
from recsys.features.sql_terms import FLAG, Term, column_term, constant_term
from recsys.features.sql_texts import MAX_PATTERNS, pattern_cost
from recsys.features.sql_types import among, cast

Predicate = pl.Expr | str
"""Such as `pl.col("price") < 20`, or "price < 20 AND category = 'toys'"."""

MAX_SIZE = 20_000
"""Nodes of the expression that a condition becomes."""
MAX_JOINED = 64
"""Texts that a condition may join: each row's text grows by all of them."""
_PATTERNS = ("LIKE", "ILIKE", "REGEXP", "IREGEXP", "REGEXP_LIKE")
_JOINING = ("||", "CONCAT", "CONCAT_WS")
_AT_ONCE = 65_536  # rows that a condition in SQL is asked of at once, so that memory is bounded
_SHOWN = 200  # characters of a condition that a message shows

BROKEN = (PolarsError, PanicException, TypeError, ValueError, OverflowError)
"""What polars raises of an expression that does not work."""


def mask_of(frame: pl.DataFrame, predicate: Predicate) -> Mask:
    """(rows,) where the predicate holds; a row of which it cannot be said is left out.

    Raises DataError where it cannot be read, names an unknown column or is not a yes or no.
    """
    if isinstance(predicate, pl.Expr):
        condition, most = predicate, max(frame.height, 1)
        _check_columns(_root_names(predicate), frame.columns)
    elif isinstance(predicate, str):
        condition, most = _read(predicate, frame.schema), _AT_ONCE
    else:
        raise DataError(
            f"a condition is a polars expression or SQL; got {type(predicate).__name__}"
        )
    if frame.height <= most:
        return _answered(frame, condition, predicate)
    parts = [_answered(part, condition, predicate) for part in frame.iter_slices(most)]
    return np.concatenate(parts)


def expression_of(condition: Condition, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """A condition as a polars expression over columns of such types.

    Raises DataError where a column is not among them, where what is compared is not alike, and
    where the whole is not a yes or no.
    """
    terms: list[Term] = []
    joined = cost = 0
    for step in condition.steps:
        joined += step.takes - 1 if step.name in _JOINING else 0
        if joined > MAX_JOINED:
            raise DataError(f"it joins more than {MAX_JOINED} texts")
        taken = [terms.pop() for _ in range(step.takes)][::-1]
        if step.name in _PATTERNS and len(taken) > 1:
            cost += pattern_cost(step.name, taken[1].constant)
            if cost > MAX_PATTERNS:
                raise DataError(f"its patterns cost more than {MAX_PATTERNS:,} steps together")
        terms.append(_term(step, taken, schema))
        if terms[-1].size > MAX_SIZE:
            raise DataError(f"it grows to more than {MAX_SIZE:,} operations")
        if terms[-1].depth > MAX_DEPTH:
            raise DataError(f"it is a chain of more than {MAX_DEPTH} operations")
    answer = terms.pop()
    if answer.kind != FLAG:
        raise DataError(f"it must be true or false; it is {answer.kind}")
    return answer.expression


def _term(step: Step, taken: list[Term], schema: Mapping[str, pl.DataType]) -> Term:
    if step.name == "column":
        _check_columns([step.value], schema)
        return column_term(step.value, schema[step.value])
    if step.name == "constant":
        return constant_term(step.value)
    if step.name == "IN":
        return among(taken[0], step.value)
    if step.name in ("CAST", "TRY_CAST"):
        return cast(taken[0], step.value, strict=step.name == "CAST")
    make = OPERATORS.get(step.name) or FUNCTIONS[step.name].make
    return make(*taken)


def _read(text: str, schema: pl.Schema) -> pl.Expr:
    try:
        condition = parse_condition(text)
    except DataError as error:
        raise DataError(f"the condition {shown(text)} cannot be read as SQL: {error}") from None
    _check_columns(condition.columns, schema)
    types = tuple((name, schema[name]) for name in condition.columns)
    keeps = len(text) <= MAX_KEPT and not condition.asks_the_time
    try:
        return _kept(text, types) if keeps else expression_of(condition, dict(types))
    except BROKEN as error:
        raise DataError(f"the condition {shown(text)} fails: {first_line(error)}") from None


def _made(text: str, types: tuple[tuple[str, pl.DataType], ...]) -> pl.Expr:
    return expression_of(parse_condition(text), dict(types))


_kept = lru_cache(maxsize=512)(_made)


def _answered(frame: pl.DataFrame, condition: pl.Expr, predicate: Predicate) -> Mask:
    try:
        answer = frame.select(condition.alias("held")).to_series()
    except (Exception, PanicException) as error:  # an expression may call any function of Python
        raise DataError(f"the condition {shown(predicate)} fails: {first_line(error)}") from None
    if answer.dtype != pl.Boolean:
        raise DataError(
            f"the condition {shown(predicate)} must be true or false; it is {answer.dtype}"
        )
    if len(answer) == 1:  # a constant, such as "1 = 1", speaks of every row
        answer = pl.repeat(answer[0], frame.height, dtype=pl.Boolean, eager=True)
    if len(answer) != frame.height:
        raise DataError(
            f"the condition {shown(predicate)} must say one thing of each item; "
            f"it says {len(answer)} of {frame.height}"
        )
    if answer.null_count():
        answer = answer.fill_null(False)
    held: Mask = answer.to_numpy().copy()
    return held


def _root_names(predicate: pl.Expr) -> list[str]:
    try:
        return predicate.meta.root_names()
    except BROKEN as error:
        raise DataError(f"the condition {shown(predicate)} fails: {first_line(error)}") from None


def _check_columns(named: Iterable[str], known: Iterable[str]) -> None:
    for name in named:
        if name not in known:
            raise DataError(
                f"a condition names the column {name!r}, which is not among those that it can "
                f"read: {', '.join(sorted(known))}; a text stands in single quotes"
            )


def shown(predicate: Predicate) -> str:
    """A condition as messages show it."""
    text = predicate if isinstance(predicate, str) else str(predicate)
    short = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."
    return repr(short) if isinstance(predicate, str) else short


def first_line(error: BaseException) -> str:
    """What went wrong, without the values that it went wrong with."""
    return str(error).partition("\n")[0].partition(" values: ")[0]
