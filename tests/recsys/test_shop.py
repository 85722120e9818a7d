"""The demo shop holds the structure that its docstrings promise."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_frame_not_equal

from recsys.features.errors import SettingsError
from recsys.shop import CLOSING, EVENTS, Shop, make_log, make_shop
from recsys.shop_words import BRANDS, CATEGORIES, STYLES


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop()


@pytest.fixture(scope="module")
def purchases(shop: Shop) -> pl.DataFrame:
    kinds = shop.items.select("item_id", "category")
    bought = shop.events.filter(pl.col("event") == "purchase")
    return bought.join(kinds, on="item_id", maintain_order="left")


def lasting() -> list[str]:
    return [words.name for words in CATEGORIES if not words.cycle_days]


def test_one_seed_gives_one_shop() -> None:
    one, same, other = (make_shop(users=50, items=80, seed=seed) for seed in (7, 7, 8))
    assert_frame_equal(one.events, same.events)
    assert_frame_equal(one.items, same.items)
    assert_frame_not_equal(one.events, other.events)
    assert_frame_not_equal(one.items, other.items)


def test_columns_and_types(shop: Shop) -> None:
    assert shop.events.schema == {
        "user_id": pl.String,
        "item_id": pl.String,
        "event": pl.String,
        "time": pl.Datetime("us"),
        "quantity": pl.Int16,
    }
    assert shop.items.schema == {
        "item_id": pl.String,
        "title": pl.String,
        "description": pl.String,
        "category": pl.String,
        "brand": pl.String,
        "tags": pl.List(pl.String),
        "price": pl.Float64,
        "available": pl.Boolean,
        "variant_group": pl.String,
        "listed_at": pl.Datetime("us"),
    }
    assert sum(shop.events.null_count().row(0)) == sum(shop.items.null_count().row(0)) == 0


def test_default_size_suits_a_demo(shop: Shop) -> None:
    assert 80_000 <= len(shop.events) <= 120_000
    assert shop.events["user_id"].n_unique() == 3_000
    assert len(shop.items) == 1_500


def test_events_come_in_time_order_and_once(shop: Shop) -> None:
    time = shop.events["time"]
    assert time.is_sorted()
    assert time.min() >= CLOSING - timedelta(days=120)
    assert time.max() < CLOSING
    assert not shop.events.select("user_id", "item_id", "event", "time").is_duplicated().any()


def test_ids_are_unique_and_known(shop: Shop) -> None:
    assert shop.items["item_id"].is_unique().all()
    assert shop.events["item_id"].is_in(shop.items["item_id"].implode()).all()
    assert shop.events["user_id"].str.contains(r"^u\d{5}$").all()


def test_nothing_is_seen_before_it_is_listed(shop: Shop) -> None:
    seen = shop.events.join(shop.items, on="item_id")
    assert (seen["time"] > seen["listed_at"]).all()
    new = shop.items.filter(pl.col("listed_at") > CLOSING - timedelta(days=120))
    assert 0.15 < len(new) / len(shop.items) < 0.35


def test_a_view_leads_to_a_cart_leads_to_a_purchase(shop: Shop) -> None:
    first = shop.events.pivot(
        "event", index=["user_id", "item_id"], values="time", aggregate_function="min"
    )
    carted = first.filter(pl.col("cart").is_not_null())
    bought = first.filter(pl.col("purchase").is_not_null())
    assert (carted["view"] <= carted["cart"]).all()
    assert (bought["cart"] <= bought["purchase"]).all()
    assert 0 < len(bought) < len(carted) < len(first)


def test_only_purchases_have_a_quantity_above_one(shop: Shop) -> None:
    several = shop.events.filter(pl.col("quantity") > 1)
    assert several["event"].unique().to_list() == ["purchase"]
    assert shop.events["quantity"].min() == 1


def test_complements_follow_purchases_and_not_the_other_way(shop: Shop) -> None:
    links = [(words.name, after) for words in CATEGORIES for after in words.goes_with]
    forward = pl.DataFrame(links, schema=["category", "next"], orient="row")
    kinds = shop.items.select("item_id", "category")
    log = shop.events.join(kinds, on="item_id", maintain_order="left")
    steps = log.with_columns(next=pl.col("category").shift(-1).over("user_id")).drop_nulls("next")
    after_purchase = steps.filter(pl.col("event") == "purchase")
    after_view = steps.filter(pl.col("event") == "view")

    def share(steps: pl.DataFrame, pairs: pl.DataFrame) -> float:
        able = steps.join(pairs, on="category", how="semi")
        return len(able.join(pairs, on=["category", "next"], how="semi")) / len(able)

    backward = forward.select(category="next", next="category")
    assert share(after_purchase, forward) > 0.15
    assert share(after_purchase, forward) > 5 * share(after_view, forward)
    assert share(after_purchase, forward) > 5 * share(after_purchase, backward)


def test_what_is_used_up_is_bought_again_after_its_cycle(purchases: pl.DataFrame) -> None:
    gaps = purchases.with_columns(
        days=pl.col("time").diff().dt.total_seconds().over("user_id", "item_id") / 86_400
    ).drop_nulls("days")
    assert len(gaps) > 0.05 * len(purchases)
    assert not gaps["category"].is_in(lasting()).any()
    coffee = gaps.filter(pl.col("category") == "coffee")["days"]
    assert 17 < coffee.median() < 25


def test_popularity_has_a_long_tail(shop: Shop) -> None:
    counts = shop.events["item_id"].value_counts(sort=True)["count"]
    assert counts[: len(shop.items) // 10].sum() > 0.35 * counts.sum()
    assert 20 < len(shop.items) - len(counts) < 0.15 * len(shop.items)


def test_tastes_persist_and_drift() -> None:
    def kept(drift: float) -> float:
        """The share of late views in the three categories that the customer viewed most early."""
        shop = make_shop(users=400, items=400, drift=drift, sessions_per_user=20.0)
        log = shop.events.join(shop.items.select("item_id", "category"), on="item_id")
        middle = CLOSING - timedelta(days=60)
        early = log.filter(pl.col("time") < middle).group_by("user_id", "category").len()
        top = early.filter(pl.col("len").rank("ordinal", descending=True).over("user_id") <= 3)
        late = log.filter(pl.col("time") >= middle + timedelta(days=30))
        late = late.join(top, on="user_id", how="semi")
        return len(late.join(top, on=["user_id", "category"], how="semi")) / len(late)

    steady, moved = kept(0.0), kept(1.0)
    assert steady > 0.55
    assert moved < steady - 0.15


def test_some_items_are_out_of_stock(shop: Shop) -> None:
    assert 0.05 < 1 - shop.items["available"].mean() < 0.11


def test_variants_share_all_but_the_finish(shop: Shop) -> None:
    groups = shop.items.group_by("variant_group").agg(
        pl.len(), pl.col("title").n_unique().alias("titles"), pl.col("price", "brand").n_unique()
    )
    assert groups["len"].max() == 3
    assert (groups["titles"] == groups["len"]).all()
    assert (groups["price"] == 1).all()
    assert (groups["brand"] == 1).all()


def test_titles_and_descriptions_are_readable(shop: Shop) -> None:
    title, words = shop.items["title"], shop.items["description"]
    assert title.is_unique().all()
    assert title.str.len_chars().is_between(15, 80).all()
    assert title.str.contains(r"^[A-Z].+ .+, [A-Z]").all()
    assert words.str.contains(r"^[A-Z][^.]+: [^.]+\. [A-Z][^.]+\.$").all()
    assert (shop.items["price"] > 0).all()


def test_no_title_can_be_longer_than_a_shop_shows() -> None:
    longest = max(
        max(map(len, BRANDS[words.department]))
        + sum(max(map(len, group)) for group in (words.nouns, words.materials, words.finishes))
        for words in CATEGORIES
    )
    adjective = max(len(word) for style in STYLES for word in style.adjectives)
    assert longest + adjective + len("   , , No. 999") <= 80


def test_the_words_of_all_categories_are_whole() -> None:
    names = {words.name for words in CATEGORIES}
    assert len(names) == len(CATEGORIES) == 44
    assert {words.department for words in CATEGORIES} == set(BRANDS)
    assert all(set(words.goes_with) <= names - {words.name} for words in CATEGORIES)
    assert all(len(words.finishes) >= 3 for words in CATEGORIES)
    assert all(words.nouns and words.materials and words.uses for words in CATEGORIES)


def test_write_and_read_again(shop: Shop, tmp_path: Path) -> None:
    shop.write(tmp_path / "new" / "shop")
    assert_frame_equal(pl.read_parquet(tmp_path / "new/shop/events.parquet"), shop.events)
    assert_frame_equal(pl.read_parquet(tmp_path / "new/shop/items.parquet"), shop.items)


@settings(max_examples=25)
@given(
    users=st.integers(1, 20),
    items=st.integers(1, 30),
    days=st.integers(1, 20),
    seed=st.integers(0, 2**63),
)
def test_the_smallest_shops_hold_together(users: int, items: int, days: int, seed: int) -> None:
    shop = make_shop(users, items, days, sessions_per_user=1.0, seed=seed)
    seen = shop.events.join(shop.items, on="item_id")
    assert len(seen) == len(shop.events)
    assert (seen["time"] > seen["listed_at"]).all()
    assert (shop.events["time"] < CLOSING).all()


def test_a_plain_log_counts_what_was_asked_for() -> None:
    log = make_log(events=20_000, users=500, items=300, seed=3)
    assert len(log) == 20_000
    assert log.schema == make_shop(users=1, items=1, days=1).events.schema
    assert log["user_id"].n_unique() <= 500
    assert log["item_id"].n_unique() <= 300
    assert set(log["event"]) == set(EVENTS)
    assert log["time"].is_sorted()
    assert log["time"].is_unique().all()
    assert log["time"].max() < CLOSING
    assert_frame_equal(log, make_log(events=20_000, users=500, items=300, seed=3))
    counts = log["item_id"].value_counts(sort=True)["count"]
    assert counts[:30].sum() > 0.35 * counts.sum()


@pytest.mark.parametrize(
    ("make", "wrong", "rule"),
    [
        (make_shop, {"users": 0}, "users must be a whole number from 1, not 0"),
        (make_shop, {"items": 2.5}, "items must be a whole number from 1, not 2.5"),
        (make_shop, {"days": -3}, "days must be a whole number from 1 to 3650, not -3"),
        (make_shop, {"days": 4_000}, "days must be a whole number from 1 to 3650, not 4000"),
        (make_shop, {"seed": -1}, "seed must be a whole number from 0, not -1"),
        (make_shop, {"sessions_per_user": 0.0}, "sessions_per_user must be above 0, not 0.0"),
        (make_shop, {"drift": 1.5}, "drift must lie in 0..1, not 1.5"),
        (make_shop, {"follow_up": float("nan")}, "follow_up must lie in 0..1, not nan"),
        (make_log, {"events": 0, "users": 1, "items": 1}, "events must be"),
        (make_log, {"events": 9, "users": 1, "items": True}, "items must be"),
    ],
)
def test_wrong_settings_are_named(
    make: Callable[..., Any], wrong: dict[str, float], rule: str
) -> None:
    with pytest.raises(SettingsError, match=rule.replace(".", r"\.")):
        make(**wrong)
