import gzip
import os

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.features.columns import LogColumns
from recsys.features.errors import DataError, SettingsError
from recsys.features.sources import event_rows, opened

TEXT = "user_id,item_id\nu,a\nv,b\n"


def read(source, **settings):
    return opened(source, LogColumns(**settings)).typed.collect().rows()


def test_what_is_no_regular_file_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "log.csv")
    with pytest.raises(DataError, match=r"log\.csv is a pipe; the log must be in regular files"):
        read(tmp_path / "log.csv")
    with pytest.raises(DataError, match="/dev/zero is a device"):
        read("/dev/zero", format="csv")
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(DataError, match="is a pipe"):
        read(str(tmp_path / "*.csv"))


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_file_that_unpacks_without_end_is_refused(tmp_path, suffix):
    data = b"user_id,item_id\n" + b"u,i\n" * 20_000_000
    path = tmp_path / f"log.csv.{suffix}"
    packed = gzip.compress(data, 1) if suffix == "gz" else pa.compress(data, "zstd", asbytes=True)
    path.write_bytes(packed)
    with pytest.raises(DataError, match=r"more than 100 times its size; .* max_unpack_ratio"):
        read(path)


def test_a_packed_file_that_is_damaged_is_named(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TEXT.encode())[:-9])
    with pytest.raises(DataError, match=r"the log in .*a\.csv\.gz cannot be read"):
        read(tmp_path / "a.csv.gz")


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_file_that_was_unpacked_under_its_name_is_read(tmp_path, suffix):
    (tmp_path / f"log.csv.{suffix}").write_text(TEXT)
    assert len(read(tmp_path / f"log.csv.{suffix}")) == 2


def test_a_small_file_may_unpack_to_much(tmp_path):
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(TEXT.encode() + b"u,a\n" * 100_000))
    assert len(read(tmp_path / "log.csv.gz")) == 100_002


def test_parquet_of_more_rows_than_its_bytes_hold_is_refused(tmp_path):
    many = pa.array(["a"] * 11_000_000).dictionary_encode()
    pq.write_table(pa.table({"user_id": many, "item_id": many}), tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"says that it holds 11,000,000 rows in [0-9,]+ bytes"):
        read(tmp_path / "log.parquet")


def test_names_that_no_file_has(tmp_path):
    for name in ("x" * 5_000 + ".csv", "a\0b.csv", "a\udc80.csv"):
        with pytest.raises(DataError, match="the log"):
            read(name)


@pytest.mark.parametrize("character", ["ü", "\n", "\r", "\0", ";;", ""])
def test_a_separator_is_one_byte(character):
    with pytest.raises(SettingsError, match="separator"):
        LogColumns(separator=character)
    with pytest.raises(SettingsError, match="quote"):
        LogColumns(quote=character)


def test_utf_16_is_known_by_its_mark(tmp_path):
    (tmp_path / "log.csv").write_text(TEXT, "utf16")
    assert read(tmp_path / "log.csv") == [("u", "a"), ("v", "b")]


def test_a_file_with_a_column_twice_is_refused(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,item_id\nu,a,b\n")
    with pytest.raises(DataError, match=r"several columns of one name: \['item_id'\]"):
        read(tmp_path / "log.csv")


def test_parts_of_csv_are_joined_by_name(tmp_path):
    (tmp_path / "1.csv").write_text("user_id,item_id\nu,1\n")
    (tmp_path / "2.csv").write_text("more,item_id,user_id\nx,2.0,v\n")
    assert read(str(tmp_path / "*.csv"))[1][:2] == ("v", 2)
    (tmp_path / "3.csv").write_text("user_id\nw\n")
    with pytest.raises(DataError, match=r"lacks the columns \['item_id'\]"):
        read(str(tmp_path / "*.csv"))


def test_events_of_a_request_have_the_columns_that_they_bring():
    columns = LogColumns(time="t", event="kind", weight="w")
    rows = event_rows(pl.DataFrame({"item_id": [1.0, None], "user_id": ["a", ""]}), columns)
    assert rows.to_dict(as_series=False) == {"user_id": ["a", None], "item_id": [1, None]}
    more = pa.table({"user_id": ["a"], "item_id": ["x"], "w": ["2"], "other": [b"x"], "kind": [3]})
    assert event_rows(more, columns).row(0, named=True) == {
        "user_id": "a", "item_id": "x", "kind": "3", "w": 2.0,
    }  # fmt: skip
    with pytest.raises(DataError, match=r"the events lacks the columns \['item_id'\]"):
        event_rows(pl.DataFrame({"user_id": ["a"]}), columns, "events")


def test_json_lines_may_begin_with_the_mark_of_utf_8(tmp_path):
    rows = b'\xef\xbb\xbf{"user_id": "a", "item_id": "x"}\n'
    for name, data in (("log.jsonl", rows), ("log.jsonl.gz", gzip.compress(rows))):
        (tmp_path / name).write_bytes(data)
        assert opened(tmp_path / name, LogColumns()).typed.collect().rows() == [("a", "x")]
