"""Tables of a saved folder as Parquet, whose length is known before they are read."""

from io import BytesIO
from pathlib import Path

import polars as pl

from recsys.features.errors import ArtifactError
from recsys.features.stored import opened, reading

_ROWS_PER_BYTE, _FEW = 64, 1 << 16
"""Rows that a file may unpack to: ids differ, so that each of them takes some bits."""


def read(path: Path, rows: int | None = None, is_distinct: bool = True) -> pl.DataFrame:
    """A table of so many rows, where that is known; raises ArtifactError where it is none.

    The length that the file tells is looked at first, or some kilobytes could fill the memory.
    Rows that need not differ may take no bytes at all: their number must come from a table of
    those that do.
    """
    with reading(path):
        with opened(path) as file:
            packed = file.read()
        told = pl.scan_parquet(BytesIO(packed)).select(pl.len()).collect().item()
        if rows is not None and told != rows:
            raise ArtifactError(f"{path} must have {rows:,} rows; it tells of {told:,}")
        if is_distinct and told > max(_FEW, len(packed) * _ROWS_PER_BYTE):
            raise ArtifactError(f"{path} tells of {told:,} rows in {len(packed):,} bytes")
        table = pl.read_parquet(BytesIO(packed))
        if len(table) != told:
            raise ArtifactError(f"{path} tells of {told:,} rows and has {len(table):,}")
        return table
