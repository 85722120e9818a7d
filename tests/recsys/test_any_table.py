"""One table in every way that it can come: equal logs, equal catalogues, equal conditions."""

import gzip
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys import fingerprint
from recsys.features.catalog import read_catalog
from recsys.features.columns import CatalogColumns, LogColumns
from recsys.features.reading import read_interactions

LOG = {"time": "at", "event": "kind", "quantity": "pieces", "weight": "stars"}
SHOP = {
    "text": "name",
    "category": ["aisle", "brand"],
    "number": "margin",
    "price": "price",
    "tags": "labels",
    "available": "stock",
}
CONDITIONS = (
    "price BETWEEN 9.99 AND 12.1",
    "price >= 9.99 AND price <= 12.1",
    "price IN (9.99, 12.1)",
    "margin > 9",
    "margin IS NULL",
    "aisle = 'café'",
    "aisle LIKE 'c%'",
    "brand = 7",
    "brand >= 8",
    "name IS NOT NULL",
    "stock > 2",
)
START = datetime(2024, 1, 1, tzinfo=UTC)


def flat(rows):
    """Lists as CSV has them."""
    lists = [name for name, kind in rows.schema.items() if kind == pl.List]
    return rows.with_columns(pl.col(name).list.join("|") for name in lists)


def csv(rows, folder, name="t.csv", encoding="utf8", pack=bytes, **options):
    data = flat(rows).write_csv(**options).encode(encoding)
    path = folder / name
    path.write_bytes(pack(data))
    return path


def zst(data):
    return pa.compress(data, codec="zstd", asbytes=True)


def jsonl(rows, folder, name="t.jsonl", pack=bytes):
    (folder / name).write_bytes(pack(rows.write_ndjson().encode()))
    return folder / name


def parquet(rows, folder, name="t.parquet"):
    rows.write_parquet(folder / name)
    return folder / name


def texts(rows):
    return [name for name, kind in rows.schema.items() if kind == pl.String]


def wide(rows):
    """The widest types of polars."""
    cast = {"sku": pl.Int128, "brand": pl.UInt64, "price": pl.Decimal(20, 2), "pieces": pl.Int128}
    return rows.with_columns(pl.col(n).cast(k) for n, k in cast.items() if n in rows.columns)


def narrow(rows):
    cast = {"sku": pl.Int16, "brand": pl.UInt8, "price": pl.Float32, "margin": pl.Float32}
    cast |= {"stars": pl.Float32, "pieces": pl.Int8}
    return rows.with_columns(pl.col(n).cast(k) for n, k in cast.items() if n in rows.columns)


def as_floats(rows):
    whole = [name for name, kind in rows.schema.items() if kind.is_integer()]
    return rows.with_columns(pl.col(whole).cast(pl.Float64).fill_null(float("nan")))


def categories(rows):
    return rows.with_columns(pl.col(texts(rows)).cast(pl.Categorical))


def enums(rows):
    return rows.with_columns(
        pl.col(name).cast(pl.Enum(rows[name].drop_nulls().unique())) for name in texts(rows)
    )


def other_times(rows, kind):
    if "at" not in rows.columns:
        return rows
    return rows.with_columns(kind(pl.col("at")))


def shuffled(rows):
    """A column more, and the columns in another order."""
    return rows.select(reversed(rows.columns)).with_columns(more=pl.lit("x"))


def halves(rows):
    return rows[: len(rows) // 2], rows[len(rows) // 2 :]


def of_parts(first, second):
    """A way that makes each half of a table in a way of its own."""

    def way(rows, folder):
        one, other = halves(rows)
        return [first(one, folder, "a"), second(other, folder, "b")]

    return way


def pandas_category(rows):
    frame = rows.to_pandas()
    return frame.astype(dict.fromkeys(texts(rows), "category"))


def dictionaries(rows):
    table = rows.to_arrow()
    for number, name in enumerate(table.column_names):
        if name in texts(rows):
            column = table[name].cast(pa.string()).dictionary_encode()
            table = table.set_column(number, name, column)
    return table


WAYS = {
    "polars": lambda rows, _: rows,
    "lazy": lambda rows, _: rows.lazy(),
    "csv": csv,
    "tsv": lambda rows, f: csv(rows, f, "t.tsv", separator="\t"),
    "csv with a mark": lambda rows, f: csv(rows, f, encoding="utf-8-sig"),
    "csv of all quotes": lambda rows, f: csv(rows, f, quote_style="always"),
    "csv in lines of Windows": lambda rows, f: csv(rows, f, line_terminator="\r\n"),
    "csv.gz": lambda rows, f: csv(rows, f, "t.csv.gz", pack=gzip.compress),
    "csv.zst": lambda rows, f: csv(rows, f, "t.csv.zst", pack=zst),
    "utf-16": lambda rows, f: csv(rows, f, encoding="utf16"),
    "utf-16 in gz": lambda rows, f: csv(rows, f, "t.csv.gz", "utf16", gzip.compress),
    "latin-1": (lambda rows, f: csv(rows, f, encoding="latin-1"), {"encoding": "latin-1"}),
    "latin-1 in gz": (
        lambda rows, f: csv(rows, f, "t.csv.gz", "latin-1", gzip.compress),
        {"encoding": "latin-1"},
    ),
    "csv of pandas": lambda rows, f: csv(rows.pipe(as_floats).fill_nan(None), f),
    "parquet": parquet,
    "narrow parquet": lambda rows, f: parquet(narrow(rows), f),
    "json lines": jsonl,
    "json lines in gz": lambda rows, f: jsonl(rows, f, "t.ndjson.gz", gzip.compress),
    "pandas": lambda rows, _: rows.to_pandas(),
    "pandas, nullable": lambda rows, _: rows.to_pandas().convert_dtypes(),
    "pandas of Arrow": lambda rows, _: rows.to_pandas(use_pyarrow_extension_array=True),
    "pandas of objects": lambda rows, _: pd.DataFrame(rows.to_dict(as_series=False), dtype=object),
    "pandas with categories": lambda rows, _: pandas_category(rows),
    "pyarrow": lambda rows, _: rows.to_arrow(),
    "pyarrow with dictionaries": lambda rows, _: dictionaries(rows),
    "pyarrow, wide": lambda rows, _: wide(rows).cast({pl.Int128: pl.Decimal(38, 0)}).to_arrow(),
    "duckdb": lambda rows, _: duckdb.from_arrow(rows.to_arrow()),
    "categories": lambda rows, _: categories(rows),
    "enums": lambda rows, _: enums(rows),
    "wide": lambda rows, _: wide(rows),
    "narrow": lambda rows, _: narrow(rows),
    "floats with gaps": lambda rows, _: as_floats(rows),
    "times in a zone": lambda rows, _: other_times(
        rows, lambda at: at.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
    ),
    "times in nanoseconds": lambda rows, _: other_times(
        rows, lambda at: at.dt.cast_time_unit("ns")
    ),
    "times as seconds": lambda rows, _: other_times(rows, lambda at: at.dt.epoch("s")),
    "parts of frames": of_parts(lambda r, f, n: r, lambda r, f, n: shuffled(narrow(r))),
    "parts of two libraries": of_parts(lambda r, f, n: wide(r), lambda r, f, n: r.to_pandas()),
    "parts of csv": of_parts(
        lambda r, f, n: csv(r, f, f"{n}.csv"), lambda r, f, n: csv(shuffled(r), f, f"{n}.csv")
    ),
    "parts of parquet": of_parts(
        lambda r, f, n: parquet(r, f, f"{n}.parquet"),
        lambda r, f, n: parquet(shuffled(narrow(r)), f, f"{n}.parquet"),
    ),
    "parts of json": of_parts(
        lambda r, f, n: jsonl(r, f, f"{n}.jsonl"),
        lambda r, f, n: jsonl(shuffled(r), f, f"{n}.jsonl"),
    ),
    "a file and a frame": of_parts(lambda r, f, n: csv(r, f, f"{n}.csv"), lambda r, f, n: wide(r)),
}

prices = st.integers(0, 2_000).map(lambda cents: cents / 100)
events = st.tuples(
    st.sampled_from(["ü1", "u 2", "3"]),
    st.one_of(st.none(), st.integers(1, 6)),
    st.integers(0, 10**6).map(lambda second: START + timedelta(seconds=second)),
    st.sampled_from(["view", "purchase", "odd", None]),
    st.one_of(st.none(), st.integers(1, 9)),
    st.sampled_from([0.5, 1.0, 2.25]),
)
goods = st.tuples(
    st.sampled_from(["é", "a, b", 'quo"te', None]),
    st.sampled_from(["café", "toys", None]),
    st.sampled_from([7, 8, 12, None]),
    st.one_of(st.none(), prices, st.sampled_from([9.99, 12.1])),
    st.one_of(st.none(), st.sampled_from([9.5, 10.0, 30.0, -1.25])),
    st.lists(st.sampled_from(["a", "b c", "é"]), max_size=3),
    st.sampled_from([0, 2, 3, None]),
)


def log_table(rows):
    kinds = {"user_id": pl.String, "sku": pl.Int64, "at": pl.Datetime("us"), "kind": pl.String}
    table = pl.DataFrame(rows, {**kinds, "pieces": pl.Int64, "stars": pl.Float64}, orient="row")
    good = ["v", 1, START.replace(tzinfo=None), "view", 1, 1.0]
    return pl.concat([table, pl.DataFrame([good], table.schema, orient="row")])


def shop_table(rows):
    kinds = {"name": pl.String, "aisle": pl.String, "brand": pl.Int64, "price": pl.Float64}
    kinds |= {"margin": pl.Float64, "labels": pl.List(pl.String), "stock": pl.Int64}
    table = pl.DataFrame(rows, kinds, orient="row")
    return table.with_columns(sku=pl.int_range(1, len(table) + 1, dtype=pl.Int64))


def read(log, shop, way, folder):
    make, more = WAYS[way] if isinstance(WAYS[way], tuple) else (WAYS[way], {})
    for name in ("log", "shop"):
        (folder / name).mkdir(parents=True)
    shop_columns = CatalogColumns(item="sku", **SHOP, **more)
    catalog, of_shop = read_catalog(make(shop, folder / "shop"), shop_columns)
    log_columns = LogColumns(item="sku", **LOG, **more)
    log, of_log = read_interactions(make(log, folder / "log"), log_columns, items=catalog.items)
    return log, catalog, (of_log.counts, of_shop.counts)


def assert_alike(one, other):
    (log, catalog, counts), (own_log, own_catalog, own_counts) = one, other
    assert own_counts == counts
    assert own_log.users.ids.equals(log.users.ids)
    assert own_log.items.ids.equals(log.items.ids)
    assert own_log.items.ids.dtype == log.items.ids.dtype == pl.Int64
    for name in ("user_rows", "item_rows", "event_codes", "times", "weights"):
        assert np.array_equal(getattr(own_log, name), getattr(log, name)), name
    assert own_catalog.frame.schema == catalog.frame.schema
    assert own_catalog.frame.equals(catalog.frame)
    assert fingerprint.of_log(own_log) == fingerprint.of_log(log)
    assert fingerprint.of_catalog(own_catalog) == fingerprint.of_catalog(catalog)
    for condition in CONDITIONS:
        assert own_catalog.mask(condition).tolist() == catalog.mask(condition).tolist(), condition


def filled(values):
    """Two rows in which every column has a value, of the types that are meant."""
    return [*values, ("x", "toys", 7, 1.5, 1.5, ["a"], 3), ("y", "café", 8, 9.99, 2.5, ["b c"], 0)]


@settings(max_examples=2, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(events, min_size=2, max_size=12), st.lists(goods, max_size=6).map(filled))
def test_a_table_is_the_same_in_whatever_way_it_comes(rows, items):
    log, shop = log_table(rows), shop_table(items)
    with tempfile.TemporaryDirectory() as folder:
        plain = read(log, shop, "polars", Path(folder) / "plain")
        for number, way in enumerate(WAYS):
            try:
                assert_alike(plain, read(log, shop, way, Path(folder) / str(number)))
            except Exception as error:
                raise AssertionError(f"as {way}: {error}") from error


def test_there_are_more_than_twenty_ways():
    assert len(WAYS) > 20


@pytest.mark.parametrize("way", WAYS)
def test_each_way(way, tmp_path):
    rows = [("ü1", 1, START, "view", 2, 0.5), ("3", None, START, "purchase", None, 2.25)]
    log, shop = log_table(rows), shop_table(filled([("é", None, None, None, None, [], None)]))
    assert_alike(read(log, shop, "polars", tmp_path / "a"), read(log, shop, way, tmp_path / "b"))
