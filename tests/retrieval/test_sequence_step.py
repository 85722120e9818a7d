"""A step: parts add up to the whole, however many cores there are, and negatives are fair."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.features import threads
from recsys.features.arrays import Array
from recsys.retrieval.sequence_network import ItemSpace, SequenceNetwork
from recsys.retrieval.sequence_step import Block, Lottery, Negatives, Replicas

ITEMS = 20


def network(dropout: float = 0.0) -> SequenceNetwork:
    torch.manual_seed(0)
    space = ItemSpace(torch.randn(ITEMS, 5), torch.arange(ITEMS) < 15, 16, dropout)
    return SequenceNetwork(space, layers=2, heads=2, history=6, events=3, pauses=4, dropout=dropout)


def block(rows: int, seed: int = 0) -> Block:
    rng = np.random.default_rng(seed)
    items, events, pauses = (rng.integers(0, n, (rows, 6)) for n in (15, 3, 4))
    follows = rng.random((rows, 6)) < 0.7
    follows[:, 0] = True  # no row is read for nothing
    wanted = rng.integers(0, 15, follows.sum())
    return Block(items, events, pauses, np.sort(rng.integers(0, 3, (rows, 6))), follows, wanted)


NEGATIVES = Negatives(np.arange(15, dtype=np.int32), np.zeros(15, np.float32))


def gradients(parts: int, rows: int, dropout: float = 0.0) -> tuple[float, list[Array]]:
    replicas = Replicas(network(dropout), parts, np.random.default_rng(1))
    loss = replicas.step(block(rows), NEGATIVES)
    return loss, [each.grad.numpy() for each in replicas.networks[0].parameters()]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_parts_add_up_to_the_whole(rows: int) -> None:
    whole, parts = gradients(1, rows), gradients(3, rows)
    assert parts[0] == pytest.approx(whole[0], rel=1e-5)
    for own, expected in zip(parts[1], whole[1], strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-5)


def test_the_number_of_cores_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    several = gradients(2, 5, dropout=0.5)
    monkeypatch.setattr(threads, "is_worker", lambda: True)  # all on this thread
    with threads.one_thread():
        alone = gradients(2, 5, dropout=0.5)
    assert alone[0] == several[0]
    assert all((own == other).all() for own, other in zip(alone[1], several[1], strict=True))


def test_copies_follow_the_network_and_hold_no_numbers_of_their_own() -> None:
    replicas = Replicas(network(), 2, np.random.default_rng(0))
    first, second = replicas.networks
    replicas.step(block(4), NEGATIVES)
    torch.optim.SGD(first.parameters(), lr=0.1).step()
    for own, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert own.data_ptr() == other.data_ptr()


def test_what_one_step_leaves_does_not_reach_the_next() -> None:
    replicas = Replicas(network(), 2, np.random.default_rng(0))
    replicas.step(block(4, seed=1), NEGATIVES)
    replicas.step(block(1), NEGATIVES)  # the second replica has nothing to do
    _, expected = gradients(1, 1)
    for own, wanted in zip(replicas.networks[0].parameters(), expected, strict=True):
        np.testing.assert_allclose(own.grad, wanted, atol=1e-5)


@given(st.integers(1, 9), st.integers(1, 12))
def test_the_parts_of_a_block_are_its_rows_in_order(rows: int, count: int) -> None:
    whole = block(rows)
    parts = whole.parts(count)
    assert len(parts) == min(rows, count)
    for name in ("items", "events", "pauses", "owners", "follows", "wanted"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))
    assert all(len(part.wanted) == part.follows.sum() for part in parts)


def test_negatives_come_as_often_as_is_said_and_only_what_somebody_had() -> None:
    counts = np.array([0, 1, 3, 0, 12, 4, 0, 20])
    lottery, rng = Lottery(counts), np.random.default_rng(0)
    drawn = [lottery.draw(3, rng) for _ in range(20_000)]
    found = np.bincount(np.concatenate([each.items for each in drawn]), minlength=8) / len(drawn)
    expected = dict(zip(drawn[0].items, np.exp(drawn[0].log_expected), strict=True))
    assert found[[0, 3, 6]].tolist() == [0, 0, 0]
    assert expected
    for item, times in expected.items():
        assert found[item] == pytest.approx(times, rel=0.05)


def test_where_there_are_few_items_each_is_drawn_once() -> None:
    drawn = Lottery(np.array([2, 0, 1])).draw(2, np.random.default_rng(0))
    assert drawn.items.tolist() == [0, 2]
    assert drawn.log_expected.tolist() == [0, 0]
