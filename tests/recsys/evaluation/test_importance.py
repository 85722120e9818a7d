"""What the ranker goes by: of rankers that are known to go by one thing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from recsys.engine import Engine
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.held import Held
from recsys.evaluation.importance import SAMPLE, importance
from recsys.evaluation.protocols import windows
from recsys.evaluation.result import Evaluation
from recsys.ranking.network import ListNetwork
from recsys.ranking.neural import NeuralRanker
from recsys.reporting.importance import importance as drawn
from recsys.reporting.outcome import Outcome
from recsys.settings import EvaluationSettings
from tests.shops import ordered_engine, quick_settings, small_shop

PROTOCOL = EvaluationSettings(protocol="time", k=5, draws=200)


@pytest.fixture(scope="module")
def tried() -> tuple[Engine, Held]:
    """An engine that learnt from the first part of a log, and what came next."""
    engine = Engine(quick_settings())
    log, catalog = engine.read(small_shop().events, small_shop().items)
    (window,) = windows(log, PROTOCOL, None)
    engine.fit(window.moment.past, catalog)
    return engine, Held.of(window, engine.learnt.catalog, engine.learnt.policy)


@pytest.fixture(scope="module")
def evaluated() -> Evaluation:
    engine = Engine(quick_settings())
    log, catalog = engine.read(small_shop().events, small_shop().items)
    return evaluate(engine, log, catalog, PROTOCOL)


def going_by(engine: Engine, feature: str) -> Engine:
    """The same engine with a ranker whose score is one feature."""
    assert engine.learnt.fitted.ranker is not None
    ranker = NeuralRanker(hidden=(), device="cpu")
    ranker.names_ = engine.learnt.fitted.ranker.names_
    network = ListNetwork(len(ranker.names_), ())
    layer: Any = network.linear()[0]
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, ranker.names_.index(feature)] = 1.0
    ranker._hold(network.eval())
    other = Engine(engine.settings)
    other._learnt = replace(engine.learnt, fitted=replace(engine.learnt.fitted, ranker=ranker))
    return other


@pytest.mark.parametrize(
    ("feature", "family"),
    [
        ("next rank", "source next"),
        ("category affinity", "category"),
        ("times in history", "how often it was had"),
    ],
)
def test_only_the_family_that_it_goes_by_counts(
    tried: tuple[Engine, Held], feature: str, family: str
) -> None:
    engine, held = tried
    found = importance(going_by(engine, feature), held, 5, 200)
    first, *others = found["families"]
    assert first["family"] == family
    assert first["fall"] > 0.02
    assert first["interval"][0] < first["fall"] < first["interval"][1]
    assert [each["fall"] for each in others] == [0.0] * len(others)
    assert 0 < first["fall"] <= found["value"] <= 1
    assert found["users"] <= min(SAMPLE, len(held))


def test_what_is_the_same_for_a_whole_list_is_left_out(tried: tuple[Engine, Held]) -> None:
    engine, held = tried
    families = {each["family"] for each in importance(engine, held, 5, 200)["families"]}
    assert {"source next", "source als", "category", "price", "how often it was had"} <= families
    assert "the history" not in families


def test_the_same_seed_gives_the_same(tried: tuple[Engine, Held]) -> None:
    engine, held = tried
    assert importance(engine, held, 5, 200) == importance(engine, held, 5, 200)


def test_without_a_ranker_there_is_none(tried: tuple[Engine, Held]) -> None:
    engine = ordered_engine({"ann": "abc", "bob": "bca"})
    assert importance(engine, tried[1], 5, 200) == {}


def test_it_comes_with_an_evaluation_and_its_report(evaluated: Evaluation) -> None:
    told = evaluated.as_dict("shop")
    assert told["importance"]["metric"] == "ndcg@5"
    falls = [each["fall"] for each in told["importance"]["families"]]
    assert falls == sorted(falls, reverse=True)
    assert falls[0] > 0
    assert np.isfinite(falls).all()
    table = drawn(Outcome.parse(told))
    assert table is not None
    assert [row.label for row in table.rows] == [
        each["family"] for each in told["importance"]["families"]
    ]
    assert table.drawn
