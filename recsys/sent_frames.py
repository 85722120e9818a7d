"""Frames of events that a request brings along, of any library, as polars has them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import narwhals as nw
import polars as pl

from recsys.features.columns import LogColumns
from recsys.features.errors import DataError

_FAULTS = (Exception, pl.exceptions.PanicException)  # the second is no Exception


def is_frame(sent: object) -> bool:
    """Is it a table of any library that `fit` takes?"""
    if isinstance(sent, str | bytes | pl.Series):
        return False
    try:
        nw.from_native(sent)  # type: ignore[call-overload]
    except _FAULTS:
        return hasattr(sent, "columns") and hasattr(sent, "dtypes")
    return True


def frame_of(sent: Any, columns: LogColumns, noun: str) -> pl.DataFrame:
    """The columns of events that are there: user and item must be, all others may.

    Raises DataError where it cannot be read.
    """
    try:
        there = _columns_of(sent)
        missing = sorted({columns.user, columns.item} - set(there))
        if missing:
            raise DataError(f"{noun} lack the columns {missing}; they have {there}")
        read = [name for name in columns.mapped if name in there]
        twice = [name for name, n in Counter(there).items() if n > 1 and name in read]
        if twice:
            raise DataError(f"{noun} have several columns called {twice[0]!r}")
        return _read(sent, read).with_columns(_texts(columns, read))
    except DataError:
        raise
    except _FAULTS as error:
        said = str(error).partition("\n")[0]
        raise DataError(f"{noun} cannot be read: {type(error).__name__}: {said}") from error


def _columns_of(sent: Any) -> list[str]:
    if isinstance(sent, pl.LazyFrame):
        return sent.collect_schema().names()
    own = getattr(sent, "column_names", None)  # of pyarrow, whose columns are the data
    return [str(name) for name in (own if own is not None else sent.columns)]


def _read(sent: Any, names: Sequence[str]) -> pl.DataFrame:
    if isinstance(sent, pl.DataFrame):
        return sent.select(names)
    if isinstance(sent, pl.LazyFrame):
        return sent.select(names).collect()
    frame = nw.from_native(sent).lazy().select(list(names)).collect("polars")
    read: pl.DataFrame = frame.to_native()
    return read


def _texts(columns: LogColumns, there: Sequence[str]) -> list[pl.Expr]:
    """The events as text, whatever they came as."""
    return [pl.col(columns.event).cast(pl.String)] if columns.event in there else []  # type: ignore[arg-type]
