"""Tables of other libraries - pandas, pyarrow, duckdb and what narwhals knows - as polars rows."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import narwhals as nw
import polars as pl
import pyarrow as pa

from recsys.features.errors import DataError


def is_frame(source: Any) -> bool:
    """Is it a table in memory, or the question for one?"""
    if isinstance(source, pl.DataFrame | pl.LazyFrame | pa.Table | pa.RecordBatch):
        return True
    if isinstance(source, str | bytes | pl.Series):
        return False
    try:
        nw.from_native(source)
    except TypeError:
        return hasattr(source, "__arrow_c_stream__") and hasattr(source, "schema")
    except Exception:  # a frame whose columns it does not like: two of one name
        return True
    return True


def column_names(source: Any, noun: str) -> list[str]:
    """The names of the columns; raises DataError where two have one name."""
    if isinstance(source, pl.LazyFrame):
        return source.collect_schema().names()
    own = getattr(source, "columns", None)
    names = list(own) if own is not None else None
    if isinstance(source, pa.Table | pa.RecordBatch) or names is None:
        names = list(source.schema.names)
    twice = [name for name, n in Counter(map(str, names)).items() if n > 1]
    if twice:
        raise DataError(f"the {noun} has several columns of one name: {twice}; name each apart")
    return [str(name) for name in names]


def as_polars(source: Any, needed: Sequence[str], texts: Sequence[str], noun: str) -> pl.LazyFrame:
    """The needed columns of a table of any library; of polars all columns.

    Columns in `texts` may hold values of mixed types, which become text.
    """
    if isinstance(source, pl.LazyFrame):
        return source
    if isinstance(source, pl.DataFrame):
        objects = [name for name in needed if source.schema[name] == pl.Object]
        return source.with_columns(_of_objects(source[n], n in texts, noun) for n in objects).lazy()
    try:
        return _converted(source, needed, texts, noun).lazy()
    except DataError:
        raise
    except Exception as error:  # every library has errors of its own
        first = str(error).partition("\n")[0]
        raise DataError(
            f"the {noun} cannot be read from {type(source).__name__}: {first}"
        ) from error


def _converted(source: Any, needed: Sequence[str], texts: Sequence[str], noun: str) -> pl.DataFrame:
    if isinstance(source, pa.Table | pa.RecordBatch):
        return pl.DataFrame({name: _of_arrow(source[name], name, noun) for name in needed})
    try:
        frame = nw.from_native(source)
    except TypeError:
        return pl.DataFrame(source).select(needed)  # what speaks Arrow's stream of batches
    if frame.implementation.is_pandas_like():
        native = nw.to_native(frame)
        return pl.DataFrame(
            {name: _of_pandas(native[name], name, name in texts, noun) for name in needed}
        )
    rows: pl.DataFrame = frame.lazy().select(needed).collect("polars").to_native()
    return rows


def _of_arrow(column: Any, name: str, noun: str) -> pl.Series:
    try:
        return pl.Series(name, pl.from_arrow(column))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, NotImplementedError) as error:
        raise DataError(f"column {name!r} of the {noun} is {column.type}: {error}") from None


def _of_pandas(column: Any, name: str, as_text: bool, noun: str) -> pl.Series:
    """A column of pandas; NaN, NaT, NA and None are null."""
    if hasattr(column, "sparse"):
        column = column.sparse.to_dense()
    try:
        values = pa.array(column, from_pandas=True)
        if not isinstance(values.type, pa.UuidType):  # polars would take it for bytes
            return _of_arrow(values, name, noun)
        raise TypeError("UUIDs are neither text nor numbers")
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        missing = column.isna()
        if as_text:
            texts = [None if gone else _text(v) for v, gone in zip(column, missing, strict=True)]
            return pl.Series(name, texts, dtype=pl.String)
        if isinstance(error, OverflowError):  # whole numbers of more than 64 bits
            return pl.Series(name, [None if g else v for v, g in zip(column, missing, strict=True)])
        first = str(error).partition("\n")[0]
        raise DataError(f"column {name!r} of the {noun} is of mixed types: {first}") from None


def _of_objects(column: pl.Series, as_text: bool, noun: str) -> pl.Series:
    """A column of Python's objects in a type of polars."""
    values = column.to_list()
    if as_text:
        values = [None if value is None or value != value else _text(value) for value in values]
    try:
        return pl.Series(column.name, values, strict=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"column {column.name!r} of the {noun} mixes types: {error}") from None


def _text(value: object) -> str:
    """A value as a CSV file would hold it; whole floats as whole numbers."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
