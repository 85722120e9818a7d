"""Rows of a table that were not taken, each with its one reason."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from recsys.features.arrays import Array
from recsys.features.errors import DataError
from recsys.features.outputs import draft_of

LEFT_OUT = "left out by where"
"""The one reason that the caller asked for: strict mode does not mind it."""


@dataclass(frozen=True)
class Rejections:
    """What became of the rows of a table: how many were read, and why some were not taken."""

    read: int
    rows: Array  # (rejected,) ascending row numbers, the first row of the source is 0
    codes: Array  # (rejected,) positions in `reasons`
    reasons: tuple[str, ...]  # in the order in which they were tested
    source: pl.LazyFrame = field(repr=False)
    notes: tuple[str, ...] = ()  # what else to know, such as the unit that times were read in

    @classmethod
    def of(
        cls,
        code: pl.Series,
        taken: Array,
        tests: Iterable[str],
        repeated: str,
        source: pl.LazyFrame,
    ) -> "Rejections":
        """The account of a table whose rows got a `code` (read,) of `reason_code(tests)`.

        `taken` numbers, among the rows that passed all tests, those that were taken after all;
        the others have the reason `repeated`.
        """
        codes = code.to_numpy()
        is_taken = np.zeros(len(codes), np.bool_)
        is_taken[np.flatnonzero(codes == 0)[taken]] = True
        reasons = (*tests, repeated)
        rows = np.flatnonzero(~is_taken)
        reason = np.where(codes[rows] == 0, len(reasons), codes[rows]) - 1
        return cls(len(codes), rows, reason, reasons, source)

    @property
    def kept(self) -> int:
        return self.read - len(self.rows)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Rejected rows per reason, without the reasons that no row had."""
        found = np.bincount(self.codes, minlength=len(self.reasons))
        return {reason: int(n) for reason, n in zip(self.reasons, found, strict=True) if n}

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The rejected rows as they came, and of each its `row` number and `reason`."""
        columns = self.source.collect_schema().names()
        row, reason = _free("row", columns), _free("reason", columns)
        chosen = pl.DataFrame(
            {row: self.rows.astype(np.uint32), reason: pl.Series(self.codes, dtype=pl.UInt32)}
        )
        names = pl.Series(self.reasons, dtype=pl.String)
        return (
            self.source.with_row_index(row)
            .join(chosen.lazy(), on=row, how="inner", maintain_order="left")
            .with_columns(pl.lit(names).gather(pl.col(reason)).alias(reason))
            .collect(engine="streaming")
        )

    def noting(self, *notes: str) -> "Rejections":
        """The same with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def write(self, path: Path | str) -> None:
        """Write the rejected rows to a Parquet file, which is either whole or not there."""
        frame = self.frame  # read before: what goes wrong from here on is of the writing
        with draft_of(path) as draft:
            frame.write_parquet(draft)

    def raise_if_any(self) -> None:
        """Raise DataError with the counts, unless all rows were taken or left out by `where`."""
        faults = {reason: n for reason, n in self.counts.items() if reason != LEFT_OUT}
        if faults:
            raise DataError(
                f"strict: {sum(faults.values()):,} of {self.read:,} rows are rejected: "
                f"{_listed(faults)}"
            )

    def lines(self) -> Iterator[str]:
        """What to print: the total, a line per reason, a line per note."""
        yield f"{self.read:,} rows read, {self.kept:,} kept, {len(self.rows):,} rejected"
        for reason, n in self.counts.items():
            yield f"  {n:,} {reason}"
        yield from self.notes

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def summary(self) -> str:
        """The counts in one line."""
        return _listed(self.counts) or "none"


def is_missing(name: str, kind: pl.DataType) -> pl.Expr:
    """True where an id is null or an empty text."""
    missing = pl.col(name).is_null()
    return missing | (pl.col(name) == "") if kind == pl.String else missing


def reason_code(tests: Mapping[str, pl.Expr]) -> pl.Expr:
    """UInt8: 0 for a row that passes, else 1 + the position of the first reason that applies."""
    code = pl.lit(0, pl.UInt8)
    for position, test in reversed(list(enumerate(tests.values(), start=1))):
        code = pl.when(test).then(pl.lit(position, pl.UInt8)).otherwise(code)
    return code


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {reason}" for reason, n in counts.items())


def _free(name: str, taken: Iterable[str]) -> str:
    """A name for a new column that no column has."""
    taken = set(taken)
    while name in taken:
        name = f"rejected_{name}"
    return name
