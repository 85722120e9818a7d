"""The ranker's order is served only where none of those that it reads is clearly better."""

from collections.abc import Iterator
from functools import cache
from math import log2
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.engine import Engine
from recsys.evaluation.evaluate import FUSED, evaluate
from recsys.evaluation.protocols import windows
from recsys.judging import event_gains, graded_ndcg, judge
from recsys.learning import Moment
from recsys.ranking.lists import Chosen
from recsys.retrieval.candidates import Candidates
from recsys.settings import EngineSettings
from recsys.trial import Trial
from tests.shops import assert_same_lists, quick_settings, small_shop

VIEW, CART, PURCHASE = range(3)
NAMES = ("view", "cart", "purchase")
GAINS = np.array([0.3, 0.6, 1.0], np.float32)

UNTRAINED = {"hidden": (16,), "epochs": 1, "learning_rate": 1e-12, "held_out": 0.5}
"""A ranker that stays as it was drawn, tried on half of the users."""


def chosen() -> Chosen:
    """One user viewed item 4, carted 5 and bought 6; another one viewed 7."""
    events = np.array([VIEW, CART, PURCHASE, VIEW], np.uint8)
    items = np.array([4, 5, 6, 7], np.int32)
    return Chosen(np.array([0, 3, 4]), items, GAINS[events], events)


def test_ndcg_by_the_worth_of_events() -> None:
    items = np.array([[4, 9, 6], [-1, 7, -1]], np.int32)
    best = 1 + 0.6 / log2(3) + 0.3 / 2
    expected = [(0.3 + 1 / 2) / best, 1 / log2(3)]
    assert graded_ndcg(chosen(), items, GAINS) == pytest.approx(expected)


def test_the_best_list_of_k_is_all_there_is_to_gain() -> None:
    items = np.array([[6], [7]], np.int32)
    assert graded_ndcg(chosen(), items, GAINS) == pytest.approx([1, 1])
    only_purchases = np.array([0, 0, 1], np.float32)
    assert graded_ndcg(chosen(), items, only_purchases) == pytest.approx([1, np.nan], nan_ok=True)


def test_the_docstring_has_the_worked_value() -> None:
    events = np.array([VIEW, PURCHASE], np.uint8)
    both = Chosen(np.array([0, 2]), np.array([0, 1], np.int32), GAINS[events], events)
    expected = (0.3 + 1 / log2(3)) / (1 + 0.3 / log2(3))
    assert graded_ndcg(both, np.array([[0, 1]], np.int32), GAINS) == pytest.approx([expected])


def test_targets_of_the_evaluation_are_what_counts() -> None:
    assert event_gains(NAMES, EngineSettings()).tolist() == GAINS.tolist()
    for target, expected in (("purchase", [0, 0, 1]), ("cart", [0, 0.6, 1]), ("view", GAINS)):
        settings = EngineSettings.parse({"evaluation": {"targets": [target]}})
        assert event_gains(NAMES, settings) == pytest.approx(expected)


@cache
def led_engine() -> Engine:
    """An engine whose ranker knows nothing."""
    return Engine(quick_settings(ranker=UNTRAINED)).fit(small_shop().events, small_shop().items)


def test_an_order_worse_than_that_of_a_source_is_not_served() -> None:
    fitted = led_engine().learnt.fitted
    assert fitted.ranker is not None
    assert fitted.leader is not None
    (note,) = (note for note in led_engine().notes if note.startswith("the ranker is worse than"))
    assert f"worse than {fitted.leader!r} on " in note
    table = led_engine().recommend(led_engine().users[:40], k=5)
    first = table.filter(pl.col("rank") == 1)
    assert set(first["score"]) == {1.0}, "the score of an order, none of a network"
    if fitted.leader != FUSED:
        assert first["sources"].list.contains(fitted.leader).all()


def test_with_a_useless_ranker_lists_are_as_good_as_the_best_order() -> None:
    settings = quick_settings(ranker=UNTRAINED, evaluation={"protocol": "time", "draws": 10})
    engine = Engine(settings)
    log, catalog = engine.read(small_shop().events, small_shop().items)
    systems = evaluate(engine, log, catalog, settings.evaluation).systems
    ndcg = {name: own["ndcg@10"] for name, own in systems.items()}
    leader = engine.learnt.fitted.leader
    assert leader is not None
    assert ndcg["two-stage"] == pytest.approx(ndcg[leader], rel=0.1)  # variants are shown once


def test_a_leader_is_saved(tmp_path: Path) -> None:
    led_engine().save(tmp_path / "engine")
    loaded = Engine.load(tmp_path / "engine")
    assert loaded.learnt.fitted.leader == led_engine().learnt.fitted.leader
    users = led_engine().users[:20]
    assert_same_lists(loaded.recommend(users), led_engine().recommend(users))


def test_what_the_ranker_adds_is_said() -> None:
    engine = Engine(quick_settings()).fit(small_shop().events, small_shop().items)
    assert engine.learnt.fitted.leader is None
    (note,) = (note for note in engine.notes if note.startswith("the ranker adds "))
    assert "over the best single source, '" in note
    assert "held-out lists (" in note


def test_what_sources_find_is_what_an_evaluation_says_of_them() -> None:
    """Counted once as a ranker is judged and once by marks of the same users' positives."""
    settings = quick_settings(evaluation={"protocol": "time", "share": 0.2, "k": 5})
    engine = Engine(settings)
    log, catalog = engine.read(small_shop().events, small_shop().items)
    marks = evaluate(engine, log, catalog, settings.evaluation).positives
    (window,) = windows(log, settings.evaluation)
    learnt = engine.learnt
    assert learnt.fitted.ranker is not None
    trial = Trial(window.moment, learnt.fitted, learnt.policy)
    offered = judge(learnt.fitted.ranker, trial, settings).offered
    assert offered.chosen == len(marks)
    assert offered.anywhere == (marks["found_by"].list.len() > 0).sum()
    for name, own in offered.by_source.items():
        assert own == marks["found_by"].list.contains(name).sum()
    (told,) = [note for note in engine.notes if note.startswith("the sources offer ")]
    assert all(f"{member.name} " in told for member in learnt.fitted.sources.offering)


def test_a_fit_asks_the_sources_for_held_out_users_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """To calibrate and to judge; what they offer is counted by the way."""
    asked = Trial.asked
    passes: list[Trial] = []

    def counted(trial: Trial) -> Iterator[tuple[Moment, Candidates, list[str]]]:
        passes.append(trial)
        return asked(trial)

    monkeypatch.setattr(Trial, "asked", counted)
    engine = Engine(quick_settings()).fit(small_shop().events, small_shop().items)
    assert any(note.startswith("the sources offer ") for note in engine.notes)
    assert len(passes) == 2
