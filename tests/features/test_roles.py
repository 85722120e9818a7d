"""What each role reads, and what it refuses by name."""

import datetime as dt
import uuid

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from recsys.features.catalog import read_catalog
from recsys.features.columns import CatalogColumns, LogColumns
from recsys.features.errors import DataError
from recsys.features.reading import read_interactions
from recsys.features.sources import opened


def users(values, **settings):
    """The ids of a log's users, in the order of its rows, and the notes."""
    source = values if not isinstance(values, list | pl.Series) else pl.DataFrame({"u": values})
    if isinstance(source, pl.DataFrame):
        source = source.with_columns(item_id=pl.lit("i"))
    rows = opened(source, LogColumns(user="u", **settings))
    return rows.typed.collect()["u"], rows.notes


def pandas_of(values):
    return pd.DataFrame({"u": pd.Series(values, dtype=object), "item_id": "i"})


@pytest.mark.parametrize(
    ("values", "expected", "kind"),
    [
        (pl.Series([1, None], dtype=pl.Int16), [1, None], pl.Int64),
        (pl.Series([2**64 - 1], dtype=pl.UInt64), [2**64 - 1], pl.UInt64),
        (pl.Series([2**70, 1], dtype=pl.Int128), [str(2**70), "1"], pl.String),
        (pl.Series([2**63, -1], dtype=pl.Int128), [str(2**63), "-1"], pl.String),
        (pl.Series([1.0, float("nan"), None]), [1, None, None], pl.Int64),
        (pl.Series(["7.00", None]).cast(pl.Decimal(10, 2)), [7, None], pl.Int64),
        (pl.Series(["7", "", "08"]), ["7", None, "08"], pl.String),
        (pl.Series(["b"], dtype=pl.Enum(["b"])), ["b"], pl.String),
    ],
)
def test_ids(values, expected, kind):
    ids, _ = users(values)
    assert (ids.to_list(), ids.dtype) == (expected, kind)


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([True]),
        pl.Series([b"x"]),
        pl.Series([dt.date(2020, 1, 1)]),
        pl.Series([["a"]]),
        pl.Series([{"a": 1}]),
        pl.Series([1.5]),
        pl.Series([1e17]),
        pl.Series([float("inf")]),
        pandas_of([uuid.UUID(int=1)]),
        pandas_of(["a", 1]),
    ],
)
def test_what_no_id_can_be_is_refused_by_name(values):
    with pytest.raises(DataError, match=r"'u' of the log"):
        users(values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pandas_of([uuid.UUID(int=1)]), ["00000000-0000-0000-0000-000000000001"]),
        (pandas_of(["a", 1, 2.0, None]), ["a", "1", "2", None]),
        ([dt.date(2020, 1, 1)], ["2020-01-01"]),
        ([1.5, 2.0], ["1.5", "2.0"]),
        ([1.0, None], ["1", None]),
        ([7], ["7"]),
    ],
)
def test_the_setting_reads_other_ids_as_text(values, expected):
    assert users(values, user_type="string")[0].to_list() == expected


def test_ids_of_text_become_integers_where_that_is_asked():
    ids, notes = users(["1", "2.0", "x", str(2**64 - 1)], user_type="integer")
    assert ids.to_list() == [1, 2, None, 2**64 - 1]
    assert "1 values are no whole numbers" in notes[0]
    with pytest.raises(DataError, match=r'got text that is no whole number, and .* = "integer"'):
        users(["x"], user_type="integer")


def test_the_types_of_ids_are_set_each_for_its_column():
    log = pl.DataFrame({"user_id": [1, 2], "item_id": ["1", "2"]})
    read, _ = read_interactions(log, LogColumns(user_type="string", item_type="integer"))
    assert (read.users.ids.to_list(), read.items.ids.to_list()) == (["1", "2"], [1, 2])


def test_ids_that_look_missing_are_told_and_one_setting_makes_them_missing():
    words = ["NULL", "None", "nan", "NaN", r"\N", "undefined", "u"]
    log = pl.DataFrame({"user_id": words, "item_id": "i"})
    read, rejections = read_interactions(log)
    assert (len(read), len(rejections.notes)) == (7, 1)
    assert "6 events are of users whose id looks missing: 'NULL' (1)" in rejections.notes[0]
    assert '[interactions] missing_ids = ["NULL", ' in rejections.notes[0]
    read, rejections = read_interactions(log, LogColumns(missing_ids=words[:-1]))
    assert (read.users.ids.to_list(), rejections.notes) == (["u"], ())
    assert rejections.counts == {"null user id": 6}


def test_integers_with_a_word_for_missing_are_integers_once_it_is_said(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id\n1,a\nNULL,b\n")
    read, _ = read_interactions(tmp_path / "log.csv", LogColumns(missing_ids="NULL"))
    assert read.users.ids.to_list() == [1]


def values(column, **roles):
    table = pl.DataFrame({"item_id": [f"i{n}" for n in range(len(column))], "x": column})
    return read_catalog(table, CatalogColumns(**roles))[0].frame["x"].to_list()


@pytest.mark.parametrize(
    ("role", "column", "expected"),
    [
        ("price", ["9.99", "1,000", "", "1e2"], [9.99, None, None, 100.0]),
        ("price", pl.Series([9.99, None], dtype=pl.Float32), [9.99, None]),
        ("price", [float("inf"), 1e308, -1.0, 2.0], [None, None, None, 2.0]),
        ("number", [True, None], [1.0, None]),
        ("number", ["True", "false"], [1.0, 0.0]),
        ("number", [dt.timedelta(minutes=2), None], [120.0, None]),
        ("number", [dt.date(2020, 1, 2)], [dt.datetime(2020, 1, 2)]),
        ("tags", ["a| b||a", None], [["a", "b", "a"], []]),
        ("tags", pl.Series(["a|b"]).cast(pl.Categorical), [["a", "b"]]),
        ("tags", [7, 8], [["7"], ["8"]]),
        ("tags", [[1, None], []], [["1"], []]),
        ("category", [2020.0, None], [2020, None]),
        ("category", [2020.5, None], ["2020.5", None]),
        ("category", [True, None], ["true", None]),
        ("text", [["a", "b"], None, []], ["a b", None, None]),
        ("text", [1984.0, None], ["1984", None]),
        ("available", ["True", "false", None], [True, False, None]),
        ("available", ["3", "0", ""], [3.0, 0.0, None]),
        ("available", ["yes", "no"], ["yes", "no"]),
    ],
)
def test_what_a_role_makes_of_its_values(role, column, expected):
    assert values(column, **{role: "x"}) == expected


@pytest.mark.parametrize("role", ["price", "number", "category", "available", "tags", "text"])
@pytest.mark.parametrize("column", [[b"x", b"\xff"], [{"a": 1}] * 2, [[["a"]], [["b"]]]])
def test_what_a_role_cannot_hold_is_refused_by_name(role, column):
    with pytest.raises(DataError, match=r"'x' of the catalogue must hold .*; got "):
        values(column, **{role: "x"})


def test_a_time_in_whole_numbers_is_read_by_its_format():
    rows = pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "t": [20150602]})
    log, _ = read_interactions(rows, LogColumns(time="t", time_format="%Y%m%d"))
    assert log.times.tolist() == [int(dt.datetime(2015, 6, 2, tzinfo=dt.UTC).timestamp() * 1e6)]


def test_nanoseconds_are_the_same_as_text_and_as_numbers():
    time = 1_433_222_501_123_456_999
    for values in ([time], [str(time)]):
        rows = pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "t": values})
        log, _ = read_interactions(rows, LogColumns(time="t"))
        assert log.times.tolist() == [time // 1000]


def test_two_columns_of_one_name_are_refused():
    names = ["user_id", "item_id", "item_id"]
    for frame in (
        pd.DataFrame([["u", "a", "b"]], columns=names),
        pa.table([["u"], ["a"], ["b"]], names=names),
    ):
        with pytest.raises(DataError, match=r"several columns of one name: \['item_id'\]"):
            read_interactions(frame)


def test_a_map_of_arrow_is_neither_tags_nor_text():
    maps = pa.array([[("p", 1)]], pa.map_(pa.string(), pa.int32()))
    for role in ("tags", "text"):
        with pytest.raises(DataError, match=f"{role} 'x' of the catalogue must hold"):
            read_catalog(pa.table({"item_id": ["a"], "x": maps}), CatalogColumns(**{role: "x"}))
