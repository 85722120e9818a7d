"""A small shop, and engines that learnt from it: each is made once and only read."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from recsys.engine import Engine
from recsys.settings import EngineSettings
from recsys.shop import Shop, make_shop

LOG = {"time": "time", "event": "event", "quantity": "quantity"}
CATALOG = {
    "title": "title",
    "category": ["category", "brand"],
    "tags": "tags",
    "price": "price",
    "available": "available",
    "variant": "variant_group",
    "vector": "text",
}
SOURCES = {
    "next": {"depth": 20},
    "wide": {"depth": 20},
    "als": {"depth": 20, "factors": 8, "iterations": 4},
    "content": {"depth": 20},
    "popular": {"depth": 10},
}
QUICK = {
    "sources": SOURCES,
    "ranker": {"hidden": (16,), "epochs": 3},
    "training": {"least_positives": 20},
}
"""Settings that learn in a second: few factors, few epochs, short lists."""


def quick_settings(**changes: Any) -> EngineSettings:
    """Quick settings for the small shop, with some tables laid over them."""
    return EngineSettings.parse({"interactions": LOG, "catalog": CATALOG, **QUICK, **changes})


@cache
def small_shop() -> Shop:
    """200 customers and 120 goods; the column `text` holds ready-made vectors (16,).

    Goods of one category lie near one another, those of one brand a little.
    """
    shop = make_shop(users=200, items=120, days=90, sessions_per_user=6, seed=0)
    rng = np.random.default_rng(0)
    vectors = rng.normal(scale=0.1, size=(len(shop.items), 16))
    for column, scale in (("category", 1.0), ("brand", 0.3)):
        codes = shop.items[column].cast(pl.Categorical).to_physical().to_numpy()
        vectors += rng.normal(scale=scale, size=(codes.max() + 1, 16))[codes]
    listed = pl.Series("text", vectors.tolist(), dtype=pl.List(pl.Float32))
    return Shop(shop.events, shop.items.with_columns(listed))


@cache
def fitted_engine(seed: int = 0) -> Engine:
    """An engine that learnt from the small shop."""
    shop = small_shop()
    return Engine(quick_settings(seed=seed)).fit(shop.events, shop.items)


def orders(choices: Mapping[Any, Sequence[Any]]) -> pl.DataFrame:
    """A log from the items that each user chose, the oldest first; `position` sorts them."""
    rows = [(user, item, place) for user, own in choices.items() for place, item in enumerate(own)]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "position"], orient="row")


def ordered_engine(choices: Mapping[Any, Sequence[Any]], **changes: Any) -> Engine:
    """An engine of a few choices, without a catalogue: too little to train a ranker with."""
    return Engine(ordered_settings(**changes)).fit(orders(choices))


def ordered_settings(**changes: Any) -> EngineSettings:
    """Settings for `orders`."""
    sources = {"als": {"factors": 4, "iterations": 2}}
    return EngineSettings.parse(
        {"interactions": {"order": "position"}, "sources": sources, **changes}
    )


def listed(table: pl.DataFrame) -> dict[Any, list[Any]]:
    """The items of each user, best first; an empty list for who is offered nothing."""
    lists: dict[Any, list[Any]] = {}
    for user, item in table.select("user_id", "item_id").iter_rows():
        lists.setdefault(user, []).extend([] if item is None else [item])
    return lists


def assert_same_lists(lists: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Equal tables, but for the last digits of scores."""
    assert_frame_equal(lists, expected, rel_tol=1e-3, abs_tol=1e-4)
