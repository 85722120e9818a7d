"""A longer list begins with the shorter one, and a pair has one score whatever the length."""

from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.engine import Engine
from recsys.features.histories import Histories
from tests.shops import fitted_engine, listed, quick_settings, small_shop

LONGER = (11, 40, 75, 1000)
SHALLOW = {
    "next": {"depth": 6},
    "wide": {"depth": 6},
    "als": {"depth": 6, "factors": 8, "iterations": 4},
    "content": {"depth": 6},
    "popular": {"depth": 10},
}


@cache
def shallow(**changes: Any) -> Engine:
    """An engine whose sources are soon at their depths."""
    shop = small_shop()
    settings = quick_settings(sources=SHALLOW, **{k: dict(v) for k, v in changes.items()})
    return Engine(settings).fit(shop.events, shop.items)


def assert_begins_alike(engine: Engine, k: int = 10, **request: Any) -> None:
    """Lists of `k` and of more, each with one score for each pair."""
    short = engine.recommend(k=k, **request)
    for longer in LONGER:
        whole = engine.recommend(k=longer, **request)
        first = whole.filter((pl.col("rank") <= k) | pl.col("item_id").is_null())
        assert_frame_equal(first.drop("note"), short.drop("note"), rel_tol=1e-5)
        assert not whole.select("user_id", "item_id").is_duplicated().any()


SESSIONS = {f"visit {n}": own for n, own in enumerate(small_shop().items["item_id"].to_list()[:9])}
REQUESTS: list[dict[str, Any]] = [
    {},
    {"where": "price < 60"},
    {"where": "price < 5", "exclude": small_shop().items["item_id"].to_list()[:5]},
    {"where": "price < 0"},
    {"exclude": small_shop().items["item_id"].to_list()[::2]},
    {"probabilities": True},
    {"by_value": "price", "probabilities": True},
]


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
@pytest.mark.parametrize("k", [1, 10])
def test_a_longer_list_begins_with_the_shorter_one(request_: dict[str, Any], k: int) -> None:
    engine = shallow()
    users = ["nobody", *engine.users.to_list()[:130], None, 7]
    assert_begins_alike(engine, k, users=users, **request_)


def test_lists_of_sessions_too() -> None:
    engine, sessions = shallow(), {name: [item] for name, item in SESSIONS.items()}
    assert_begins_alike(engine, sessions={**sessions, "nothing yet": [], "odd": ["no item"]})
    assert_begins_alike(
        engine, users=engine.users[:9], since={engine.users[0]: sessions["visit 1"]}
    )


RULES: list[dict[str, Any]] = [
    {"fusion": {"width": 5}},
    {"fusion": {"quotas": {"popular": 3}, "first": 8}},
    {"fusion": {"variants": "all"}},
    {"final": {"rules": [{"kind": "boost", "where": "price < 20", "factor": 50.0}]}},
    {"final": {"rules": [{"kind": "cap", "column": "category", "most": 4}]}},
    {"training": {"least_positives": 1_000_000}},
]


@pytest.mark.parametrize("changes", RULES, ids=str)
def test_with_rules_and_other_unions(changes: dict[str, Any]) -> None:
    shop = small_shop()
    settings = quick_settings(sources=SHALLOW, **changes)
    engine = Engine(settings).fit(shop.events, shop.items)
    assert_begins_alike(engine, 10, users=engine.users[:60])


def test_all_that_may_be_offered_is_offered() -> None:
    """A list as long as the catalogue has every item that a source knows, once for each product."""
    engine = shallow()
    users = engine.users.to_list()[:30]
    lists = listed(engine.recommend(users, k=1000))
    learnt = engine.learnt
    rows = learnt.log.users.rows(pl.Series(users))
    allowed = learnt.policy.allowed(Histories.of(learnt.log, rows))
    lengths = [len(lists[user]) for user in users]
    assert lengths == learnt.fitted.available(allowed).tolist()


def test_who_is_asked_beside_changes_nothing() -> None:
    engine = shallow()
    users = engine.users.to_list()[:40]
    beside = engine.recommend(users, k=50)
    for user in users[:8]:
        alone = engine.recommend([user], k=50)
        assert_frame_equal(alone, beside.filter(pl.col("user_id") == user), rel_tol=1e-3)


def test_usual_lists_have_one_tier() -> None:
    """No source is asked twice for them."""
    engine = fitted_engine()
    learnt = engine.learnt
    histories = Histories.of(learnt.log, np.arange(-1, 100, dtype=np.int32))
    allowed = learnt.policy.allowed(histories)
    assert learnt.fitted.candidates(histories, allowed, 10)[0].tiers is None


@pytest.mark.parametrize("k", [10, 60])
def test_an_explanation_is_of_that_list(k: int) -> None:
    engine = shallow()
    for user in (engine.users[3], "nobody"):
        found = engine.explain(user, k=k)
        table = engine.recommend([user], k=k)
        assert found.items["item_id"].to_list() == table["item_id"].to_list()
        sums = found.features.group_by("item_id").agg(pl.col("contribution").sum())
        if found.baseline is not None:
            both = table.join(sums, on="item_id")
            assert len(both) == len(table)
            np.testing.assert_allclose(
                both["contribution"] + found.baseline, both["score"], rtol=1e-3, atol=1e-3
            )
    last = engine.recommend([engine.users[3]], k=60)["item_id"][-1]
    assert engine.explain(engine.users[3], k=60, items=[last]).items["rule"].to_list() == [None]
