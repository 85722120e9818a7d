"""What is gone from the shop is offered at no door, and what was disliked to nobody who did."""

from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.engine import Engine
from recsys.features.errors import SettingsError
from tests.shops import (
    CATALOG,
    assert_same_lists,
    listed,
    ordered_settings,
    orders,
    quick_settings,
    small_shop,
)

DELISTED = 12
"""So many of the most sold goods have no row in the catalogue any more."""


@cache
def gone() -> frozenset[str]:
    events = small_shop().events
    most = events["item_id"].value_counts(sort=True)["item_id"][:DELISTED]
    sold_out = small_shop().items.filter(~pl.col("available").cast(pl.Boolean))["item_id"]
    return frozenset([*most, *sold_out])


@cache
def delisted() -> frozenset[str]:
    return gone() & frozenset(
        small_shop().events["item_id"].value_counts(sort=True)["item_id"][:DELISTED]
    )


def engine_without(**changes: Any) -> Engine:
    shop = small_shop()
    items = shop.items.filter(~pl.col("item_id").is_in(list(delisted())))
    return Engine(quick_settings(**changes)).fit(shop.events, items)


@cache
def engine() -> Engine:
    return engine_without()


def offered(table: pl.DataFrame) -> set[str]:
    return set(table["item_id"].drop_nulls())


def test_the_shop_has_both_kinds_of_what_is_gone() -> None:
    assert len(delisted()) == DELISTED
    assert gone() - delisted()


def test_no_list_holds_what_is_gone() -> None:
    everyone = [*engine().users, "nobody knows me"]
    assert not offered(engine().recommend(everyone, k=120)) & gone()


def test_no_session_is_led_to_what_is_gone() -> None:
    visits = {f"after {item}": [item] for item in gone()} | {"nothing": []}
    lists = engine().recommend(sessions=visits, k=120)
    assert len(offered(lists)) > 50
    assert not offered(lists) & gone()


def test_what_is_gone_still_teaches() -> None:
    """A session of gone goods alone is answered from what was bought with them."""
    item = sorted(delisted())[0]
    lists = engine().recommend(sessions={"visit": [item]}, k=5)
    assert lists["note"].null_count() == 5
    assert any("popular" not in sources for sources in lists["sources"])


def test_no_explained_list_holds_what_is_gone_and_it_says_why() -> None:
    user = engine().users[0]
    assert not offered(engine().explain(user, k=30).items) & gone()
    item = sorted(delisted())[0]
    told = engine().explain(user, items=[item, sorted(gone() - delisted())[0]])
    assert told.items["rule"].to_list() == ["not in the catalogue", "not available"]


def test_nothing_leads_to_what_is_gone() -> None:
    similar = engine().similar_items(engine().items, k=40)
    assert not set(similar["similar_id"]) & gone()
    assert set(similar["item_id"]) & gone()  # what is gone leads to what is there


def test_no_rule_and_no_lot_brings_back_what_is_gone() -> None:
    final = {
        "rules": [
            {"kind": "pin", "items": sorted(gone())[:3], "place": 1},
            {"kind": "boost", "items": sorted(gone()), "factor": 1000.0},
            {"kind": "new", "share": 0.2, "days": 400},
        ],
        "exploration": {"slots": 4, "temperature": 10.0, "depth": 100},
    }
    lists = engine().with_final(final).recommend([*engine().users, "new"], k=12)
    assert not offered(lists) & gone()


def test_a_loaded_engine_offers_the_same(tmp_path: Any) -> None:
    engine().save(tmp_path / "engine")
    lists = Engine.load(tmp_path / "engine").recommend(engine().users[:50], k=30)
    assert not offered(lists) & gone()


def test_both_ways_are_said_with_counts() -> None:
    said = [note for note in engine().notes if "not in the catalogue" in note]
    assert len(said) == 1
    assert said[0].startswith(f"{DELISTED} items of the log are not in the catalogue (")
    assert said[0].endswith("and are not offered; catalog.offer_unlisted = true offers them")


def test_a_setting_offers_what_the_catalogue_lacks() -> None:
    every = engine_without(catalog={**CATALOG, "offer_unlisted": True})
    assert offered(every.recommend(every.users, k=20)) & delisted()
    (said,) = [note for note in every.notes if "not in the catalogue" in note]
    assert "are offered all the same" in said


@pytest.mark.parametrize("unlisted", [False, True])
def test_an_evaluation_counts_what_it_cannot_offer(unlisted: bool) -> None:
    """Everybody's last item is `gone`, or for two of them `b`."""
    choices = {f"u{n}": [*"abcde"[: 2 + n % 3], "gone"] for n in range(8)}
    choices |= {"v": ["a", "c", "b"], "w": ["a", "d", "b"]}
    settings = ordered_settings(catalog={"offer_unlisted": unlisted})
    found = Engine(settings).evaluate(orders(choices), pl.DataFrame({"item_id": list("abcde")}))
    said = [note for note in found.notes if "positives" in note and "not in the catalogue" in note]
    assert found.protocol["positives"] == (10 if unlisted else 2)
    assert found.protocol["positives_not_in_catalog"] == (0 if unlisted else 8)
    lost = {row["stage"]: row["positives"] for row in found.account["lost"]}
    assert lost["not in the catalogue"] == (0 if unlisted else 8)
    assert sum(lost.values()) == 10
    assert len(said) == (0 if unlisted else 1)
    assert unlisted or "can hold 20.0% of what was chosen" in said[0]


def test_a_catalogue_of_other_goods_offers_none_of_the_log() -> None:
    engine = Engine(ordered_settings(catalog={})).fit(
        orders({"ann": ["a", "b"], "bob": ["b", "a"]}), pl.DataFrame({"item_id": ["x", "y"]})
    )
    assert any("do ids agree?" in note for note in engine.notes)
    assert set(listed(engine.recommend(["ann"]))["ann"]) <= {"x", "y"}


@cache
def two_kinds() -> pl.DataFrame:
    """Each of 100 customers likes 6 of one kind and says no to 4 of the other, in mixed order."""
    rng, rows = np.random.default_rng(1), []
    for user in range(100):
        like, other = ("a", "b") if user % 2 == 0 else ("b", "a")
        own = [(f"{like}{j}", "like", 5) for j in rng.choice(15, 6, replace=False)]
        own += [(f"{other}{j}", "dislike", 1) for j in rng.choice(15, 4, replace=False)]
        for place in rng.permutation(10):
            rows.append((f"u{user:03}", *own[place], 1.7e9 + 60 * len(rows)))
    return pl.DataFrame(rows, ["user_id", "item_id", "event", "rating", "time"], orient="row")


BY_EVENT = {"time": "time", "event": "event"}
BY_RATING = {"time": "time", "rating": "rating", "dislike_below": 3}


@cache
def choosy(by_event: bool) -> Engine:
    settings = quick_settings(interactions=BY_EVENT if by_event else BY_RATING, catalog=None)
    return Engine(settings).fit(two_kinds())


@pytest.mark.parametrize("by_event", [True, False])
def test_dislikes_by_event_or_rating_hide_and_teach(by_event: bool) -> None:
    engine = choosy(by_event)
    lists = engine.recommend(engine.users, k=5)
    liked = [(item[0] == "a") == (int(user[1:]) % 2 == 0) for user, item in offered_to(lists)]
    assert sum(liked) > 0.9 * len(liked)
    assert any("400 dislikes hide their items" in note for note in engine.notes)
    longest = engine.recommend(engine.users, k=30)
    no = two_kinds().filter(pl.col("rating") < 3)
    assert not longest.join(no, on=["user_id", "item_id"], how="semi").height


def offered_to(lists: pl.DataFrame) -> list[tuple[str, str]]:
    return lists.drop_nulls("item_id").select("user_id", "item_id").rows()


def test_an_explained_list_knows_dislikes_too() -> None:
    engine, no = choosy(True), two_kinds().filter(pl.col("rating") < 3)
    item = no.filter(pl.col("user_id") == "u003")["item_id"][0]
    told = engine.explain("u003", items=[item])
    assert told.items["rule"].to_list() == ["disliked"]


def test_a_session_may_say_no() -> None:
    events = pl.DataFrame(
        {"user_id": ["s"] * 3, "item_id": ["a1", "a2", "b3"], "event": ["like", "dislike", "like"]}
    )
    lists = choosy(True).recommend(sessions=events, k=30)
    assert not {"a1", "a2", "b3"} & offered(lists)
    only_no = events.filter(pl.col("event") == "dislike")
    lists = choosy(True).recommend(sessions=only_no, k=30)
    assert "a2" not in offered(lists)
    assert "no events" in lists["note"][0]


def test_a_loaded_engine_knows_dislikes(tmp_path: Any) -> None:
    engine = choosy(True)
    engine.save(tmp_path / "engine")
    other = Engine.load(tmp_path / "engine")
    assert_same_lists(other.recommend(other.users, k=10), engine.recommend(engine.users, k=10))


def test_a_purchase_can_hide_the_whole_product() -> None:
    goods = pl.DataFrame({"item_id": list("abcdef"), "model": ["m", "m", None, None, "n", "n"]})
    events = {"interaction": {"hides": "product"}}
    settings = ordered_settings(
        catalog={"variant": "model"}, events=events, fusion={"variants": "all"}
    )
    log = orders({"u": ["a", "c"], "v": ["b", "e"], "w": ["d", "e", "a"], "x": ["c", "f"]})
    engine = Engine(settings).fit(log, goods)
    lists = listed(engine.recommend(["u", "v", "w", "x"], k=6))
    assert {user: set(own) for user, own in lists.items()} == {
        "u": set("def"), "v": set("cd"), "w": set("c"), "x": set("abd"),
    }  # fmt: skip


def test_a_bad_rating_hides_no_less_of_a_product_than_a_good_one() -> None:
    goods = pl.DataFrame({"item_id": list("abcdef"), "model": ["m", "m", None, None, "n", "n"]})
    settings = ordered_settings(
        interactions={"time": None, "order": "place", "rating": "rating", "dislike_below": 3},
        catalog={"variant": "model"},
        events={"interaction": {"hides": "product"}},
        fusion={"variants": "all"},
    )
    rows = [
        ("u", "c", 5),
        ("u", "a", 1),
        ("v", "a", 5),
        ("v", "e", 2),
        ("w", "d", 4),
        ("w", "f", 4),
    ]
    table = [(*row, place) for place, row in enumerate(rows)]
    log = pl.DataFrame(table, ["user_id", "item_id", "rating", "place"], orient="row")
    engine = Engine(settings).fit(log, goods)
    lists = listed(engine.recommend(["u", "v", "w"], k=6))
    assert {user: "".join(sorted(own)) for user, own in lists.items()} == {
        "u": "def", "v": "cd", "w": "abc",
    }  # fmt: skip


def test_hiding_products_needs_products() -> None:
    settings = ordered_settings(events={"interaction": {"hides": "product"}})
    with pytest.raises(SettingsError, match="needs products; set"):
        Engine(settings).fit(orders({"u": ["a", "b"]}))
