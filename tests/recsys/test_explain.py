"""Explanations: of the very list that is recommended, and their parts sum to what they explain."""

import json
import re
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.engine import Engine
from recsys.explanation import Explanation
from recsys.features.errors import DataError, SettingsError
from recsys.printing import explained_items
from tests.shops import fitted_engine, ordered_engine, quick_settings, small_shop

CHOICES = {"ann": "ab", "bob": "bc", "cat": "ca", "dan": "abc"}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return fitted_engine()


def assert_parts_sum(found: Explanation, engine: Engine) -> None:
    """Features to scores, events to the scores of their sources: within 1e-4."""
    if found.baseline is not None:
        sums = found.features.group_by("item_id").agg(pl.col("contribution").sum())
        both = found.items.drop_nulls("score").join(sums, on="item_id")
        assert len(both) == found.items["score"].count()
        total = found.baseline + both["contribution"].to_numpy()
        np.testing.assert_allclose(total, both["score"].to_numpy(), atol=1e-4, rtol=1e-4)
    sums = found.events.group_by("item_id", "source").agg(pl.col("contribution", "share").sum())
    both = sums.join(found.sources, on=["item_id", "source"])
    assert len(both) == len(sums)
    np.testing.assert_allclose(both["contribution"], both["score"], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(both["share"], 1, atol=1e-9)


@pytest.mark.parametrize("k", [1, 10, 200])
def test_it_explains_the_list_that_is_recommended(engine: Engine, k: int) -> None:
    for user in [*engine.users[:15], "nobody"]:
        found, lists = engine.explain(user, k=k), engine.recommend([user], k=k)
        assert_frame_equal(found.items.select(lists.columns), lists)
        assert found.note == lists["note"][0]
        assert_parts_sum(found, engine)


def test_sessions_take_the_same_path(engine: Engine) -> None:
    visit = {"a visit": engine.items[3:6].to_list()}
    found, lists = engine.explain(sessions=visit, k=5), engine.recommend(sessions=visit, k=5)
    assert_frame_equal(found.items.select(lists.columns), lists)
    assert_parts_sum(found, engine)
    assert set(found.events["past_id"]) <= set(visit["a visit"])


def test_conditions_take_the_same_path(engine: Engine) -> None:
    user = engine.users[0]
    barred = engine.recommend([user], k=2)["item_id"]
    found = engine.explain(user, k=5, exclude=barred, where="price < 60")
    lists = engine.recommend([user], k=5, exclude=barred, where="price < 60")
    assert_frame_equal(found.items.select(lists.columns), lists)
    assert any(rule.endswith("left out by the request") for rule in found.rules)


def test_sources_are_those_that_brought_the_item(engine: Engine) -> None:
    found = engine.explain(engine.users[1], k=8)
    brought = found.sources.group_by("item_id", maintain_order=True).agg("source")
    listed = dict(found.items.select("item_id", "sources").iter_rows())
    assert {item: set(own) for item, own in brought.iter_rows()} == {
        item: set(own) for item, own in listed.items()
    }
    assert brought["item_id"].to_list() == found.items["item_id"].to_list()
    assert found.sources["rank"].min() == 1


def test_past_events_are_the_users_own(engine: Engine) -> None:
    user = engine.users[2]
    found = engine.explain(user, k=5)
    own = small_shop().events.filter(user_id=user)
    told = found.events.select("past_id", "event", pl.col("time").cast(own.schema["time"]))
    assert set(told.iter_rows()) <= set(own.select("item_id", "event", "time").iter_rows())
    explaining = {"next", "wide", "als", "content", "tagged"}
    assert set(found.events["source"]) == explaining & set(found.sources["source"])
    titles = dict(zip(own["item_id"], engine.titles(own["item_id"]), strict=True))
    assert all(
        titles[past] == title for past, title in found.events.select("past_id", "title").iter_rows()
    )


def test_every_item_has_its_sentence(engine: Engine) -> None:
    found = engine.explain(engine.users[3], k=6)
    for item, words, reason in found.items.select("item_id", "words", "reason").iter_rows():
        assert words[0].isupper()
        assert "raised most by" in words
        main = found.sources.filter(item_id=item).row(0, named=True)
        past = found.events.filter(
            (pl.col("item_id") == item)
            & (pl.col("source") == main["source"])
            & (pl.col("past_id") != item)
        )
        assert reason.split()[0].lower() in words.lower()
        if len(past):
            assert "%)" in words


def test_what_was_had_before_is_said_so_by_both(engine: Engine) -> None:
    """The reason of the list begins the sentence, of items that the user had and of no others."""
    had = 0
    for user in engine.users[:12]:
        lists = engine.recommend([user], k=6).drop_nulls("item_id")
        words = dict(engine.explain(user, k=6).items.select("item_id", "words").iter_rows())
        own = small_shop().events.filter(user_id=user)["item_id"]
        for item, reason in lists.select("item_id", "reason").iter_rows():
            again = reason == "had before"
            assert words[item].startswith("Had before") == again
            assert not again or item in own
            had += again
    assert had


def test_families_of_features_sum_to_the_same(engine: Engine) -> None:
    found = engine.explain(engine.users[3], k=4)
    families = found.families()
    assert {"source next", "popularity and age", "category", "price"} <= set(families["family"])
    sums = families.group_by("item_id", maintain_order=True).agg(pl.col("contribution").sum())
    whole = found.features.group_by("item_id", maintain_order=True).agg(
        pl.col("contribution").sum()
    )
    assert_frame_equal(sums.sort("item_id"), whole.sort("item_id"))


def test_items_that_are_asked_about_say_where_they_stand(engine: Engine) -> None:
    user = engine.users[4]
    third = engine.recommend([user], k=3)["item_id"][2]
    gone = small_shop().items.filter(~pl.col("available"))["item_id"][0]
    found = engine.explain(user, k=2, items=[third, gone, third])
    assert found.items["item_id"].to_list() == [third, gone]
    assert found.items["rule"].to_list() == ["ranked below 2", "not available"]
    assert found.items["rank"].to_list()[1] is None
    assert found.items["words"][1] == "Not on the list: not available"
    assert_parts_sum(found, engine)
    rest = engine.explain(user, k=2, items=engine.items)
    assert rest.items["item_id"].to_list() == engine.items.to_list()
    assert rest.items["rule"].null_count() == 2
    best = rest.items.filter(pl.col("rule").is_null()).sort("rank")["item_id"].to_list()
    assert best == engine.recommend([user], k=2)["item_id"].to_list()


def test_had_before_and_left_out_are_told_apart() -> None:
    engine = ordered_engine(CHOICES)
    found = engine.explain("ann", items=["a", "b", "c"], exclude=["c"])
    assert found.items["rule"].to_list() == ["had before", "had before", "left out by the request"]
    assert found.rules == (
        "1 item left out by the request",
        "2 items had before and not offered again",
    )


def test_without_a_ranker_the_sources_are_explained() -> None:
    engine = ordered_engine(CHOICES)
    found = engine.explain("ann")
    assert found.items["item_id"].to_list() == ["c"]
    assert (found.baseline, len(found.features)) == (None, 0)
    assert_parts_sum(found, engine)
    assert set(found.events["past_id"]) == {"a", "b"}
    assert found.events["time"].null_count() == len(found.events)
    assert "raised" not in found.items["words"][0]


def test_integer_ids_and_no_items_asked_about() -> None:
    engine = ordered_engine({1: [5, 6], 2: [6, 7], 3: [7, 5], 4: [5, 6, 7]})
    found = engine.explain(1, items=[7, 5])
    assert found.user_id == 1
    assert found.items["item_id"].to_list() == [7, 5]
    assert found.items["rule"].to_list() == [None, "had before"]
    assert json.dumps(found.as_dict())
    nothing = engine.explain(1, items=[])
    assert [len(each) for each in (nothing.items, nothing.sources, nothing.events)] == [0, 0, 0]


def test_items_that_are_asked_about_come_with_the_note_of_the_list() -> None:
    capped = fitted_engine().with_final(
        {"rules": [{"kind": "cap", "column": "category", "most": 1}]}
    )
    note = capped.recommend([capped.users[3]], k=60)["note"][0]
    assert "rules hold back all others" in note
    for items in (capped.items, capped.items[:1]):
        assert set(capped.explain(capped.users[3], k=60, items=items).items["note"]) == {note}
    few = ordered_engine({"ann": "a", "bob": "ab", "cat": "abc"})
    note = few.recommend(["ann"], k=3)["note"][0]
    assert note.startswith("2 of 3 items")
    assert few.explain("ann", k=3, items=["a"]).note == note
    assert few.explain("ann", k=2, items=["a", "c"]).note is None


def test_a_source_that_fails_leaves_the_others_to_explain(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no answer")

    engine = fitted_engine()
    monkeypatch.setattr("recsys.retrieval.popular.Popular.retrieve", broken)
    found = engine.explain(engine.users[3], k=4)
    assert found.note == "failed sources: popular"
    assert found.baseline is None
    assert "popular" not in found.sources["source"]
    assert_parts_sum(found, engine)


def test_who_is_offered_nothing_has_nothing_explained() -> None:
    engine = ordered_engine({"ann": "ab", "bob": "ba"})
    found = engine.explain("ann")
    assert found.items["item_id"].to_list() == [None]
    assert [len(each) for each in (found.sources, found.events, found.features)] == [0, 0, 0]
    assert found.as_dict()["items"] == []
    assert found.note is not None


def test_the_same_for_json(engine: Engine) -> None:
    found = engine.explain(engine.users[5], k=3)
    told: dict[str, Any] = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert told["user_id"] == engine.users[5]
    assert [item["item_id"] for item in told["items"]] == found.items["item_id"].to_list()
    for item in told["items"]:
        parts = sum(each["contribution"] for each in item["features"])
        assert told["baseline"] + parts == pytest.approx(item["score"], abs=1e-4)
        assert sum(e["contribution"] for e in item["families"]) == pytest.approx(parts)
        for source in item["sources"]:
            own = [e["contribution"] for e in item["events"] if e["source"] == source["source"]]
            assert not own or sum(own) == pytest.approx(source["score"], abs=1e-4)


def test_a_loaded_engine_explains_the_same(engine: Engine, tmp_path: Any) -> None:
    engine.save(tmp_path / "engine")
    loaded = Engine.load(tmp_path / "engine")
    one, other = (each.explain(engine.users[6], k=4) for each in (engine, loaded))
    assert one.as_dict() == other.as_dict()


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({}, "give either users or sessions"),
        ({"user": "u00001", "k": 0}, "k must be at least 1; got 0"),
        ({"user": "u00001", "items": ["no such"]}, "unknown item 'no such'"),
        ({"user": "u00001", "where": "prise < 3"}, "it can read: .*price"),
        ({"sessions": {"a": [], "b": []}}, "one list is explained at a time; got 2 sessions"),
        ({"user": "u00001", "sessions": {"a": []}}, "give either users or sessions"),
    ],
)
def test_bad_questions_are_refused(engine: Engine, asked: dict[str, Any], named: str) -> None:
    with pytest.raises(DataError, match=named):
        engine.explain(**asked)


@cache
def rounded_engine() -> Engine:
    """An engine whose ranker serves by int8."""
    ranker = {"hidden": (16,), "epochs": 3, "compression": "int8", "most_loss": 0.5}
    return Engine(quick_settings(ranker=ranker)).fit(small_shop().events, small_shop().items)


SALE = [
    {"kind": "boost", "name": "Sale", "where": "price < 60", "factor": 3.0},
    {"kind": "boost", "name": "Dear", "where": "price >= 40", "factor": 0.5},
]


def test_what_boosts_add_is_a_part_of_the_sum(engine: Engine) -> None:
    other = engine.with_final({"rules": SALE})
    prices = small_shop().items.select("item_id", "price")
    for user in other.users[:8]:
        found = other.explain(user, k=10)
        assert_parts_sum(found, other)
        priced = found.items.join(prices, on="item_id")
        added = found.features.filter(family="rules")
        for name, own, factor in (
            ("Sale", pl.col("price") < 60, 3.0),
            ("Dear", pl.col("price") >= 40, 0.5),
        ):
            rows = added.filter(feature=name)
            assert set(rows["item_id"]) == set(priced.filter(own)["item_id"])
            assert set(rows["value"]) <= {factor}
            assert rows["contribution"].to_list() == pytest.approx([np.log(factor)] * len(rows))


def test_what_int8_rounds_is_a_part_of_the_sum() -> None:
    engine = rounded_engine()
    assert engine.learnt.fitted.ranker is not None
    assert engine.learnt.fitted.ranker.served_by_ == "int8"
    for served in (engine, engine.with_final({"rules": SALE})):
        for user in served.users[:8]:
            found = served.explain(user, k=10)
            assert_parts_sum(found, served)
            rounding = found.features.filter(family="rounding")
            assert rounding["contribution"].abs().max() > 0
            assert rounding["value"].null_count() == len(rounding)
            json.dumps(found.as_dict(), allow_nan=False)


def test_without_boosts_and_rounding_there_are_features_alone(engine: Engine) -> None:
    found = engine.explain(engine.users[3], k=5)
    assert not {"rules", "rounding"} & set(found.features["family"])


def test_the_equation_that_is_printed_adds_up() -> None:
    engine = rounded_engine().with_final({"rules": SALE})
    told = [line for lines, _ in explained_items(engine.explain("u00042")) for line in lines]
    equations = [line for line in told if "mean candidate" in line]
    assert len(equations) == 10
    for line in equations:
        score, *parts = map(float, re.findall(r"[+-]?\d+\.\d{3}", line))
        assert sum(parts) == pytest.approx(score, abs=0.001 * len(parts))


def unoffered(engine: Engine, user: Any) -> Any:
    """An item that no source offers to this user."""
    every = engine.explain(user, items=engine.items).items
    return every.filter(rule="offered by no source")["item_id"][0]


def test_the_final_list_is_explained_with_the_rules_that_moved_it(engine: Engine) -> None:
    user = "u00042"
    far = unoffered(engine, user)
    rules = [{"kind": "pin", "name": "House Brand", "items": [far], "place": 2}]
    other = engine.with_final({"rules": rules, "exploration": {"slots": 2, "seed": 3}})
    found, expected = other.explain(user, k=10), other.recommend([user], k=10)
    assert_frame_equal(found.items.select(expected.columns), expected)
    words = dict(zip(found.items["item_id"], found.items["words"], strict=True))
    assert words[far] == "Placed by the rule House Brand"


def test_a_list_that_cannot_keep_the_rules_is_not_explained(engine: Engine) -> None:
    rules = [{"kind": "pin", "items": [unoffered(engine, "u00042")], "place": 2}]
    other = engine.with_final({"rules": rules})
    refused = "pins place 2; a list of 1 items has no such place"
    with pytest.raises(SettingsError, match=refused):
        other.recommend(["u00042"], k=1)
    with pytest.raises(SettingsError, match=refused):
        other.explain("u00042", k=1)


def test_a_pinned_item_that_is_asked_about_is_on_the_list(engine: Engine) -> None:
    user = "u00042"
    far = unoffered(engine, user)
    pin = {"kind": "pin", "name": "House Brand", "items": [far]}
    found = engine.with_final({"rules": [pin]}).explain(user, items=[far])
    own = found.items.row(0, named=True)
    assert (own["rank"], own["rule"]) == (1, None)
    assert own["words"] == "Placed by the rule House Brand"


def test_what_rules_leave_out_is_told_from_what_is_not_available(engine: Engine) -> None:
    items = small_shop().items
    gone = items.filter(~pl.col("available"))["item_id"][0]
    dear, cheap = items.filter("available").sort("price", descending=True)["item_id"][[0, -1]]
    price = items.filter(item_id=dear)["price"][0]
    rules = [
        {"kind": "boost", "items": [cheap], "factor": 2.0},
        {"kind": "block", "name": "Recall", "items": [cheap, gone]},
        {"kind": "price", "name": "Band", "most": price - 0.005},
    ]
    found = engine.with_final({"rules": rules}).explain("u00042", items=[gone, dear, cheap])
    assert found.items["rule"].to_list() == [
        "not available",
        "left out by the rule Band",
        "left out by the rule Recall",
    ]
    assert found.items["words"][1] == "Not on the list: left out by the rule Band"
    unavailable = items["available"].len() - items["available"].sum()
    assert found.rules[0] == f"{unavailable} items not available"
    assert found.rules[1] == "1 item left out by the rule Recall"
    assert found.rules[2].endswith(" left out by the rule Band")


@pytest.mark.parametrize("k", [4, 10])
def test_what_a_cap_held_back_is_not_said_to_rank_below(engine: Engine, k: int) -> None:
    """Of few categories a list of 10 is short, as each of them has room for one item."""
    user = "u00042"
    cap = {"kind": "cap", "name": "One Each", "column": "category", "most": 1}
    other = engine.with_final({"rules": [cap]})
    items = other.explain(user, k=k, items=other.items).items.join(
        small_shop().items, on="item_id", maintain_order="left"
    )
    full = items.filter(pl.col("rule").is_null())
    assert full["item_id"].sort().to_list() == (
        other.recommend([user], k=k)["item_id"].sort().to_list()
    )
    held = items.filter(rule="held back by the rule One Each")
    assert set(held["category"]) <= set(full["category"])
    assert held["score"].max() > full["score"].min()
    below = items.filter(rule=f"ranked below {k}")
    assert (len(below) == 0) == (len(full) < k)
    assert not len(below) or below["score"].max() < full["score"].min()
    variants = items.filter(rule="another variant of the product ranks better")
    ranked = items.filter(pl.col("rank").is_not_null())
    assert set(variants["variant_group"]) <= set(ranked["variant_group"])
    assert ranked["variant_group"].is_unique().all()
