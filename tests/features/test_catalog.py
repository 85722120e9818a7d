from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from recsys.features.arrays import PAD
from recsys.features.catalog import Catalog, coverage_notes, read_catalog
from recsys.features.columns import CatalogColumns
from recsys.features.errors import DataError
from recsys.features.reading import read_interactions
from recsys.features.vocabulary import Vocabulary

COLUMNS = CatalogColumns(
    text=["title", "plot"],
    category=["kind", "maker"],
    number="pages",
    tags=["topics", "marks"],
    flags={"genre": ["drama", "comedy"]},
    vector="taste",
    price="price",
    available="stock",
    variant="group",
)
TABLE = pl.DataFrame(
    {
        "item_id": ["b", "a", "c"],
        "title": [" Beta ", "Alpha", None],
        "plot": ["second", "", None],
        "kind": ["book", None, "album"],
        "maker": [7, 5, 7],
        "pages": [100, None, 3],
        "topics": [["y", "x", "y"], [], None],
        "marks": ["n|m", None, "m| "],
        "drama": [1, 0, None],
        "comedy": [1, 1, 0],
        "taste": [[1.0, 2.0], None, [0.0, 1.0]],
        "price": [9.5, 0.0, None],
        "stock": ["yes", "0", None],
        "group": ["g", "g", None],
        "unmapped": [1, 2, 3],
    }
)


@pytest.fixture(scope="module")
def catalog():
    return read_catalog(TABLE, COLUMNS)[0]


def simple(**columns):
    return pl.DataFrame({"item_id": ["a", "b"], **columns})


def tags_of(catalog, name):
    offsets, codes, labels = catalog.tags()[name]
    return [labels.gather(codes[start:end].tolist()).to_list() for start, end in pairwise(offsets)]


def test_items_are_sorted_by_id_and_only_mapped_columns_are_kept(catalog):
    assert catalog.items.ids.to_list() == ["a", "b", "c"]
    assert "unmapped" not in catalog.frame.columns
    assert "item_id" not in catalog.frame.columns
    assert catalog.known.all()


def test_texts_join_what_there_is(catalog):
    assert catalog.texts().to_list() == ["Alpha", "Beta. second", ""]
    assert catalog.has_text


def test_titles_fall_back_to_the_id(catalog):
    assert catalog.titles().to_list() == ["Alpha", "Beta", "c"]


def test_categories_are_codes_of_sorted_labels(catalog):
    assert catalog.categories()["kind"].tolist() == [PAD, 1, 0]
    assert catalog.labels()["kind"].to_list() == ["album", "book"]
    assert catalog.categories()["maker"].tolist() == [0, 1, 1]
    assert catalog.labels()["maker"].to_list() == [5, 7]


def test_numbers(catalog):
    assert np.array_equal(catalog.numbers()["pages"], [np.nan, 100, 3], equal_nan=True)


def test_tags_come_from_lists_from_text_and_from_flags(catalog):
    assert tags_of(catalog, "topics") == [[], ["y", "x"], []]
    assert tags_of(catalog, "marks") == [[], ["n", "m"], ["m"]]
    assert tags_of(catalog, "genre") == [["comedy"], ["drama", "comedy"], []]


def test_price_stock_and_variants(catalog):
    assert np.array_equal(catalog.price(), [0.0, 9.5, np.nan], equal_nan=True)
    assert catalog.available().tolist() == [False, True, True]
    assert catalog.variants().tolist() == [0, 0, PAD]


def test_a_missing_vector_is_zero(catalog):
    assert catalog.vectors["taste"].tolist() == [[0, 0], [1, 2], [0, 1]]
    assert catalog.vectors["taste"].dtype == np.float32


def test_answers_are_kept_and_read_only(catalog):
    assert catalog.price() is catalog.price()
    arrays = [catalog.price(), catalog.available(), catalog.variants(), catalog.vectors["taste"]]
    arrays += [catalog.categories()["kind"], catalog.numbers()["pages"], catalog.known]
    assert not any(array.flags.writeable for array in arrays)


def test_the_callers_frame_is_not_edited():
    untouched = TABLE.clone()
    read_catalog(TABLE, COLUMNS)
    assert TABLE.equals(untouched)


def assert_equal(one, other):
    assert one.items.ids.equals(other.items.ids)
    assert one.frame.equals(other.frame)
    assert one.columns == other.columns
    assert one.texts().equals(other.texts())
    assert np.array_equal(one.known, other.known)
    assert list(one.vectors) == list(other.vectors)
    assert all(np.array_equal(one.vectors[name], other.vectors[name]) for name in one.vectors)


def test_saved_and_loaded_it_is_the_same(catalog, tmp_path):
    catalog.save(tmp_path)
    assert_equal(Catalog.load(tmp_path), catalog)


def test_over_more_items_what_was_known_stays_and_the_rest_is_unknown(catalog):
    wider = catalog.over(Vocabulary.of(["z", "c"], "item").extended(["a", "b"]))
    assert wider.items.ids.to_list() == ["c", "z", "a", "b"]
    assert wider.known.tolist() == [True, False, True, True]
    assert wider.titles().to_list() == ["c", "z", "Alpha", "Beta"]
    assert wider.texts().to_list() == ["", "", "Alpha", "Beta. second"]
    assert wider.categories()["kind"].tolist() == [0, PAD, PAD, 1]
    assert tags_of(wider, "genre") == [[], [], ["comedy"], ["drama", "comedy"]]
    assert wider.available().tolist() == [True, True, False, True]
    assert wider.vectors["taste"].tolist() == [[0, 1], [0, 0], [0, 0], [1, 2]]
    assert wider.variants().tolist() == [PAD, PAD, 0, 0]


def test_over_fewer_items_is_an_error(catalog):
    with pytest.raises(DataError, match=r"catalogue of 3 items .* holds 1 of them"):
        catalog.over(Vocabulary.of(["a", "z"], "item"))


def test_an_empty_catalogue_knows_nothing_and_offers_everything(tmp_path):
    empty = Catalog.empty(Vocabulary.of([3, 4], "item"))
    empty.save(tmp_path)
    for catalog in (empty, Catalog.load(tmp_path)):
        assert not catalog.has_text
        assert catalog.texts().to_list() == ["", ""]
        assert catalog.titles().to_list() == ["3", "4"]
        assert catalog.available().tolist() == [True, True]
        assert not catalog.known.any()
        assert catalog.price() is None
        assert catalog.variants() is None
        assert catalog.categories() == catalog.numbers() == catalog.tags() == {}


def test_vectors_are_added_under_a_name():
    catalog = Catalog.empty(Vocabulary.of(["a", "b"], "item"))
    given = np.ones((2, 3))
    more = catalog.with_vectors("text", given)
    given[:] = 7
    assert more.vectors["text"].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert catalog.vectors == {}
    with pytest.raises(DataError, match=r"'text' must be of shape \(2, d\).* got \(3, 3\)"):
        catalog.with_vectors("text", np.ones((3, 3)))


DOUBLE = pl.DataFrame(
    {
        "item_id": ["a", "b", "a", "a"],
        "title": ["old", "only", "old", "new"],
        "price": [1.0, 5.0, None, 2.0],
        "tags": [["x"], ["y"], ["x"], ["z"]],
    }
)


@pytest.mark.parametrize(
    ("keep", "title", "price", "rows"),
    [("last", "new", 2.0, [0, 2]), ("first", "old", 1.0, [2, 3])],
)
def test_of_several_rows_one_wins_and_the_others_are_rejected(keep, title, price, rows):
    columns = CatalogColumns(text="title", price="price", keep=keep)
    catalog, rejections = read_catalog(DOUBLE, columns)
    assert catalog.titles().to_list() == [title, "only"]
    assert catalog.price().tolist() == [price, 5.0]
    assert rejections.counts == {"duplicate item": 2}
    assert rejections.rows.tolist() == rows


def test_the_most_common_value_of_each_column_may_win():
    columns = CatalogColumns(text="title", price="price", tags="tags", keep="most_common")
    catalog, rejections = read_catalog(DOUBLE, columns)
    assert catalog.titles().to_list() == ["old", "only"]
    assert catalog.price().tolist() == [1.0, 5.0]
    assert tags_of(catalog, "tags") == [["z"], ["y"]]
    assert rejections.counts == {}
    assert rejections.notes == ("4 rows are merged into 2 items",)


def test_rejected_rows_of_a_catalogue(tmp_path):
    table = pl.DataFrame({"item_id": ["a", None, "", "d"], "title": ["A", "B", "C", "D"]})
    columns = CatalogColumns(text="title", where="title <> 'D'")
    path = tmp_path / "rejected.parquet"
    catalog, rejections = read_catalog(table, columns, quarantine=path)
    assert catalog.items.ids.to_list() == ["a"]
    assert rejections.counts == {"left out by where": 1, "null item id": 2}
    assert pl.read_parquet(path)["title"].to_list() == ["B", "C", "D"]
    with pytest.raises(DataError, match="strict: 2 of 4 rows"):
        read_catalog(table, columns, strict=True)


def test_prices_and_numbers_that_cannot_be_used_are_noted():
    table = pl.DataFrame(
        {
            "item_id": [1, 2, 3, 4],
            "price": [1.0, -1.0, float("nan"), None],
            "size": ["1", "2", "large", None],
        }
    )
    catalog, rejections = read_catalog(table, CatalogColumns(price="price", number="size"))
    assert np.array_equal(catalog.price(), [1, np.nan, np.nan, np.nan], equal_nan=True)
    assert rejections.kept == 4
    assert rejections.notes == (
        "number 'size': 1 values are not finite and count as missing",
        "price: 2 values are not finite or negative and count as missing",
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False], [True, False]),
        ([3, 0], [True, False]),
        ([float("nan"), 0.5], [True, True]),
        (["In stock", "SOLD OUT"], [True, False]),
        (["12", "0.0"], [True, False]),
        ([None, "no"], [True, False]),
    ],
)
def test_availability_is_said_in_many_ways(values, expected):
    catalog, _ = read_catalog(simple(stock=values), CatalogColumns(available="stock"))
    assert catalog.available().tolist() == expected


@pytest.mark.parametrize(
    ("columns", "values", "rule"),
    [
        ({"available": "x"}, ["yes", "perhaps"], "must say true or false.* got 'perhaps'"),
        ({"vector": "x"}, [[1.0], [1.0, 2.0]], "item 'a' has 1, item 'b' has 2"),
        ({"vector": "x"}, [[1.0], [float("nan")]], r"must be finite; item 'b' has \[nan\]"),
        ({"vector": "x"}, [[1.0, 2.0], [1.0, None]], "must be finite; item 'b'"),
        ({"vector": "x"}, ["1 2", "3 4"], "must hold lists of numbers; got String"),
        ({"vector": "x"}, pl.Series([None, None], dtype=pl.List(pl.Float64)), "holds no vector"),
        ({"category": "x"}, [["a"], ["b"]], "category 'x' of the catalogue must hold one value"),
        (
            {"tags": "x"},
            [True, None],
            "tags 'x' of the catalogue must hold lists or text; got Bool",
        ),
        ({"text": "y"}, [1, 2], r"catalogue lacks the columns \['y'\]"),
    ],
)
def test_columns_that_cannot_be_what_they_are_mapped_as(columns, values, rule):
    with pytest.raises(DataError, match=rule):
        read_catalog(simple(x=values), CatalogColumns(**columns))


def test_vectors_may_be_arrays():
    table = simple(v=pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int8, 2)))
    catalog, _ = read_catalog(table, CatalogColumns(vector="v"))
    assert catalog.vectors["v"].tolist() == [[1, 2], [3, 4]]


def test_a_catalogue_without_items_is_an_error():
    with pytest.raises(DataError, match="no row of the catalogue is left: 0 read"):
        read_catalog(pl.DataFrame({"item_id": []}, schema={"item_id": pl.String}), CatalogColumns())


def test_what_log_and_catalogue_do_not_share_is_told(catalog):
    log, _ = read_interactions(
        pl.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "z", "y"]}), items=catalog.items
    )
    assert coverage_notes(log, catalog.over(log.items)) == [
        "2 items of the log are not in the catalogue (66.7% of its events) and are not offered; "
        "catalog.offer_unlisted = true offers them",
        "2 items of the catalogue are not in the log",
    ]
    assert coverage_notes(log, Catalog.empty(log.items)) == []


def test_u_item_of_ml_100k(data_dir):
    names = ["item_id", "title", "released", "video", "url"]
    genres = (data_dir / "ml-100k/u.genre").read_text().split()
    names += [line.split("|")[0] for line in genres]
    columns = CatalogColumns(
        path="ml-100k/u.item",
        separator="|",
        quote=None,
        header=False,
        names=names,
        encoding="latin-1",
        text="title",
        flags={"genres": names[5:]},
    )
    catalog, rejections = read_catalog(None, columns, data_dir=data_dir)
    assert rejections.kept == len(catalog) == 1_682
    assert catalog.titles()[0] == "Toy Story (1995)"
    assert tags_of(catalog, "genres")[0] == ["Animation", "Children's", "Comedy"]
    assert catalog.texts().str.contains("é").any()
