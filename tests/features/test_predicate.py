"""Conditions on the catalogue, by hand."""

import polars as pl
import pytest

from recsys.features.catalog import Catalog, read_catalog
from recsys.features.columns import CatalogColumns
from recsys.features.errors import DataError
from recsys.features.predicate import Predicate
from recsys.features.vocabulary import Vocabulary

TABLE = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "kind": ["book", "toy", None, "toy"],
        "price": [5.0, 12.0, 30.0, None],
        "stock": ["yes", "no", None, "yes"],
        "region": ["north", "south", "north", "north"],
    }
)
COLUMNS = CatalogColumns(category=["kind", "region"], price="price", available="stock")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog(TABLE, COLUMNS)[0]


@pytest.mark.parametrize(
    ("predicate", "items"),
    [
        ("price < 20 AND kind = 'toy'", "b"),
        (pl.col("price").is_between(5, 12), "ab"),
        ("region = 'north' OR price > 10", "abcd"),
        ("kind IN ('book', 'toy') AND NOT stock = 'no'", "ad"),
        ("kind <> 'toy'", "a"),  # of c nothing is known: it is left out
        ("kind IS NULL", "c"),
        ("item_id >= 'c'", "cd"),
        ("1 = 1", "abcd"),
        (pl.lit(False), ""),
    ],
)
def test_masks_by_hand(catalog: Catalog, predicate: Predicate, items: str) -> None:
    assert "".join(catalog.items.ids.filter(catalog.mask(predicate))) == items


def test_new_items_of_the_log_are_left_out(catalog: Catalog) -> None:
    wider = catalog.over(Vocabulary(pl.Series("id", ["z", "a", "b", "c", "d"]), "item"))
    assert wider.mask("price < 20").tolist() == [False, True, True, False, False]


@pytest.mark.parametrize(
    ("predicate", "message"),
    [
        (
            "prise < 20",
            "the column 'prise', .* can read: item_id, kind, price, region, stock; a text stands",
        ),
        ("price <", "'price <' cannot be read as SQL"),
        ("price + 1", "must be true or false; it is a number"),
        ("price < 'cheap'", "\"price < 'cheap'\" fails: "),
        (pl.col("price").filter(pl.col("price") > 6) > 0, "one thing of each item; it says 2 of 4"),
        (7, "a polars expression or SQL; got int"),
    ],
)
def test_what_cannot_be_used_is_named(catalog: Catalog, predicate: Predicate, message: str) -> None:
    with pytest.raises(DataError, match=message):
        catalog.mask(predicate)


def test_what_a_function_of_python_raises_is_an_error_of_ours(catalog: Catalog) -> None:
    broken = pl.col("item_id").map_elements(lambda _: 1 / 0, return_dtype=pl.Boolean)
    with pytest.raises(DataError, match="fails"):
        catalog.mask(broken)
