"""The lists of all users as a folder of Parquet files, there whole or not at all."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from recsys import __version__
from recsys.artifact import check_target, write_folder
from recsys.engine import Engine
from recsys.features.errors import DataError
from recsys.features.ids import Ids, read_ids
from recsys.fitting import Progress, silent
from recsys.manifest_file import write_table

KIND = "export"
"""What the manifest of the folder calls it."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    parts: int  # files, part-00000.parquet and so on
    users: int
    rows: int  # an offered item each, or a user who is offered nothing

    def counts(self) -> dict[str, int]:
        """What was written, in numbers."""
        return {"parts": self.parts, "users": self.users, "rows": self.rows}


def export(
    engine: Engine,
    folder: Path | str,
    k: int = 10,
    users: Ids | None = None,
    block: int = 10_000,
    progress: Progress = silent,
) -> Exported:
    """Write the lists of all users, or of those given, to `folder`, a file per block of users.

    The columns are those of `Engine.recommend`, and the folder reads as one table. Each file says
    in its metadata of which engine it is (name and `Engine.digest`), when it was made, and how
    long the lists are. The manifest, in the metadata of `_manifest.parquet`, has the SHA-256
    of each file and the counts. The folder appears, or takes the place of an earlier export, when
    all of it is on disk; memory is set by the block. Before any list is made it raises DataError
    where `k` or `block` is below 1, ArtifactError where something other than an export, or one with
    other files in it, stands at `folder`, and OutputError where it cannot be written.
    """
    if block < 1:
        raise DataError(f"block must be at least 1; got {block}")
    folder = Path(folder)
    check_target(folder, KIND)
    asked = engine.users if users is None else read_ids(users, "user").values
    done = {"users": len(asked), "rows": 0, "parts": 0}
    about = {
        "k": k,
        "engine": engine.settings.name,
        "engine_sha256": engine.digest(),
        "version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    says = {f"recsys.{name}": str(value) for name, value in about.items()}

    def fill(draft: Path) -> dict[str, int]:
        for number, lists in enumerate(_lists(engine, asked, k, block)):
            lists.write_parquet(draft / f"part-{number:05}.parquet", metadata=says)
            done["rows"] += len(lists)
            done["parts"] = number + 1
            progress("exporting", min(1.0, done["parts"] * block / max(1, len(asked))))
        return done

    write_folder(folder, KIND, fill, about, write_table)
    return Exported(folder, **done)


def _lists(engine: Engine, users: pl.Series, k: int, block: int) -> Iterator[pl.DataFrame]:
    """The table of each block; of nobody one that is empty, so that the columns are there."""
    for start in range(0, max(1, len(users)), block):
        yield engine.recommend(users[start : start + block], k=k)
