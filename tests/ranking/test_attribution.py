"""Attributions: they sum to the score, and are the integral that they are said to be."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from recsys.features.errors import RecsysError
from recsys.ranking.attribution import TOLERANCE, attribution, integrated
from recsys.ranking.network import ListNetwork
from recsys.ranking.neural import NeuralRanker
from tests.ranking.test_neural import NAMES, planted, ranker


@pytest.fixture(scope="module")
def fitted() -> NeuralRanker:
    return ranker(hidden=(16, 8)).fit(planted())


def relu_network(*widths: int, seed: int = 0) -> nn.Sequential:
    """A network with large weights, so that it bends often on a way."""
    layers: list[nn.Module] = []
    numbers = torch.Generator().manual_seed(seed)
    for inputs, outputs in pairwise(widths):
        layer = nn.Linear(inputs, outputs, dtype=torch.double)
        with torch.no_grad():
            layer.weight.copy_(2 * torch.randn(layer.weight.shape, generator=numbers))
            layer.bias.copy_(torch.randn(layer.bias.shape, generator=numbers))
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def ways(n: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = np.random.default_rng(seed)
    return torch.from_numpy(numbers.normal(size=width)), torch.from_numpy(
        numbers.normal(size=(n, width))
    )


@given(st.integers(0, 10_000), st.sampled_from([(3, 1), (3, 6, 1), (5, 16, 8, 1), (4, 8, 8, 8, 1)]))
def test_they_sum_to_what_the_score_gains(seed: int, widths: tuple[int, ...]) -> None:
    network, (start, ends) = relu_network(*widths, seed=seed), ways(3, widths[0], seed)
    sums = integrated(network, start, ends).sum(dim=1)
    gains = (network(ends) - network(start)).squeeze(-1)
    torch.testing.assert_close(sums, gains, atol=1e-5, rtol=0)


def test_of_a_linear_network_they_are_weights_times_differences() -> None:
    network, (start, ends) = relu_network(4, 1), ways(5, 4, 0)
    expected = (ends - start) * network[0].weight
    torch.testing.assert_close(integrated(network, start, ends), expected)


def test_of_one_bend_they_are_known() -> None:
    """relu(2x + y - 1) from the origin to (1, 1): the last two thirds of the way count."""
    network = relu_network(2, 1, 1)
    with torch.no_grad():
        for layer, weight, bias in ((network[0], [[2.0, 1.0]], -1.0), (network[2], [[1.0]], 0.0)):
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.fill_(bias)
    shares = integrated(network, torch.zeros(2).double(), torch.ones((1, 2)).double())
    expected = torch.tensor([[4 / 3, 2 / 3]]).double()
    torch.testing.assert_close(shares, expected, atol=1e-6, rtol=0)


def test_they_are_the_integral() -> None:
    """Against a sum over 20,000 equal pieces."""
    network, (start, ends) = relu_network(5, 16, 8, 1, seed=3), ways(4, 5, 3)
    steps = (torch.arange(20_000).double() + 0.5) / 20_000
    for end, shares in zip(ends, integrated(network, start, ends), strict=True):
        points = (start + steps[:, None] * (end - start)).requires_grad_()
        (gradients,) = torch.autograd.grad(network(points).sum(), points)
        expected = (end - start) * gradients.mean(dim=0)
        torch.testing.assert_close(shares, expected, atol=5e-3, rtol=1e-3)


def test_they_are_captums() -> None:
    captum = pytest.importorskip("captum.attr", reason="captum is not installed")
    network, (start, ends) = relu_network(5, 16, 8, 1, seed=3), ways(4, 5, 3)
    expected = captum.IntegratedGradients(network).attribute(
        ends, start[None], n_steps=20_000, method="riemann_middle", internal_batch_size=20_000
    )
    shares = integrated(network, start, ends)
    torch.testing.assert_close(shares, expected, atol=5e-3, rtol=1e-3)


def test_scores_are_taken_apart_against_the_mean_candidate(fitted: NeuralRanker) -> None:
    features = planted(40, seed=9).features.reshape(-1, len(NAMES))
    found = attribution(fitted, features)
    assert found.names == NAMES
    sums = found.baseline + found.shares.sum(axis=1)
    np.testing.assert_allclose(sums, found.scores, atol=TOLERANCE, rtol=TOLERANCE)
    mean = fitted.network_.mean.numpy()
    assert attribution(fitted, mean[None]).scores[0] == pytest.approx(found.baseline, abs=1e-5)
    np.testing.assert_allclose(attribution(fitted, mean[None]).shares, 0, atol=1e-12)


def test_what_decides_has_the_largest_shares(fitted: NeuralRanker) -> None:
    features = planted(100, seed=9).features.reshape(-1, len(NAMES))
    found = attribution(fitted, features)
    size = dict(zip(NAMES, np.abs(found.shares).mean(axis=0), strict=True))
    assert min(size["nearness"], size["price"]) > 5 * size["noise"]
    assert size["constant"] == 0
    means = fitted.network_.mean.numpy()
    nearer = features[:, 0] > means[0] + 1
    assert (found.shares[nearer, 0] > 0).mean() > 0.95


def test_shares_that_cannot_sum_are_refused(fitted: NeuralRanker) -> None:
    features = planted(1, seed=9).features[0, :2].copy()
    features[1, 0] = np.nan
    with pytest.raises(RecsysError, match=r"must sum to the score within 0\.0001"):
        attribution(fitted, features)


def test_nothing_of_the_ranker_is_changed(fitted: NeuralRanker) -> None:
    assert isinstance(fitted.network_, ListNetwork)
    before = {name: value.clone() for name, value in fitted.network_.state_dict().items()}
    attribution(fitted, planted(5, seed=9).features[0])
    for name, value in fitted.network_.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("compression", ["int8", "int8-dynamic", "distilled", "onnx"])
def test_a_compressed_ranker_is_taken_apart(compression: str) -> None:
    if compression == "onnx":
        for package in ("onnx", "onnxruntime"):
            pytest.importorskip(package, reason=f"{package} is not installed")
    lists = planted(300)
    ranker = NeuralRanker(epochs=3, compression=compression, most_loss=1.0).fit(lists)
    ranker.compress(lists)
    features = planted(5, seed=9).features[0]
    found = attribution(ranker, features)
    served = ranker.scores(features[None], NAMES, np.ones((1, len(features)), bool))[0]
    np.testing.assert_array_equal(found.scores, served)
    sums = found.baseline + found.shares.sum(axis=1) + found.rounding
    np.testing.assert_allclose(sums, served, atol=TOLERANCE)
    assert np.abs(found.rounding).max() < 0.2
    assert (found.rounding != 0).any() == compression.startswith("int8")


@pytest.mark.parametrize("shape", [{"members": 3}, {"members": 2, "cross_layers": 2}])
def test_members_and_cross_layers_are_taken_apart(shape: dict[str, int]) -> None:
    learnt = ranker(epochs=3, **shape).fit(planted())
    features = planted(10, seed=9).features.reshape(-1, len(NAMES))
    found = attribution(learnt, features)
    sums = found.baseline + found.shares.sum(axis=1)
    np.testing.assert_allclose(sums, found.scores, atol=TOLERANCE, rtol=TOLERANCE)
    assert (found.rounding == 0).all()


def test_an_order_by_probabilities_is_taken_apart() -> None:
    lists = planted(300)
    weights = {lists.events[0]: 2.0}
    ranker = NeuralRanker(epochs=3, event_weights=weights).fit(lists)
    features = planted(5, seed=9).features[0]
    found = attribution(ranker, features)
    np.testing.assert_allclose(found.baseline + found.shares.sum(axis=1), found.scores, atol=1e-4)
    assert (found.scores > 0).all()
