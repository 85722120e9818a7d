"""Lists of several systems, scored together and held against published figures."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import comparison
from benchmarks.comparison import CONTESTS, PUBLISHED, _against_published, scored
from benchmarks.contestant import CONFIGS, OURS
from benchmarks.peers import PEERS
from benchmarks.peers.engine import TwoStage
from benchmarks.quality import SETS, SEVERAL
from recsys.engine import Engine
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.held import Held
from recsys.evaluation.protocols import windows
from recsys.policy import Policy
from recsys.settings import EngineSettings, EvaluationSettings
from tests.shops import quick_settings, small_shop


@pytest.fixture(scope="module")
def settings() -> EngineSettings:
    protocol = EvaluationSettings(protocol="time", share=0.2, k=5, at=(1,), draws=100)
    return quick_settings().model_copy(update={"evaluation": protocol})


@pytest.fixture(scope="module")
def held(settings: EngineSettings) -> Held:
    shop = small_shop()
    log, catalog = Engine(settings).read(shop.events, shop.items)
    (window,) = windows(log, settings.evaluation)
    return Held.of(window, catalog, Policy.of(catalog.offered(), log.events, settings.events))


def test_all_systems_are_scored_on_the_same_users(held: Held, settings: EngineSettings) -> None:
    allowed = held.policy.allowed(held.histories)
    lists = {
        OURS: TwoStage(settings).fit(held.past, held.catalog).lists(held.histories, allowed, 5),
        "popularity": PEERS["popularity"]()
        .fit(held.past, held.catalog)
        .lists(held.histories, allowed, 5),
        "nobody": np.full((len(held), 5), -1, np.int32),
    }
    told = scored(held, settings, lists)
    assert told["users"] == len(held)
    assert told["systems"]["nobody"]["ndcg@5"] == 0
    assert told["systems"][OURS]["ndcg@5"] > told["systems"]["popularity"]["ndcg@5"]
    found = {each["against"]: each for each in told["comparisons"]}
    assert set(found) == {"popularity", "nobody"}
    assert found["nobody"]["verdict"] == "better"
    low, high = told["intervals"][OURS]["ndcg@5"]
    assert low < told["systems"][OURS]["ndcg@5"] < high


def test_no_peer_offers_what_may_not_be_offered(held: Held, settings: EngineSettings) -> None:
    allowed = held.policy.allowed(held.histories)
    items = TwoStage(settings).fit(held.past, held.catalog).lists(held.histories, allowed, 5)
    for query, own in enumerate(items):
        excluded = allowed.excluded[allowed.offsets[query] : allowed.offsets[query + 1]]
        assert not set(own) & set(excluded)
        assert allowed.mask[own].all()


def test_what_was_fitted_for_the_contest_is_evaluated_as_if_it_were_fitted_for_that(
    settings: EngineSettings,
) -> None:
    shop, engine = small_shop(), Engine(settings)
    log, catalog = engine.read(shop.events, shop.items)
    (window,) = windows(log, settings.evaluation)
    told = TwoStage(settings).fit(window.moment.past, catalog).evaluation(window, log, "shop", 1.5)
    expected = evaluate(engine, log, catalog, settings.evaluation).as_dict("shop")
    assert told["fit_seconds"] == 1.5
    assert told["account"]["sources"].keys() == expected["account"]["sources"].keys()
    for name, values in expected["systems"].items():
        own = told["systems"][name]
        costs = {metric for metric in own if "second" in metric}
        assert own.keys() == values.keys()
        assert all(own[each] == pytest.approx(values[each]) for each in own.keys() - costs)


def test_an_engine_of_other_code_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "WORK", tmp_path)
    folder = tmp_path / "ml-1m" / OURS
    folder.mkdir(parents=True)
    assert comparison.of_our_engine("ml-1m") is None
    (folder / "key.json").write_text(json.dumps(comparison._key("ml-1m", OURS)))
    assert comparison.of_our_engine("ml-1m") == folder
    (folder / "key.json").write_text(json.dumps({**comparison._key("ml-1m", OURS), "code": "old"}))
    assert comparison.of_our_engine("ml-1m") is None
    assert comparison.of_our_engine("ml-100k") is None


def test_the_difference_from_a_published_figure_is_relative() -> None:
    told = _against_published("ml-1m", {"ease": {"hr@10": 0.10830 * 1.02, "ndcg@10": 0.0535}})
    assert told["difference"] == {"ease": pytest.approx({"hr@10": 0.02, "ndcg@10": 0})}
    assert told["published"] == PUBLISHED["ml-1m"]


def test_every_contest_and_every_set_has_a_config() -> None:
    names = {path.stem for path in CONFIGS.glob("*.toml")}
    assert set(SETS) == names
    assert {*SEVERAL, *CONTESTS} <= names
    for own in PUBLISHED.values():
        assert all("source" in figures for figures in own.values())
