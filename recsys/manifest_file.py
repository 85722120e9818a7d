"""The file of a manifest: JSON, or the metadata of a Parquet file without rows."""

from pathlib import Path

from recsys.features.errors import ArtifactError
from recsys.features.stored import exists, read_text

JSON, TABLE = "manifest.json", "_manifest.parquet"
"""Its name in a saved engine, and in an export. Readers of a folder of Parquet files skip a name
with an underscore, but polars, which wants all files to end alike: to it the manifest is a part
without rows."""

_KEY = "recsys.manifest"  # of the metadata that has the text


def manifest_file(folder: Path) -> Path:
    """Where the manifest of a folder is, or would be."""
    table = folder / TABLE
    return table if exists(table) else folder / JSON


def manifest_text(file: Path) -> bytes:
    """The manifest as it was written; raises ArtifactError where it cannot be read."""
    if file.name != TABLE:
        return read_text(file)
    import polars as pl

    try:
        if not file.is_file():
            raise ArtifactError(f"{file} is no plain file")
        return pl.read_parquet_metadata(file)[_KEY].encode()
    except (pl.exceptions.PolarsError, OSError, KeyError) as error:
        raise ArtifactError(f"{file} cannot be read: {error}") from None


def write_json(folder: Path, text: bytes) -> None:
    """Write the text of a manifest as a file of its own."""
    (folder / JSON).write_bytes(text)


def write_table(folder: Path, text: bytes) -> None:
    """Write it as the metadata of a table without rows that has the columns of the other tables."""
    import polars as pl

    some = min(folder.glob("*.parquet"))
    with some.open("rb") as file:  # of a path polars takes brackets and stars for a pattern
        empty = pl.DataFrame(schema=pl.read_parquet_schema(file))
    empty.write_parquet(folder / TABLE, metadata={_KEY: text.decode()})
