"""The account of the stages, on lists that are counted by hand."""

import math
from string import ascii_lowercase

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.engine import Engine
from recsys.evaluation.account import LOST, Found, account
from recsys.evaluation.evaluate import evaluate
from recsys.features.arrays import Array
from recsys.settings import EvaluationSettings
from tests.shops import ordered_settings, orders, quick_settings, small_shop

NOTHING = {
    "positives_of_unknown_items": 0,
    "positives_had_before": 0,
    "positives_unavailable": 0,
    "positives_not_in_catalog": 0,
    "positives_disliked_later": 0,
    "positives_without_past": 0,
}
OWNERS = np.array([0, 0, 1, 2])
"""The first user chose two items, the others one each."""


def found(by: list[list[bool]], cut: Array | None = None) -> Found:
    return Found(
        names=("one", "two"),
        by=np.array(by),
        cut=np.zeros(4, bool) if cut is None else cut,
        deep=np.zeros(4, bool),
        unknown=np.zeros(4, bool),
        offered=np.array([[2, 1], [2, 1], [2, 1]]),
        shared=np.array([[6, 3], [3, 3]]),
        width=np.array([2, 2, 3]),
    )


BY = [[True, False], [True, True], [False, True], [False, False]]


def told(ranks: list[int], cut: Array | None = None, **counts: int) -> dict[str, object]:
    return account(
        found(BY, cut),
        OWNERS,
        np.array(ranks, np.int32),
        np.array([0.5, 0.0, 0.0]),
        {**NOTHING, **counts},
        k=2,
        about={"one": (64, 1.5), "two": (20, 0.5)},
        seconds={"union": 2.0, "ranker": 3.0},
    )


def test_what_each_source_found() -> None:
    sources = told([0, -1, -1, -1])["sources"]
    assert sources == {
        "one": {
            "depth": 64, "recall": pytest.approx(1 / 3), "only": 1, "only_share": 0.25,
            "candidates": 2, "seconds": 1.5,
        },
        "two": {
            "depth": 20, "recall": pytest.approx(0.5), "only": 1, "only_share": 0.25,
            "candidates": 1, "seconds": 0.5,
        },
    }  # fmt: skip


def test_the_ceiling_and_the_best_order() -> None:
    """The first user's two and the second's one are candidates: both can be ranked perfectly."""
    shown = told([0, -1, -1, -1])
    assert shown["union"] == {
        "recall": pytest.approx(2 / 3), "candidates": pytest.approx(7 / 3), "seconds": 2.0,
    }  # fmt: skip
    assert shown["ranker"] == {
        "ndcg@2": pytest.approx(1 / 6), "best@2": pytest.approx(2 / 3),
        "given@2": pytest.approx(1 / 4), "seconds": 3.0, "trained": True,
    }  # fmt: skip


def test_the_best_order_when_one_of_two_was_found() -> None:
    shown = account(
        found([[True, False], [False, False], [False, True], [False, False]]),
        OWNERS, np.full(4, -1), np.zeros(3), NOTHING, 2,
        {"one": (1, 0.0), "two": (1, 0.0)}, {"union": 0.0, "ranker": 0.0},
    )  # fmt: skip
    ideal = 1 + 1 / math.log2(3)
    assert shown["ranker"]["best@2"] == pytest.approx((1 / ideal + 1 + 0) / 3)


def test_overlap_is_the_share_of_a_sources_own_candidates() -> None:
    assert told([0, -1, -1, -1])["overlap"] == {
        "sources": ["one", "two"], "share": [[1.0, 0.5], [1.0, 1.0]],
    }  # fmt: skip


def test_every_positive_is_in_one_row() -> None:
    """Places 0 and 1 are on a list of two, place 2 is below, the last was never found."""
    shown = told([0, 2, 1, -1], positives_had_before=3, positives_without_past=2)
    rows = {row["stage"]: row["positives"] for row in shown["lost"]}
    assert list(rows) == [stage.format(k=2) for stage in LOST]
    assert {stage: n for stage, n in rows.items() if n} == {
        "on the list": 2,
        "ranked below 2": 1,
        "found by no source": 1,
        "had before": 3,
        "of users without a past": 2,
    }
    assert shown["positives"] == sum(rows.values()) == 9


def test_what_the_width_cuts_off_is_no_candidate() -> None:
    """A source still found it: its recall is that at its depth."""
    shown = told([0, -1, 1, -1], cut=np.array([False, True, False, False]))
    rows = {row["stage"]: row["positives"] for row in shown["lost"] if row["positives"]}
    assert rows == {"on the list": 2, "cut by the quota": 1, "found by no source": 1}
    assert shown["sources"]["one"]["recall"] == told([0, 2, 1, -1])["sources"]["one"]["recall"]
    assert shown["union"]["recall"] == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_a_narrow_union_is_accounted_for() -> None:
    shop = small_shop()
    settings = quick_settings()
    narrow = Engine(settings.model_copy(update={"fusion": {"width": 6}}))
    whole = Engine(settings)
    protocol = EvaluationSettings(protocol="time", k=5, share=0.2)
    log, catalog = whole.read(shop.events, shop.items)
    cut, full = (evaluate(engine, log, catalog, protocol).account for engine in (narrow, whole))
    assert {n: s["recall"] for n, s in cut["sources"].items()} == {
        n: s["recall"] for n, s in full["sources"].items()
    }
    rows = [{row["stage"]: row["positives"] for row in each["lost"]} for each in (cut, full)]
    assert rows[0]["cut by the quota"] > 0 == rows[1]["cut by the quota"]
    deeper = "deeper than every source's depth"
    assert rows[0][deeper] == rows[1][deeper]
    assert cut["union"]["candidates"] <= 6


def test_found_over_more_sources_says_that_they_found_nothing() -> None:
    wide = found(BY).over(("zero", "one", "two"))
    assert wide.by.tolist() == [[False, *row] for row in BY]
    assert wide.shared.tolist() == [[0, 0, 0], [0, 6, 3], [0, 3, 3]]
    joined = Found.joined([wide, wide])
    assert len(joined.by) == 8
    assert joined.shared[1, 2] == 6


def test_an_engine_accounts_for_all_that_was_chosen() -> None:
    """Counted from the frame: every distinct pair of user and item after the cutoff."""
    shop = small_shop()
    engine = Engine(quick_settings())
    log, catalog = engine.read(shop.events, shop.items)
    evaluation = evaluate(engine, log, catalog, EvaluationSettings(protocol="time", k=5, share=0.2))
    cutoff = evaluation.protocol["cutoff"]
    future = shop.events.filter(shop.events["time"].dt.strftime("%Y-%m-%dT%H:%M:%S") >= cutoff[:19])
    pairs = future.select("user_id", "item_id").unique()
    lost = evaluation.account["lost"]
    assert evaluation.account["positives"] == len(pairs)
    assert sum(row["positives"] for row in lost) == len(pairs)
    assert sum(row["share"] for row in lost) == pytest.approx(1)


def test_every_scored_positive_is_marked_with_what_found_it() -> None:
    """The marks agree with the account, and with the lists themselves."""
    shop = small_shop()
    engine = Engine(quick_settings())
    log, catalog = engine.read(shop.events, shop.items)
    found = evaluate(engine, log, catalog, EvaluationSettings(protocol="time", k=5, share=0.2))
    marks = found.positives
    assert len(marks) == found.protocol["positives"]
    assert not marks.select("user_id", "item_id").is_duplicated().any()
    stages = dict(marks["stage"].value_counts().iter_rows())
    lost = {row["stage"]: row["positives"] for row in found.account["lost"][:6]}
    assert stages == {stage: n for stage, n in lost.items() if n}
    assert (marks["stage"] == "on the list").eq(marks["rank"] <= 5).all()
    for name, own in found.account["sources"].items():
        by = marks["found_by"].list.contains(name)
        assert marks.filter(by & (marks["found_by"].list.len() == 1)).height == own["only"]
    of_retrieval = marks.filter(pl.col("stage").is_in(LOST[3:6]))
    assert of_retrieval.height > 0
    assert_frame_equal(of_retrieval, marks.filter(pl.col("found_by").list.len() == 0))
    offered = engine.recommend(marks["user_id"].unique(), k=5).drop_nulls("item_id")
    hits = offered.join(marks, on=["user_id", "item_id"])
    assert hits.height == stages["on the list"]
    assert (hits["rank"] == hits["rank_right"]).all()


def test_of_several_windows_each_mark_says_which() -> None:
    shop = small_shop()
    engine = Engine(quick_settings(ranker={"epochs": 1}))
    log, catalog = engine.read(shop.events, shop.items)
    protocol = EvaluationSettings(protocol="walk-forward", windows=2, share=0.1)
    found = evaluate(engine, log, catalog, protocol)
    assert found.positives["window"].unique(maintain_order=True).to_list() == [1, 2]
    assert len(found.positives) == found.protocol["positives"]


def test_the_ceiling_bounds_every_list() -> None:
    shop = small_shop()
    engine = Engine(quick_settings())
    log, catalog = engine.read(shop.events, shop.items)
    found = evaluate(engine, log, catalog, EvaluationSettings(protocol="time", k=5, share=0.2))
    account = found.account
    assert found.systems["two-stage"]["recall@5"] <= account["union"]["recall"]
    assert found.systems["two-stage"]["ndcg@5"] <= account["ranker"]["best@5"]
    for source in account["sources"].values():
        assert source["recall"] <= account["union"]["recall"]
        assert source["candidates"] <= source["depth"]
    assert account["overlap"]["share"][0][0] == 1


def test_an_item_that_nobody_knew_is_not_the_sources_fault() -> None:
    """z is chosen for the first time at the end: nothing could have offered it."""
    engine = Engine(ordered_settings())
    log, catalog = engine.read(orders({"ann": "abz", "bob": ascii_lowercase[:25], "cat": "bca"}))
    found = evaluate(engine, log, catalog, EvaluationSettings(k=2))
    rows = {row["stage"]: row["positives"] for row in found.account["lost"]}
    assert rows["unknown at the cutoff"] == 1
    assert sum(rows.values()) == 3
