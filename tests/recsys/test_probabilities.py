"""Probabilities beside a list, lists by expected value, and what there is where neither can be."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.engine import Engine
from recsys.features.arrays import PAD, Floats
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories
from recsys.ranked import Ranked
from recsys.ranking.pair_features import Knowledge, pair_features
from recsys.retrieval.candidates import Candidates
from recsys.settings import EngineSettings
from recsys.shop import Shop, make_shop
from tests.shops import listed, ordered_engine, quick_settings, small_shop

ODDS = ["p_view", "p_cart", "p_purchase"]


@cache
def busy_shop() -> Shop:
    """A shop where every third event is a purchase and every third puts something into a cart."""
    shop = make_shop(users=300, items=120, days=90, sessions_per_user=6, seed=0)
    kinds = pl.Series(["view", "cart", "purchase"])
    rows = np.random.default_rng(0).integers(3, size=len(shop.events))
    return Shop(shop.events.with_columns(event=kinds.gather(rows)), shop.items)


@cache
def foretelling() -> Engine:
    return Engine(settings_of()).fit(busy_shop().events, busy_shop().items)


def settings_of(**ranker: object) -> EngineSettings:
    sources = {name: {"use": False} for name in ("content", "als")}
    return quick_settings(
        events={
            "view": {"weight": 0.3, "offer_again": True},
            "cart": {"weight": 0.6, "offer_again": True},
            "purchase": {"weight": 1.0, "offer_again": True},
        },
        ranker={"hidden": (16,), "epochs": 3, **ranker},
        sources=sources,
        catalog={"title": "title", "category": "category", "price": "price", "variant": None},
    )


def test_columns_of_probabilities_beside_the_same_list() -> None:
    engine = foretelling()
    users = engine.users[:40]
    plain, told = engine.recommend(users, k=5), engine.recommend(users, k=5, probabilities=True)
    assert_frame_equal(told.select(plain.columns), plain)
    assert told.columns[-3:] == ODDS
    odds = told.select(ODDS).to_numpy()
    assert ((odds > 0) & (odds < 1)).all()
    assert (np.diff(odds, axis=1) <= 0).all(), "a purchase is never more probable than a view"


def test_what_stage_two_reads_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted(histories: Histories, candidates: Candidates, knowledge: Knowledge) -> Any:
        made.append(len(histories))
        return pair_features(histories, candidates, knowledge)

    monkeypatch.setattr("recsys.fitted.pair_features", counted)
    engine = foretelling()
    for by_value in (None, "price"):
        engine.recommend(engine.users[:3], probabilities=True, by_value=by_value)
        assert made == [3]
        made.clear()
    engine.recommend(["nobody"], probabilities=True)
    assert not made


def test_who_is_unknown_has_none() -> None:
    table = foretelling().recommend(["nobody"], k=3, probabilities=True)
    assert len(table) == 3
    assert table.select(pl.col(ODDS).is_null().all()).row(0) == (True, True, True)
    nobody = foretelling().recommend([], probabilities=True)
    assert nobody.columns[-3:] == ODDS


def test_lists_by_expected_value() -> None:
    engine = foretelling()
    users = engine.users[:40]
    table = engine.recommend(users, k=8, probabilities=True, by_value="price")
    prices = busy_shop().items.select("item_id", "price")
    table = table.join(prices, on="item_id", how="left", maintain_order="left")
    expected = (table["p_purchase"] * table["price"]).to_list()
    assert table["score"].to_list() == pytest.approx(expected, rel=1e-4)
    falls = table.select((pl.col("score").diff().over("user_id") <= 0).all()).item()
    assert falls
    assert listed(table) != listed(engine.recommend(users, k=8))


def test_a_pinned_item_that_no_source_offered_has_none() -> None:
    engine = foretelling()
    user = engine.users[3]
    every = engine.explain(user, k=3, items=engine.items).items
    far = every.filter(rule="offered by no source")["item_id"][0]
    pins = [{"kind": "pin", "items": [far], "place": 1}]
    pinned = engine.with_final({"rules": pins}).recommend([user], k=3, probabilities=True)
    plain = engine.recommend([user], k=2, probabilities=True)
    assert pinned["item_id"].to_list() == [far, *plain["item_id"]]
    assert_frame_equal(pinned[1:].select(ODDS), plain.select(ODDS))
    assert pinned.select(ODDS).row(0) == (None, None, None)


def test_boosts_act_on_expected_values() -> None:
    engine = foretelling()
    users = engine.users[:20]
    plain = engine.recommend(users, k=5, by_value="price")
    same = [{"kind": "boost", "where": "price >= 0", "factor": 4.0}]
    assert listed(engine.with_final({"rules": same}).recommend(users, k=5, by_value="price")) == (
        listed(plain)
    )
    cheap = [{"kind": "boost", "where": "price < 20", "factor": 1e6}]
    boosted = engine.with_final({"rules": cheap}).recommend(users, k=1, by_value="price")
    prices = boosted.join(busy_shop().items, on="item_id", how="left")["price"]
    assert (prices < 20).all()


def by_worth(engine: Engine, worth: Floats, k: int = 6) -> Ranked:
    """Lists of some users by the expected value of items that are worth so much (items,)."""
    histories = Histories.of(engine.learnt.log, np.arange(30, dtype=np.int32))
    allowed = engine.learnt.policy.allowed(histories)
    fitted = engine.learnt.fitted
    candidates, failed = fitted.candidates(histories, allowed, k)
    return fitted.listed(histories, allowed, candidates, failed, k, worth=worth)


def prices() -> Floats:
    own = foretelling().learnt.catalog.price()
    assert own is not None
    return own.astype(np.float32)


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_diversity_is_the_same_in_whatever_unit_values_are(method: str) -> None:
    diversity = {"method": method, "strength": 0.3, "on": "categories"}
    diverse = foretelling().with_final({"diversity": diversity})
    lists = by_worth(diverse, prices()).candidates.items
    assert (lists != by_worth(foretelling(), prices()).candidates.items).any()
    for unit in (np.float32(2.0**-40), np.float32(2.0**20)):
        assert (by_worth(diverse, unit * prices()).candidates.items == lists).all()


def test_what_is_worth_nothing_neither_joins_nor_spoils_a_diverse_list() -> None:
    diverse = foretelling().with_final({"diversity": {"method": "mmr", "on": "categories"}})
    some = np.random.default_rng(0).random(len(prices())) < 0.8
    worth = np.where(some, 0, prices()).astype(np.float32)
    listed_ = by_worth(diverse, worth, 30)
    on = listed_.candidates.filled
    free = some[listed_.candidates.items] & on
    assert free.any(), "lists need more than is worth anything"
    assert (listed_.scores[free] == 0).all()
    assert (np.diff(free, axis=1) >= 0).all(), "they come last"
    plain = by_worth(foretelling(), worth, 30).candidates.items
    assert (listed_.candidates.items != plain).any()


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_a_boost_moves_a_loss_the_way_it_moves_a_gain(factor: float) -> None:
    loss = -prices()
    rules = [{"kind": "boost", "where": "price < 20", "factor": factor}]
    boosted, plain = (
        by_worth(engine, loss, 200)
        for engine in (foretelling().with_final({"rules": rules}), foretelling())
    )
    assert (plain.scores[plain.candidates.filled] < 0).all()
    tiers = boosted.candidates.tiers
    assert tiers is not None, "200 are more than the depths give"
    for row in range(len(plain.scores)):
        before = dict(zip(plain.candidates.items[row], plain.scores[row], strict=True))
        for item, score in zip(boosted.candidates.items[row], boosted.scores[row], strict=True):
            if item != PAD:
                by = factor if prices()[item] < 20 else 1.0
                assert score == pytest.approx(before[item] / by, rel=1e-5)
        for tier in np.unique(tiers[row][boosted.candidates.filled[row]]):
            own = boosted.scores[row][boosted.candidates.filled[row] & (tiers[row] == tier)]
            assert (np.diff(own) <= 0).all()


def test_factors_without_end_leave_finite_scores() -> None:
    rules = [
        {"kind": "boost", "name": name, "where": where, "factor": factor}
        for name, where, factor in (
            ("cheap", "price < 20", 1e300),
            ("cheaper", "price < 10", 1e300),
            ("dear", "price >= 20", 1e-300),
        )
    ]
    lists = by_worth(foretelling().with_final({"rules": rules}), prices(), 200)
    assert np.isfinite(lists.scores[lists.candidates.filled]).all()


def test_lots_give_what_is_worth_nothing_where_there_is_nothing_else() -> None:
    engine = foretelling().with_final({"exploration": {"slots": 2}})
    nothing = np.zeros(len(engine.items), np.float32)
    histories = Histories.of(engine.learnt.log, np.arange(30, dtype=np.int32))
    allowed = engine.learnt.policy.allowed(histories)
    fitted = engine.learnt.fitted
    candidates, failed = fitted.candidates(histories, allowed, 5)
    keys = np.arange(30, dtype=np.uint64)
    lists = fitted.listed(histories, allowed, candidates, failed, 5, keys=keys, worth=nothing)
    assert lists.candidates.filled.all()
    assert lists.trail is not None
    assert (lists.trail.propensity[:, 3:] < 0.5).all()


@cache
def ordered_by_events() -> Engine:
    settings = settings_of(event_weights={"purchase": 1.0})
    return Engine(settings).fit(busy_shop().events, busy_shop().items)


def test_boosts_act_on_an_order_by_probabilities_as_on_odds() -> None:
    engine = ordered_by_events()
    users = engine.users[:20]
    plain = engine.recommend(users, k=5)
    boost = {"kind": "boost", "where": "price >= 0", "factor": 1.5}
    all_of_them = engine.with_final({"rules": [boost]}).recommend(users, k=5)
    assert listed(all_of_them) == listed(plain)
    assert all_of_them["score"].to_list() == pytest.approx(
        (1.5 * plain["score"]).to_list(), rel=1e-4
    )
    second = plain.filter(pl.col("rank") == 2)["item_id"][0]
    slight = {"kind": "boost", "items": [second], "factor": 1.0001}
    lists = engine.with_final({"rules": [slight]}).recommend(users[:1], k=5)
    assert lists["item_id"].to_list() == plain["item_id"][:5].to_list()


def test_tables_with_and_without_anybody_have_the_same_columns() -> None:
    engine = foretelling().with_final({"exploration": {"slots": 1}})
    somebody = engine.recommend(engine.users[:2], k=4, probabilities=True)
    nobody = engine.recommend([], k=4, probabilities=True)
    assert nobody.columns == somebody.columns
    assert nobody.dtypes[1:] == somebody.dtypes[1:]


def test_what_has_no_price_is_worth_nothing() -> None:
    shop = busy_shop()
    free = shop.items["item_id"].head(60)
    items = shop.items.with_columns(
        price=pl.when(~pl.col("item_id").is_in(free.implode())).then("price")
    )
    engine = Engine(settings_of()).fit(shop.events, items)
    table = engine.recommend(engine.users[:20], k=20, by_value="price", probabilities=True)
    unpriced = table.filter(pl.col("item_id").is_in(free.implode()))
    assert set(unpriced["score"]) <= {0.0}
    assert unpriced.select(pl.col(ODDS).is_between(0, 1).all()).row(0) == (True, True, True)
    scores = engine.recommend(engine.users[:20], k=20)["score"]
    assert scores.is_finite().all(), "a price that is missing is a feature of 0"


def test_weights_of_events_are_the_order() -> None:
    settings = settings_of(event_weights={"purchase": 1.0, "cart": 0.3})
    engine = Engine(settings).fit(busy_shop().events, busy_shop().items)
    table = engine.recommend(engine.users[:30], k=5, probabilities=True)
    expected = table["p_purchase"] + 0.3 * table["p_cart"]
    assert table["score"].to_list() == pytest.approx(expected.to_list(), rel=1e-4)


def test_saved_and_loaded_they_are_the_same(tmp_path: Path) -> None:
    engine = foretelling()
    engine.save(tmp_path / "engine")
    users = engine.users[:20]
    loaded = Engine.load(tmp_path / "engine").recommend(users, probabilities=True)
    told = engine.recommend(users, probabilities=True)
    assert_frame_equal(loaded.select(ODDS), told.select(ODDS), abs_tol=1e-5)


def test_what_they_rest_on_is_said() -> None:
    assert any(
        note.startswith("probabilities are calibrated on ") and "purchase (" in note
        for note in foretelling().notes
    )


def test_an_engine_without_a_ranker_says_so() -> None:
    engine = ordered_engine({"ann": "abc", "bob": "bca", "cat": "bc", "dan": "cb"})
    with pytest.raises(DataError, match="probabilities need a ranker"):
        engine.recommend(["ann"], probabilities=True)
    with pytest.raises(DataError, match="probabilities need a ranker"):
        engine.recommend(["ann"], by_value="price")


def test_a_ranker_without_heads_says_so() -> None:
    engine = Engine(quick_settings(ranker={"epochs": 1, "event_loss": 0}))
    engine.fit(small_shop().events, small_shop().items)
    with pytest.raises(DataError, match="foretells no event"):
        engine.recommend(engine.users[:1], probabilities=True)


def test_a_value_that_the_catalogue_has_not_is_named() -> None:
    engine = foretelling()
    with pytest.raises(DataError, match=r"got 'prise'; did you mean 'price'\?"):
        engine.recommend(engine.users[:1], by_value="prise")


def test_an_event_that_is_not_declared_is_named() -> None:
    with pytest.raises(SettingsError, match=r"'purchases' in ranker.event_weights; did you mean"):
        Engine(quick_settings(ranker={"event_weights": {"purchases": 1.0}}))
    with pytest.raises(SettingsError, match=r"unknown event 'impression' in ranker.event_weights"):
        Engine(quick_settings(ranker={"event_weights": {"impression": 1.0}}))
