"""External ids <-> int32 rows, frozen: the only place where ids are mapped."""

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.features import parquet
from recsys.features.arrays import PAD, Array, Mask, Rows
from recsys.features.errors import ArtifactError, DataError
from recsys.features.facts import Facts
from recsys.features.ids import Ids, ReadIds, as_ids, read_ids
from recsys.features.shown_values import shown

_FEW = 32  # up to here a binary search in Python beats the start of a query in polars
_WHOLE = r"^(0|-?[1-9]\d{0,18})$"  # as integers are written
_MANY = 4096  # up to here a binary search beats building the hash table of a join


@dataclass(frozen=True)
class Vocabulary:
    """The ids of all users, or of all items; an id's position is its row."""

    ids: pl.Series  # (n,) strings or integers, unique, no nulls
    noun: str = "id"  # what one of them is called in messages

    @classmethod
    def of(cls, ids: Ids, noun: str = "id") -> "Vocabulary":
        """The distinct ids, sorted; raises DataError where their types are mixed."""
        return cls(as_ids(ids, noun).drop_nulls().unique().sort().alias("id"), noun)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Ids) -> Rows:
        """The row of each id (n,), PAD where it is unknown."""
        return self._rows(as_ids(ids, self.noun))

    def found(self, ids: Ids, most: int | None = None) -> tuple[pl.Series, Rows]:
        """Ids as they were asked for (n,), and the row of each; for requests, as a batch of many.

        Where types are mixed an id of another type than ours is unknown like any other, and all are
        told as text. An iterator is read to one more than `most`. Raises DataError where none is of
        our type.
        """
        return self.found_read(read_ids(ids, self.noun, most))

    def found_read(self, read: ReadIds) -> tuple[pl.Series, Rows]:
        """`found` of ids that have been read."""
        if read.are_text is None or self._takes_digits:
            return read.values, self._rows(read.values)
        rows = np.full(len(read.values), PAD, np.int32)
        ours: Mask = read.are_text if self.ids.dtype == pl.String else ~read.are_text
        own = read.values.filter(pl.Series(ours))
        if len(self) and own.null_count() == len(own):
            raise DataError(self._of_other_type(read.values))
        if self.ids.dtype.is_integer():
            own = own.cast(self.ids.dtype, strict=False)
        rows[ours] = self._rows(own)
        return read.values, rows

    def _rows(self, asked: pl.Series) -> Rows:
        asked = self._cast(asked)
        if not len(self) or not len(asked):
            return np.full(len(asked), PAD, np.int32)
        if len(asked) > _MANY:
            return self._joined(asked)
        if len(asked) <= _FEW:
            return np.array([self._row(each) for each in asked], np.int32)
        sorted_ids, order = self._sorted
        place = np.minimum(sorted_ids.search_sorted(asked).to_numpy(), len(self) - 1)
        found = sorted_ids[place].eq_missing(asked).to_numpy()
        return np.where(found, order[place], PAD).astype(np.int32)

    def ids_at(self, rows: Array) -> pl.Series:
        """The id of each row (n,), null where the row is PAD."""
        if not (rows == PAD).any():
            return self.ids[rows]
        return self.ids.gather(pl.Series(rows).replace(PAD, None).cast(pl.UInt32))

    def extended(self, ids: Ids) -> "Vocabulary":
        """This vocabulary with the ids it does not know added at the end, in sorted order.

        Text and integers meet as text.
        """
        more = as_ids(ids, self.noun)
        if not len(self):
            return Vocabulary.of(more, self.noun)
        own, more = _one_type(self.ids, more)
        new = more.drop_nulls().unique().sort()
        new = new.filter(~new.is_in(own.implode()))
        return Vocabulary(pl.concat([own, new.alias("id")]), self.noun)

    def in_type_of(self, other: "Vocabulary") -> "Vocabulary":
        """The same ids as text where the others are text."""
        if other.ids.dtype != pl.String or self.ids.dtype == pl.String:
            return self
        return Vocabulary(self.ids.cast(pl.String), self.noun)

    def save(self, path: Path) -> None:
        self.ids.alias("id").to_frame().write_parquet(path)

    @classmethod
    def load(cls, path: Path, noun: str = "id", size: int | None = None) -> "Vocabulary":
        """The vocabulary that was saved, of `size` ids where that is known.

        Raises ArtifactError where the file is damaged or does not hold distinct ids.
        """
        table = parquet.read(path, size)
        if table.columns != ["id"]:
            raise ArtifactError(f"{path} must hold the column 'id'; got {table.columns[:5]}")
        ids = table["id"]
        if not (ids.dtype == pl.String or ids.dtype.is_integer() or not len(ids)):
            raise ArtifactError(f"{path}: {noun} ids must be strings or integers; got {ids.dtype}")
        if ids.null_count() or ids.n_unique() != len(ids):
            raise ArtifactError(f"{path}: {noun} ids must be distinct, and none of them null")
        return cls(ids, noun)

    @cached_property
    def _sorted(self) -> tuple[pl.Series, Array]:
        order = self.ids.arg_sort()
        return self.ids.gather(order), order.to_numpy()

    @cached_property
    def _takes_digits(self) -> bool:
        """Are there whole numbers among our texts? They may have come as integers (`id_type`, or a
        table of text beside one of integers), so integers are asked for by their text.
        """
        return self.ids.dtype == pl.String and bool(self.ids.str.contains(_WHOLE).any())

    @cached_property
    def _table(self) -> pl.DataFrame:
        rows = pl.int_range(len(self), dtype=pl.Int32, eager=True)
        return pl.DataFrame({"id": self.ids, "row": rows})

    def _row(self, asked: str | int | None) -> int:
        """The row of one id, PAD where it is unknown."""
        sorted_ids, order = self._sorted
        if asked is None:
            return PAD
        place = bisect_left(sorted_ids, asked)  # strings of polars and of Python sort alike
        known = place < len(order) and sorted_ids[place] == asked
        return int(order[place]) if known else PAD

    def _joined(self, asked: pl.Series) -> Rows:
        joined = (
            asked.alias("id")
            .to_frame()
            .join(self._table, on="id", how="left", maintain_order="left")
        )
        return joined["row"].fill_null(PAD).to_numpy()

    def _cast(self, asked: pl.Series) -> pl.Series:
        """Bring ids of another integer width to ours; what does not fit is unknown (null)."""
        if asked.dtype == self.ids.dtype or not len(self):
            return asked
        if asked.null_count() == len(asked):
            return pl.Series(asked.name, [None] * len(asked), dtype=self.ids.dtype)
        if asked.dtype.is_integer() and self._takes_digits:
            return asked.cast(pl.String)
        if asked.dtype.is_integer() != self.ids.dtype.is_integer():
            raise DataError(self._of_other_type(asked))
        return asked.cast(self.ids.dtype, strict=False)

    def _of_other_type(self, asked: pl.Series) -> str:
        return (
            f"{self.noun} ids of this engine are {self.ids.dtype}; got {asked.dtype} "
            f"(first: {shown(asked.drop_nulls()[0])}); pass them as they stood in the log"
        )


def _one_type(own: pl.Series, more: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Both in the type that holds the ids of both: Int64, else UInt64, else text."""
    if own.dtype == more.dtype or more.dtype == pl.Null:
        return own, more.cast(own.dtype)
    kind: pl.DataType = pl.String()
    if own.dtype.is_integer() and more.dtype.is_integer():
        ends: list[Any] = [ids.min() for ids in (own, more)] + [ids.max() for ids in (own, more)]
        ends = [end for end in ends if end is not None]
        kind = Facts(least=min(ends), most=max(ends)).integer if ends else own.dtype
    return own.cast(kind), more.cast(kind)
