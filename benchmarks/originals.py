"""From the files that the makers of a data set publish to the tables that our configs read."""

import json
import shutil
from pathlib import Path

import polars as pl

from recsys.features.errors import DataError, MissingDependency

_LEAST_RATINGS = 5  # of a film of ml-1m, as in the preprocessing of SASRec


def ml_100k(original: Path, tables: Path) -> None:
    """u.data, u.item, u.user and u.genre are read as they are."""
    for name in ("u.data", "u.item", "u.user", "u.genre"):
        shutil.copyfile(found(original, name), tables / name)


def ml_1m(original: Path, tables: Path) -> None:
    """Ratings in the order of (user, time), ties as they stand; rare films are dropped.

    The original says of a film only its title and genres: directors, casts and plots, which our
    own figures use as text, were added from elsewhere and stay empty.
    """
    names = ["user_id", "item_id", "rating", "timestamp"]
    ratings = _parted(found(original, "ratings.dat"), names).cast(pl.Int32)
    often = pl.len().over("item_id") >= _LEAST_RATINGS
    ordered = ratings.filter(often).sort("user_id", "timestamp", maintain_order=True)
    _sequences(ordered).write_parquet(tables / "sequences.parquet")
    ratings.with_columns(
        pl.from_epoch(pl.col("timestamp").cast(pl.Int64)).cast(pl.Datetime("us"))
    ).write_parquet(tables / "ratings.parquet")
    unknown = [pl.lit(None, pl.String).alias(name) for name in ("director", "cast", "plot")]
    _parted(found(original, "movies.dat"), ["item_id", "title", "genres"]).with_columns(
        pl.col("item_id").cast(pl.Int32), pl.col("genres").str.split("|"), *unknown
    ).write_parquet(tables / "movies.parquet")
    _parted(found(original, "users.dat"), ["user_id", "gender", "age", "occupation", "zip"]).cast(
        dict.fromkeys(["user_id", "age", "occupation"], pl.Int32)
    ).write_parquet(tables / "users.parquet")


def amazon_beauty(original: Path, tables: Path) -> None:
    """A line for each user: the user and the items in order; items are numbers here.

    The titles that our own figures use as text are not in it and stay empty.
    """
    listed = _lists(found(original, "Beauty.txt"), pl.String)
    _sequences(listed).write_parquet(tables / "interactions.parquet")
    attributes = json.loads(found(original, "Beauty_item2attributes.json").read_text("utf8"))
    pl.DataFrame(
        {
            "item_id": list(attributes),
            "attributes": [[str(each) for each in listed] for listed in attributes.values()],
            "title": [None] * len(attributes),
        },
        {"item_id": pl.String, "attributes": pl.List(pl.String), "title": pl.String},
    ).write_parquet(tables / "items.parquet")


def gowalla(original: Path, tables: Path) -> None:
    """A line for each user: the user and the items, in a file for each half of the split."""
    for half in ("train", "test"):
        listed = _lists(found(original, f"{half}.txt"), pl.Int32)
        listed.write_parquet(tables / f"{half}.parquet")


def online_retail(original: Path, tables: Path) -> None:
    """The first of the two sheets, one year of invoices; raises MissingDependency."""
    path = found(original, "online_retail_II.xlsx")
    try:
        rows = pl.read_excel(path, sheet_name="Year 2009-2010", infer_schema_length=None)
    except ModuleNotFoundError:
        raise MissingDependency("online-retail is an Excel file: pip install fastexcel") from None
    customer = pl.col("Customer ID").cast(pl.Float64).cast(pl.Int64)
    rows.select(
        pl.col("Invoice").cast(pl.String).alias("invoice"),
        pl.col("StockCode").cast(pl.String).alias("item_id"),
        pl.col("Description").cast(pl.String).alias("description"),
        pl.col("Quantity").cast(pl.Int64).alias("quantity"),
        pl.col("InvoiceDate").cast(pl.Datetime("us")).alias("timestamp"),
        pl.col("Price").cast(pl.Float64).alias("price"),
        customer.cast(pl.String).alias("user_id"),
        pl.col("Country").cast(pl.String).alias("country"),
    ).write_parquet(tables / "transactions.parquet")


def found(original: Path, name: str) -> Path:
    """The file of this name, however deep an archive had it; raises DataError."""
    paths = sorted(original.rglob(name))
    if not paths:
        raise DataError(f"there is no {name!r} in {original}")
    return paths[0]


def _parted(path: Path, names: list[str]) -> pl.DataFrame:
    """The lines of a file of MovieLens-1M as text, parted at "::"."""
    lines = path.read_text("latin-1").replace("\r", "").rstrip("\n").split("\n")
    parts = pl.Series("line", lines).str.split("::").list.to_struct(fields=names)
    return parts.struct.unnest()


def _lists(path: Path, kind: type[pl.DataType]) -> pl.DataFrame:
    """Lines of "user item item ..." as rows of (user_id, item_id)."""
    lines = [line.split() for line in path.read_text("utf8").splitlines() if line.strip()]
    return (
        pl.DataFrame(
            {"user_id": [line[0] for line in lines], "item_id": [line[1:] for line in lines]},
            {"user_id": pl.String, "item_id": pl.List(pl.String)},
        )
        .explode("item_id", empty_as_null=False)
        .cast(kind)
    )


def _sequences(ordered: pl.DataFrame) -> pl.DataFrame:
    """(user_id, item_id, position), where rows are in each user's order."""
    place = pl.int_range(pl.len(), dtype=pl.Int32).over("user_id").alias("position")
    return ordered.select("user_id", "item_id", place)
