"""Conditions on the items of a catalogue, as polars expressions or as SQL."""

from collections.abc import Sequence

import polars as pl
from polars.exceptions import PolarsError

from recsys.features.arrays import Mask
from recsys.features.errors import DataError

Predicate = pl.Expr | str
"""Such as `pl.col("price") < 20`, or "price < 20 AND category = 'toys'"."""


def mask_of(frame: pl.DataFrame, predicate: Predicate) -> Mask:
    """(rows,) where the predicate holds; a row of which it cannot be said is left out.

    Raises DataError where it cannot be read, names an unknown column or is not a yes or no.
    """
    condition = _read(predicate)
    _check_columns(condition.meta.root_names(), frame.columns)
    try:
        answer = frame.lazy().select(condition.alias("held")).collect().to_series()
    except PolarsError as error:
        raise DataError(f"the condition {_shown(predicate)} fails: {_first_line(error)}") from None
    if answer.dtype != pl.Boolean:
        raise DataError(
            f"the condition {_shown(predicate)} must be true or false; it is {answer.dtype}"
        )
    if len(answer) == 1:  # a constant, such as "1 = 1", speaks of every row
        answer = pl.repeat(answer[0], frame.height, dtype=pl.Boolean, eager=True)
    if len(answer) != frame.height:
        raise DataError(
            f"the condition {_shown(predicate)} must say one thing of each item; "
            f"it says {len(answer)} of {frame.height}"
        )
    held: Mask = answer.fill_null(False).to_numpy().copy()
    return held


def _read(predicate: Predicate) -> pl.Expr:
    if isinstance(predicate, pl.Expr):
        return predicate
    if not isinstance(predicate, str):
        raise DataError(
            f"a condition is a polars expression or SQL; got {type(predicate).__name__}"
        )
    try:
        return pl.sql_expr(predicate)
    except PolarsError as error:
        raise DataError(
            f"the condition {predicate!r} cannot be read as SQL: {_first_line(error)}"
        ) from None


def _check_columns(named: Sequence[str], known: Sequence[str]) -> None:
    for name in named:
        if name not in known:
            raise DataError(
                f"a condition names the column {name!r}, which the settings of the catalogue do "
                f"not declare; declared are {', '.join(sorted(known))}"
            )


def _shown(predicate: Predicate) -> str:
    return repr(predicate) if isinstance(predicate, str) else str(predicate)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
