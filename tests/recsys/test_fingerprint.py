"""Fingerprints of data: equal where the data is, different where one value is."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.engine import Engine
from recsys.features.catalog import Catalog, read_catalog
from recsys.features.columns import CatalogColumns, LogColumns
from recsys.features.interactions import Interactions
from recsys.features.reading import read_interactions
from recsys.fingerprint import described, of_catalog, of_log
from recsys.settings import EngineSettings

LOG = pl.DataFrame(
    {
        "user_id": ["ann", "ann", "bob", "cat", "cat"],
        "item_id": [7, 9, 7, 11, 9],
        "time": [1_600_000_000 + 100 * n for n in range(5)],
        "event": ["view", "purchase", "view", "view", "cart"],
        "weight": [1.0, 2.0, 1.0, 1.0, 0.5],
    }
)
ITEMS = pl.DataFrame(
    {
        "item_id": [7, 9, 11, 13],
        "title": ["red shirt", "blüe shirt", None, "hat"],
        "category": ["shirts", "shirts", None, "hats"],
        "price": [10.0, 12.5, None, 3.0],
        "available": [True, True, False, None],
        "tags": ["a|b", "b", None, ""],
    }
)
LOG_COLUMNS = LogColumns(time="time", event="event", weight="weight")
ITEM_COLUMNS = CatalogColumns(
    text="title", title="title", category="category", price="price", available="available",
    tags="tags",
)  # fmt: skip


def log_of(frame: pl.DataFrame | Path, catalog: Catalog | None = None) -> Interactions:
    items = None if catalog is None else catalog.items
    return read_interactions(frame, LOG_COLUMNS, items=items)[0]


def catalog_of(frame: pl.DataFrame | Path) -> Catalog:
    return read_catalog(frame, ITEM_COLUMNS)[0]


def test_csv_and_parquet_of_the_same_data_are_alike(tmp_path: Path) -> None:
    for name, frame in (("log", LOG), ("items", ITEMS)):
        frame.write_csv(tmp_path / f"{name}.csv")
        frame.write_parquet(tmp_path / f"{name}.parquet")
    logs = [log_of(LOG), log_of(tmp_path / "log.csv"), log_of(tmp_path / "log.parquet")]
    assert len({of_log(log) for log in logs}) == 1
    files = [tmp_path / "items.csv", tmp_path / "items.parquet"]
    catalogs = [catalog_of(ITEMS), *map(catalog_of, files)]
    assert len({of_catalog(catalog) for catalog in catalogs}) == 1


def test_the_width_of_integers_does_not_matter() -> None:
    narrow = pl.col("item_id").cast(pl.UInt16)
    assert of_log(log_of(LOG.with_columns(narrow))) == of_log(log_of(LOG))
    assert of_catalog(catalog_of(ITEMS.with_columns(narrow))) == of_catalog(catalog_of(ITEMS))


def test_a_log_is_the_same_beside_any_catalogue() -> None:
    catalog = catalog_of(ITEMS.reverse())
    log = log_of(LOG, catalog)
    assert len(log.items) == 4
    assert of_log(log) == of_log(log_of(LOG))
    assert of_catalog(catalog.over(log.items)) == of_catalog(catalog)


def test_the_order_of_rows_does_not_matter_where_times_differ() -> None:
    assert of_log(log_of(LOG.reverse())) == of_log(log_of(LOG))
    assert of_catalog(catalog_of(ITEMS.reverse())) == of_catalog(catalog_of(ITEMS))


@pytest.mark.parametrize(
    "change",
    [
        pl.col("user_id").replace("bob", "bub"),
        pl.col("item_id").replace(11, 13),
        pl.col("time") + 1,
        pl.col("event").replace("cart", "view"),
        pl.col("weight").replace(0.5, 0.25),
    ],
)
def test_one_value_changes_the_fingerprint_of_a_log(change: pl.Expr) -> None:
    assert of_log(log_of(LOG.with_columns(change))) != of_log(log_of(LOG))


@pytest.mark.parametrize(
    "change",
    [
        pl.col("item_id").replace(13, 14),
        pl.col("title").replace("hat", "cap"),
        pl.col("category").replace("hats", "caps"),
        pl.col("price").replace(3.0, 3.5),
        ~pl.col("available"),
        pl.col("tags").replace("b", "c"),
    ],
)
def test_one_value_changes_the_fingerprint_of_a_catalogue(change: pl.Expr) -> None:
    assert of_catalog(catalog_of(ITEMS.with_columns(change))) != of_catalog(catalog_of(ITEMS))


def test_vectors_of_its_texts_are_no_part_of_a_catalogue() -> None:
    catalog = catalog_of(ITEMS)
    embedded = catalog.with_vectors("text", np.ones((4, 3), np.float32))
    assert of_catalog(embedded) == of_catalog(catalog)


def test_places_and_impressions_are_part_of_a_log() -> None:
    columns = LogColumns(time="time", event="event", position="place")
    seen = LOG.with_columns(event=pl.Series(["view", "impression", "view", "view", "cart"]))
    logs = [
        read_interactions(seen.with_columns(place=pl.Series(places)), columns)[0]
        for places in ([1, 2, 3, 4, None], [1, 2, 3, 5, None], [1, 3, 3, 4, None])
    ]
    logs.append(read_interactions(seen, LogColumns(time="time", event="event"))[0])
    assert len({of_log(log) for log in logs}) == 4


def test_where_one_id_ends_and_the_next_begins_matters() -> None:
    logs = [
        pl.DataFrame({"user_id": users, "item_id": ["x", "x"]})
        for users in (["a", "ab"], ["aa", "b"])
    ]
    one, two = (read_interactions(frame, LogColumns())[0] for frame in logs)
    assert of_log(one) != of_log(two)


def test_an_empty_catalogue_has_a_fingerprint() -> None:
    log, catalog = Engine(EngineSettings(interactions=LOG_COLUMNS)).read(LOG)
    said = described(log, catalog)
    assert said["log"] == {
        "sha256": of_log(log),
        "users": 3,
        "items": 3,
        "interactions": 5,
        "events": {"view": 3, "cart": 1, "purchase": 1},
        "clock": "time",
    }
    assert said["catalogue"]["items"] == 0
    assert len(said["catalogue"]["sha256"]) == 64


def test_the_recipe_is_pinned() -> None:
    """A change of the recipe must be meant: raise its number, and this digest with it."""
    assert of_log(log_of(LOG))[:16] == "463479dc9a9f1888"
    assert of_catalog(catalog_of(ITEMS))[:16] == "eec10424a162df5b"
