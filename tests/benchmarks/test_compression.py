"""The table of compressed rankers: every method and LightGBM, measured on the same lists."""

import numpy as np
import pytest

from benchmarks.compression import FULL, RIVAL, measure
from benchmarks.tables import compression
from recsys.ranking.compression import METHODS
from recsys.ranking.lists import TrainingLists
from recsys.ranking.neural import NeuralRanker


@pytest.fixture(scope="module")
def lists() -> TrainingLists:
    """The candidate with the largest first feature was chosen."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 10, 4)).astype(np.float32)
    best = features[:, :, 0] == features[:, :, 0].max(axis=1, keepdims=True)
    users = np.arange(120, dtype=np.int32)
    labels = best.astype(np.float32)
    return TrainingLists(features, labels, labels >= 0, users, tuple("abcd"), 120, 120, 0)


def test_every_system_has_its_figures(lists: TrainingLists) -> None:
    for package in ("onnx", "onnxruntime", "lightgbm"):
        pytest.importorskip(package)
    ranker = NeuralRanker(hidden=(8, 4), epochs=8, batch=8, learning_rate=1e-2, device="cpu")
    figures = measure(lists, ranker, requests=3)
    assert list(figures["systems"]) == [FULL, *METHODS, RIVAL]
    assert figures["learnt_from"] + figures["held_out"] == 120
    for system in figures["systems"].values():
        assert system["kb"] > 0
        assert system["request_us"] > 0
        assert 0.5 < system["ndcg@10"] <= 1
    full = figures["systems"][FULL]
    assert full["ndcg_change"] == 0
    assert full["request_to_full"] == 1
    assert figures["systems"]["onnx"]["ndcg@10"] == pytest.approx(full["ndcg@10"], abs=0.01)
    lines = compression([{"data": "shop", **figures}]).splitlines()
    assert len(lines) == 3 + len(figures["systems"])
    assert lines[3].startswith("| full | ")
