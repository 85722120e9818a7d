"""Ids as callers pass them, read as one series of strings or integers."""

import math
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from recsys.features.arrays import Array, Mask
from recsys.features.errors import DataError
from recsys.features.frames import as_polars, column_names, is_frame
from recsys.features.shown_values import shown

Ids = pl.Series | Sequence[str] | Sequence[int] | Array
"""What a caller may pass where ids are asked for."""

_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**64 - 1  # what an integer column can hold
_PANIC = pl.exceptions.PanicException  # no Exception: polars raises it where it did not expect to


@dataclass(frozen=True, slots=True)
class ReadIds:
    """Ids in the order in which they came; as text where no column of integers holds them all."""

    values: pl.Series  # (n,) strings or integers
    are_text: Mask | None = None  # (n,) those that came as text, where others did not


def as_ids(ids: Ids, noun: str = "id") -> pl.Series:
    """Ids as one polars series of strings or integers; raises DataError where types are mixed."""
    read = read_ids(ids, noun)
    if read.are_text is None or not read.are_text.any():  # no integer column holds them: as text
        return read.values
    other = int(np.argmax(read.are_text != read.are_text[0]))
    raise DataError(
        f"{noun} ids must be all strings or all integers; got {read.values[0]!r} at position 0 "
        f"and {read.values[other]!r} of the other type at position {other}"
    )


def read_ids(ids: Ids, noun: str = "id", most: int | None = None) -> ReadIds:
    """Ids of any library and any iterable, strings and integers side by side.

    Whole floats are integers; None, NaN and what else stands for nothing are null. An iterator is
    read to one more than `most`. Raises DataError that names the first value that is no id, and its
    position.
    """
    series = _series_of(ids, noun)
    return _of_list(_listed(ids, noun, most), noun) if series is None else _of_series(series, noun)


def _series_of(ids: Any, noun: str) -> pl.Series | None:
    """Columns of polars, numpy, pandas and pyarrow as one of polars; None for other things."""
    if isinstance(ids, pl.Series):
        return ids
    if is_frame(ids):
        return _only_column(ids, noun)
    if isinstance(ids, np.ndarray):
        if ids.ndim != 1:
            raise DataError(f"{noun} ids must be a list of ids; got an array of {ids.ndim} axes")
        if not len(ids):
            return pl.Series([], dtype=pl.Null)
        if ids.dtype.kind not in "iuUf" or isinstance(ids, np.ma.MaskedArray):
            return None
        ids = ids.astype(np.float64 if ids.dtype.kind == "f" else ids.dtype.newbyteorder("="))
    elif not _is_column(ids):
        return None
    try:
        return pl.Series(ids)
    except (Exception, _PANIC):  # of mixed types, or a table: its values are looked at one by one
        return None


def _only_column(table: Any, noun: str) -> pl.Series | None:
    """The ids of a table of one column; None where its values are of mixed types."""
    names = column_names(table, f"table of {noun} ids")
    if len(names) != 1:
        raise DataError(
            f"{noun} ids must be a list of ids, or a table of that one column; got a "
            f"{type(table).__name__} with the columns {names[:10]}"
        )
    rows = as_polars(table, names, names, f"table of {noun} ids").select(names)
    return rows.collect().to_series()


def _is_column(ids: Any) -> bool:
    """Is it one of pandas or pyarrow, or says it how to be read as one?"""
    library = type(ids).__module__.partition(".")[0]
    return library in ("pandas", "pyarrow") or hasattr(ids, "__arrow_c_stream__")


def _listed(ids: Any, noun: str, most: int | None) -> list[Any]:
    if isinstance(ids, str | bytes | bytearray):  # their elements are no ids
        raise DataError(f"{noun} ids must be a list of ids; got the one id {shown(ids)}")
    if isinstance(ids, Mapping) or not isinstance(ids, Iterable) or hasattr(ids, "columns"):
        raise DataError(f"{noun} ids must be a list of ids; got {shown(ids)}")
    try:
        return list(ids if most is None or isinstance(ids, Sized) else islice(ids, most + 1))
    except (Exception, _PANIC) as error:
        raise DataError(f"{noun} ids cannot be read: {type(error).__name__}: {error}") from error


def _of_series(series: pl.Series, noun: str) -> ReadIds:
    if isinstance(series.dtype, pl.Categorical | pl.Enum):
        series = series.cast(pl.String)
    kind = series.dtype
    if kind in (pl.String, pl.Null) or (kind.is_integer() and kind not in (pl.Int128, pl.UInt128)):
        return ReadIds(series)
    if not len(series) or series.null_count() == len(series):
        return ReadIds(pl.Series(series.name, [None] * len(series), dtype=pl.Null))
    if kind.is_numeric() or kind == pl.Object:
        return _of_list(series.to_list(), noun)
    raise DataError(f"{noun} ids must be strings or integers; got {kind}")


def _of_list(values: list[Any], noun: str) -> ReadIds:
    kinds = set(map(type, values)) - {type(None)}
    if not kinds <= {str} and not kinds <= {int}:
        values = [_plain(value, place, noun) for place, value in enumerate(values)]
        kinds = set(map(type, values)) - {type(None)}
    if kinds == {int}:
        whole = [value for value in values if value is not None]
        if min(whole) >= _LEAST_INTEGER and max(whole) <= _MOST_INTEGER:
            wide = pl.UInt64 if max(whole) >= 2**63 else pl.Int64
            if wide == pl.Int64 or min(whole) >= 0:
                return ReadIds(pl.Series(values, dtype=wide))
    if int not in kinds:
        return ReadIds(_text(values, noun) if kinds else pl.Series(values, dtype=pl.Null))
    are_text = np.array([isinstance(value, str) for value in values], np.bool_)
    texts = [
        value if value is None or isinstance(value, str) else _digits(value, place, noun)
        for place, value in enumerate(values)
    ]
    return ReadIds(_text(texts, noun), are_text)


def _plain(value: Any, place: int, noun: str) -> str | int | None:
    """One id as Python has it; None for what stands for nothing."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float | np.floating | Decimal):
        return _whole(value, place, noun)
    if value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant"):
        return None
    raise DataError(_no_id(value, place, noun))


def _whole(value: Any, place: int, noun: str) -> int | None:
    try:
        whole = int(value)
    except (ValueError, OverflowError, ArithmeticError):  # NaN; an infinity; a NaN that signals
        if value in (math.inf, -math.inf):
            raise DataError(_no_id(value, place, noun)) from None
        return None
    if value != whole:
        raise DataError(_no_id(value, place, noun))
    return whole


def _no_id(value: Any, place: int, noun: str) -> str:
    return (
        f"{noun} ids must be strings or integers; got {shown(value)} of type "
        f"{type(value).__name__} at position {place}"
    )


def _digits(value: int, place: int, noun: str) -> str:
    try:
        return str(value)
    except ValueError:
        raise DataError(_no_id(value, place, noun)) from None


def _text(values: list[Any], noun: str) -> pl.Series:
    try:
        return pl.Series(values, dtype=pl.String)
    except UnicodeEncodeError:
        for place, value in enumerate(values):
            try:
                (value or "").encode()
            except UnicodeEncodeError:
                raise DataError(
                    f"{noun} ids must be text that UTF-8 can write; got {shown(value)}, which has "
                    f"half of a surrogate pair, at position {place}"
                ) from None
        raise
