"""The list-wise loss by its worked value, and a network that scores item by item."""

from math import log
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.errors import SettingsError
from recsys.ranking.network import (
    CrossLayer,
    ListDropout,
    ListNetwork,
    outcome_loss,
    softmax_loss,
)

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
    layer = network.linear()[0]
    score = network(torch.tensor([[9.0]]))
    torch.testing.assert_close(score, layer.weight[0] * 2 + layer.bias)


def made(seed: int = 0, **settings: Any) -> ListNetwork:
    """A network of 3 features whose inputs are brought to another scale."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ListNetwork(features=3, **settings).eval()
        network.mean.copy_(torch.randn(3))
        network.scale.copy_(torch.rand(3) + 0.5)
    return network


LISTS = torch.linspace(-2, 2, 2 * 5 * 3).reshape(2, 5, 3)

shapes = st.fixed_dictionaries(
    {
        "members": st.integers(1, 4),
        "hidden": st.lists(st.integers(1, 6), max_size=3).map(tuple),
        "heads": st.integers(0, 2),
    }
)


@given(shapes, st.integers(0, 100))
def test_members_merge_into_one_tower_with_their_mean(shape: dict[str, Any], seed: int) -> None:
    network = made(seed, **shape)
    state = torch.get_rng_state()
    merged, folded = network.merged(), network.folded()
    assert torch.equal(torch.get_rng_state(), state)
    assert len(merged.linear()) == len(shape["hidden"]) + 1
    scores = network(LISTS)
    torch.testing.assert_close(scores, network.each(LISTS)[0].mean(dim=0))
    torch.testing.assert_close(merged(LISTS), scores, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(folded(LISTS)[..., 0], scores, atol=1e-5, rtol=1e-5)


def test_heads_are_the_mean_of_those_of_the_members() -> None:
    network = made(members=3, hidden=(4,), heads=2)
    _, each = network.each(LISTS)
    assert each is not None
    assert each.shape == (3, 2, 5, 2)
    torch.testing.assert_close(network.with_heads(LISTS)[1], each.mean(dim=0))
    network.begin_with(torch.tensor([1.0, 2.0]))
    assert [tower.heads.bias.tolist() for tower in network.members] == [[1, 2]] * 3


def test_members_differ() -> None:
    one, other = made(members=2, hidden=(4,)).each(LISTS)[0]
    assert not torch.allclose(one, other)


def test_a_cross_layer_by_hand() -> None:
    """(1, 2) * ([[1, 0], [3, 1]] (4, 5) + (0, 1)) + (4, 5) = (1 * 4 + 4, 2 * 18 + 5)."""
    layer = CrossLayer(2, None)
    with torch.no_grad():
        layer.weigh.weight.copy_(torch.tensor([[1.0, 0.0], [3.0, 1.0]]))
        layer.weigh.bias.copy_(torch.tensor([0.0, 1.0]))
    assert layer(torch.tensor([1.0, 2.0]), torch.tensor([4.0, 5.0])).tolist() == [8, 41]


def test_a_cross_layer_of_low_rank_is_one_whose_matrix_has_that_rank() -> None:
    with torch.random.fork_rng():
        low, full = CrossLayer(3, 1), CrossLayer(3, None)
    with torch.no_grad():
        full.weigh.weight.copy_(low.weigh.weight @ low.project.weight)
        full.weigh.bias.copy_(low.weigh.bias)
    torch.testing.assert_close(low(LISTS, LISTS.flip(0)), full(LISTS, LISTS.flip(0)))
    assert sum(each.numel() for each in low.parameters()) == 3 + 3 + 3


@pytest.mark.parametrize("hidden", [(), (4,), (4, 2)])
@pytest.mark.parametrize("rank", [None, 2])
def test_a_crossed_list_is_scored_item_by_item(hidden: tuple[int, ...], rank: int | None) -> None:
    network = made(hidden=hidden, members=2, heads=1, cross_layers=2, cross_rank=rank)
    scores = network(LISTS)
    order = torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(network(LISTS[:, order]), scores[:, order])
    torch.testing.assert_close(network(LISTS[1, 3]), scores[1, 3])
    torch.testing.assert_close(network.folded()(LISTS), scores[..., None])
    torch.testing.assert_close(network.folded()(LISTS[1, 3]), scores[1, 3, None])


def test_cross_layers_do_not_merge() -> None:
    with pytest.raises(SettingsError, match=r"no stack of linear layers.* got cross_layers = 1"):
        made(cross_layers=1).merged()


def test_dropout_takes_a_unit_from_a_whole_list() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        left = ListDropout(0.25).train()(torch.ones(200, 7, 10))
    assert torch.equal(left, left[:, :1].expand_as(left))
    assert left.unique().tolist() == pytest.approx([0, 4 / 3])
    assert left.mean().item() == pytest.approx(1, abs=0.05)
    assert (left[0, 0] != left[1:, 0]).any(), "each list has a draw of its own"


def test_dropout_leaves_a_network_that_serves_alone() -> None:
    assert torch.equal(ListDropout(0.9).eval()(LISTS), LISTS)
    assert torch.equal(ListDropout(0.0).train()(LISTS), LISTS)
