"""Columns of any type as text, numbers, flags, codes, tags and vectors."""

import numpy as np
import polars as pl

from recsys.features.arrays import Array, Floats, Offsets, Rows
from recsys.features.errors import DataError
from recsys.features.ragged import offsets_of
from recsys.features.vocabulary import Vocabulary

Tags = tuple[Offsets, Rows, pl.Series]
"""(n + 1,) offsets, the flat codes, and the label of each code."""

_YES = ("true", "yes", "y", "1", "t", "in stock", "available")
_NO = ("false", "no", "n", "0", "f", "out of stock", "unavailable", "sold out")


def as_text(column: pl.Series) -> pl.Series:
    """Values as stripped text, lists joined by spaces, null where nothing is left."""
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    if isinstance(column.dtype, pl.List):
        column = column.cast(pl.List(pl.String)).list.join(" ", ignore_nulls=True)
    text = column.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def as_numbers(column: pl.Series) -> Floats:
    """(n,) float32, NaN for what is not a finite number."""
    column = column.to_physical() if column.dtype.is_temporal() else column
    values = column.cast(pl.Float32, strict=False).fill_null(np.nan).to_numpy()
    return frozen(np.where(np.isfinite(values), values, np.float32(np.nan)))


def as_flags(column: pl.Series) -> pl.Series:
    """Values as Boolean with nulls: numbers above 0, words such as "yes" and "no".

    Raises DataError on a word that says neither.
    """
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return column.cast(pl.Float64).fill_nan(None) > 0
    words = as_text(column).str.to_lowercase()
    meaning = pl.Series([True] * len(_YES) + [False] * len(_NO))
    flags = words.replace_strict(
        pl.Series([*_YES, *_NO]), meaning, default=None, return_dtype=pl.Boolean
    )
    amounts = words.cast(pl.Float64, strict=False) > 0
    flags = flags.zip_with(flags.is_not_null(), amounts)
    strange = words.filter(flags.is_null() & words.is_not_null())
    if len(strange):
        raise DataError(
            f"column {column.name!r} must say true or false, be a number or one of "
            f"{', '.join((*_YES, *_NO))}; got {strange[0]!r}"
        )
    return flags


def codes_of(column: pl.Series) -> tuple[Rows, pl.Series]:
    """Codes in the sorted order of the values, PAD where it is null, and the label of each."""
    values = column if column.dtype.is_integer() else as_text(column)
    labels = Vocabulary.of(values, column.name)
    return frozen(labels.rows(values)), labels.ids


def coded_tags(column: pl.Series, separator: str) -> Tags:
    if column.dtype == pl.String:
        column = column.str.split(separator)
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    rows = pl.int_range(len(column), dtype=pl.Int64, eager=True)
    pairs = (
        pl.DataFrame({"row": rows, "tag": column.cast(pl.List(pl.String))})
        .explode("tag", empty_as_null=True)
        .with_columns(pl.col("tag").str.strip_chars())
        .filter(pl.col("tag") != "")
        .unique(maintain_order=True)
    )
    labels = Vocabulary.of(pairs["tag"], column.name)
    counts = np.bincount(pairs["row"].to_numpy(), minlength=len(column))
    return frozen(offsets_of(counts)), frozen(labels.rows(pairs["tag"])), labels.ids


def coded_flags(flags: pl.DataFrame) -> Tags:
    """Tags of columns of 0 and 1: the labels are the names of the columns."""
    raised = np.stack([as_flags(each).fill_null(False).to_numpy() for each in flags], axis=1)
    codes = np.nonzero(raised)[1].astype(np.int32)
    labels = pl.Series("id", flags.columns)
    return frozen(offsets_of(raised.sum(axis=1))), frozen(codes), labels


def vectors_of(column: pl.Series, ids: pl.Series) -> Floats:
    """(n, d) float32 of lists of numbers, a zero row where there is none.

    Raises DataError, which names the id, where lengths differ or a number is not finite.
    """
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    if not isinstance(column.dtype, pl.List) or not column.dtype.inner.is_numeric():
        raise DataError(
            f"vector column {column.name!r} must hold lists of numbers; got {column.dtype}"
        )
    lengths = column.list.len().fill_null(0).to_numpy()
    given = np.flatnonzero(lengths)
    if not len(given):
        raise DataError(f"vector column {column.name!r} holds no vector")
    length = lengths[given[0]]
    odd = given[lengths[given] != length]
    if len(odd):
        raise DataError(
            f"vectors of {column.name!r} must be of one length; item {ids[int(given[0])]!r} has "
            f"{length}, item {ids[int(odd[0])]!r} has {lengths[odd[0]]}"
        )
    flat = column.gather(given).explode().cast(pl.Float32).fill_null(np.nan).to_numpy()
    vectors = np.zeros((len(column), length), np.float32)
    vectors[given] = flat.reshape(len(given), length)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(
            f"vectors of {column.name!r} must be finite; item {ids[int(bad[0])]!r} has "
            f"{column[int(bad[0])].to_list()}"
        )
    return frozen(vectors)


def frozen(array: Array) -> Array:
    array = np.ascontiguousarray(array)
    if array.flags.writeable:
        array.setflags(write=False)
    return array
