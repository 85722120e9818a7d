"""An engine whose ranker is compressed after the fit, or kept in full where that loses too much."""

import re
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.engine import Engine
from recsys.features.errors import MissingDependency
from recsys.parts import make_ranker
from recsys.ranking.int8 import Int8Scorer
from recsys.ranking.neural import NeuralRanker
from recsys.settings import EngineSettings
from tests.shops import assert_same_lists, fitted_engine, quick_settings, small_shop

QUICK = {"hidden": (16,), "epochs": 3}


def compressed_engine(**ranker: object) -> Engine:
    shop = small_shop()
    settings = quick_settings(ranker={**QUICK, **ranker})
    return Engine(settings).fit(shop.events, shop.items)


def test_it_serves_by_int8_and_comes_back_so(tmp_path: Path) -> None:
    engine = compressed_engine(compression="int8", most_loss=0.05)
    assert engine.learnt.fitted.ranker.served_by_ == "int8"
    (note,) = (note for note in engine.notes if "compressed" in note)
    assert note.startswith("the ranker is compressed by int8: NDCG@10 0.")
    engine.save(tmp_path / "engine")
    loaded = Engine.load(tmp_path / "engine")
    assert isinstance(loaded.learnt.fitted.ranker.scorer_, Int8Scorer)
    users = engine.users[:20]
    assert_same_lists(loaded.recommend(users), engine.recommend(users))


def test_the_readmes_settings_of_the_ranker_are_settings() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf8")
    (block,) = re.findall(r"^\[ranker\].*?(?=^```)", text, re.MULTILINE | re.DOTALL)
    ranker = make_ranker(EngineSettings.parse(tomllib.loads(block)))
    assert ranker.compression == "int8"
    assert ranker.most_loss == NeuralRanker().most_loss
    assert ranker.checkpoint == Path("ranker.ckpt")


def test_what_loses_too_much_leaves_the_full_ranker(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Int8Scorer.of

    def ruined(*given: object) -> Int8Scorer:
        scorer = made(*given)
        return replace(scorer, last=-scorer.last)

    monkeypatch.setattr(Int8Scorer, "of", ruined)
    engine = compressed_engine(compression="int8")
    assert engine.learnt.fitted.ranker.served_by_ == "none"
    (note,) = (note for note in engine.notes if "compressed" in note)
    assert note.startswith("the ranker serves in full; compressed by int8: NDCG@10 0.")
    assert note.endswith("at most 1.00% may be lost")
    full = fitted_engine()
    users = full.users[:20]
    assert_same_lists(engine.recommend(users), full.recommend(users))


def test_a_missing_package_is_said_before_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    told: list[str] = []
    shop = small_shop()
    engine = Engine(quick_settings(ranker={**QUICK, "compression": "onnx"}))
    with pytest.raises(MissingDependency, match="needs onnx"):
        engine.fit(shop.events, shop.items, progress=lambda step, share: told.append(step))
    assert not told


def test_the_lists_are_much_the_same() -> None:
    users = fitted_engine().users[:50]
    full = fitted_engine().recommend(users)
    own = compressed_engine(compression="int8-dynamic", most_loss=0.05).recommend(users)
    shared = full.join(own, on=["user_id", "item_id"], how="inner")
    assert len(shared) > 0.8 * np.count_nonzero(full["item_id"].is_not_null())


def test_an_evaluation_leaves_the_checkpoint_of_a_fit_alone(tmp_path: Path) -> None:
    kept = tmp_path / "ranker.ckpt"
    engine = Engine(quick_settings(ranker={"epochs": 1, "checkpoint": str(kept)}))
    engine.evaluate(small_shop().events, small_shop().items)
    assert not kept.exists()
    engine.fit(small_shop().events, small_shop().items)
    assert kept.exists()
