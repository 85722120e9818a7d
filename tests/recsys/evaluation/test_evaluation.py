"""Evaluation, on logs small enough to score by hand and against a loop over lists."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from recsys.engine import Engine
from recsys.evaluation.evaluate import FUSED, TWO_STAGE, Evaluation, evaluate
from recsys.retrieval.popular import Popular
from recsys.settings import EngineSettings, EvaluationSettings
from tests.shops import (
    listed,
    ordered_engine,
    ordered_settings,
    orders,
    quick_settings,
    small_shop,
)

CHOICES = {"ann": "abc", "bob": "abd", "cat": "e", "dan": "aba"}
"""Last items c, d and a; cat's only item is no last one, and dan has had a before."""


def by_hand(k: int = 2) -> Evaluation:
    engine = Engine(ordered_settings())
    log, catalog = engine.read(orders(CHOICES))
    return evaluate(engine, log, catalog, EvaluationSettings(k=k))


def test_last_items_scored_and_left_out_are_counted() -> None:
    assert by_hand().protocol == {
        "name": "last-item",
        "tied_share": 0.0,
        "users": 2,
        "positives": 2,
        "items": 5,
        "users_without_past": 1,
        "positives_without_past": 0,
        "users_without_allowed_positives": 1,
        "positives_not_allowed": 1,
        "positives_unavailable": 0,
        "positives_not_in_catalog": 0,
        "positives_disliked_later": 0,
        "positives_had_before": 1,
        "positives_of_unknown_items": 0,
        "users_of_unknown_items": 0,
        "users_without_target": 0,
        "k": 2,
        "at": [2, 5, 20],
        "targets": [],
        "seed": 0,
    }


def test_the_popular_list_scored_by_hand() -> None:
    """Of the past a and b are chosen thrice, e once: who has had a and b is offered e, then c."""
    scores = by_hand().systems["popular"]
    assert scores["hr@2"] == 0.5
    assert scores["recall@2"] == 0.5
    assert scores["ndcg@2"] == pytest.approx(1 / math.log2(3) / 2)
    assert scores["coverage@2"] == 2 / 5


@pytest.mark.parametrize("k", [1, 5, 50])
def test_any_k_can_be_scored(k: int) -> None:
    systems = by_hand(k).systems
    assert list(systems)[:2] == [TWO_STAGE, FUSED]
    for scores in systems.values():
        assert all(0 <= scores[f"{name}@{k}"] <= 1 for name in ("hr", "ndcg", "recall", "coverage"))
    assert systems["popular"][f"hr@{k}"] == (0 if k == 1 else 1)


def test_the_same_for_json() -> None:
    evaluation = by_hand()
    told = json.loads(json.dumps(evaluation.as_dict("letters")))
    assert list(told) == [
        "data", "protocol", "users", "systems", "intervals", "comparisons", "slices", "account",
        "curves", "examples", "fit_seconds", "peak_memory_bytes", "notes",
    ]  # fmt: skip
    assert told["data"] == "letters"
    assert told["users"] == 2
    assert told["systems"] == evaluation.systems
    assert set(told["systems"]) >= {"two-stage", "fused", "next", "wide", "als", "popular"}
    assert {metric for metric in told["systems"]["als"] if metric.endswith("@2")} == {
        "ndcg@2", "recall@2", "hr@2", "precision@2", "f1@2", "map@2", "mrr@2", "coverage@2",
        "gini@2", "novelty@2", "serendipity@2", "cold_share@2",
    }  # fmt: skip
    assert told["fit_seconds"] > 0
    assert told["peak_memory_bytes"] > 10**7
    assert any(note.startswith("no ranker: ") for note in told["notes"])


DAYS = {
    "ann": [("a", 1), ("b", 2), ("c", 11), ("d", 12)],
    "bob": [("b", 3), ("a", 13)],
    "cat": [("c", 4), ("c", 14)],
    "dan": [("d", 15)],
    "eve": [("d", 5)],
}
"""From day 11 on: ann takes two new things, bob one, cat the same again; dan has no past."""


def dated() -> pl.DataFrame:
    rows = [
        (user, item, datetime(2024, 1, day, tzinfo=UTC))
        for user, own in DAYS.items()
        for item, day in own
    ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "at"], orient="row")


def in_time(**settings: object) -> Evaluation:
    engine = Engine(EngineSettings.parse({"interactions": {"time": "at"}}))
    log, catalog = engine.read(dated())
    protocol = EvaluationSettings.parse({"protocol": "time", "k": 2, **settings})
    return evaluate(engine, log, catalog, protocol)


def test_a_cut_in_time_is_counted_and_told() -> None:
    protocol = in_time(date="2024-01-11").protocol
    assert protocol == {
        "name": "time",
        "cutoff": "2024-01-11T00:00:00+00:00",
        "last_event": "2024-01-15T00:00:00+00:00",
        "held_share": 0.5,
        "users": 2,
        "positives": 3,
        "items": 4,
        "users_without_past": 1,
        "positives_without_past": 1,
        "users_without_allowed_positives": 1,
        "positives_not_allowed": 1,
        "positives_unavailable": 0,
        "positives_not_in_catalog": 0,
        "positives_disliked_later": 0,
        "positives_had_before": 1,
        "positives_of_unknown_items": 0,
        "users_of_unknown_items": 0,
        "users_without_target": 0,
        "k": 2,
        "at": [2, 5, 20],
        "targets": [],
        "seed": 0,
    }


def test_popular_in_time_by_hand() -> None:
    """Halved in 30 days: d (day 5) is worth more than c (4), b (2 and 3) most, a (1) least.

    Without a and b, ann is offered d and c: both hit. So is bob without b: he misses a.
    """
    scores = in_time(date="2024-01-11").systems["popular"]
    assert scores["hr@2"] == 0.5
    assert scores["recall@2"] == 0.5
    assert scores["ndcg@2"] == 0.5
    assert scores["coverage@2"] == 0.5


def test_a_zone_or_a_time_of_day_may_stand_in_the_date() -> None:
    assert in_time(date="2024-01-11T01:00+01:00").protocol == in_time(date="2024-01-11").protocol
    assert in_time(date="2024-01-11T00:00:01").protocol["positives"] == 2


def test_a_share_cuts_off_the_newest_events() -> None:
    protocol = in_time(share=0.4).protocol
    assert protocol["cutoff"] == "2024-01-11T00:00:00+00:00"
    assert in_time(share=0.2).protocol["cutoff"] > protocol["cutoff"]


def test_only_targets_are_looked_for() -> None:
    engine = Engine(quick_settings())
    log, catalog = engine.read(small_shop().events, small_shop().items)
    found = {}
    for targets in ((), ("purchase",)):
        settings = EvaluationSettings(protocol="time", share=0.2, targets=targets)
        found[targets] = evaluate(engine, log, catalog, settings).protocol
    assert found["purchase",]["cutoff"] == found[()]["cutoff"]
    assert found["purchase",]["positives"] < found[()]["positives"]


def test_scores_are_those_of_the_lists_one_is_offered() -> None:
    """Lists asked for by id, scored by a loop over users: the same numbers."""
    shop, k = small_shop(), 5
    events = shop.events.with_row_index("position").drop("time")
    settings = quick_settings(interactions={"order": "position", "event": "event"})
    engine = Engine(settings)
    log, catalog = engine.read(events, shop.items)
    evaluation = evaluate(engine, log, catalog, EvaluationSettings(k=k))
    assert engine.learnt.fitted.ranker is not None

    stock = set(shop.items.filter(pl.col("available"))["item_id"])
    wanted = {}
    for user, own in events.sort("position").group_by("user_id", maintain_order=True):
        *past, last = own.select("item_id", "event").iter_rows()
        bought = {item for item, event in past if event == "purchase"}
        if past and last[0] in stock - bought:
            wanted[user[0]] = last[0]
    lists = listed(engine.recommend(list(wanted), k=k))
    places = [own.index(wanted[u]) if wanted[u] in own else None for u, own in lists.items()]
    hits = [place for place in places if place is not None]
    scores = evaluation.systems[TWO_STAGE]
    assert evaluation.protocol["users"] == len(wanted)
    assert scores[f"hr@{k}"] == pytest.approx(len(hits) / len(wanted))
    assert scores[f"recall@{k}"] == pytest.approx(len(hits) / len(wanted))
    gain = sum(1 / math.log2(2 + place) for place in hits)
    assert scores[f"ndcg@{k}"] == pytest.approx(gain / len(wanted))
    offered = {item for own in lists.values() for item in own}
    assert scores[f"coverage@{k}"] == pytest.approx(len(offered) / len(stock))


def test_an_engine_is_put_to_the_test_without_being_changed() -> None:
    engine = ordered_engine(CHOICES)
    learnt, notes = engine.learnt, list(engine.notes)
    evaluation = engine.evaluate(orders(CHOICES))
    assert evaluation.protocol["users"] == 2
    assert engine.learnt is learnt
    assert engine.notes == notes


def test_progress_reaches_the_end() -> None:
    told: list[tuple[str, float]] = []
    engine = Engine(ordered_settings())
    log, catalog = engine.read(orders(CHOICES))
    evaluate(engine, log, catalog, EvaluationSettings(), lambda *step: told.append(step))
    assert told[-1] == ("recommending", 1.0)


def test_a_source_that_fails_is_told_and_the_others_are_scored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    engine = Engine(ordered_settings())
    log, catalog = engine.read(orders(CHOICES))
    fit = engine.fit

    def fit_then_break(*given: Any, **named: Any) -> Engine:
        done = fit(*given, **named)
        monkeypatch.setattr(Popular, "retrieve", broken)
        return done

    monkeypatch.setattr(engine, "fit", fit_then_break)
    found = evaluate(engine, log, catalog, EvaluationSettings(k=2))
    assert found.systems["popular"]["recall@2"] == 0
    assert any(note.startswith("source 'popular' failed") for note in found.notes)
    assert found.account["positives"] == 3
