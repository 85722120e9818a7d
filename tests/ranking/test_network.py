"""The list-wise loss by its worked value, and a network that scores item by item."""

from math import log

import pytest
import torch

from recsys.ranking.network import ListNetwork, outcome_loss, softmax_loss

ALL = torch.ones((1, 2), dtype=torch.bool)


def loss_of(scores: list[list[float]], labels: list[list[float]], filled: torch.Tensor) -> float:
    floats = (torch.tensor(each, dtype=torch.float32) for each in (scores, labels))
    return softmax_loss(*floats, filled).item()


def test_the_worked_value() -> None:
    assert loss_of([[0, 0]], [[1, 0]], ALL) == pytest.approx(log(2))


def test_labels_count_by_their_shares() -> None:
    scores = [[log(3.0), 0.0]]  # a softmax of 3/4 and 1/4
    assert loss_of(scores, [[1, 0]], ALL) == pytest.approx(log(4 / 3))
    expected = 0.75 * log(4 / 3) + 0.25 * log(4)
    assert loss_of(scores, [[3, 1]], ALL) == pytest.approx(expected)
    assert loss_of(scores, [[6, 2]], ALL) == pytest.approx(expected)


def test_lists_count_by_their_weights() -> None:
    scores, labels = torch.zeros((2, 2)), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    filled = ALL.expand(2, 2)
    loss = softmax_loss(scores, labels, filled, torch.tensor([1.5, 0.0]))
    assert loss.item() == pytest.approx(1.5 * log(2) / 2)


def test_the_mean_over_lists() -> None:
    filled = torch.ones((2, 2), dtype=torch.bool)
    loss = loss_of([[0, 0], [log(3.0), 0]], [[1, 0], [1, 0]], filled)
    assert loss == pytest.approx((log(2) + log(4 / 3)) / 2)


def test_the_unfilled_does_not_count() -> None:
    filled = torch.tensor([[True, True, False]])
    assert loss_of([[0, 0, 99]], [[1, 0, 0]], filled) == pytest.approx(log(2))


def test_the_gradient_raises_the_chosen_and_lowers_the_others() -> None:
    scores = torch.zeros((1, 4), requires_grad=True)
    filled = torch.tensor([[True, True, True, False]])
    softmax_loss(scores, torch.tensor([[0.0, 1.0, 0.0, 0.0]]), filled).backward()
    torch.testing.assert_close(scores.grad, torch.tensor([[1 / 3, -2 / 3, 1 / 3, 0]]))


def test_a_list_of_one_has_nothing_to_learn() -> None:
    scores = torch.tensor([[3.0, 0.0]], requires_grad=True)
    loss = softmax_loss(scores, torch.tensor([[1.0, 0.0]]), torch.tensor([[True, False]]))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad.tolist() == [[0, 0]]


def test_a_list_is_scored_item_by_item() -> None:
    torch_state = torch.get_rng_state()
    network = ListNetwork(features=3, hidden=(8,)).eval()
    torch.set_rng_state(torch_state)
    features = torch.arange(30, dtype=torch.float32).reshape(2, 5, 3) / 30
    scores = network(features)
    assert scores.shape == (2, 5)
    order = torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(network(features[:, order]), scores[:, order])
    torch.testing.assert_close(network(features[1, 3]), scores[1, 3])


def test_heads_score_item_by_item_beside_the_score() -> None:
    with torch.random.fork_rng():
        network = ListNetwork(features=3, hidden=(8,), heads=2).eval()
    features = torch.arange(30, dtype=torch.float32).reshape(2, 5, 3) / 30
    scores, logits = network.with_heads(features)
    assert logits.shape == (2, 5, 2)
    torch.testing.assert_close(scores, network(features))
    torch.testing.assert_close(scores[..., None], network.folded()(features))
    order = torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(network.with_heads(features[:, order])[1], logits[:, order])
    torch.testing.assert_close(network.with_heads(features[1, 3])[1], logits[1, 3])


def test_a_network_without_heads_says_so() -> None:
    with pytest.raises(TypeError, match="no heads"):
        ListNetwork(features=1).with_heads(torch.zeros(1, 1))


def test_the_loss_of_outcomes_by_hand() -> None:
    logits = torch.tensor([[[0.0, log(3.0)], [99.0, 99.0]]])
    outcomes = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    filled = torch.tensor([[True, False]])
    expected = (log(2) + log(4)) / 2
    assert outcome_loss(logits, outcomes, filled).item() == pytest.approx(expected)


def test_inputs_are_brought_to_their_scale() -> None:
    network = ListNetwork(features=1, hidden=()).eval()
    network.mean.fill_(5.0)
    network.scale.fill_(0.5)
    layer = network.layers[0]
    score = network(torch.tensor([[9.0]]))
    torch.testing.assert_close(score, layer.weight[0] * 2 + layer.bias)
