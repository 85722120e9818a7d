"""Fusion in an engine: variants once, a learnt mixture that is saved, settings that are refused."""

from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.engine import Engine
from recsys.features.errors import SettingsError
from tests.shops import (
    assert_same_lists,
    fitted_engine,
    listed,
    ordered_engine,
    ordered_settings,
    quick_settings,
    small_shop,
)


@cache
def learned_engine() -> Engine:
    shop = small_shop()
    return Engine(quick_settings(fusion={"order": "learned"})).fit(shop.events, shop.items)


def products_of(table: pl.DataFrame) -> pl.DataFrame:
    return table.join(small_shop().items.select("item_id", "variant_group"), on="item_id")


@pytest.mark.parametrize("k", [5, 20])
def test_a_list_shows_one_variant_of_a_product(k: int) -> None:
    lists = products_of(fitted_engine().recommend(fitted_engine().users[:60], k=k))
    assert not lists.select("user_id", "variant_group").is_duplicated().any()
    assert (lists.group_by("user_id").len()["len"] == k).all()  # filled up from further behind


def test_new_users_see_each_product_once_too() -> None:
    lists = products_of(fitted_engine().recommend(["nobody"], k=20))
    assert lists["variant_group"].n_unique() == len(lists) > 10


def test_variants_can_all_be_shown() -> None:
    shop = small_shop()
    engine = Engine(quick_settings(fusion={"variants": "all"})).fit(shop.events, shop.items)
    lists = products_of(engine.recommend(engine.users[:60], k=20))
    assert lists.select("user_id", "variant_group").is_duplicated().any()


def test_too_few_products_are_said_to_be_few() -> None:
    items = pl.DataFrame({"item_id": list("abcde"), "model": ["x", "x", "x", "y", "y"]})
    settings = ordered_settings(catalog={"variant": "model"})
    log = pl.DataFrame({"user_id": ["ann"], "item_id": ["a"], "position": [0]})
    lists = Engine(settings).fit(log, items).recommend(["bob"], k=4)
    assert listed(lists)["bob"][0] in "abc"
    assert len(lists) == 2
    assert "2 of 4 items" in lists["note"][0]


def test_a_mixture_is_learnt_and_kept(tmp_path: Path) -> None:
    engine = learned_engine()
    mixture = engine.learnt.fitted.sources.mixture
    assert mixture is not None
    assert mixture.names == ("next", "wide", "als", "content", "tagged", "popular")
    assert any("mixture of sources is learnt from" in note for note in engine.notes)
    engine.save(tmp_path / "engine")
    loaded = Engine.load(tmp_path / "engine")
    users = engine.users[:30]
    assert_same_lists(loaded.recommend(users), engine.recommend(users))
    again = loaded.learnt.fitted.sources.mixture
    assert again is not None
    assert again.told() == mixture.told()


def test_too_few_lists_give_no_mixture() -> None:
    engine = ordered_engine({"ann": "abc", "bob": "bcd"}, fusion={"order": "learned"})
    assert engine.learnt.fitted.sources.mixture is None
    assert any(note.startswith("no mixture of sources: fewer than") for note in engine.notes)
    assert len(engine.recommend(["ann"], k=1)) == 1


def test_a_width_below_k_is_no_reason_for_a_short_list() -> None:
    engine = ordered_engine({"ann": "abcdefgh", "bob": "hgfedcba"}, fusion={"width": 3})
    assert len(engine.recommend(["nobody"], k=8)) == 8


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        ({"ordr": "learned"}, r"unknown setting 'fusion.ordr'; did you mean 'order'\?"),
        ({"order": "best"}, "setting 'fusion.order': .* got 'best'"),
        ({"weights": {"alz": 2}}, r"unknown source 'alz' in fusion; did you mean 'als'\?"),
        ({"weights": {"als": "much"}}, "setting 'fusion.weights': .* got"),
        ({"quotas": {"follow": 2}, "first": 9}, "unknown source 'follow' in fusion"),
        ({"offset": -3}, "fusion.offset must be 0 or more; got -3"),
        ({"variants": "some"}, "setting 'fusion.variants': .* got 'some'"),
    ],
)
def test_a_wrong_fusion(fusion: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Engine(ordered_settings(fusion=fusion))


def test_a_source_that_settings_turn_off_has_no_weight() -> None:
    with pytest.raises(SettingsError, match=r"fusion names source 'als', .* sources\.als\.use"):
        Engine(ordered_settings(sources={"als": {"use": False}}, fusion={"weights": {"als": 2}}))


def test_an_engine_whose_fusion_names_what_the_data_turns_off_is_loaded(tmp_path: Path) -> None:
    fusion = {"weights": {"content": 2, "als": 1}, "quotas": {"tagged": 1}, "first": 5}
    engine = ordered_engine({"ann": "abc", "bob": "bcd"}, fusion=fusion)
    engine.save(tmp_path / "engine")
    again = Engine.load(tmp_path / "engine")
    assert again.settings == engine.settings
    assert_same_lists(again.recommend(engine.users, k=3), engine.recommend(engine.users, k=3))


def test_a_source_that_the_data_turns_off_is_noted() -> None:
    said = "weights and quotas in fusion count for nothing of what is left out: content, mine"
    fusion = {"weights": {"content": 2, "als": 1}, "quotas": {"mine": 1}, "first": 5}
    mine = {"mine": {"kind": "tagged", "use": True}}
    engine = ordered_engine({"ann": "abc", "bob": "bcd"}, fusion=fusion, sources=mine)
    assert said in engine.notes
    assert any("content" in note for note in engine.notes if note.startswith("sources off"))
    assert any(note.startswith("source 'mine' is left out") for note in engine.notes)
    used = ordered_engine({"ann": "abc", "bob": "bcd"}, fusion={"weights": {"als": 2}})
    assert not any("fusion" in note for note in used.notes)
