"""The final list in an engine: rules, diversity, places by lot, and what is said of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from recsys.cli import app
from recsys.engine import Engine
from recsys.evaluation.answers import TWO_STAGE, ask
from recsys.evaluation.held import Held
from recsys.evaluation.protocols import windows
from recsys.export import export
from recsys.features.arrays import PAD
from recsys.features.errors import DataError, SettingsError
from recsys.settings import EngineSettings, EvaluationSettings
from recsys.tables import Asked
from tests.shops import (
    assert_same_lists,
    fitted_engine,
    listed,
    ordered_settings,
    orders,
    quick_settings,
    small_shop,
)

LOTS = {"exploration": {"slots": 3, "depth": 12, "seed": 5}}
COLUMNS = ["user_id", "item_id", "rank", "score", "sources", "reason", "note"]


def with_final(final: dict[str, Any]) -> Engine:
    """The engine of the small shop under these rules."""
    return fitted_engine().with_final(final)


def goods(table: pl.DataFrame) -> pl.DataFrame:
    return table.join(small_shop().items, on="item_id", how="left", maintain_order="left")


def in_stock(n: int) -> list[str]:
    """Ids of goods of different products."""
    items = small_shop().items.filter(pl.col("available"))
    return items.unique("variant_group", maintain_order=True)["item_id"][:n].to_list()


def users(n: int = 60) -> pl.Series:
    return fitted_engine().users[:n]


def test_without_settings_there_is_no_stage() -> None:
    assert fitted_engine().learnt.fitted.final is None
    assert fitted_engine().recommend(users(3)).columns == COLUMNS
    idle = with_final({"diversity": {"method": "mmr", "strength": 0.0}})
    assert idle.learnt.fitted.final is None


def test_a_stage_that_changes_nothing_gives_the_same_lists() -> None:
    price = {"kind": "price", "least": 0.0}
    engine = with_final({"rules": [price]})
    who = pl.concat([users(), pl.Series(["nobody"])])
    lists = engine.recommend(who, k=12)
    assert lists.columns == [*COLUMNS, "rules", "propensity"]
    assert_same_lists(lists.select(COLUMNS), fitted_engine().recommend(who, k=12))
    assert lists["propensity"].unique().to_list() == [1.0]
    assert lists["rules"].list.len().sum() == 0


def test_pins_stand_at_their_places_unless_they_may_not_be_offered() -> None:
    pinned = in_stock(3)
    gone = small_shop().items.filter(~pl.col("available"))["item_id"][0]
    engine = with_final(
        {
            "rules": [
                {"kind": "pin", "items": pinned[:2], "place": 2},
                {"kind": "pin", "name": "sold out", "items": [gone], "place": 1},
            ]
        }
    )
    lists = engine.recommend([*users(), "nobody"], k=6)
    had = small_shop().events.filter(pl.col("event") == "purchase").select("user_id", "item_id")
    for place, item in ((2, pinned[0]), (3, pinned[1])):
        bought = had.filter(item_id=item)["user_id"]
        at = lists.filter(pl.col("rank") == place)
        may = at.filter(~pl.col("user_id").is_in(bought.implode()))
        assert len(may) > 40
        assert set(may["item_id"]) == {item}
        assert may["rules"].to_list() == [["pin"]] * len(may)
        assert item not in set(at.filter(pl.col("user_id").is_in(bought.implode()))["item_id"])
    assert gone not in set(lists["item_id"])
    assert lists.group_by("user_id").len()["len"].unique().to_list() == [6]
    found = lists.filter(pl.col("item_id") == pinned[0])
    assert (found["score"].is_null() == (found["sources"].list.len() == 0)).all()
    assert (found["reason"].is_null() == (found["sources"].list.len() == 0)).all()
    assert found["score"].is_null().any()  # no source had offered it to some


def test_a_condition_keeps_some_of_the_pinned_items() -> None:
    price = dict(small_shop().items.select("item_id", "price").iter_rows())
    cheap, dear = (sorted(in_stock(8), key=lambda item: price[item])[place] for place in (0, -1))
    where = f"price < {price[dear]}"
    rule = {"kind": "pin", "name": "bargains", "items": [dear, cheap], "where": where, "place": 2}
    lists = with_final({"rules": [rule]}).recommend(["nobody"], k=5)
    assert lists.filter(pl.col("rank") == 2)["item_id"].to_list() == [cheap]
    assert lists.filter(pl.col("rank") == 2)["rules"].to_list() == [["bargains"]]
    assert dear not in set(lists.filter(pl.col("rules").list.len() > 0)["item_id"])


def test_a_pin_takes_the_place_of_other_variants() -> None:
    several = small_shop().items.filter(
        pl.col("available"), pl.col("variant_group").is_duplicated()
    )
    item = several["item_id"][0]
    lists = goods(
        with_final({"rules": [{"kind": "pin", "items": [item]}]}).recommend(users(), k=20)
    )
    assert not lists.select("user_id", "variant_group").is_duplicated().any()


def test_caps_hold_and_the_list_stays_full() -> None:
    rules = [
        {"kind": "cap", "column": "brand", "most": 1},
        {"kind": "cap", "column": "category", "most": 2},
    ]
    lists = goods(with_final({"rules": rules}).recommend([*users(), "nobody"], k=6))
    assert lists.group_by("user_id", "brand").len()["len"].max() == 1
    assert lists.group_by("user_id", "category").len()["len"].max() == 2
    assert lists.group_by("user_id").len()["len"].unique().to_list() == [6]
    named = set(lists["rules"].explode(empty_as_null=True).drop_nulls())
    assert named == {"cap brand", "cap category"}


def test_a_list_that_caps_make_short_says_so() -> None:
    engine = with_final({"rules": [{"kind": "cap", "column": "category", "most": 1}]})
    lists = engine.recommend(users(3), k=60)
    assert lists["note"].str.contains("rules hold back all others").all()


def test_boosts_multiply_odds_and_are_named_where_they_moved_something() -> None:
    category = goods(fitted_engine().recommend(users(), k=10))["category"].mode()[0]
    where = f"category = '{category}'"
    plain = fitted_engine().recommend(users(), k=200)
    raised = with_final({"rules": [{"kind": "boost", "where": where, "factor": 4.0}]})
    lists = goods(raised.recommend(users(), k=200)).join(
        plain.select("user_id", "item_id", before="score", was="rank"), on=["user_id", "item_id"]
    )
    held = pl.col("category") == category
    change = lists.select(pl.col("score") - pl.col("before"), held=held)
    np.testing.assert_allclose(change.filter("held")["score"], np.log(4), atol=1e-4)
    np.testing.assert_allclose(change.filter(~pl.col("held"))["score"], 0, atol=1e-4)
    assert (lists.filter(held)["rank"] <= lists.filter(held)["was"]).mean() > 0.9
    assert set(lists.filter(pl.col("rules").list.len() > 0)["category"]) == {category}


@pytest.mark.parametrize(
    "final",
    [
        {"rules": [{"kind": "cap", "column": "brand", "most": 1}]},
        {"rules": [{"kind": "boost", "where": "price < 30", "factor": 2.0}]},
        {"rules": [{"kind": "boost", "where": "price < 30", "factor": 0.5}]},
        {"rules": [{"kind": "new", "share": 0.3, "days": 60.0}]},
        {"rules": [{"kind": "pin", "items": ["sku-00000"], "place": 3}]},
        {"diversity": {"method": "mmr"}},
        {"diversity": {"method": "dpp", "on": "categories"}},
        LOTS,
    ],
)
def test_what_changed_a_list_is_in_its_trail(final: dict[str, Any]) -> None:
    plain = listed(fitted_engine().recommend(fitted_engine().users, k=7))
    lists = with_final(final).recommend(fitted_engine().users, k=7)
    named = dict(lists.group_by("user_id").agg((pl.col("rules").list.len() > 0).any()).iter_rows())
    changed = [user for user, items in listed(lists).items() if items != plain[user]]
    assert len(changed) > 20
    assert all(named[user] for user in changed)


def test_what_overtakes_a_demoted_item_has_the_rule_in_its_trail() -> None:
    category = goods(fitted_engine().recommend(users(), k=10))["category"].mode()[0]
    rule = {"kind": "boost", "name": "less", "where": f"category = '{category}'", "factor": 0.01}
    lists = goods(with_final({"rules": [rule]}).recommend(users(), k=5))
    assert (lists["category"] == category).mean() < 0.05
    assert lists["rules"].list.contains("less").any()


def test_blocked_items_and_prices_are_left_out_before_retrieval() -> None:
    top = fitted_engine().recommend(users(), k=1)["item_id"].unique().to_list()
    rules = [{"kind": "block", "items": top}, {"kind": "price", "least": 10.0, "most": 90.0}]
    engine = with_final({"rules": rules})
    lists = goods(engine.recommend([*users(), "nobody"], k=5))
    assert not set(top) & set(lists["item_id"])
    assert lists["price"].is_between(10, 90).all()
    assert lists.group_by("user_id").len()["len"].unique().to_list() == [5]
    assert not set(top) & set(engine.similar_items(engine.items[:9])["similar_id"])


def test_other_rules_need_no_other_fit() -> None:
    price = {"kind": "price", "most": 20.0}
    engine = with_final({"rules": [price, {"kind": "boost", "where": "price < 0", "factor": 2.0}]})
    assert engine.notes[-1] == "rule 'boost' holds of no item"
    assert goods(engine.recommend(users(), k=5))["price"].max() <= 20  # type: ignore[operator]
    plain = fitted_engine().recommend(users(), k=5)
    assert goods(plain)["price"].max() > 20  # type: ignore[operator]
    assert_same_lists(engine.with_final({}).recommend(users(), k=5), plain)
    with pytest.raises(SettingsError, match=r"unknown setting 'final.rule'; did you mean 'rules'"):
        engine.with_final({"rule": [price]})


def test_an_engine_is_fitted_without_what_is_blocked() -> None:
    rules = [{"kind": "block", "where": "price > 50"}]
    engine = Engine(quick_settings(final={"rules": rules})).fit(
        small_shop().events, small_shop().items
    )
    assert goods(engine.recommend(users(), k=8))["price"].max() <= 50  # type: ignore[operator]


def new_goods(days: float) -> set[str]:
    first = small_shop().events.group_by("item_id").agg(pl.col("time").min())
    end = small_shop().events["time"].max()
    late = first.filter(pl.col("time") >= end - pl.duration(seconds=int(days * 86_400)))
    return set(late["item_id"]) | (set(small_shop().items["item_id"]) - set(first["item_id"]))


def test_a_share_of_new_items_is_kept_where_there_are_enough() -> None:
    rules = [{"kind": "new", "share": 0.2, "days": 60.0}]
    new = new_goods(60)
    plain = fitted_engine().recommend(users(), k=10)
    lists = with_final({"rules": rules}).recommend(users(), k=10)
    shares = lists.group_by("user_id", maintain_order=True).agg(
        new=pl.col("item_id").is_in(list(new)).sum(), note=pl.col("note").first()
    )
    met = shares["new"] >= 2
    assert met.sum() > 30
    assert (met == shares["note"].is_null()).all()
    assert set(shares["note"].drop_nulls()) <= {"too few candidates for new"}
    before = plain.filter(pl.col("item_id").is_in(list(new))).select("user_id", "item_id")
    named = lists.filter(pl.col("rules").list.contains("new"))
    assert len(named)
    assert len(named.join(before, on=["user_id", "item_id"], how="anti")) == len(named)


@pytest.mark.parametrize("method", ["mmr", "dpp"])
@pytest.mark.parametrize("on", ["text", "categories"])
def test_diversity_makes_lists_more_diverse(method: str, on: str) -> None:
    engine = with_final({"diversity": {"method": method, "strength": 0.5, "on": on}})
    plain, lists = (goods(each.recommend(users(), k=6)) for each in (fitted_engine(), engine))

    def kinds(table: pl.DataFrame) -> float:
        return float(
            table.group_by("user_id").agg(pl.col("category").n_unique())["category"].mean()
        )  # type: ignore[arg-type]

    assert kinds(lists) > kinds(plain)
    first = lists.filter(pl.col("rank") == 1)["item_id"]
    assert (first == plain.filter(pl.col("rank") == 1)["item_id"]).all()
    assert lists["rules"].list.contains("diversity").any()


def test_lots_are_the_same_for_the_same_user_and_seed() -> None:
    engine = with_final(LOTS)
    lists = engine.recommend(users(), k=8)
    alone = pl.concat([engine.recommend([user], k=8) for user in users(5)])
    assert_same_lists(alone, lists.head(len(alone)))
    other = with_final({"exploration": {**LOTS["exploration"], "seed": 6}}).recommend(users(), k=8)
    assert listed(other) != listed(lists)


def test_lots_hang_on_the_number_not_on_its_type() -> None:
    final = with_final(LOTS).learnt.fitted.final
    assert final is not None
    now = np.zeros(3, np.int64)
    types = (pl.Int8, pl.UInt8, pl.Int32, pl.Int64, pl.UInt64)
    keys = [final.keys(pl.Series([1, 2, 3], dtype=each), now).tolist() for each in types]
    assert keys == [keys[0]] * len(types)


def test_lots_for_ids_above_those_of_int64() -> None:
    ids = [2**63 - 1, 2**63, 2**64 - 1]
    log = orders(dict(zip(ids, ("abc", "bcd", "ace"), strict=True)))
    log = log.with_columns(pl.col("user_id").cast(pl.UInt64))
    engine = Engine(ordered_settings(final=LOTS)).fit(log)
    lists = engine.recommend(pl.Series(ids, dtype=pl.UInt64), k=5)
    assert lists["user_id"].unique().sort().to_list() == ids


def test_places_by_lot_are_the_last_and_say_so() -> None:
    lists = with_final(LOTS).recommend([*users(), "nobody"], k=8)
    by_lot = pl.col("rank") > 5
    assert lists.filter(by_lot)["rules"].to_list() == [["explored"]] * 3 * 61
    known = by_lot & (pl.col("user_id") != "nobody")  # whose few candidates leave a lot of one
    assert (lists.filter(known)["propensity"] < 1).all()
    assert (lists.filter(~by_lot)["propensity"] == 1).all()
    plain = fitted_engine().recommend([*users(), "nobody"], k=5)
    assert listed(lists.filter(~by_lot)) == listed(plain)
    assert not lists.select("user_id", "item_id").is_duplicated().any()


def test_propensities_are_how_often_items_stand_where_they_stand() -> None:
    """Of one history that many ask with: each has a lot of its own, by its id."""
    engine, k, asking = with_final(LOTS), 5, 4_000
    clicks = small_shop().events["item_id"][:3].to_list()
    lists = engine.recommend(sessions={f"visit {n}": clicks for n in range(asking)}, k=k)
    shown = lists.group_by("rank", "item_id").agg(pl.len(), pl.col("propensity").unique())
    assert shown["propensity"].list.len().max() == 1
    said = shown["propensity"].list.first().to_numpy().astype(float)
    seen = shown["len"].to_numpy() / asking
    assert (np.abs(seen - said) <= 4.5 * np.sqrt(said * (1 - said) / asking) + 1e-6).all()
    assert shown.filter(pl.col("rank") > 2).group_by("rank").len()["len"].to_list() == [4] * 3


def test_rules_compose_with_lots() -> None:
    pinned = in_stock(1)
    rules = [
        {"kind": "pin", "items": pinned, "place": 6},
        {"kind": "cap", "column": "brand", "most": 1},
    ]
    lists = goods(with_final({"rules": rules, **LOTS}).recommend(["nobody", *users()], k=6))
    assert lists.group_by("user_id", "brand").len()["len"].max() == 1
    last = lists.filter(pl.col("user_id") == "nobody").row(-1, named=True)
    assert (last["item_id"], last["rules"], last["propensity"]) == (pinned[0], ["pin"], 1.0)


def test_an_export_has_the_same_columns(tmp_path: Path) -> None:
    engine = with_final(LOTS)
    export(engine, tmp_path / "lists", k=8, block=90)
    whole = pl.read_parquet(tmp_path / "lists" / "*.parquet")
    assert_frame_equal(whole, engine.recommend(engine.users, k=8), rel_tol=1e-3, abs_tol=1e-4)
    empty = engine.recommend(pl.Series([], dtype=pl.String), k=8)
    assert empty.schema == whole.schema


def test_a_saved_engine_keeps_the_final_stage(tmp_path: Path) -> None:
    rules = [
        {"kind": "cap", "column": "brand", "most": 1},
        {"kind": "block", "where": "price > 90"},
    ]
    engine = with_final({"rules": rules, "diversity": {"method": "mmr"}, **LOTS})
    engine.save(tmp_path / "engine")
    assert_same_lists(
        Engine.load(tmp_path / "engine").recommend(users()), engine.recommend(users())
    )


@pytest.mark.parametrize(
    ("final", "k", "longest"),
    [
        ({"rules": [{"kind": "cap", "column": "category", "most": 2}]}, 5, 15),
        ({"rules": [{"kind": "cap", "column": "category", "most": 1}]}, 30, 40),  # short lists
        (
            {
                "rules": [
                    {"kind": "pin", "items": ["sku-00000"], "place": 4},
                    {"kind": "new", "share": 0.1, "days": 60.0},
                    {"kind": "boost", "where": "price < 30", "factor": 2.0},
                ],
                "diversity": {"method": "dpp", "strength": 0.4},
            },
            8,
            12,
        ),
    ],
)
def test_what_is_evaluated_is_what_is_served_but_for_lots(
    final: dict[str, Any], k: int, longest: int
) -> None:
    engine, served = with_final({**final, **LOTS}), with_final(final)
    learnt = engine.learnt
    (window,) = windows(learnt.log, EvaluationSettings(protocol="last-item"))
    held = Held.of(window, learnt.catalog, learnt.policy)
    answers = ask(engine, held, k, longest, lambda share: None).items[TWO_STAGE]
    assert answers.shape[1] == longest
    ids = engine.users.gather(held.histories.users)
    remarks = pl.repeat(None, len(ids), dtype=pl.String, eager=True)
    lists = listed(served.answer(Asked(ids, held.histories, remarks), k))
    for user, items in zip(ids, answers, strict=True):
        shown = items[items != PAD]
        assert learnt.catalog.items.ids_at(items[:k]).drop_nulls().to_list() == lists[user]
        assert len(set(shown)) == len(shown)
        assert (items[k:] != PAD).any()


def test_an_evaluation_runs_with_all_of_it() -> None:
    final = {
        "rules": [
            {"kind": "pin", "items": in_stock(1), "place": 2},
            {"kind": "new", "share": 0.1, "days": 30.0},
            {"kind": "cap", "column": "brand", "most": 2},
        ],
        "diversity": {"method": "dpp"},
        **LOTS,
    }
    evaluation = {"protocol": "time", "share": 0.1, "k": 10, "at": (5, 20)}
    engine = Engine(quick_settings(final=final, evaluation=evaluation))
    told = engine.evaluate(small_shop().events, small_shop().items)
    assert told.systems["two-stage"]["ndcg@20"] > 0
    assert told.systems["two-stage"] != told.systems["fused"]
    for example in told.examples:
        assert all("explored" not in row.get("rules", ()) for row in example["list"])
        assert len({row["item_id"] for row in example["list"]}) == len(example["list"])


def test_the_command_line_shows_what_rules_did(tmp_path: Path) -> None:
    pinned = in_stock(1)
    with_final({"rules": [{"kind": "pin", "items": pinned}], **LOTS}).save(tmp_path / "engine")
    command = ["recommend", str(tmp_path / "engine"), "--users", users(1)[0], "-k", "6"]
    CliRunner().invoke(app, [*command, "--json", str(tmp_path / "lists.json")])
    (own,) = json.loads((tmp_path / "lists.json").read_text())["lists"]
    assert own["items"][0]["item_id"] == pinned[0]
    assert own["items"][0]["rules"] == ["pin"]
    assert own["items"][-1]["rules"] == ["explored"]
    assert own["items"][-1]["propensity"] < 1
    shown = CliRunner().invoke(app, command).stdout
    assert "propensity" in shown
    assert "explored" in shown


SIX_GOODS = pl.DataFrame(
    {"item_id": list("abcdef"), "brand": list("xxyyzz"), "price": [1.0, 2, 3, 4, 5, 6]}
)


def contradictions(rules: Sequence[dict[str, Any]], k: int = 4, **more: Any) -> Engine:
    """An engine of six goods; a contradiction raises at its construction, its fit or when asked."""
    settings = ordered_settings(
        catalog={"category": "brand", "price": "price"}, final={"rules": list(rules), **more}
    )
    engine = Engine(settings).fit(orders({"ann": "abc", "bob": "bcd"}), SIX_GOODS)
    engine.recommend(["bob"], k=k)
    return engine


PIN_A = {"kind": "pin", "name": "front", "items": ["a"]}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([PIN_A, {"kind": "block", "items": ["a"]}], "'front' pins 'a', which rule 'block' blocks"),
        ([PIN_A, {"kind": "block", "where": "price < 2"}], "which rule 'block' blocks"),
        ([PIN_A, {"kind": "price", "least": 2.0}], "rule 'price' leaves out by its price"),
        (
            [PIN_A, {"kind": "pin", "items": ["b"]}],
            "'front' and 'pin' pin 'a' and 'b' at one place",
        ),
        ([PIN_A, {"kind": "pin", "items": ["a"], "place": 3}], "'front' and 'pin' pin one item"),
        (
            [PIN_A, {"kind": "pin", "items": ["b"], "where": "price > 1"}],
            "'front' and 'pin' pin 'a' and 'b' at one place, 1",
        ),
        ([{**PIN_A, "place": 5}], "'front' pins place 5; a list of 4 items has no such place"),
        ([{**PIN_A, "items": ["q"]}], "rule 'front' pins 'q', which is no known item"),
        ([{**PIN_A, "items": [1]}], "rule 'front': item ids of this engine are String; got Int64"),
        (
            [{**PIN_A, "items": ["a", "b"]}, {"kind": "cap", "column": "brand", "most": 1}],
            "rules 'front' pin 2 items of one value; rule 'cap brand' lets a list hold 1",
        ),
        (
            [{"kind": "new", "share": 0.5}, {"kind": "cap", "column": "brand", "most": 1}],
            "rule 'new' wants 2 new items of 4; rule 'cap brand' lets a list hold 1 of them",
        ),
        (
            [{"kind": "new", "share": 1.0}, PIN_A],
            "rule 'new' wants 4 new items of 4; exploration.slots = 0 and 1 pins of other items "
            "(front) leave 3 places",
        ),
        (
            [{"kind": "new", "share": 0.1, "days": 3.0}],
            "rule 'new' counts days, which needs a clock",
        ),
        (
            [{"kind": "price", "least": 5.0}, {"kind": "price", "name": "cheap", "most": 4.0}],
            "rules 'price' and 'cheap' leave no price: at least 5.0 and at most 4.0",
        ),
        ([{"kind": "price", "least": 3.0, "most": 2.0}], "least must not be above most"),
        ([{"kind": "price"}], "give least, most or both"),
        ([{"kind": "block"}], "give items, where or both"),
        ([{"kind": "block", "where": "price > 0"}], "with rule 'block' no item is left to offer"),
        ([{"kind": "block", "where": "cost > 0"}], "rule 'block': a condition names the column"),
        ([{"kind": "cap", "column": "brnad", "most": 1}], "did you mean 'brand'?"),
        ([PIN_A, {**PIN_A, "items": ["b"], "place": 2}], "names of rules must differ"),
        ([{**PIN_A, "name": "diversity"}], "none is 'diversity' or 'explored'"),
        ([{"kind": "boost", "where": "price > 1", "factor": 0.0}], "greater than 0"),
        ([{"kind": "cap", "column": "brand", "mots": 1}], "did you mean 'most'?"),
    ],
)
def test_rules_that_contradict_are_errors(rules: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        contradictions(rules)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([{**PIN_A, "items": ["c", "a", "b"]}], "rules 'front' pin 'a' and 'b', variants of one"),
        (
            [PIN_A, {"kind": "pin", "items": ["e", "b"], "place": 2}],
            "rules 'front', 'pin' pin 'a' and 'b', variants of one product, of which a list shows",
        ),
    ],
)
def test_two_variants_of_a_product_are_not_both_pinned(
    rules: list[dict[str, Any]], said: str
) -> None:
    log = orders({"ann": "abc", "bob": "bcd"})
    own = {"catalog": {"variant": "brand"}, "final": {"rules": rules}}
    with pytest.raises(SettingsError, match=said):
        Engine(ordered_settings(**own)).fit(log, SIX_GOODS)
    shown = Engine(ordered_settings(**own, fusion={"variants": "all"})).fit(log, SIX_GOODS)
    assert {"a", "b"} <= set(shown.recommend(["nobody"], k=4)["item_id"])


def test_pins_of_items_that_are_no_variants_of_others_agree() -> None:
    items = SIX_GOODS.with_columns(model=pl.Series([None, None, "m", "m", "n", None]))
    settings = ordered_settings(
        catalog={"variant": "model"}, final={"rules": [{**PIN_A, "items": ["a", "b", "c", "e"]}]}
    )
    engine = Engine(settings).fit(orders({"ann": "abc", "bob": "bcd"}), items)
    assert listed(engine.recommend(["nobody"], k=4)) == {"nobody": ["a", "b", "c", "e"]}


def test_lots_and_pins_leave_a_place() -> None:
    with pytest.raises(SettingsError, match=r"exploration.slots = 3 and 1 pinned places leave no"):
        contradictions([PIN_A], exploration={"slots": 3})


def test_diversity_needs_something_to_go_by() -> None:
    with pytest.raises(SettingsError, match="must name vectors of the catalogue or 'categories'"):
        contradictions([], diversity={"method": "mmr", "on": "looks"})
    bare = ordered_settings(final={"diversity": {"method": "mmr"}})
    with pytest.raises(SettingsError, match="needs vectors of text or categories"):
        Engine(bare).fit(orders({"ann": "abc", "bob": "bcd"}))


def test_rules_that_leave_only_what_is_out_of_stock_are_errors() -> None:
    items = SIX_GOODS.with_columns(stock=pl.Series([1, 1, 1, 1, 0, 0]))
    own = {"catalog": {"price": "price", "available": "stock"}}
    log = orders({"ann": "abc", "bob": "bcd"})
    dear = {"rules": [{"kind": "price", "least": 5.0}]}
    said = "no item may be offered: all 6 are unavailable or left out by rules"
    with pytest.raises(DataError, match=said):
        Engine(ordered_settings(**own)).fit(log, items).with_final(dear)
    with pytest.raises(DataError, match=said):
        Engine(ordered_settings(**own, final=dear)).fit(log, items)


def test_a_rule_that_holds_of_nothing_is_noted() -> None:
    engine = contradictions([{"kind": "boost", "where": "price > 99", "factor": 2.0}])
    assert "rule 'boost' holds of no item" in engine.notes


def test_more_places_than_goods_are_no_harm() -> None:
    engine = contradictions([{**PIN_A, "place": 40}], k=50, exploration={"slots": 5})
    (own,) = listed(engine.recommend(["nobody"], k=50)).values()
    assert sorted(own) == list("abcdef")


def test_settings_say_the_same_after_json() -> None:
    final = {"rules": [PIN_A, {"kind": "cap", "column": "brand", "most": 2}], **LOTS}
    settings = quick_settings(final=final)
    assert EngineSettings.parse(settings.model_dump(mode="json")).final == settings.final
