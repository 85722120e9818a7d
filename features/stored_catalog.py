"""What the files of a saved catalogue have to be."""

from pathlib import Path
from typing import Any, Self

import polars as pl
from pydantic import model_validator

from recsys.features.columns import CatalogColumns
from recsys.features.errors import ArtifactError
from recsys.features.stored import Stored


class AboutCatalog(Stored):
    """What `catalog.json` says."""

    columns: dict[str, Any]
    vectors: tuple[str, ...]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.vectors)) != len(self.vectors):
            raise ValueError(f"vectors must be named apart; got {self.vectors}")
        return self


def check_frame(
    path: Path, frame: pl.DataFrame, columns: CatalogColumns, vectors: tuple[str, ...]
) -> None:
    """Raise ArtifactError where a loaded frame has other columns than those that are mapped."""
    needed = {name for name in columns.described if name not in (*columns.vector, *vectors)}
    if odd := sorted(needed ^ set(frame.columns)):
        raise ArtifactError(f"{path} and catalog.json name other columns: {odd[:5]}")
