"""Compressed rankers: each as good as was asked for or refused, and saved beside the full one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.evaluation import metrics
from recsys.features.errors import QualityError, SettingsError
from recsys.ranking import compression
from recsys.ranking.compression import METHODS, compress, compressed, ndcg, some_candidates
from recsys.ranking.lists import TrainingLists
from recsys.ranking.network import ListNetwork
from recsys.ranking.neural import NeuralRanker, order
from recsys.ranking.smaller import halved


def drawn(n: int = 600, width: int = 24, seed: int = 0) -> TrainingLists:
    """One or two of twelve or more chosen by a rule of three features, with some noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, width, 6)).astype(np.float32)
    filled = np.arange(width) < rng.integers(12, width + 1, (n, 1))
    worth = features[:, :, 0] - np.abs(features[:, :, 1]) + features[:, :, 2] * 0.5
    worth = np.where(filled, worth + rng.normal(scale=0.3, size=worth.shape), -np.inf)
    labels = np.zeros((n, width), np.float32)
    np.put_along_axis(labels, np.argsort(-worth, axis=1)[:, :2], [[2, 1]], axis=1)
    labels[::3] = labels[::3] == 2
    names = tuple("abcdef")
    return TrainingLists(features, labels, filled, np.arange(n, dtype=np.int32), names, n, n, 0)


@pytest.fixture(scope="module")
def fitted() -> NeuralRanker:
    own = {"epochs": 12, "batch": 16, "learning_rate": 1e-2, "held_out": 0.3}
    shape = {"hidden": (32, 16), "members": 2}
    return NeuralRanker(dropout=0.0, device="cpu", seed=3, **shape, **own).fit(drawn())


def installed(method: str) -> str:
    if method == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    return method


LOSSES = {method: 0.03 if method == "pruned" else 0.01 for method in METHODS}
"""What each method may lose here: of half of the units more is asked than of rounding."""


@pytest.mark.parametrize(("method", "most"), LOSSES.items())
def test_little_is_lost_against_the_full_ranker(
    fitted: NeuralRanker, method: str, most: float
) -> None:
    found = compress(fitted, installed(method), drawn(), most)
    assert found.ndcg_before > 0.8
    assert found.ndcg >= (1 - most) * found.ndcg_before
    assert found.lists == fitted.holds_out(drawn().users).sum()
    assert fitted.served_by_ == "none"


def test_what_loses_more_is_refused_with_both_figures(fitted: NeuralRanker) -> None:
    with pytest.raises(QualityError, match=r"int8: NDCG@10 0\.\d{4} against 0\.\d{4} .* loss of"):
        compress(fitted, "int8", drawn(), most_loss=-1.0)


def test_a_scorer_that_ruins_the_order_does_not_pass(
    fitted: NeuralRanker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights rounded to nothing but their signs."""
    from recsys.ranking.int8 import Int8Scorer

    made = Int8Scorer.of

    def ruined(*given: object) -> Int8Scorer:
        scorer = made(*given)
        return replace(scorer, weights=np.sign(scorer.weights).astype(np.int8) * 100)

    monkeypatch.setattr(Int8Scorer, "of", ruined)
    ranker = replace(fitted, compression="int8").fit(drawn())
    own = ranker.scorer_
    with pytest.raises(QualityError, match=r"at most 1\.00% may be lost"):
        ranker.compress(drawn())
    assert ranker.scorer_ is own
    assert ranker.served_by_ == "none"


@pytest.mark.parametrize("method", METHODS)
def test_it_serves_and_comes_back(fitted: NeuralRanker, method: str, tmp_path: Path) -> None:
    ranker = replace(fitted, compression=installed(method), most_loss=0.05).fit(drawn())
    full = ranker.scores(drawn().features, drawn().names, drawn().filled)
    assert f"{method}: NDCG@10" in ranker.compress(drawn())
    asked = drawn(seed=9)
    scores = ranker.scores(asked.features, asked.names, asked.filled)
    assert (np.isneginf(scores) == ~asked.filled).all()
    assert not np.array_equal(scores, full) or method == "onnx"
    ranker.save(tmp_path)
    loaded = NeuralRanker(device="cpu").load(tmp_path)
    assert loaded.served_by_ == method
    again = loaded.scores(asked.features, asked.names, asked.filled)
    np.testing.assert_array_equal(again, scores)
    torch.testing.assert_close(loaded.network_.state_dict(), ranker.network_.state_dict())


def test_another_fit_serves_by_its_own_network(fitted: NeuralRanker) -> None:
    ranker = replace(fitted, compression="int8").fit(drawn())
    ranker.compress(drawn())
    assert ranker.fit(drawn()).served_by_ == "none"


def test_the_same_seed_gives_the_same_student(fitted: NeuralRanker) -> None:
    one, same = (compressed(fitted, "distilled", drawn()) for _ in range(2))
    assert one.ndcg == same.ndcg
    torch.testing.assert_close(
        one.scorer.network.state_dict(), same.scorer.network.state_dict(), rtol=0, atol=0
    )


def test_pruning_leaves_the_units_that_carry_most() -> None:
    network = ListNetwork(2, (4,))
    with torch.no_grad():
        network.linear()[0].weight.copy_(torch.tensor([[1.0, 0], [0, 9], [3, 0], [0, 2]]))
        network.linear()[0].bias.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
        network.linear()[1].weight.copy_(torch.tensor([[5.0, 0.1, 1.0, 2.0]]))
    small = halved(network)
    assert small.linear()[0].weight.tolist() == [[1, 0], [0, 2]]
    assert small.linear()[0].bias.tolist() == pytest.approx([0.1, 0.4])
    assert small.linear()[1].weight.tolist() == [[5, 2]]


def test_units_without_weight_can_go_and_scores_stay() -> None:
    torch_state = torch.get_rng_state()
    network = ListNetwork(5, (8, 6)).eval()
    torch.set_rng_state(torch_state)
    with torch.no_grad():
        network.linear()[0].weight[::2] = network.linear()[0].bias[::2] = 0
        network.linear()[1].weight[1::2] = network.linear()[1].bias[1::2] = 0
        asked = torch.arange(20.0).reshape(4, 5) / 20
        torch.testing.assert_close(halved(network)(asked), network(asked))


def test_the_gates_ndcg_is_that_of_an_evaluation() -> None:
    lists = drawn(40)
    scores = np.random.default_rng(1).normal(size=lists.labels.shape).astype(np.float32)
    scores[~lists.filled] = -np.inf
    hits = np.take_along_axis(lists.labels > 0, order(scores), axis=1)[:, :10]
    expected = metrics.ndcg(hits, (lists.labels > 0).sum(axis=1)).mean()
    assert ndcg(scores, lists.labels) == pytest.approx(expected)


def test_scores_that_tell_nothing_apart_are_worth_nothing() -> None:
    lists = drawn(40)
    scores = np.where(lists.filled, np.float32(1), np.float32(-np.inf))
    assert ndcg(scores, lists.labels) == 0


def test_steps_are_learnt_from_so_many_candidates_at_the_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lists, places = drawn(40), np.arange(5, 35)
    every = lists.features[places][lists.filled[places]]
    np.testing.assert_array_equal(some_candidates(lists, places, seed=0), every)
    monkeypatch.setattr(compression, "MOST_MEASURED", 100)
    some = some_candidates(lists, places, seed=0)
    assert len({tuple(row) for row in some}) == len(some) == 100
    assert {tuple(row) for row in some} <= {tuple(row) for row in every}
    np.testing.assert_array_equal(some_candidates(lists, places, seed=0), some)
    assert (some_candidates(lists, places, seed=1) != some).any()


def test_a_ranker_with_cross_layers_can_be_distilled_alone() -> None:
    own = {"epochs": 12, "batch": 16, "learning_rate": 1e-2, "held_out": 0.3}
    ranker = NeuralRanker(cross_layers=1, device="cpu", **own).fit(drawn())
    assert compressed(ranker, "distilled", drawn()).loss < 0.02
    for method in METHODS.keys() - {"distilled"}:
        with pytest.raises(SettingsError, match="no stack of linear layers"):
            compressed(ranker, installed(method), drawn())


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(SettingsError, match=r"unknown compression 'int4'.*did you mean 'int8'"):
        NeuralRanker(compression="int4")
    with pytest.raises(SettingsError, match=r"most_loss must be 0 or more; got -0\.1"):
        NeuralRanker(most_loss=-0.1)
