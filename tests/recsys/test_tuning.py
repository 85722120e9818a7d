"""A search over the ranker's settings: seeded, bounded, blind to the test, written as TOML."""

from pathlib import Path

import numpy as np
import pytest

from recsys import tuning
from recsys.engine import Engine
from recsys.evaluation.protocols import windows
from recsys.features.errors import MissingDependency, SettingsError, TrainingError
from recsys.ranking.lists import TrainingLists
from recsys.ranking.neural import NeuralRanker
from recsys.settings import EngineSettings
from recsys.toml import as_toml
from recsys.tuning import lists_of_the_past, parted, search
from tests.shops import CATALOG, LOG, QUICK, quick_settings, small_shop

SETTINGS = EngineSettings.parse({"ranker": {"hidden": (8,), "epochs": 2}, "device": "cpu"})


@pytest.fixture(scope="module")
def lists() -> TrainingLists:
    return drawn(80)


def drawn(n: int) -> TrainingLists:
    """The candidate with the largest first feature was chosen."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n, 6, 3)).astype(np.float32)
    best = features[:, :, 0] == features[:, :, 0].max(axis=1, keepdims=True)
    users, labels = np.arange(n, dtype=np.int32), best.astype(np.float32)
    return TrainingLists(features, labels, labels >= 0, users, ("a", "b", "c"), n, n, 0)


def test_the_best_trial_wins_and_the_given_settings_are_the_first(lists: TrainingLists) -> None:
    pytest.importorskip("optuna")
    found = search(lists, SETTINGS, minutes=5, most=4)
    assert [trial["number"] for trial in found.trials] == [1, 2, 3, 4]
    assert found.trials[0]["settings"]["hidden"] == (8,)
    assert found.ndcg_before == found.trials[0]["ndcg"]
    best = max(found.trials, key=lambda trial: trial["ndcg"])
    assert found.ndcg == best["ndcg"] >= found.ndcg_before
    assert found.ranker == best["settings"]
    tuned = found.settings(SETTINGS)
    assert EngineSettings.parse(tuned.model_dump()).ranker["hidden"] == found.ranker["hidden"]
    Engine(tuned)


def test_the_same_seed_tries_the_same(lists: TrainingLists) -> None:
    pytest.importorskip("optuna")
    tried = [search(lists, SETTINGS, minutes=5, most=3).trials for _ in range(2)]
    for one, same in zip(*tried, strict=True):
        assert one["settings"] == same["settings"]
        assert one["ndcg"] == same["ndcg"]


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_a_trial_holds_out_its_share_of_the_learners(seed: int) -> None:
    learnt, validation = parted(drawn(1000), seed)
    assert not set(learnt.users) & set(validation.users)
    assert 0.2 < len(validation) / 1000 < 0.3
    assert 0.05 < NeuralRanker(seed=seed).holds_out(learnt.users).mean() < 0.2


def test_time_that_is_over_ends_it(lists: TrainingLists) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(TrainingError, match="were not tried to the end in 1e-06 minutes"):
        search(lists, SETTINGS, minutes=1e-6)
    with pytest.raises(SettingsError, match="minutes must be above 0; got 0"):
        search(lists, SETTINGS, minutes=0)


def test_given_settings_that_cannot_learn_say_why(lists: TrainingLists) -> None:
    pytest.importorskip("optuna")
    settings = EngineSettings.parse({"ranker": {"epochs": 1, "event_weights": {"cart": 1.0}}})
    with pytest.raises(TrainingError, match=r"event_weights name \['cart'\], which too few"):
        search(lists, settings, minutes=5, most=2)


def test_a_later_trial_that_cannot_learn_has_no_ndcg(
    lists: TrainingLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps so large that the loss is not finite."""
    pytest.importorskip("optuna")
    monkeypatch.setattr(tuning, "_drawn", lambda _: {"learning_rate": 1e30})
    found = search(lists, SETTINGS, minutes=5, most=3)
    assert [trial["ndcg"] is None for trial in found.trials] == [False, True, True]
    assert found.ndcg == found.ndcg_before


def test_nothing_of_the_test_is_seen() -> None:
    """Another test part, the same lists."""
    shop = small_shop()
    engine = Engine(quick_settings(evaluation={"protocol": "time", "share": 0.2}))
    log, catalog = engine.read(shop.events, shop.items)
    (window,) = windows(log, engine.settings.evaluation)
    lists = lists_of_the_past(engine, log, catalog)
    alone = Engine(quick_settings()).training_lists(window.moment.past, catalog)
    assert len(lists) > 20
    np.testing.assert_array_equal(lists.features, alone.features)
    np.testing.assert_array_equal(lists.labels, alone.labels)


RULES = [
    {"kind": "pin", "name": "the 'week'\x7f", "items": ["sku-1", "sku-2"], "place": 3},
    {"kind": "pin", "name": "by number", "items": [7, 8]},
    {"kind": "boost", "where": 'brand = "O\'Hara" AND price < 20', "factor": 1e-05},
    {"kind": "cap", "column": "brand", "most": 2},
    {"kind": "price", "least": 0.5},
    {"kind": "block", "items": ["{a = 1}"]},
    {"kind": "new", "share": 0.1, "days": 30.0},
]


def test_settings_survive_toml(tmp_path: Path) -> None:
    settings = EngineSettings.parse(
        {
            "name": 'a "shop"\n\\ über',
            "interactions": {**LOG, "path": ["a.csv", "b.csv"]},
            "catalog": CATALOG,
            **QUICK,
            "events": {"add to cart": {"weight": 2.5}},
            "final": {"rules": RULES, "exploration": {"slots": 2}},
        }
    )
    (tmp_path / "engine.toml").write_text(as_toml(settings), encoding="utf8")
    read = EngineSettings.from_toml(tmp_path / "engine.toml")
    assert read.model_dump(mode="json") == settings.model_dump(mode="json")


def test_rules_are_inline_tables() -> None:
    settings = EngineSettings.parse({"final": {"rules": RULES[1:2]}})
    line = 'rules = [{kind = "pin", name = "by number", items = [7, 8]}]'
    assert as_toml(settings) == f"[final]\n{line}\n"


def test_what_to_install_is_said(lists: TrainingLists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(MissingDependency, match=r"pip install 'recsys\[search\]'"):
        search(lists, SETTINGS, minutes=1)
