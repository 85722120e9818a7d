import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from recsys.features.columns import LogColumns
from recsys.features.errors import DataError
from recsys.features.reading import read_interactions
from recsys.features.sources import check_columns, collected, left_out, opened, scan

LOG = LogColumns(weight="n")
ROWS = {"user_id": ["a", "b"], "item_id": [1, 2], "n": [0.5, 2.0]}
TABLE = pl.DataFrame(ROWS)


def read(source, columns=LOG, data_dir=None):
    return collected(scan(source, columns, data_dir), columns)


def frames():
    return {
        "polars": TABLE,
        "lazy": TABLE.lazy(),
        "pandas": pd.DataFrame(ROWS),
        "pyarrow": pa.table(ROWS),
        "duckdb": duckdb.from_arrow(pa.table(ROWS)),
    }


@pytest.mark.parametrize("kind", ["polars", "lazy", "pandas", "pyarrow", "duckdb"])
def test_every_kind_of_frame_gives_the_same_rows(kind):
    assert read(frames()[kind]).equals(TABLE)


@pytest.mark.parametrize("kind", ["polars", "pandas", "pyarrow"])
def test_the_callers_frame_is_not_edited(kind):
    source, untouched = frames()[kind], frames()[kind]
    read(source)
    assert source.equals(untouched)


def test_other_columns_of_a_pandas_frame_may_be_anything():
    frame = pd.DataFrame(ROWS).assign(junk=[1, "x"])
    assert read(frame).equals(TABLE)


def test_ids_of_mixed_types_are_refused():
    mixed = pd.DataFrame({"user_id": [1, "a"], "item_id": [1, 2], "n": [1, 2]})
    with pytest.raises(DataError, match="mixed types"):
        read(mixed)
    objects = pl.DataFrame(
        [pl.Series("user_id", [1, "a"], dtype=pl.Object), *TABLE[["item_id", "n"]]]
    )
    with pytest.raises(DataError, match="'user_id' of the log mixes types"):
        read(objects)


def test_whole_floats_are_integers_and_fractions_are_refused_with_the_setting_that_helps():
    frame = TABLE.with_columns(pl.Series("item_id", [1.0, None]))
    rows = opened(frame, LOG)
    assert rows.typed.collect()["item_id"].to_list() == [1, None]
    assert rows.notes == ("ids 'item_id': whole numbers that came as Float64 are read as integers",)
    odd = TABLE.with_columns(pl.Series("item_id", [1.0, 1.5]))
    with pytest.raises(DataError, match=r"'item_id' of the log .*item_type = \"string\" reads"):
        read(odd)
    assert read(odd, LogColumns(weight="n", item_type="string"))["item_id"].to_list() == [
        "1.0",
        "1.5",
    ]


def test_integers_become_strings_where_that_is_asked():
    assert read(TABLE, LogColumns(id_type="string"))["item_id"].to_list() == ["1", "2"]


def test_a_missing_column_is_named_beside_those_there_are():
    with pytest.raises(DataError, match=r"lacks the columns \['rating'\]; it has \['user_id'"):
        read(TABLE, LogColumns(weight="rating"))
    with pytest.raises(DataError, match=r"lacks the columns \['price'\]"):
        read(pd.DataFrame(ROWS), LogColumns(where="price > 0"))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_are_refused_without_being_read_as_they_are_when_read(tmp_path, suffix):
    TABLE.write_csv(tmp_path / "log.csv")
    TABLE.write_parquet(tmp_path / "log.parquet")
    path = str(tmp_path / f"log.{suffix}")
    check_columns(LogColumns(path=path, weight="n"))
    for wrong in ({"path": path, "weight": "x"}, {"path": f"{path}x"}, {"path": ()}):
        columns = LogColumns.model_validate(wrong)
        with pytest.raises(DataError) as early:
            check_columns(columns)
        with pytest.raises(DataError) as late:
            scan(None, columns)
        assert str(early.value) == str(late.value)


def test_columns_of_another_encoding_are_checked(tmp_path):
    (tmp_path / "log.csv").write_bytes("user_id;item_id;größe\na;1;2\n".encode("latin-1"))
    about = {"path": tmp_path / "log.csv", "encoding": "latin-1", "separator": ";"}
    check_columns(LogColumns(weight="größe", **about))
    with pytest.raises(DataError, match=r"lacks the columns \['n'\]; it has .*'größe'"):
        check_columns(LogColumns(weight="n", **about))


def test_a_file_of_tabs_is_known_by_its_suffix_in_any_encoding(tmp_path):
    text = "user_id\titem_id\tn\nä\tb\t2\n"
    for encoding in ("utf8", "latin-1"):
        (tmp_path / "log.tsv").write_text(text, encoding)
        rows = read(tmp_path / "log.tsv", LogColumns(weight="n", encoding=encoding))
        assert rows.rows() == [("ä", "b", 2.0)]


def test_a_list_of_numbers_is_no_table():
    with pytest.raises(DataError, match="got dict"):
        read({"user_id": [1]})


def test_nothing_at_all_is_an_error():
    with pytest.raises(DataError, match="needs a table or a path"):
        read(None)


def test_csv_ids_keep_their_leading_zeros(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,n\n00123,5,1\n7,06,2\n")
    rows = read("log.csv", data_dir=tmp_path)
    assert rows["user_id"].to_list() == ["00123", "7"]
    assert rows["item_id"].to_list() == ["5", "06"]


def test_csv_ids_that_are_all_integers_are_integers(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,n\n12,0,1\n,-3,2\n")
    rows = read(tmp_path / "log.csv")
    assert rows["user_id"].to_list() == [12, None]
    assert rows["item_id"].to_list() == [0, -3]


def test_one_late_string_makes_all_ids_of_a_csv_strings(tmp_path):
    lines = [f"{n},1,1" for n in range(20_000)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,n", *lines, "x,1,1"]))
    assert read(tmp_path / "log.csv")["user_id"][[0, -1]].to_list() == ["0", "x"]


@pytest.mark.parametrize("number", ["1" * 21, "+1", "1.5", "-0", "01", "1e3"])
def test_what_is_no_canonical_integer_stays_text(tmp_path, number):
    (tmp_path / "log.csv").write_text(f"user_id,item_id,n\n{number},1,1\n")
    assert read(tmp_path / "log.csv")["user_id"].to_list() == [number]


def test_files_without_header_separated_by_tabs(tmp_path):
    (tmp_path / "u.data").write_text("1\t2\t3\n4\t5\t6\n")
    columns = LogColumns(
        path="u.data", separator="\t", header=False, names=["user_id", "item_id", "n"], weight="n"
    )
    assert read(None, columns, tmp_path)["item_id"].to_list() == [2, 5]


def test_tsv_means_tabs(tmp_path):
    (tmp_path / "log.tsv").write_text("user_id\titem_id\tn\n1\t2\t3\n")
    assert read(tmp_path / "log.tsv").row(0) == (1, 2, 3.0)


def test_latin_1(tmp_path):
    (tmp_path / "log.csv").write_bytes("user_id,item_id,n\né,1,1\n".encode("latin-1"))
    assert read(tmp_path / "log.csv", LogColumns(encoding="latin-1"))["user_id"].to_list() == ["é"]
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "log.csv")
    with pytest.raises(DataError, match="encoding 'latin-99'"):
        read(tmp_path / "log.csv", LogColumns(encoding="latin-99"))


def test_a_glob_is_read_in_the_order_of_names(tmp_path):
    TABLE.tail(1).write_parquet(tmp_path / "2.parquet")
    TABLE.head(1).write_parquet(tmp_path / "1.parquet")
    assert read("*.parquet", data_dir=tmp_path).equals(TABLE)
    assert read([tmp_path / "1.parquet", tmp_path / "2.parquet"]).equals(TABLE)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no file of the log matches .*none\.csv"):
        read("none.csv", data_dir=tmp_path)
    with pytest.raises(DataError, match=r"no file of the log matches .*\*\.parquet"):
        read(str(tmp_path / "*.parquet"))
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "log.parquet").write_text("no parquet")
    with pytest.raises(DataError, match=r"log\.parquet cannot be read"):
        read(tmp_path / "log.parquet")
    (tmp_path / "log.csv").write_text("")
    with pytest.raises(DataError, match=r"log\.csv cannot be read"):
        read(tmp_path / "log.csv")


def test_formats(tmp_path):
    (tmp_path / "log.dat").write_text("user_id,item_id,n\n1,2,3\n")
    with pytest.raises(DataError, match=r'log\.dat is not known .* set format = "csv"'):
        read(tmp_path / "log.dat")
    assert len(read(tmp_path / "log.dat", LogColumns(format="csv"))) == 1
    TABLE.write_parquet(tmp_path / "log.parquet")
    (tmp_path / "log.csv").write_text("user_id,item_id,n\n1,2,3\n")
    with pytest.raises(DataError, match="of one format"):
        read([tmp_path / "log.parquet", tmp_path / "log.csv"])


def test_where_compares_numbers_of_a_csv_file(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,price\na,1,10\nb,2,9\nc,3,\n")
    columns = LogColumns(where="price > 9.5 AND user_id NOT IN ('z')")
    rows = scan(tmp_path / "log.csv", columns)
    assert rows.select(out=left_out(columns, rows)).collect()["out"].to_list() == [
        False,
        True,
        True,
    ]


def test_a_condition_that_is_no_sql_is_shown():
    with pytest.raises(DataError, match="where = 'price >' is not a condition"):
        read(TABLE, LogColumns(where="price >"))


def test_a_constant_that_cannot_be_cast_is_shown():
    with pytest.raises(DataError, match=r"where = .*CAST.* of the log: conversion"):
        read_interactions(TABLE, LogColumns(where="CAST('x' AS INT) = 1"))
